/** All accounts, for administrators: who may what, links that let people in, and what is taken away. */
import type { RestAnswer, RestBody } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../api/client.ts';
import { act, answerPlace, askFirst, doneNotice, type Question, sayFailure } from '../ui/act.ts';
import { copyable } from '../ui/copyable.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import type { Page, PageContext } from '../ui/page.ts';
import { facts, instant } from '../ui/parts.ts';
import { signInTable, type Token, tokenTable } from '../ui/people-tables.ts';
import { roleChoices, roleName } from '../ui/role-words.ts';
import { scopeFields, scopeWords, targetNames } from '../ui/scope-form.ts';
import { field } from './sign-in.ts';

type User = RestAnswer<'getUser'>;
/** Of targets, by their ids. */
type Names = ReadonlyMap<string, string>;
type Purpose = 'password' | 'sign_in';

const purposes: Record<Purpose, string> = {
  password: 'Whoever has it chooses the password of this account',
  sign_in: 'Whoever has it is signed in with this account',
};

async function linkNotice(api: ApiClient, userId: string, purpose: Purpose): Promise<HTMLElement> {
  const { path, url, expires_at } = await api.rest.inviteUser({ params: { user_id: userId }, body: { purpose } });
  return doneNotice(
    h('p', {}, `Shown this once: copy it now. ${purposes[purpose]}, once, until `, instant(expires_at), '.'),
    copyable(`Link for ${userId}`, url ?? new URL(path, location.origin).href),
  );
}

const waysOf = ({ has_password, has_totp, passkeys, provider }: User): string =>
  [
    has_password ? 'password' : '',
    has_totp ? 'authenticator app' : '',
    passkeys > 0 ? `${passkeys} ${passkeys === 1 ? 'passkey' : 'passkeys'}` : '',
    provider === null ? '' : `identity provider ${provider}`,
  ]
    .filter((way) => way !== '')
    .join(', ') || 'none yet: a link lets them in';

