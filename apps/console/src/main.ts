/** The console: signs in, chooses the page by the address, and tells every page when it is left. */
import { ApiClient } from './api/client.ts';
import { readClaims, storedToken, storeToken } from './api/credentials.ts';
import { auditPage } from './pages/audit.ts';
import { createPage } from './pages/create.ts';
import { livePage } from './pages/live.ts';
import { requestsPage } from './pages/requests.ts';
import { searchPage } from './pages/search.ts';
import { sessionPage } from './pages/session.ts';
import { sessionsPage } from './pages/sessions.ts';
import { signInPage } from './pages/sign-in.ts';
import { systemPage } from './pages/system.ts';
import './player/page/lucid-player.ts';
import { h } from './ui/dom.ts';
import type { Page, PageContext } from './ui/page.ts';
import { interceptLinks, parseRoute, type Route } from './ui/router.ts';
import { shell } from './ui/shell.ts';
import { applyTheme } from './ui/theme.ts';

const baseUrl = '/api/v1';
const api = new ApiClient(baseUrl, storedToken);
let leave = new AbortController();
let shownPath = '';

function pageFor(route: Route, context: PageContext): Page {
  switch (route.page) {
    case 'sessions':
      return sessionsPage(context);
    case 'session':
      return sessionPage(context, route.sessionId);
    case 'create':
      return createPage(context);
    case 'live':
      return livePage(context);
    case 'search':
      return searchPage(context);
    case 'system':
      return systemPage(context);
    case 'audit':
      return auditPage(context);
    case 'requests':
      return requestsPage(context);
    case 'notFound':
      return {
        title: 'Not found',
        content: h(
          'div',
          { class: 'card empty' },
          h('h1', {}, 'There is no such page'),
          h('a', { href: '/sessions' }, 'All sessions'),
        ),
      };
  }
}

function show(reason: string | null = null): void {
  leave.abort();
  leave = new AbortController();
  shownPath = location.pathname;
  const token = storedToken();
  const claims = token === null ? null : readClaims(token);
  const page =
    token === null
      ? signInPage(baseUrl, reason, () => show())
      : pageFor(parseRoute(location.pathname), { api, claims, signal: leave.signal });
  document.title = `${page.title} · Lucid Sessions`;
  const { frame, main } = shell(
    token === null ? null : (claims ?? { userId: '', roles: [], expiresAtSeconds: null }),
    page.content,
    signOut,
  );
  const first = document.body.childElementCount === 0;
  document.body.replaceChildren(...frame);
  // After a change of page a screen reader starts at the new content; at the first load the browser's own start is right.
  if (!first) main.focus();
}

function signOut(): void {
  storeToken(null);
  show();
}

api.onUnauthenticated = () => {
  if (storedToken() === null) return;
  storeToken(null);
  show('Your sign-in has expired. Sign in again to go on.');
};
addEventListener('popstate', () => {
  if (location.pathname !== shownPath || parseRoute(location.pathname).page === 'sessions') show();
});
applyTheme();
interceptLinks(document.body);
document.body.replaceChildren();
show();
