/** The own account: what lets its person in, where they are signed in, and their tokens. */
import { passwordCharacters, tokenDaysMax } from '@lucid-sessions/contract/people';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import { act, answerPlace, askFirst, doneNotice, sayFailure } from '../ui/act.ts';
import { copyable } from '../ui/copyable.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { failure, isAbort, type Page, type PageContext } from '../ui/page.ts';
import { facts, instant } from '../ui/parts.ts';
import { signInTable, tokenTable } from '../ui/people-tables.ts';
import { permissionChoices, roleName } from '../ui/role-words.ts';
import { passkeyCard, totpCard } from './account-second.ts';
import { field } from './sign-in.ts';

type Account = RestAnswer<'getAccount'>;

/** A card of its own heading. */
function card(id: string, title: string, ...content: Child[]): HTMLElement {
  return h('section', { class: 'card', 'aria-labelledby': id }, h('h2', { id }, title), content);
}

function passwordCard({ api }: PageContext, { user }: Account, changed: () => void): HTMLElement {
  const { min, max } = passwordCharacters;
  const secret = (id: string, autocomplete: string, bounds = {}) =>
    h('input', { id, type: 'password', required: true, autocomplete, ...bounds });
  const present = secret('present-password', 'current-password');
  const next = secret('new-password', 'new-password', { minlength: min, maxlength: max });
  const again = secret('new-password-again', 'new-password');
  const answer = answerPlace();
  const button = h('button', { type: 'submit', class: 'primary' }, user.has_password ? 'Change' : 'Set');
  async function change(): Promise<void> {
    if (next.value !== again.value) {
      again.focus();
      throw new Error('the two passwords differ');
    }
    const known = user.has_password ? { password: present.value } : {};
    await api.rest.changePassword({ body: { ...known, new_password: next.value } });
    form.reset();
    fill(answer, doneNotice('The password is changed. Every other browser of yours was signed out.'));
    changed();
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    void act(api, button, answer, change);
  };
  const form = h(
    'form',
    { class: 'steps', on: { submit } },
    // For password managers, which save it with the new password.
    h('input', {
      class: 'hidden-visually',
      autocomplete: 'username',
      value: user.user_id,
      readonly: true,
      tabindex: -1,
      'aria-label': 'User name',
    }),
    user.has_password && field('Present password', present),
    field('New password', next, `${min} characters or more. A few words that don’t belong together are good.`),
    field('New password again', again),
    h('div', { class: 'actions' }, button),
    answer,
  );
  return card('password-title', 'Password', form);
}

function signInsCard({ api, signal }: PageContext): { element: HTMLElement; load(): Promise<void> } {
  const host = h('div', {});
  const answer = answerPlace();
  async function load(): Promise<void> {
    try {
      const { sign_ins } = await api.rest.listSignIns({ signal });
      const revoke = async (id: string): Promise<void> => {
        await api.rest.revokeSignIn({ params: { sign_in_id: id } });
        await load();
      };
      fill(
        host,
        signInTable(sign_ins, ({ sign_in_id }) => void revoke(sign_in_id).catch((e) => sayFailure(api, answer, e))),
      );
    } catch (error) {
      sayFailure(api, host, error);
    }
  }
  return { element: card('sign-ins-title', 'Signed-in browsers', host, answer), load };
}

type Providers = RestAnswer<'signInWays'>['providers'];

/** Signing in by a provider in place of what is kept here. */
function providerCard({ api, signal }: PageContext, own: string | null, providers: Providers): HTMLElement | null {
  const nameOf = (id: string): string => providers.find(({ provider_id }) => provider_id === id)?.name ?? id;
  const answer = answerPlace();
  if (own !== null) {
    const words = `You sign in by ${nameOf(own)}, which also says which roles you have.`;
    return card('provider-title', nameOf(own), h('p', { class: 'muted' }, words));
  }
  if (providers.length === 0) return null;
  const buttons = providers.map(({ provider_id, name }) => {
    const work = async (): Promise<void> => {
      const { url } = await api.rest.linkOidc({ params: { provider_id } });
      location.assign(url);
    };
    const button = h('button', { type: 'button' }, `Sign in with ${name} from now on`);
    const consequence = `Your password, app, recovery codes and passkeys here end, and your groups at ${name} say which roles you have.`;
    const question = { title: `Sign in with ${name} alone?`, consequence, action: 'Go there', work };
    button.addEventListener('click', () => askFirst(api, question, signal));
    return button;
  });
  return card('provider-title', 'Identity provider', h('div', { class: 'actions' }, buttons), answer);
}