/** What is done to one account; `changed` gets it as it is then, null when it is gone. */
function userForm(
  { api, signal }: PageContext,
  user: User,
  names: Names,
  changed: (user: User | null) => void,
): HTMLElement {
  const params = { user_id: user.user_id };
  const answer = answerPlace();
  const lists = h('div', { class: 'steps' });
  const id = `user-${user.user_id}`;
  const name = h('input', { id: `${id}-name`, value: user.display_name, maxlength: 200, autocomplete: 'off' });
  const roles = roleChoices(id, user.roles);
  const scope = scopeFields(id, user.scope, () => names);
  const isLocal = user.provider === null;
  const save = h('button', { type: 'submit', class: 'primary' }, 'Save');
  const submit = (event: Event): void => {
    event.preventDefault();
    void act(api, save, answer, async () => {
      const chosen = roles.chosen();
      const body = { display_name: name.value, ...(isLocal ? { roles: chosen } : {}), scope: scope.chosen() };
      if (isLocal && chosen.length === 0) throw new Error('an account has a role: to take all away, disable it');
      changed(await api.rest.updateUser({ params, body }));
      fill(answer, doneNotice('Saved. It counts from the next request on.'));
    });
  };
  const press = (label: string, work: () => Promise<void>): HTMLButtonElement => {
    const button = h('button', { type: 'button' }, label);
    button.addEventListener('click', () => void act(api, button, answer, work));
    return button;
  };
  const asking = (label: string, question: Omit<Question, 'action'>): HTMLButtonElement =>
    h(
      'button',
      {
        type: 'button',
        class: 'danger',
        on: { click: () => askFirst(api, { ...question, action: label }, signal) },
      },
      label,
    );
  const link = (purpose: Purpose) => async (): Promise<void> =>
    fill(answer, await linkNotice(api, user.user_id, purpose));
  const update = (
    body: { disabled: boolean } | { reset: NonNullable<RestBody<'updateUser'>['reset']> },
    said: string,
  ) => {
    return async (): Promise<void> => {
      changed(await api.rest.updateUser({ params, body }));
      fill(answer, doneNotice(said));
      await load();
    };
  };
  async function load(): Promise<void> {
    try {
      const [{ sign_ins }, { tokens }] = await Promise.all([
        api.rest.listUserSignIns({ params, signal }),
        api.rest.listUserTokens({ params, signal }),
      ]);
      const revoke = async ({ token_id }: Token): Promise<void> => {
        await api.rest.revokeUserToken({ params: { ...params, token_id } });
        await load();
      };
      fill(
        lists,
        h('h3', {}, 'Signed-in browsers'),
        signInTable(sign_ins, null),
        h('h3', {}, 'API tokens'),
        tokenTable(tokens, (one) => void revoke(one).catch((error) => sayFailure(api, answer, error))),
      );
    } catch (error) {
      sayFailure(api, lists, error);
    }
  }
  const signOut = async (): Promise<void> => {
    const { revoked } = await api.rest.revokeUserSignIns({ params });
    fill(answer, doneNotice(`Signed out: ${revoked} ${revoked === 1 ? 'browser' : 'browsers'}.`));
    await load();
  };
  const remove = async (): Promise<void> => {
    await api.rest.removeUser({ params });
    changed(null);
  };
  const title = (what: string): string => `${what} ${user.user_id}?`;
  const reset = (label: string, what: NonNullable<RestBody<'updateUser'>['reset']>, consequence: string) =>
    asking(label, { title: `${label} of ${user.user_id}?`, consequence, work: update({ reset: what }, 'Done.') });
  const again = 'Every browser of theirs is signed out.';
  void load();
  return h(
    'div',
    { class: 'steps' },
    h(
      'form',
      { class: 'steps', on: { submit } },
      field('Name', name),
      isLocal
        ? roles.element
        : h(
            'p',
            { class: 'muted' },
            `Its roles are those of its groups at ${user.provider}: ${user.roles.map(roleName).join(', ') || 'none'}.`,
          ),
      scope.element,
      h('div', { class: 'actions' }, save),
    ),
    h('h3', {}, 'Let them in'),
    h(
      'div',
      { class: 'actions' },
      isLocal && press('Link for a new password', link('password')),
      isLocal && press('Link that signs in once', link('sign_in')),
      !isLocal && press('Take off the provider', update({ reset: 'provider' }, 'It signs in by a link now.')),
      user.disabled && press('Enable', update({ disabled: false }, 'Enabled.')),
    ),
    h('h3', {}, 'Keep them out'),
    h(
      'div',
      { class: 'actions' },
      press('Sign out everywhere', signOut),
      !user.disabled &&
        asking('Disable', {
          title: title('Disable'),
          consequence: `${again} Their tokens are refused until the account is enabled again.`,
          work: update({ disabled: true }, 'Disabled.'),
        }),
      isLocal && [
        reset('Reset password', 'password', `Their password ends; a link lets them choose another. ${again}`),
        reset('Reset authenticator app', 'second_factor', `Their app and recovery codes end. ${again}`),
        reset('Reset passkeys', 'passkeys', `All their passkeys end. ${again}`),
      ],
      asking('Remove', {
        title: title('Remove'),
        consequence:
          'What they did keeps their name, which becomes free for others. Disable where nobody else shall have it.',
        work: remove,
      }),
    ),
    answer,
    lists,
  );
}

