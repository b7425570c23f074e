import type { Session } from '../api/types.ts';
import { fill, h, setText } from '../ui/dom.ts';
import { formatBytes, formatClock } from '../ui/format.ts';
import { icon } from '../ui/icons.ts';
import { failure, isAbort, type Page, type PageContext, repeat } from '../ui/page.ts';
import { facts, instant, liveStatuses, statusBadge } from '../ui/parts.ts';
import { target } from './sessions.ts';

const refreshMs = 4000;

/** The sessions that run now. */
export function livePage({ api, signal }: PageContext): Page {
  const count = h('p', { class: 'muted', role: 'status' });
  const list = h('div', { class: 'grid-cards' });

  async function load(): Promise<void> {
    try {
      const answers = await Promise.all(liveStatuses.map((status) => api.listSessions({ status, limit: 100 }, signal)));
      const running = answers.flatMap((answer) => answer.sessions);
      setText(count, running.length === 0 ? 'No session is running.' : `${running.length} running now`);
      const focused = list.querySelector('a:focus')?.getAttribute('href');
      fill(
        list,
        running.length === 0
          ? h('div', { class: 'card empty' }, icon('screen'), 'Sessions appear here as soon as somebody connects.')
          : running.map(card),
      );
      // Whoever goes through the page by keyboard stays where they were.
      [...list.querySelectorAll('a')].find((link) => link.getAttribute('href') === focused)?.focus();
    } catch (error) {
      if (!isAbort(error)) fill(list, failure(error));
    }
  }
  void repeat(refreshMs, signal, load);
  return {
    title: 'Live',
    content: [h('div', { class: 'heading' }, h('div', { class: 'grow' }, h('h1', {}, 'Live sessions'), count)), list],
  };
}

function card(session: Session): HTMLElement {
  return h(
    'article',
    { class: 'card tile' },
    h('div', { class: 'heading' }, h('h2', { class: 'grow' }, session.name), statusBadge(session.status)),
    facts([
      ['Target', target(session)],
      ['Started', session.started_at && instant(session.started_at)],
      ['Duration', session.started_at && formatClock((Date.now() - Date.parse(session.started_at)) / 1000)],
      ['Stored', formatBytes(session.statistics.size_bytes)],
    ]),
    h(
      'a',
      { class: 'button primary', href: `/sessions/${session.session_id}`, 'aria-label': `Watch ${session.name}` },
      icon('play'),
      'Watch',
    ),
  );
}
