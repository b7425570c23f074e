import { type IndexEvent, type IndexEventKind, textsOf, withoutInputs, withoutLogon } from './events.ts';
import { type IndexSegment, segmentsOfText } from './segment.ts';

/** What is looked for in what the index of a recording tells. */
export interface IndexSearch {
  /** Part of a text, without regard to case. */
  text: string;
  kind?: IndexEventKind;
  /** Also in what was typed and copied. */
  inputs: boolean;
  /** With `inputs`: also in what was typed before the host said that somebody had logged on. */
  logon: boolean;
  foundMax: number;
}

export interface IndexFound {
  timeUs: number;
  kind: IndexEventKind;
  /** The text around the part. */
  excerpt: string;
}

/**
 * How the part stands in an index before it is read, in lower case: what does not hold it there holds it nowhere. Null where that can't be
 * said: half of a pair of surrogates is written otherwise, and a sigma's form is chosen by the letters around it.
 */
export function searchedPart(text: string): string | null {
  const part = text.toLowerCase();
  return part.isWellFormed() && !/[σς]/u.test(part) ? JSON.stringify(part).slice(1, -1) : null;
}

/** The same as `searchSegments`, of an index that is not read yet; `lower` is it in lower case. Throws `DecodeError`. */
export function searchIndexText(text: string, lower: string, search: IndexSearch): ReturnType<typeof searchSegments> {
  const part = searchedPart(search.text);
  // Most hold nothing: looking is much less work than reading.
  if (part !== null && !lower.includes(part)) return { found: [], more: false };
  return searchSegments(segmentsOfText(text), search);
}

const excerptBefore = 60;
const excerptAfter = 140;

/** What may not be seen is taken out before anything is looked for: a hit would tell it. In order of time; `more`: there are others. */
export function searchSegments(
  segments: readonly IndexSegment[],
  { text, kind, inputs, logon, foundMax }: IndexSearch,
): { found: IndexFound[]; more: boolean } {
  const part = text.toLowerCase();
  const found: IndexFound[] = [];
  for (const { events } of segments)
    for (const event of events) {
      if (kind !== undefined && event.kind !== kind) continue;
      const excerpt = excerptOf(seen(event, inputs, logon), part);
      if (excerpt !== null) found.push({ timeUs: event.timeUs, kind: event.kind, excerpt });
    }
  found.sort((a, b) => a.timeUs - b.timeUs);
  return { found: found.slice(0, foundMax), more: found.length > foundMax };
}

function seen(event: IndexEvent, inputs: boolean, logon: boolean): IndexEvent {
  const shown = inputs ? event : withoutInputs(event);
  return inputs && logon ? shown : withoutLogon(shown);
}

function excerptOf(event: IndexEvent, part: string): string | null {
  for (const text of textsOf(event)) {
    const lower = text.toLowerCase();
    const at = lower.indexOf(part);
    if (at < 0) continue;
    // A letter that gets longer in lower case shifts the place: then the beginning is as good.
    const place = lower.length === text.length ? at : 0;
    const from = Math.max(0, place - excerptBefore);
    const to = place + part.length + excerptAfter;
    return `${from > 0 ? '…' : ''}${text.slice(from, to)}${to < text.length ? '…' : ''}`.toWellFormed();
  }
  return null;
}
