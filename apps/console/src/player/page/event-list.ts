import { type Child, fill, h, setText } from '../../ui/dom.ts';
import { formatMoment } from '../../ui/format.ts';
import { type IconName, icon } from '../../ui/icons.ts';
import type { PlayerEvent } from '../protocol.ts';

const rowHeight = 34;
const overscanRows = 6;

const icons: Record<PlayerEvent['kind'], IconName> = {
  keys: 'key',
  pointer: 'pointer',
  note: 'note',
  clipboard: 'clipboard',
  drive: 'download',
  screen: 'screen',
};
const kindWords: Record<PlayerEvent['kind'], string> = {
  keys: 'typed',
  pointer: 'clicked',
  note: 'gateway',
  clipboard: 'clipboard',
  drive: 'drive',
  screen: 'screen',
};

/**
 * Keystrokes, clicks and notes in order of time. Follows the picture, jumps to an entry, searches. Only the rows in view exist
 * as elements, so a day of typing costs no more than a minute.
 */
export class EventList {
  readonly element: HTMLElement;
  readonly #search = h('input', { type: 'search', 'aria-label': 'Search events', placeholder: 'Search events' });
  readonly #list = h('ol', {});
  readonly #scroller = h('div', { class: 'events', tabindex: -1 }, this.#list);
  readonly #count = h('span', { class: 'quietly', role: 'status' });
  readonly #remark = h('p', { class: 'remark', hidden: true });
  readonly #logon = h(
    'button',
    {
      type: 'button',
      class: 'outlined',
      hidden: true,
      'aria-describedby': 'logon-note',
    },
    'Show what was typed before the logon',
  );
  readonly #follow = h('button', { type: 'button', 'aria-pressed': 'true', title: 'Follow the picture' }, 'Follow');
  readonly #jump: (seconds: number) => void;
  #events: PlayerEvent[] = [];
  #shown: PlayerEvent[] = [];
  #current = -1;
  #following = true;

  constructor(jump: (seconds: number) => void, showLogon: () => void) {
    this.#jump = jump;
    this.element = h(
      'section',
      { class: 'box panel', 'aria-label': 'Events' },
      h('h2', {}, 'Events', this.#follow),
      h('div', { class: 'search' }, icon('search'), this.#search),
      this.#count,
      this.#remark,
      h(
        'div',
        { class: 'logon' },
        this.#logon,
        h('p', { id: 'logon-note' }, 'Passwords may be in it. The audit log will say that you looked.'),
      ),
      this.#scroller,
    );
    this.#search.addEventListener('input', () => this.#filter());
    this.#scroller.addEventListener('scroll', () => this.#render());
    this.#scroller.addEventListener('wheel', () => this.#setFollowing(false), { passive: true });
    this.#list.addEventListener('keydown', (event) => this.#onKey(event));
    this.#logon.addEventListener('click', () => showLogon());
    this.#follow.addEventListener('click', () => this.#setFollowing(!this.#following));
    new ResizeObserver(() => this.#render()).observe(this.#scroller);
    this.#filter();
  }

  /** All events, in order of time; `remark`: what is not among them; `hidesLogon`: what of it takes a second step. */
  set(events: PlayerEvent[], remark = '', hidesLogon = false): void {
    this.#events = events;
    this.#logon.hidden = !hidesLogon;
    setText(this.#remark, remark);
    this.#remark.hidden = remark === '';
    this.#filter();
  }

  setPosition(seconds: number): void {
    const index = lastAtOrBefore(this.#shown, seconds * 1e6 + 1);
    if (index === this.#current) return;
    this.#current = index;
    if (this.#following && index >= 0) this.#reveal(index);
    this.#render();
  }

  focusSearch(): void {
    this.#search.focus();
    this.#search.select();
  }

  #setFollowing(on: boolean): void {
    this.#following = on;
    this.#follow.setAttribute('aria-pressed', String(on));
    if (on && this.#current >= 0) this.#reveal(this.#current);
  }

  #filter(): void {
    const words = this.#search.value.trim().toLowerCase();
    const at = this.#shown[this.#current]?.timeUs;
    this.#shown = words === '' ? this.#events : this.#events.filter((event) => matches(event, words));
    this.#current = at === undefined ? -1 : lastAtOrBefore(this.#shown, at);
    this.#list.style.height = `${this.#shown.length * rowHeight}px`;
    this.#count.textContent = words === '' ? '' : `${this.#shown.length} of ${this.#events.length} events match`;
    this.#render();
  }

  #reveal(index: number): void {
    const top = index * rowHeight;
    const { scrollTop, clientHeight } = this.#scroller;
    if (top < scrollTop || top + rowHeight > scrollTop + clientHeight)
      this.#scroller.scrollTop = Math.max(0, top - clientHeight / 2);
  }

  #render(): void {
    const { scrollTop, clientHeight } = this.#scroller;
    const first = Math.max(0, Math.floor(scrollTop / rowHeight) - overscanRows);
    const last = Math.min(this.#shown.length, Math.ceil((scrollTop + clientHeight) / rowHeight) + overscanRows);
    const focused = this.#focusedIndex();
    const rows: Child[] = [];
    for (let index = first; index < last; index += 1) rows.push(this.#row(index));
    if (this.#shown.length === 0) {
      const text = this.#events.length === 0 ? 'No events so far.' : 'No event matches.';
      rows.push(h('li', { class: 'none' }, text));
    }
    fill(this.#list, rows);
    if (focused >= 0)
      this.#list.querySelector<HTMLElement>(`[data-index="${focused}"]`)?.focus({ preventScroll: true });
  }

  #row(index: number): HTMLElement {
    const event = this.#shown[index]!;
    const seconds = event.timeUs / 1e6;
    const button = h(
      'button',
      {
        type: 'button',
        'data-index': index,
        tabindex: index === Math.max(0, this.#current) ? 0 : -1,
        'aria-current': index === this.#current ? 'true' : null,
        title: event.text,
        on: { click: () => this.#jump(seconds) },
      },
      h('span', { class: 'at' }, formatMoment(seconds)),
      icon(icons[event.kind]),
      h('span', { class: 'quietly' }, `${kindWords[event.kind]}: `),
      h('span', { class: 'what' }, marked(event.text, this.#search.value.trim())),
    );
    const row = h('li', { class: event.kind, 'aria-setsize': this.#shown.length, 'aria-posinset': index + 1 }, button);
    row.style.top = `${index * rowHeight}px`;
    return row;
  }

  #focusedIndex(): number {
    const root = this.element.getRootNode() as ShadowRoot | Document;
    const focused = root.activeElement;
    return focused instanceof HTMLElement && this.#list.contains(focused) ? Number(focused.dataset.index) : -1;
  }

  #onKey(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[event.key];
    const index = this.#focusedIndex();
    if (step === undefined || index < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const next = Math.min(this.#shown.length - 1, Math.max(0, index + step));
    this.#setFollowing(false);
    this.#reveal(next);
    this.#render();
    this.#list.querySelector<HTMLElement>(`[data-index="${next}"]`)?.focus({ preventScroll: true });
  }
}

function matches(event: PlayerEvent, words: string): boolean {
  return event.text.toLowerCase().includes(words) || kindWords[event.kind].includes(words);
}

/** The text with what was searched for marked. */
function marked(text: string, words: string): Child {
  const at = words === '' ? -1 : text.toLowerCase().indexOf(words.toLowerCase());
  if (at < 0) return text;
  const end = at + words.length;
  return [text.slice(0, at), h('mark', {}, text.slice(at, end)), text.slice(end)];
}

/** Index of the last event at or before `timeUs`, −1 when there is none. Events are in order. */
export function lastAtOrBefore(events: readonly PlayerEvent[], timeUs: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle]!.timeUs <= timeUs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Two lists in order of time as one. */
export function mergeEvents(a: readonly PlayerEvent[], b: readonly PlayerEvent[]): PlayerEvent[] {
  const sorted = [...b].sort((x, y) => x.timeUs - y.timeUs);
  if (a.length === 0 || (sorted[0] && a.at(-1)!.timeUs <= sorted[0].timeUs)) return [...a, ...sorted];
  return [...a, ...sorted].sort((x, y) => x.timeUs - y.timeUs);
}
