/** The console: signs in, chooses the page by the address, and tells every page when it is left. */
import { ApiClient, ApiError } from './api/client.ts';
import { askClaims, type Claims } from './api/credentials.ts';
import { accountPage } from './pages/account.ts';
import { alertsPage } from './pages/alerts.ts';
import { auditPage } from './pages/audit-log.ts';
import { createPage } from './pages/create.ts';
import { enterPage, takeInviteToken } from './pages/enter.ts';
import { livePage } from './pages/live.ts';
import { providerPage, takeAnswer } from './pages/provider.ts';
import { requestsPage } from './pages/requests.ts';
import { searchPage } from './pages/search.ts';
import { sessionPage } from './pages/session.ts';
import { sessionsPage } from './pages/sessions.ts';
import { signInPage } from './pages/sign-in.ts';
import { systemPage } from './pages/system.ts';
import { targetsPage } from './pages/targets.ts';
import { usersPage } from './pages/users.ts';
import './player/page/lucid-player.ts';
import { h } from './ui/dom.ts';
import { failure, type Page, type PageContext } from './ui/page.ts';
import { interceptLinks, parseRoute, type Route } from './ui/router.ts';
import { shell } from './ui/shell.ts';
import { applyTheme } from './ui/theme.ts';

const baseUrl = '/api/v1';
let claims: Claims | null = null;
const api = new ApiClient(baseUrl, () => ({ csrfToken: claims?.csrfToken ?? null }));
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
    case 'account':
      return accountPage(context);
    case 'users':
      return usersPage(context);
    case 'alerts':
      return alertsPage(context);
    case 'targets':
      return targetsPage(context);
    case 'enter':
    case 'provider':
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

function outside(reason: string | null): Page {
  const route = parseRoute(location.pathname);
  if (route.page === 'provider')
    return providerPage(api, route.providerId, takeAnswer(), (known, returnTo) => {
      history.replaceState(null, '', returnTo);
      enter(known);
    });
  if (route.page !== 'enter') return signInPage(api, reason, enter);
  const signedIn = (known: Claims): void => {
    history.replaceState(null, '', '/');
    enter(known);
  };
  return enterPage(api, takeInviteToken(), signedIn);
}

function show(reason: string | null = null): void {
  leave.abort();
  leave = new AbortController();
  shownPath = location.pathname;
  const isOutside = claims === null || ['enter', 'provider'].includes(parseRoute(location.pathname).page);
  const page = isOutside
    ? outside(reason)
    : pageFor(parseRoute(location.pathname), { api, claims, signal: leave.signal });
  document.title = `${page.title} · Lucid Sessions`;
  const { frame, main } = shell(isOutside ? null : claims, page.content, signOut);
  const first = document.body.childElementCount === 0;
  document.body.replaceChildren(...frame);
  // After a change of page a screen reader starts at the new content; at the first load the browser's own start is right.
  if (!first) main.focus();
}

function enter(known: Claims): void {
  claims = known;
  show();
}

async function signOut(): Promise<void> {
  const { redirect } = await api.rest.signOut().catch(() => ({ redirect: null }));
  claims = null;
  if (redirect !== null) location.assign(redirect);
  else show();
}

api.onUnauthenticated = () => {
  if (claims === null) return;
  claims = null;
  show('Your sign-in has ended. Sign in again to go on.');
};

async function begin(): Promise<void> {
  try {
    claims = await askClaims(api);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) {
      document.body.replaceChildren(h('main', { id: 'main' }, failure(error)));
      return;
    }
  }
  show();
}

addEventListener('popstate', () => {
  // Their filters are in the address.
  if (location.pathname !== shownPath || ['sessions', 'audit'].includes(parseRoute(location.pathname).page)) show();
});
applyTheme();
interceptLinks(document.body);
document.body.replaceChildren();
void begin();
