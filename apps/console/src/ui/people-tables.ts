/** Signed-in browsers and API tokens, of one's own account and of others'. */
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import { h } from './dom.ts';
import { humanise } from './format.ts';
import { instant, table } from './parts.ts';
import { permissionWords } from './role-words.ts';

export type SignIn = RestAnswer<'listSignIns'>['sign_ins'][number];
export type Token = RestAnswer<'listTokens'>['tokens'][number];

const browsers = [
  ['Edg/', 'Edge'],
  ['OPR/', 'Opera'],
  ['Firefox/', 'Firefox'],
  ['Chrome/', 'Chrome'],
  ['Safari/', 'Safari'],
] as const;
const systems = ['Windows', 'Android', 'iPhone', 'iPad', 'Mac OS X', 'CrOS', 'Linux'] as const;

/** `Firefox, Linux`; of anything else as much of its own words as fits. */
export function browserName(userAgent: string | null): string {
  if (userAgent === null) return 'unknown';
  const name = browsers.find(([mark]) => userAgent.includes(mark))?.[1];
  const system = systems.find((mark) => userAgent.includes(mark));
  return name === undefined ? userAgent.slice(0, 40) : [name, system].filter((part) => part !== undefined).join(', ');
}

/** `revoke`: null where only all can be signed out at once. */
export function signInTable(list: readonly SignIn[], revoke: ((one: SignIn) => void) | null): HTMLElement {
  if (list.length === 0) return h('p', { class: 'muted' }, 'No browser is signed in.');
  const columns = [
    {
      name: 'Browser',
      cell: (one: SignIn) => [
        h('span', { title: one.user_agent }, browserName(one.user_agent)),
        one.current && [' ', h('span', { class: 'status good' }, 'this one')],
      ],
    },
    { name: 'Address', cell: (one: SignIn) => one.ip_address ?? '–' },
    { name: 'By', cell: (one: SignIn) => humanise(one.method) },
    { name: 'Signed in', cell: (one: SignIn) => instant(one.created_at) },
    { name: 'Last seen', cell: (one: SignIn) => instant(one.seen_at) },
  ];
  const button = (one: SignIn) =>
    !one.current && h('button', { type: 'button', on: { click: () => revoke?.(one) } }, 'Sign out');
  return table(
    'List of signed-in browsers',
    revoke === null ? columns : [...columns, { name: 'Revoke', cell: button }],
    list,
  );
}

export function tokenTable(list: readonly Token[], revoke: (one: Token) => void): HTMLElement {
  if (list.length === 0) return h('p', { class: 'muted' }, 'No API tokens.');
  return table(
    'List of API tokens',
    [
      { name: 'Name', cell: ({ name }) => name },
      {
        name: 'May',
        cell: ({ permissions }) =>
          permissions === null ? 'all that its owner may' : permissions.map(permissionWords).join(', '),
      },
      { name: 'Made', cell: (one) => instant(one.created_at) },
      { name: 'Ends', cell: (one) => instant(one.expires_at) },
      {
        name: 'Last used',
        cell: (one) => (one.used_at === null ? 'never' : [instant(one.used_at), ` from ${one.used_from ?? 'unknown'}`]),
      },
      {
        name: 'Revoke',
        cell: (one) =>
          h(
            'button',
            { type: 'button', 'aria-label': `Revoke ${one.name}`, on: { click: () => revoke(one) } },
            'Revoke',
          ),
      },
    ],
    list,
  );
}
