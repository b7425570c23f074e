import type { Session } from '../api/types.ts';
import { h } from './dom.ts';
import { icon } from './icons.ts';

/** Whether a browser may come in: the first one, or its user again while the session waits or goes on. */
export const isConnectable = ({ status, imported, created_by: creator }: Session): boolean =>
  ['created', 'starting', 'recording', 'paused'].includes(status) && !imported && creator !== null;

/** To the session's desktop, which is a document of its own. */
export const connectLink = (session: Session, tone = ''): HTMLAnchorElement =>
  h(
    'a',
    {
      class: `button ${tone}`,
      href: `/sessions/${session.session_id}/connect`,
      'data-document': true,
      'aria-label': `Connect to ${session.name} in this browser`,
    },
    icon('screen'),
    'Connect',
  );
