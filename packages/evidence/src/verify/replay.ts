import {
  REPLAY_RULES,
  type ReplayEnd,
  type ReplayState,
  type ReplayTally,
  replayStateOf,
} from '@lucid-sessions/recording';
import { bundleNames } from '../bundle/files.ts';
import type { ReplayBody } from '../record/bodies.ts';
import type { Context } from './context.ts';

/** What is said of a replay, by the signed record or by a walk of the verifier's own. Times in µs since the session's start. */
export interface ReplayFacts {
  /** When the record was signed; null where there is none. */
  examined_us: number | null;
  software: string | null;
  /** The verifier walked through the recording itself: all that follows is its own. */
  remade: boolean;
  until_us: number;
  pictures: number;
  lit: boolean;
  not_drawn: ReplayBody['not_drawn'];
  share_permille: number;
  one_colour?: OneColour | undefined;
  ended: ReplayBody['ended'];
}

type OneColour = NonNullable<ReplayBody['one_colour']>;

export interface ReplayResult {
  state: ReplayState;
  facts: ReplayFacts | null;
}

/** What a record says beside who says it. */
type Counted = Pick<
  ReplayBody,
  'chunks_count' | 'until_us' | 'pictures' | 'lit' | 'not_drawn' | 'share_permille' | 'one_colour' | 'ended'
>;

const endOf = ({ reason, chunk, atUs }: ReplayEnd): ReplayBody['ended'] => ({ reason, chunk, at_us: atUs });

const oneColourOf = ({ activeSeconds, seconds, longest }: ReplayTally['oneColour']): OneColour => ({
  active_seconds: activeSeconds,
  seconds,
  longest: longest && { from_us: longest.fromUs, until_us: longest.untilUs, seconds: longest.seconds },
});

/** A tally as the fields of a replay record. */
export const replayFields = (tally: ReplayTally): Counted => ({
  chunks_count: tally.chunks,
  until_us: tally.untilUs,
  pictures: tally.pictures,
  lit: tally.lit,
  not_drawn: tally.notDrawn.map(({ kind, count, firstUs, lastUs, located, sharePermille }) => ({
    kind,
    count,
    first_us: firstUs,
    last_us: lastUs,
    located,
    share_permille: sharePermille,
  })),
  share_permille: tally.sharePermille,
  one_colour: oneColourOf(tally.oneColour),
  ended: tally.ended && endOf(tally.ended),
});

/** The verdict of a record, and its sentence. */
export function replaySummary(body: ReplayBody, chunksCount: number): { state: ReplayState; detail: string } {
  const state = stateOf(chunksCount, body);
  return { state, detail: replayText(state, { remade: false, ...body }) };
}

/** The verdict of a record or of decoding. `drawn` needs all chunks: a record that leaves some out without saying so proves nothing. */
function stateOf(chunksCount: number, counted: Counted): ReplayState {
  if (counted.ended === null && counted.chunks_count !== chunksCount) return 'unexamined';
  const { pictures, lit, not_drawn: notDrawn, ended } = counted;
  return replayStateOf({ pictures, lit, notDrawn, ended: ended && { ...ended, atUs: ended.at_us } });
}

const factsOf = (context: Context, counted: Counted, remade: boolean): ReplayFacts => {
  const { until_us, pictures, lit, not_drawn, share_permille, one_colour, ended } = counted;
  const body = context.replay?.body;
  const said = { until_us, pictures, lit, not_drawn, share_permille, ended };
  return {
    examined_us: body?.examined_us ?? null,
    software: body?.software ?? null,
    remade,
    ...said,
    ...(one_colour === undefined ? {} : { one_colour }),
  };
};

/** Judges the signed record, or the verifier's own walk where there was one, and compares the two. */
export function checkReplay(context: Context, walked: ReplayTally | null): ReplayResult {
  const signed = context.replay?.body ?? null;
  const own = walked && replayFields(walked);
  const counted = own ?? signed;
  if (counted === null) return { state: 'unexamined', facts: null };
  if (own !== null && signed !== null) compare(context, signed, own);
  const state = stateOf(context.manifest?.body.chunks_count ?? counted.chunks_count, counted);
  const facts = factsOf(context, counted, own !== null);
  const where = own === null ? { file: bundleNames.replay } : {};
  if (state === 'parts' || state === 'nothing' || (own !== null && state === 'unexamined'))
    context.findings.add('P1', replayText(state, facts), where);
  return { state, facts };
}

