/** What is taken out of a copy of a recording, and where (docs/redaction.md). Pure: the same plan hides the same everywhere. */
import type { RedactionBody } from './record/bodies.ts';

/** Of drawing and hashing. Raised when the same recording and plan would give other pictures or events. */
export const REDACTION_RULES = 1;

/** Times are µs since the session's start; what ends is no longer hidden at its end. */
export type RedactionPlan = Pick<RedactionBody, 'boxes' | 'spans' | 'event_kinds'>;
type Box = RedactionPlan['boxes'][number];

export interface CoverablePicture {
  readonly width: number;
  readonly height: number;
  /** A pixel each, opaque black being `blackWord`. */
  readonly words: Uint32Array;
}

/** R, G, B, A in memory, whatever the machine's order. */
const blackWord = new Uint32Array(Uint8Array.of(0, 0, 0, 255).buffer)[0]!;

const lasts = ({ from_us, to_us }: { from_us: number; to_us: number }, timeUs: number): boolean =>
  from_us <= timeUs && timeUs < to_us;

export const isHidden = ({ spans }: RedactionPlan, timeUs: number): boolean =>
  spans.some((span) => lasts(span, timeUs));

export const boxesAt = ({ boxes }: RedactionPlan, timeUs: number): Box[] => boxes.filter((box) => lasts(box, timeUs));

/** Whether anything of the picture of this moment is covered. */
export const isCovered = (plan: RedactionPlan, timeUs: number): boolean =>
  isHidden(plan, timeUs) || boxesAt(plan, timeUs).length > 0;

/** Makes black what must not be seen at this moment. Boxes reach as far as the picture does. */
export function coverPicture(picture: CoverablePicture, plan: RedactionPlan, timeUs: number): void {
  if (isHidden(plan, timeUs)) {
    picture.words.fill(blackWord);
    return;
  }
  for (const { x, y, width, height } of boxesAt(plan, timeUs)) {
    const right = Math.min(picture.width, x + width);
    const bottom = Math.min(picture.height, y + height);
    for (let row = y; row < bottom && x < right; row += 1)
      picture.words.fill(blackWord, row * picture.width + x, row * picture.width + right);
  }
}

export interface RedactableEvent {
  kind: string;
  timeUs: number;
  /** Of what lasts. */
  untilUs?: number;
  x?: number;
  y?: number;
}

/** Whether an event tells of what was taken out: its kind, its time, or where it was clicked. */
export function isEventRemoved(
  plan: RedactionPlan,
  { kind, timeUs, untilUs = timeUs, x, y }: RedactableEvent,
): boolean {
  const overlaps = ({ from_us, to_us }: { from_us: number; to_us: number }): boolean =>
    from_us <= untilUs && timeUs < to_us;
  if (plan.event_kinds.includes(kind) || plan.spans.some(overlaps)) return true;
  if (x === undefined || y === undefined) return false;
  const isIn = (box: Box): boolean => box.x <= x && x < box.x + box.width && box.y <= y && y < box.y + box.height;
  return plan.boxes.some((box) => overlaps(box) && isIn(box));
}

/** Why a plan makes no sense; null: it does. */
export function planProblem({ boxes, spans, event_kinds }: RedactionPlan): string | null {
  if (boxes.length + spans.length + event_kinds.length === 0) return 'nothing is to be taken out';
  for (const { from_us, to_us } of [...boxes, ...spans])
    if (!(from_us < to_us)) return 'what is taken out must end after it begins';
  return null;
}

/** Chunks as ranges: those whose time meets a box or a span. `chunks`: of each the times of its first and last frame, in order. */
export function touchedChunks(
  { boxes, spans }: RedactionPlan,
  chunks: readonly { fromUs: number; toUs: number }[],
): RedactionBody['chunks'] {
  const touched: RedactionBody['chunks'] = [];
  for (const [index, { fromUs, toUs }] of chunks.entries()) {
    if (![...boxes, ...spans].some(({ from_us, to_us }) => from_us <= toUs && fromUs < to_us)) continue;
    const last = touched.at(-1);
    if (last?.last === index - 1) last.last = index;
    else touched.push({ first: index, last: index });
  }
  return touched;
}
