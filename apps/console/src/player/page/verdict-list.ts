import { fill, h } from '../../ui/dom.ts';
import { humanise } from '../../ui/format.ts';
import { type IconName, icon } from '../../ui/icons.ts';
import type { Verdict, VerdictTone } from '../protocol.ts';

const marks: Record<VerdictTone, IconName> = { good: 'check', warn: 'wait', bad: 'cross', unknown: 'question' };

/** Each question about the recording with its own answer: a sound file is not yet a whole one, nor an old one. */
export class VerdictList {
  readonly element: HTMLElement;
  readonly #list = h('ul', {});
  readonly #check = h('button', { type: 'button', class: 'outlined' }, 'Check every chunk');
  readonly #status = h('span', { class: 'quietly', role: 'status' });

  readonly #examine = h('button', { type: 'button', class: 'outlined' }, 'Examine');
  #examining: string | null = null;

  constructor(checkEveryChunk: () => void, examine: () => void) {
    this.element = h(
      'section',
      { class: 'box panel', 'aria-label': 'Evidence' },
      h('h2', {}, 'Evidence', this.#check),
      this.#list,
      this.#status,
    );
    this.#check.addEventListener('click', checkEveryChunk);
    this.#examine.addEventListener('click', examine);
    fill(this.#list, h('li', { class: 'none' }, 'Checking…'));
  }

  set(verdicts: readonly Verdict[]): void {
    fill(
      this.#list,
      verdicts.map((verdict) => row(verdict, this.#offer(verdict))),
    );
    this.#status.textContent = verdicts.map(({ name, word }) => `${humanise(name)}: ${word}`).join(', ');
  }

  /** `text`: how far the examination is, or why there is none. */
  setExamining(text: string | null): void {
    this.#examining = text;
    this.#examine.textContent = text ?? 'Examine';
  }

  /** What nobody walked through can be walked through now. */
  #offer({ isOpen = false }: Verdict): HTMLElement | null {
    if (!isOpen) return null;
    this.setExamining(this.#examining);
    return this.#examine;
  }

  setProgress(checked: number, total: number): void {
    const running = checked < total;
    this.#check.disabled = running;
    this.#check.textContent = running ? `${checked} of ${total}…` : 'Check again';
  }
}

function row({ name, tone, word, detail }: Verdict, offer: HTMLElement | null): HTMLElement {
  return h(
    'li',
    { class: `verdict ${tone}`, 'data-verdict': name },
    h('span', { class: 'mark' }, icon(marks[tone])),
    h('div', {}, h('strong', {}, `${humanise(name)}: `, h('em', {}, word)), h('p', {}, detail), offer),
  );
}
