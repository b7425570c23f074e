import { fill, h } from '../ui/dom.ts';
import { humanise } from '../ui/format.ts';
import { type IconName, icon } from '../ui/icons.ts';
import type { Verdict, VerdictTone } from './protocol.ts';

const marks: Record<VerdictTone, IconName> = { good: 'check', warn: 'wait', bad: 'cross', unknown: 'question' };

/** Each question about the recording with its own answer: a sound file is not yet a whole one, nor an old one. */
export class VerdictList {
  readonly element: HTMLElement;
  readonly #list = h('ul', {});
  readonly #check = h('button', { type: 'button', class: 'outlined' }, 'Check every chunk');
  readonly #status = h('span', { class: 'quietly', role: 'status' });

  constructor(checkEveryChunk: () => void) {
    this.element = h(
      'section',
      { class: 'box panel', 'aria-label': 'Evidence' },
      h('h2', {}, 'Evidence', this.#check),
      this.#list,
      this.#status,
    );
    this.#check.addEventListener('click', checkEveryChunk);
    fill(this.#list, h('li', { class: 'none' }, 'Checking…'));
  }

  set(verdicts: readonly Verdict[]): void {
    fill(this.#list, verdicts.map(row));
    this.#status.textContent = verdicts.map(({ name, word }) => `${humanise(name)}: ${word}`).join(', ');
  }

  setProgress(checked: number, total: number): void {
    const running = checked < total;
    this.#check.disabled = running;
    this.#check.textContent = running ? `${checked} of ${total}…` : 'Check again';
  }
}

function row({ name, tone, word, detail }: Verdict): HTMLElement {
  return h(
    'li',
    { class: `verdict ${tone}`, 'data-verdict': name },
    h('span', { class: 'mark' }, icon(marks[tone])),
    h('div', {}, h('strong', {}, `${humanise(name)}: `, h('em', {}, word)), h('p', {}, detail)),
  );
}