const oneColourKey = (one: OneColour | undefined) =>
  one && [
    one.active_seconds,
    one.seconds,
    one.longest && [one.longest.from_us, one.longest.until_us, one.longest.seconds],
  ];

const text = (counted: Counted): string =>
  JSON.stringify([
    counted.chunks_count,
    counted.until_us,
    counted.pictures,
    counted.lit,
    counted.share_permille,
    oneColourKey(counted.one_colour),
    counted.ended && [counted.ended.reason, counted.ended.chunk, counted.ended.at_us],
    counted.not_drawn.map((kind) => [
      kind.kind,
      kind.count,
      kind.first_us,
      kind.last_us,
      kind.located,
      kind.share_permille,
    ]),
  ]);

/** Where either had no decoder for H.264 the two looked at different things, and records of other rules count otherwise. */
function compare({ findings }: Context, signed: ReplayBody, own: Counted): void {
  const comparable = signed.rules === REPLAY_RULES && signed.ended?.reason !== 'h264' && own.ended?.reason !== 'h264';
  if (!comparable || text(signed) === text(own)) return;
  const said = (counted: Counted): string =>
    `${counted.pictures} pictures in ${counted.chunks_count} chunks, ${kindsText(counted.not_drawn) || 'nothing left out'}`;
  const message = `the record signed by ${signed.software} says ${said(signed)}; walking through the recording gives ${said(own)}`;
  findings.add('P2', message.slice(0, 2000), { file: bundleNames.replay });
}

const at = (us: number): string => {
  const seconds = us / 1_000_000;
  const whole = Math.floor(seconds / 60);
  return `${whole}:${(seconds - 60 * whole).toFixed(1).padStart(4, '0')}`;
};

const percent = (permille: number): string => `${(permille / 10).toFixed(1).replace(/\.0$/, '')} %`;

type Kind = ReplayBody['not_drawn'][number];

function kindText({ kind, count, first_us: first, last_us: last, located, share_permille: share }: Kind): string {
  const when = first === last ? `at ${at(first)}` : `from ${at(first)} to ${at(last)}`;
  const where = located === 0 ? '' : `, on up to ${percent(share)} of the screen`;
  return `${kind} × ${count} ${when}${where}`;
}

const kindsShownMax = 20;

const kindsText = (kinds: readonly Kind[]): string => {
  const more = kinds.length > kindsShownMax ? `; and ${kinds.length - kindsShownMax} more kinds` : '';
  return kinds.slice(0, kindsShownMax).map(kindText).join('; ') + more;
};

const endings = {
  h264: (place: string) => `from ${place} on it was not examined: there was no decoder for H.264`,
  chunk: (place: string) => `from ${place} on it can not be seen: a chunk is lost or can not be read`,
} as const;

/** Less is a window that opens, or a screen that is blanked for a moment. */
const oneColourSecondsMin = 10;

/** The whole picture was one colour for most of the time in which something went on: it may be drawn and show nothing. */
export const isMostlyOneColour = (facts: Pick<ReplayFacts, 'one_colour'>): boolean => {
  const { seconds, active_seconds: active } = facts.one_colour ?? { seconds: 0, active_seconds: 0 };
  return seconds >= oneColourSecondsMin && seconds * 2 >= active;
};

/** A fact and no fault: a screen may well be black. */
function oneColourText(one: OneColour | undefined): string | false {
  if (one === undefined || one.seconds < oneColourSecondsMin || one.longest === null) return false;
  const { from_us: from, until_us: until } = one.longest;
  return `in ${one.seconds} of ${one.active_seconds} seconds in which something went on the whole picture was one colour, at the longest from ${at(from)} to ${at(until)}`;
}

/** What can't be seen, in words, without an end mark. */
export function replayText(state: ReplayState, facts: ReplayFacts | null): string {
  if (facts === null) return 'nobody has walked through the recording';
  const { not_drawn: kinds, ended, pictures, lit } = facts;
  const parts = [
    state === 'nothing' && (pictures === 0 ? 'nothing was drawn at all' : 'it shows black from beginning to end'),
    state === 'drawn' && lit && `${pictures} pictures, nothing left out`,
    kinds.length > 0 && `not drawn: ${kindsText(kinds)}`,
    oneColourText(facts.one_colour),
    ended !== null && endings[ended.reason](at(ended.at_us)),
    state === 'unexamined' && ended === null && 'the record does not cover all chunks',
  ];
  return parts.filter((part) => part !== false).join('; ');
}
