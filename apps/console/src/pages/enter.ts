import { passwordCharacters } from '@lucid-sessions/contract/people';
import type { ApiClient } from '../api/client.ts';
import { type Claims, claimsOf } from '../api/credentials.ts';
import { brand } from '../ui/brand.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { failure, type Page } from '../ui/page.ts';
import { field } from './sign-in.ts';

type Invite = Awaited<ReturnType<ApiClient['rest']['lookAtInvite']>>;

/** Taken out of the address before anything else: it stays in no history. */
export function takeInviteToken(): string {
  const token = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  return token;
}

/** Where a link leads that lets somebody in, once. */
export function enterPage(api: ApiClient, token: string, signedIn: (claims: Claims) => void): Page {
  const body = h('div', { class: 'steps' }, h('p', { class: 'muted' }, 'Looking at the link …'));
  const show = (invite: Invite): void => fill(body, formOf(api, token, invite, signedIn));
  if (token === '') fill(body, failure(new Error('this link is not whole: copy all of it')), home());
  else api.rest.lookAtInvite({ body: { token } }).then(show, (error: unknown) => fill(body, failure(error), home()));
  return { title: 'Welcome', content: h('div', { class: 'card sign-in' }, brand(), body) };
}

const home = (): HTMLElement => h('a', { href: '/' }, 'Sign in another way');

function formOf(
  api: ApiClient,
  token: string,
  { purpose, user_id }: Invite,
  signedIn: (claims: Claims) => void,
): Child {
  const name = h('input', {
    id: 'user',
    name: 'username',
    required: true,
    value: user_id ?? '',
    readonly: user_id !== null,
    autocomplete: 'username',
    autocapitalize: 'off',
    spellcheck: 'false',
    pattern: '[a-z0-9][a-z0-9._@+\\-]*',
  });
  const { min, max } = passwordCharacters;
  const password = h('input', {
    id: 'password',
    type: 'password',
    required: true,
    minlength: min,
    maxlength: max,
    autocomplete: 'new-password',
  });
  const again = h('input', { id: 'again', type: 'password', required: true, autocomplete: 'new-password' });
  const answer = h('div', { 'aria-live': 'polite' });
  const button = h(
    'button',
    { class: 'primary', type: 'submit' },
    purpose === 'sign_in' ? `Continue as ${user_id}` : 'Go on',
  );

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (purpose !== 'sign_in' && password.value !== again.value) {
      fill(answer, failure(new Error('the two passwords differ')));
      again.focus();
      return;
    }
    button.disabled = true;
    try {
      const chosen = purpose === 'sign_in' ? {} : { password: password.value };
      const named = purpose === 'first' ? { user_id: name.value.trim() } : {};
      signedIn(claimsOf(await api.rest.redeemInvite({ body: { token, ...named, ...chosen } })));
    } catch (error) {
      fill(answer, failure(error));
    } finally {
      button.disabled = false;
    }
  }

  const fields: Child =
    purpose === 'sign_in'
      ? h('p', {}, 'This link signs you in once. Whoever sent it gave you an account of this installation.')
      : [
          h(
            'p',
            {},
            purpose === 'first'
              ? 'The first account is that of an administrator: it may do everything here, and make accounts for others.'
              : 'Choose the password of your account. Every browser that was signed in with it is signed out.',
          ),
          field(
            'User name',
            name,
            purpose === 'first' ? 'Small letters, digits and . _ @ + -; it stands in the audit log.' : undefined,
          ),
          field('Password', password, `${min} characters or more. A few words that don’t belong together are good.`),
          field('Password again', again),
        ];
  return [
    h('h1', {}, purpose === 'first' ? 'Welcome' : purpose === 'password' ? 'Choose a password' : 'Sign in'),
    h('form', { class: 'steps', on: { submit: (event) => void submit(event) } }, fields, answer, button),
  ];
}
