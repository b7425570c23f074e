import type { CoverBox } from '../player/page/cover-pad.ts';
import type { LucidPlayer } from '../player/page/lucid-player.ts';
import { fill, h, setText } from './dom.ts';
import { offerDownload } from './download.ts';
import { formatMoment } from './format.ts';

interface Span {
  from_us: number;
  to_us: number;
}
type Box = CoverBox & Span;

const wholeUs = Number.MAX_SAFE_INTEGER;
const timeOf = (us: number): string => (us === wholeUs ? 'the end' : formatMoment(us / 1e6));

/**
 * What is to be taken out of a copy: boxes drawn on the player, spans marked by its position. It becomes a file for the command line,
 * which makes the copy: pictures are drawn there, and the same wherever they are drawn again.
 */
export function redactForm(sessionId: string, player: () => LucidPlayer | null): HTMLElement {
  const boxes: Box[] = [];
  const spans: Span[] = [];
  let spanFromUs: number | null = null;
  let isDrawing = false;
  const list = h('ul', { class: 'plain' });
  const said = h('p', { class: 'muted', role: 'status' });
  const nowUs = (): number => Math.round((player()?.currentTime ?? 0) * 1e6);

  const draw = h(
    'button',
    { type: 'button', 'aria-pressed': 'false', on: { click: () => drawing(!isDrawing) } },
    'Draw boxes',
  );
  const mark = h('button', { type: 'button', on: { click: () => markSpan() } }, 'Span from here');
  const save = h(
    'button',
    { type: 'button', class: 'primary', disabled: true, on: { click: () => savePlan() } },
    'Save the plan',
  );

  function drawing(on: boolean): void {
    isDrawing = on;
    draw.setAttribute('aria-pressed', String(on));
    setText(draw, on ? 'Stop drawing' : 'Draw boxes');
    const watched = player();
    // Which boxes are there depends on the moment that is looked at.
    if (on) watched?.addEventListener('lucid-position', showCovers);
    else watched?.removeEventListener('lucid-position', showCovers);
    watched?.cover(on ? (box) => add({ ...box, from_us: 0, to_us: wholeUs }) : null);
    if (on)
      setText(
        said,
        'Draw over the picture what must not be seen. A box covers all of the recording until you limit it.',
      );
    show();
  }
  function add(box: Box): void {
    boxes.push(box);
    show();
  }
  function markSpan(): void {
    if (spanFromUs === null) {
      spanFromUs = nowUs();
      setText(mark, `Span to here (from ${timeOf(spanFromUs)})`);
      return;
    }
    const [from_us, to_us] = [Math.min(spanFromUs, nowUs()), Math.max(spanFromUs, nowUs())];
    spanFromUs = null;
    setText(mark, 'Span from here');
    if (from_us === to_us) setText(said, 'A span must end after it begins: move on in the recording first.');
    else spans.push({ from_us, to_us });
    show();
  }
  /** From where the player stands, or up to it. */
  function limit(box: Box, end: 'from_us' | 'to_us'): void {
    const at = nowUs();
    if (end === 'from_us' ? at >= box.to_us : at <= box.from_us) setText(said, 'A box must end after it begins.');
    else box[end] = at;
    show();
  }
  function remove<T>(from: T[], what: T): void {
    from.splice(from.indexOf(what), 1);
    show();
  }
  const small = (label: string, does: () => void): HTMLElement =>
    h('button', { type: 'button', class: 'quiet small', on: { click: does } }, label);
  function showCovers(): void {
    const at = nowUs();
    player()?.setCovers(boxes.filter(({ from_us, to_us }) => from_us <= at && at < to_us));
  }
  function show(): void {
    showCovers();
    save.disabled = boxes.length + spans.length === 0;
    fill(list, [
      ...boxes.map((box) =>
        h(
          'li',
          {},
          `Box ${box.width} × ${box.height} at ${box.x}, ${box.y}, ${timeOf(box.from_us)} to ${timeOf(box.to_us)} `,
          small('From here', () => limit(box, 'from_us')),
          small('To here', () => limit(box, 'to_us')),
          small('Remove', () => remove(boxes, box)),
        ),
      ),
      ...spans.map((span) =>
        h(
          'li',
          {},
          `Span ${timeOf(span.from_us)} to ${timeOf(span.to_us)} `,
          small('Remove', () => remove(spans, span)),
        ),
      ),
    ]);
  }
  function savePlan(): void {
    const plan = { boxes, spans, event_kinds: [] };
    offerDownload(
      new Blob([`${JSON.stringify(plan, null, 2)}\n`], { type: 'application/json' }),
      `${sessionId}-plan.json`,
    );
    fill(
      said,
      'Make the copy with: ',
      h('code', {}, `lucid-sessions redact ${sessionId} --out COPY --reason TEXT --plan ${sessionId}-plan.json`),
    );
  }
  const element = h(
    'details',
    { class: 'card redact' },
    h('summary', {}, 'Redacted copy'),
    h('div', { class: 'actions' }, draw, mark, save),
    list,
    said,
  );
  element.addEventListener('toggle', () => {
    if (!element.open && isDrawing) drawing(false);
  });
  return element;
}
