import { may } from '../api/credentials.ts';
import type { FoundRecordings, SearchQuestion } from '../api/types.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { formatClock, humanise } from '../ui/format.ts';
import { failure, isAbort, type Page, type PageContext } from '../ui/page.ts';
import { instant } from '../ui/parts.ts';

type Found = FoundRecordings['recordings'][number];

/** One question to all recordings. Nothing of it stands in the address: what is looked for may be a secret. */
export function searchPage({ api, claims, signal }: PageContext): Page {
  const mayInputs = may(claims, 'recordings:inputs');
  const answer = h('div', { role: 'status', 'aria-live': 'polite' });
  const button = h('button', { type: 'submit', class: 'primary' }, 'Search');
  const form = h(
    'form',
    { class: 'form', autocomplete: 'off' },
    h(
      'div',
      { class: 'card' },
      h(
        'div',
        { class: 'row' },
        field('Text', h('input', { name: 'text', type: 'search', required: true, minlength: 2, maxlength: 200 })),
        field('Reason', h('input', { name: 'reason', required: true, maxlength: 500, placeholder: 'Case number' })),
      ),
      h(
        'div',
        { class: 'row' },
        field('User', h('input', { name: 'user', maxlength: 255 })),
        field('Target', h('input', { name: 'host', maxlength: 255 })),
        field('From', h('input', { name: 'from', type: 'date' })),
        field('To', h('input', { name: 'to', type: 'date' })),
      ),
      mayInputs && check('inputs', 'In what was typed and copied'),
      mayInputs && check('logon', 'Also before the logon: it may be a password'),
      h('div', { class: 'actions' }, button),
      h('p', { class: 'muted small' }, 'The search and its reason are audited; the text is written down nowhere.'),
    ),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void run();
  });

  async function run(): Promise<void> {
    button.disabled = true;
    fill(answer, h('p', { class: 'muted' }, 'Searching …'));
    try {
      fill(answer, found(await api.search(questionOf(new FormData(form)), signal)));
    } catch (error) {
      if (!isAbort(error)) fill(answer, failure(error));
    } finally {
      button.disabled = false;
    }
  }
  return { title: 'Search', content: [h('h1', {}, 'Search recordings'), form, answer] };
}

const field = (name: string, input: HTMLElement): HTMLElement =>
  h('label', { class: 'field' }, h('span', {}, name), input);
const check = (name: string, words: string): HTMLElement =>
  h('label', { class: 'check' }, h('input', { type: 'checkbox', name }), ` ${words}`);

function questionOf(form: FormData): SearchQuestion {
  const given = (name: string): string => String(form.get(name) ?? '').trim();
  const day = (name: string, time: string): string => new Date(`${given(name)}T${time}`).toISOString();
  const logon = form.has('logon');
  return {
    text: String(form.get('text')),
    reason: given('reason'),
    inputs: logon || form.has('inputs'),
    logon,
    recordings_max: 100,
    hits_max: 10,
    ...(given('user') && { user: given('user') }),
    ...(given('host') && { host: given('host') }),
    ...(given('from') && { from: day('from', '00:00:00') }),
    ...(given('to') && { to: day('to', '23:59:59.999') }),
  };
}

function found({ recordings, searched, not_indexed, on_request, unreadable, complete }: FoundRecordings): Child {
  const words = [`${recordings.length} of ${searched} recordings hold it.`];
  if (not_indexed > 0) words.push(`${not_indexed} are being indexed: search again in a moment.`);
  if (on_request > 0) words.push(`${on_request} are shown on request only, and were not searched.`);
  if (unreadable > 0) words.push(`${unreadable} can not be read here.`);
  if (!complete) words.push('There are more: narrow the dates.');
  return [h('p', {}, words.join(' ')), recordings.map(recordingCard)];
}

function recordingCard({ session_id, name, user, host, created_at, hits, more }: Found): HTMLElement {
  return h(
    'section',
    { class: 'card found' },
    h('h2', {}, h('a', { href: `/sessions/${session_id}` }, name)),
    h('p', { class: 'muted small' }, user ? `${user} on ${host}` : host, ' · ', instant(created_at)),
    h(
      'ul',
      { class: 'hits' },
      hits.map(({ time_us, kind, excerpt }) =>
        h(
          'li',
          {},
          h('a', { href: `/sessions/${session_id}#t=${(time_us / 1e6).toFixed(1)}` }, formatClock(time_us / 1e6)),
          h('span', { class: 'muted' }, humanise(kind)),
          h('q', {}, excerpt),
        ),
      ),
    ),
    more && h('p', { class: 'muted small' }, 'More in this recording.'),
  );
}
