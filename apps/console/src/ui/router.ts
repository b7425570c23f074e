/** The console's pages by path. Every path is answered with the same document by the server. */
export type Route =
  | { page: 'sessions' }
  | { page: 'session'; sessionId: string }
  | { page: 'create' }
  | { page: 'live' }
  | { page: 'search' }
  | { page: 'system' }
  | { page: 'audit' }
  | { page: 'requests' }
  | { page: 'account' }
  | { page: 'users' }
  | { page: 'targets' }
  | { page: 'alerts' }
  | { page: 'enter' }
  | { page: 'provider'; providerId: string }
  | { page: 'notFound' };

const places = [
  'live',
  'search',
  'system',
  'audit',
  'requests',
  'account',
  'users',
  'targets',
  'alerts',
  'enter',
] as const;
const isPlace = (name: string | undefined): name is (typeof places)[number] =>
  (places as readonly (string | undefined)[]).includes(name);

const idPattern = /^[A-Za-z0-9_-]{1,100}$/;

export function parseRoute(path: string): Route {
  const parts = path.split('/').filter((part) => part !== '');
  const [first, second] = parts;
  if (parts.length === 0 || (first === 'sessions' && parts.length === 1)) return { page: 'sessions' };
  if (parts.length === 1 && first === 'new') return { page: 'create' };
  if (parts.length === 1 && isPlace(first)) return { page: first };
  if (parts.length === 2 && first === 'sessions' && second !== undefined && idPattern.test(second))
    return { page: 'session', sessionId: second };
  if (parts.length === 2 && first === 'sign-in' && second !== undefined && idPattern.test(second))
    return { page: 'provider', providerId: second };
  return { page: 'notFound' };
}

export function pathOf(route: Exclude<Route, { page: 'notFound' }>): string {
  switch (route.page) {
    case 'sessions':
      return '/sessions';
    case 'session':
      return `/sessions/${route.sessionId}`;
    case 'create':
      return '/new';
    case 'provider':
      return `/sign-in/${route.providerId}`;
    default:
      return `/${route.page}`;
  }
}

/** Goes to a path of the console without loading the document again. */
export function navigate(path: string): void {
  if (path !== location.pathname + location.search) history.pushState(null, '', path);
  dispatchEvent(new PopStateEvent('popstate'));
}

/** Makes plain clicks on links inside the console navigate without a load; new tabs, downloads and other documents stay the browser's. */
export function interceptLinks(root: HTMLElement): void {
  root.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (
      link?.target !== '' ||
      link.hasAttribute('download') ||
      'document' in link.dataset ||
      link.origin !== location.origin
    )
      return;
    if (link.pathname === location.pathname && link.hash !== '') return;
    event.preventDefault();
    navigate(link.pathname + link.search + link.hash);
  });
}
