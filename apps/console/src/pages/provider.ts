/** Where a provider of OpenID Connect sends the browser back to. */
import { type ApiClient, ApiError } from '../api/client.ts';
import { type Claims, claimsOf } from '../api/credentials.ts';
import { brand } from '../ui/brand.ts';
import { fill, h } from '../ui/dom.ts';
import { failure, type Page } from '../ui/page.ts';

/** Taken out of the address before anything else: it stays in no history. */
export function takeAnswer(): string {
  const query = location.search.slice(1);
  history.replaceState(null, '', location.pathname);
  return query;
}

/** The API's words as they are: what is missing is at the provider, not a right here. */
const wordsOf = (error: unknown): unknown => (error instanceof ApiError ? new Error(error.message) : error);

export function providerPage(
  api: ApiClient,
  providerId: string,
  query: string,
  signedIn: (claims: Claims, returnTo: string) => void,
): Page {
  const body = h('div', { class: 'steps', 'aria-live': 'polite' }, h('p', { class: 'muted' }, 'Signing you in …'));
  const refused = (error: unknown): void => {
    fill(body, h('h1', {}, 'You are not signed in'), failure(wordsOf(error)), h('a', { href: '/' }, 'Sign in again'));
  };
  if (query === '') refused(new Error('nothing came from the provider: sign in again'));
  else
    api.rest
      .finishOidc({ params: { provider_id: providerId }, body: { query } })
      .then((answer) => signedIn(claimsOf(answer), answer.return_to), refused);
  return { title: 'Sign in', content: h('div', { class: 'card sign-in' }, brand(), body) };
}
