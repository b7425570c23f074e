import { ApiClient, ApiError } from '../api/client.ts';
import { readClaims, storeToken } from '../api/credentials.ts';
import { brand } from '../ui/brand.ts';
import { fill, h } from '../ui/dom.ts';
import { failure, type Page } from '../ui/page.ts';

/** Asks for an access token. `signedIn` is called once the API has accepted it. */
export function signInPage(baseUrl: string, reason: string | null, signedIn: () => void): Page {
  const token = h('textarea', {
    id: 'token',
    name: 'token',
    rows: 4,
    required: true,
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: 'false',
    'aria-describedby': 'token-hint sign-in-answer',
  });
  const answer = h('div', { id: 'sign-in-answer', 'aria-live': 'polite' });
  const button = h('button', { class: 'primary', type: 'submit' }, 'Sign in');
  if (reason) fill(answer, h('p', { class: 'notice' }, reason));

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const text = token.value.trim().replace(/^Bearer\s+/i, '');
    if (readClaims(text) === null) {
      token.setAttribute('aria-invalid', 'true');
      fill(
        answer,
        failure(new Error('this is not an access token: paste the whole text, three parts with dots between')),
      );
      token.focus();
      return;
    }
    button.disabled = true;
    try {
      await new ApiClient(baseUrl, () => text).listSessions({ limit: 1 });
      storeToken(text);
      signedIn();
    } catch (error) {
      const known = error instanceof ApiError && error.status === 401;
      fill(
        answer,
        failure(known ? new Error('the Session API does not accept this token: it may have expired') : error),
      );
      token.focus();
    } finally {
      button.disabled = false;
    }
  }

  const form = h(
    'form',
    { class: 'card sign-in', on: { submit: (event) => void submit(event) } },
    brand(),
    h('h1', {}, 'Sign in'),
    h(
      'div',
      { class: 'field' },
      h('label', { for: 'token' }, 'Access token'),
      token,
      h(
        'small',
        { id: 'token-hint' },
        'A JWT of your identity provider, or of the file that “lucid-sessions up” names when it starts. It stays in this tab and is never put into an address.',
      ),
    ),
    answer,
    button,
  );
  return { title: 'Sign in', content: form };
}