function tokensCard({ api, signal, claims }: PageContext): HTMLElement {
  const host = h('div', {});
  const answer = answerPlace();
  const name = h('input', { id: 'token-name', required: true, maxlength: 100, autocomplete: 'off' });
  const days = h('input', { id: 'token-days', type: 'number', required: true, min: 1, max: tokenDaysMax, value: 30 });
  const rights = permissionChoices('token', claims?.permissions ?? []);
  const button = h('button', { type: 'submit', class: 'primary' }, 'Make a token');
  async function load(): Promise<void> {
    try {
      const { tokens } = await api.rest.listTokens({ signal });
      fill(host, tokenTable(tokens, ask));
    } catch (error) {
      sayFailure(api, host, error);
    }
  }
  function ask({ token_id, name }: { token_id: string; name: string }): void {
    const work = async (): Promise<void> => {
      await api.rest.revokeToken({ params: { token_id } });
      fill(answer);
      await load();
    };
    const consequence = 'What uses it is refused from its next request on.';
    askFirst(api, { title: `Revoke the token “${name}”?`, consequence, action: 'Revoke it', work }, signal);
  }
  async function make(): Promise<void> {
    const chosen = rights.chosen();
    const body = {
      name: name.value,
      days: days.valueAsNumber,
      ...(chosen.length === 0 ? {} : { permissions: chosen }),
    };
    const { token, expires_at } = await api.rest.createToken({ body });
    form.reset();
    fill(
      answer,
      doneNotice(
        h('p', {}, 'Shown this once: copy it now. It ends ', instant(expires_at), '.'),
        copyable('API token', token),
      ),
    );
    await load();
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    void act(api, button, answer, make);
  };
  const form = h(
    'form',
    { class: 'steps', on: { submit } },
    h('div', { class: 'row' }, field('What it is for', name), field('Days it is good for', days)),
    h(
      'details',
      {},
      h('summary', {}, 'Not everything I may'),
      h('p', { class: 'muted small' }, 'Nothing ticked: the token may all that you may.'),
      rights.element,
    ),
    h('div', { class: 'actions' }, button),
  );
  void load();
  return card(
    'tokens-title',
    'API tokens',
    h('p', { class: 'muted' }, 'For programs that call the API in your name. A token manages no account.'),
    form,
    answer,
    host,
  );
}

export function accountPage(context: PageContext): Page {
  const { api, signal } = context;
  const body = h('div', { class: 'form account' }, h('p', { class: 'muted' }, 'Looking …'));
  async function load(): Promise<void> {
    try {
      const [account, ways] = await Promise.all([api.rest.getAccount({ signal }), api.rest.signInWays({ signal })]);
      const { user } = account;
      const signIns = signInsCard(context);
      const about = facts([
        ['User name', user.user_id],
        ['Name', user.display_name],
        ['Roles', user.roles.map(roleName).join(', ')],
        ['Account made', [instant(user.created_at), ` by ${user.created_by}`]],
      ]);
      fill(
        body,
        h('section', { class: 'card', 'aria-label': 'About' }, about),
        ...(user.provider === null
          ? [
              passwordCard(context, account, () => void signIns.load()),
              totpCard(context, account),
              passkeyCard(context, account, ways.passkey),
            ]
          : []),
        providerCard(context, user.provider, ways.providers),
        signIns.element,
        tokensCard(context),
      );
      await signIns.load();
    } catch (error) {
      if (!isAbort(error)) fill(body, failure(error));
    }
  }
  void load();
  return {
    title: 'Account',
    content: [
      h(
        'div',
        {},
        h('h1', {}, 'Your account'),
        h('p', { class: 'muted' }, 'What lets you in can be changed within 15 minutes of signing in.'),
      ),
      body,
    ],
  };
}