function userCard(context: PageContext, first: User, names: Names): HTMLElement {
  const about = h('div', { class: 'steps' });
  const inside = h('div', {});
  const element = h('section', { class: 'card', 'aria-label': first.user_id });
  const details = h('details', {}, h('summary', {}, 'Change'), inside);
  function show(user: User): void {
    fill(
      about,
      h(
        'div',
        { class: 'heading' },
        h('h2', {}, user.user_id),
        user.display_name !== '' && h('span', { class: 'muted' }, user.display_name),
        h('span', { class: user.disabled ? 'status bad' : 'status good' }, user.disabled ? 'disabled' : 'active'),
      ),
      facts([
        ['Roles', user.roles.map(roleName).join(', ')],
        ['Sees', scopeWords(user.scope, names)],
        ['Signs in by', waysOf(user)],
        ['Last signed in', user.signed_in_at === null ? 'never' : instant(user.signed_in_at)],
        ['Account made', [instant(user.created_at), ` by ${user.created_by}`]],
      ]),
    );
  }
  function changed(user: User | null): void {
    if (user === null) element.remove();
    else {
      const wasDisabled = known.disabled;
      known = user;
      show(user);
      if (wasDisabled !== user.disabled) fill(inside, userForm(context, user, names, changed));
    }
  }
  let known = first;
  details.addEventListener('toggle', () => {
    if (details.open && inside.childElementCount === 0) fill(inside, userForm(context, known, names, changed));
  });
  show(first);
  fill(element, about, details);
  return element;
}

function inviteForm({ api }: PageContext, names: Names, made: (user: User) => void): HTMLElement {
  const userId = h('input', {
    id: 'invite-user',
    required: true,
    maxlength: 100,
    pattern: '[a-z0-9][a-z0-9._@+\\-]*',
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: 'false',
  });
  const name = h('input', { id: 'invite-name', maxlength: 200, autocomplete: 'off' });
  const roles = roleChoices('invite', ['session_viewer']);
  const scope = scopeFields('invite', null, () => names);
  const answer = answerPlace();
  const button = h('button', { type: 'submit', class: 'primary' }, 'Make the account and a link');
  async function invite(): Promise<void> {
    const chosen = roles.chosen();
    if (chosen.length === 0) throw new Error('an account has a role: tick one');
    const body = { user_id: userId.value, display_name: name.value, roles: chosen, scope: scope.chosen() };
    const user = await api.rest.createUser({ body });
    form.reset();
    made(user);
    fill(answer, await linkNotice(api, user.user_id, 'password'));
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    void act(api, button, answer, invite);
  };
  const form = h(
    'form',
    { class: 'steps', on: { submit } },
    h(
      'div',
      { class: 'row' },
      field('User name', userId, 'Small letters, digits and . _ @ + -; it stands in the audit log.'),
      field('Name', name),
    ),
    roles.element,
    scope.element,
    h('div', { class: 'actions' }, button),
  );
  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'invite-title' },
    h('h2', { id: 'invite-title' }, 'Invite somebody'),
    form,
    answer,
  );
}

export function usersPage(context: PageContext): Page {
  const { api, signal } = context;
  const list = h('div', { class: 'steps' });
  const problem = answerPlace();
  const more = h('button', { type: 'button' }, 'Show more');
  more.hidden = true;
  let after = '';
  const names = new Map<string, string>();
  /** Without them ids are shown. */
  const named = targetNames(api, signal).then(
    (all) => {
      for (const [id, name] of all) names.set(id, name);
    },
    () => {},
  );
  async function load(): Promise<void> {
    const { users, next } = await api.rest.listUsers({
      query: { limit: 50, ...(after === '' ? {} : { after }) },
      signal,
    });
    await named;
    list.append(...users.map((user) => userCard(context, user, names)));
    after = next ?? '';
    more.hidden = next === null;
  }
  more.addEventListener('click', () => void act(api, more, problem, load));
  void load().catch((error) => sayFailure(api, problem, error));
  const content: Child = [
    h(
      'div',
      {},
      h('h1', {}, 'Users'),
      h('p', { class: 'muted' }, 'Accounts of this installation. What changes here counts from the next request on.'),
    ),
    h(
      'div',
      { class: 'form account' },
      inviteForm(context, names, (user) => list.prepend(userCard(context, user, names))),
      list,
      problem,
      h('div', { class: 'pages' }, more),
    ),
  ];
  return { title: 'Users', content };
}
