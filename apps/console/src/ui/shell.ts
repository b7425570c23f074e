import type { Permission } from '@lucid-sessions/contract/roles';
import { type Claims, may } from '../api/credentials.ts';
import { brand } from './brand.ts';
import { append, type Child, h } from './dom.ts';
import { themeButton } from './theme.ts';

/** With the right without which a page shows nothing. */
const places: readonly (readonly [path: string, name: string, needed?: Permission])[] = [
  ['/sessions', 'Sessions'],
  ['/targets', 'Targets', 'targets:connect'],
  ['/live', 'Live'],
  ['/requests', 'Requests'],
  ['/search', 'Search'],
  ['/alerts', 'Alerts', 'alerts:read'],
  ['/audit', 'Audit', 'audit:read'],
  ['/system', 'System'],
  ['/users', 'Users', 'users:manage'],
  ['/account', 'Account'],
];

/** What is around every page; without claims only the theme button. */
export function shell(
  claims: Claims | null,
  content: Child,
  signOut: () => Promise<void>,
): { frame: HTMLElement[]; main: HTMLElement } {
  const main = h('main', { id: 'main', tabindex: -1 });
  append(main, [content]);
  const skip = h('a', { class: 'skip-link', href: '#main' }, 'Skip to content');
  if (claims === null) return { frame: [main], main };
  const seen = places.filter(([, , needed]) => needed === undefined || may(claims, needed));
  const header = h(
    'header',
    { class: 'top' },
    brand(),
    h(
      'nav',
      { 'aria-label': 'Main' },
      seen.map(([path, name]) => h('a', { href: path, 'aria-current': isAt(path) ? 'page' : null }, name)),
    ),
    h('div', { class: 'who' }, h('div', {}, claims.userId), h('div', { class: 'muted' }, claims.roles.join(', '))),
    themeButton(),
    h('button', { type: 'button', class: 'quiet', on: { click: () => void signOut() } }, 'Sign out'),
  );
  return { frame: [skip, header, main], main };
}

function isAt(path: string): boolean {
  return (
    location.pathname === path ||
    location.pathname.startsWith(`${path}/`) ||
    (path === '/sessions' && location.pathname === '/')
  );
}
