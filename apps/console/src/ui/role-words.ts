/** Roles and rights in words. What a role may is read from the contract, so that no word of it is out of date. */
import { type Permission, permissions, type Role, rolePermissions, roles } from '@lucid-sessions/contract/roles';
import { h } from './dom.ts';
import { humanise } from './format.ts';

const words: Record<Permission, string> = {
  'sessions:create': 'make sessions',
  'sessions:read': 'see sessions',
  'sessions:update': 'change sessions',
  'sessions:delete': 'delete sessions',
  'sessions:start': 'start sessions',
  'sessions:stop': 'stop sessions',
  'sessions:pause': 'pause sessions',
  'sessions:approve': 'let clients in that wait for a second person',
  'targets:connect': 'connect to targets that let them',
  'targets:manage': 'make and change targets',
  'sessions:message': 'send messages into sessions',
  'sessions:steer': 'take over running sessions, with their user’s consent',
  'chunks:read': 'play recordings',
  'chunks:download': 'download recordings',
  'pipeline:read': 'see the pipeline',
  'pipeline:control': 'control the pipeline',
  'statistics:read': 'see statistics',
  'audit:read': 'read the audit log',
  'alerts:read': 'see alerts',
  'alerts:manage': 'make the rules that raise alerts and end sessions',
  'evidence:read': 'read evidence',
  'evidence:verify': 'verify evidence',
  'recordings:inputs': 'see what was typed and copied',
  'recordings:grant': 'let people see single recordings',
  'recordings:approve': 'agree that others see a recording',
  'evidence:renew': 'renew evidence records',
  'keys:erase': 'erase keys of recordings',
  'sessions:hold': 'set and clear legal holds',
  'sessions:shorten_retention': 'shorten retention',
  'sessions:import': 'import captures',
  'users:manage': 'manage accounts',
};

export const permissionWords = (permission: Permission): string => words[permission];

function roleWords(role: Role): string {
  const held = rolePermissions[role];
  const isElsewhere = (permission: Permission): boolean =>
    roles.some((other) => other !== role && rolePermissions[other].includes(permission));
  const list = (some: readonly Permission[]): string => some.map(permissionWords).join(', ');
  return held.length === permissions.length
    ? `May everything; alone: ${list(held.filter((permission) => !isElsewhere(permission)))}.`
    : `May ${list(held)}.`;
}

export interface Choices<T extends string> {
  element: HTMLElement;
  chosen(): T[];
}

/** A group of boxes to tick. `id` begins those of its parts. */
export function choices<T extends string>(
  id: string,
  legend: string,
  all: readonly { value: T; label: string; hint?: string; checked: boolean }[],
): Choices<T> {
  const boxes = all.map(({ value, checked, hint }) =>
    h('input', {
      type: 'checkbox',
      id: `${id}-${value}`,
      value,
      checked,
      'aria-describedby': hint === undefined ? null : `${id}-${value}-hint`,
    }),
  );
  const rows = all.map(({ value, label, hint }, at) =>
    h(
      'div',
      {},
      h('div', { class: 'check' }, boxes[at], h('label', { for: `${id}-${value}` }, label)),
      hint !== undefined && h('p', { class: 'muted small hint', id: `${id}-${value}-hint` }, hint),
    ),
  );
  return {
    element: h('fieldset', { class: 'choices' }, h('legend', {}, legend), rows),
    chosen: () => all.filter((_, at) => boxes[at]!.checked).map(({ value }) => value),
  };
}

export const roleName = (role: string): string => humanise(role);

export const roleChoices = (id: string, held: readonly string[]): Choices<Role> =>
  choices(
    id,
    'Roles',
    roles.map((role) => ({ value: role, label: roleName(role), hint: roleWords(role), checked: held.includes(role) })),
  );

export const permissionChoices = (id: string, own: readonly Permission[]): Choices<Permission> =>
  choices(
    id,
    'Rights',
    own.map((permission) => ({
      value: permission,
      label: permissionWords(permission),
      checked: false,
    })),
  );
