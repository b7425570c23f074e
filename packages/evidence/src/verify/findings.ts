import { type CheckId, codeOf } from './checks.ts';

/**
 * Why a bundle is not clean. Closed; the order is that of weight: the exit code of a run is that of the first code here
 * that was found.
 */
export const findingCodes = [
  'FORMAT',
  'SIG_BAD',
  'KEY_UNTRUSTED',
  'BUILD_UNKNOWN',
  'SPLICED',
  'SEAL_EPOCH',
  'REORDERED',
  'CHUNK_ALTERED',
  'CHUNK_EXTRA',
  'CHUNK_MISSING',
  'TRUNCATED',
  'ROOT_MISMATCH',
  'DISOWNED',
  'UNCLOSED',
  'DUPLICATE',
  'RECORD_MISSING',
  'LOG_FORK',
  'NOTE_SIG_BAD',
  'LOG_INCLUSION',
  'ANCHOR_INVALID',
  'ANCHOR_REORGED',
  'ANCHOR_PENDING',
  'RENEWAL_INVALID',
  'RENEWAL_EXPIRED',
  'TIME_ORDER',
  'LATE',
  'CLOCK_OFF',
  'COMMITMENT',
  'AUTH',
  'DECOMPRESS',
  'GAP',
  'IMPORTED',
  'REPLAY_DIFFERS',
  'NOT_DRAWN',
] as const;
export type FindingCode = (typeof findingCodes)[number];

/** What each code means, for people. */
export const findingMeanings: Record<FindingCode, string> = {
  FORMAT: 'bytes that are not what the format says',
  SIG_BAD: 'a signature does not check out',
  KEY_UNTRUSTED: 'signed by a key the policy does not trust',
  BUILD_UNKNOWN: 'made by a program the policy does not list',
  SPLICED: 'parts of different recordings are put together',
  SEAL_EPOCH: 'a chunk is not sealed with the key that was announced for it',
  REORDERED: 'chunks do not stand in their order',
  CHUNK_ALTERED: 'a chunk file is not the one that was sealed',
  CHUNK_EXTRA: 'a chunk that does not belong to the recording',
  CHUNK_MISSING: 'a chunk of the recording is missing',
  TRUNCATED: 'the end of the recording is missing',
  ROOT_MISMATCH: 'the chunks are not those the manifest was signed over',
  DISOWNED: 'the recording is not the one that was logged while it was made',
  UNCLOSED: 'the recording has no manifest',
  DUPLICATE: 'the log holds a second record where a session has one',
  RECORD_MISSING: 'a record of the session that was logged is not in the bundle',
  LOG_FORK: 'the log is not shown to be one and the same throughout',
  NOTE_SIG_BAD: 'a signature of the log or of a witness does not check out',
  LOG_INCLUSION: 'a record is not shown to be in the log',
  ANCHOR_INVALID: 'an outside anchor does not hold',
  ANCHOR_REORGED: 'an outside anchor was undone by its chain',
  ANCHOR_PENDING: 'an outside anchor is not confirmed yet',
  RENEWAL_INVALID: 'an evidence record does not hold',
  RENEWAL_EXPIRED: 'a timestamp was not renewed while it counted',
  TIME_ORDER: 'times contradict each other',
  LATE: 'it was signed or seen much later than it says it ended',
  CLOCK_OFF: 'the recorder’s clock was further off than the policy takes, or nobody measured it',
  COMMITMENT: 'a chunk was not sealed under the given key',
  AUTH: 'a ciphertext does not authenticate',
  DECOMPRESS: 'decrypted frames can not be read',
  GAP: 'for a time nothing was recorded, or frames are missing',
  IMPORTED: 'made of a file, not recorded: nothing is proven about what it shows, or when and where that happened',
  REPLAY_DIFFERS: 'the signed replay record is not what the recording gives',
  NOT_DRAWN: 'not all that was recorded can be seen',
};

/** Exit codes of a verifying program: 0 clean, 1 the run itself failed, 2 wrong usage, then one per code. A number never changes its meaning. */
export const EXIT_CLEAN = 0;
export const exitCodes: Record<FindingCode, number> = {
  FORMAT: 10,
  SIG_BAD: 11,
  KEY_UNTRUSTED: 12,
  SPLICED: 13,
  SEAL_EPOCH: 14,
  REORDERED: 15,
  CHUNK_ALTERED: 16,
  CHUNK_EXTRA: 17,
  CHUNK_MISSING: 18,
  TRUNCATED: 19,
  ROOT_MISMATCH: 20,
  UNCLOSED: 21,
  LOG_FORK: 22,
  LOG_INCLUSION: 23,
  ANCHOR_INVALID: 24,
  ANCHOR_REORGED: 25,
  ANCHOR_PENDING: 26,
  TIME_ORDER: 27,
  COMMITMENT: 28,
  AUTH: 29,
  DECOMPRESS: 30,
  GAP: 31,
  IMPORTED: 32,
  REPLAY_DIFFERS: 33,
  NOT_DRAWN: 34,
  DUPLICATE: 35,
  RECORD_MISSING: 36,
  NOTE_SIG_BAD: 37,
  LATE: 38,
  BUILD_UNKNOWN: 39,
  DISOWNED: 40,
  CLOCK_OFF: 41,
  RENEWAL_INVALID: 42,
  RENEWAL_EXPIRED: 43,
};

/** Facts about a recording that are not failures. */
export const recordingStates = ['SHREDDED', 'RECOVERED'] as const;
export type RecordingState = (typeof recordingStates)[number];

/** Words of each verdict, of those that hold the first: the order is that of weight. */
export const verdictWords = {
  /** Nothing that was sealed was changed. */
  integrity: ['broken', 'intact'],
  /**
   * `whole`; `part` of a proven whole; `gaps`: whole, with frames known to be missing; `erased`: the chunks were destroyed, by a
   * signed and logged word; `incomplete`, never clean; `unclosed`.
   */
  completeness: ['incomplete', 'unclosed', 'erased', 'part', 'gaps', 'whole'],
  /** Made by a recorder the policy trusts; `imported`: by one that made it of a file, so that nothing is known of its origin. */
  origin: ['forged', 'untrusted', 'imported', 'trusted'],
  /** What vouches for the time: nothing but the recorder, the log, witnesses, an outside anchor. `imported`: for that of its import alone. */
  time: ['contradicted', 'imported', 'anchored', 'witnessed', 'logged', 'recorder_only'],
  /** The frames decrypt; whether anything can be seen is the next question. */
  readability: ['unreadable', 'shredded', 'readable', 'not_checked'],
  /** All that was recorded can be seen: by the signed record, or by the verifier's own walk. */
  replay: ['nothing', 'parts', 'unexamined', 'drawn'],
} as const;
export type Question = keyof typeof verdictWords;
/** Separate answers to separate questions. */
export type Verdicts = { [Q in Question]: (typeof verdictWords)[Q][number] };

/** Which verdict a code moves, and to what. A code without one leaves the verdicts alone, and the bundle is not clean. */
export const verdictMoves: Record<FindingCode, Partial<Verdicts>> = {
  FORMAT: { integrity: 'broken' },
  SIG_BAD: { integrity: 'broken', origin: 'forged' },
  KEY_UNTRUSTED: { origin: 'untrusted' },
  BUILD_UNKNOWN: { origin: 'untrusted' },
  SPLICED: { integrity: 'broken' },
  SEAL_EPOCH: { integrity: 'broken' },
  REORDERED: { integrity: 'broken' },
  CHUNK_ALTERED: { integrity: 'broken' },
  CHUNK_EXTRA: { integrity: 'broken' },
  CHUNK_MISSING: { completeness: 'incomplete' },
  TRUNCATED: { completeness: 'incomplete' },
  ROOT_MISMATCH: { integrity: 'broken' },
  DISOWNED: { integrity: 'broken', time: 'contradicted' },
  UNCLOSED: { completeness: 'unclosed' },
  DUPLICATE: { integrity: 'broken', time: 'contradicted' },
  RECORD_MISSING: { completeness: 'incomplete' },
  LOG_FORK: { time: 'contradicted' },
  NOTE_SIG_BAD: { time: 'contradicted' },
  LOG_INCLUSION: {},
  ANCHOR_INVALID: { time: 'contradicted' },
  ANCHOR_REORGED: { time: 'contradicted' },
  ANCHOR_PENDING: {},
  RENEWAL_INVALID: { time: 'contradicted' },
  RENEWAL_EXPIRED: {},
  TIME_ORDER: { time: 'contradicted' },
  LATE: { time: 'contradicted' },
  CLOCK_OFF: {},
  COMMITMENT: { readability: 'unreadable' },
  AUTH: { readability: 'unreadable' },
  DECOMPRESS: { readability: 'unreadable' },
  GAP: { completeness: 'gaps' },
  IMPORTED: { origin: 'imported', time: 'imported' },
  REPLAY_DIFFERS: {},
  NOT_DRAWN: {},
};

export interface Finding {
  code: FindingCode;
  /** Number of the comparison that failed (docs/format.md, 9.2). */
  check: CheckId;
  message: string;
  /** File of the bundle, where one is to blame. */
  file: string | null;
  /** Chunk index, where one is to blame. */
  index: number | null;
}

const FINDINGS_MAX = 1000;

/** Collects findings; past a thousand only their number grows. */
export class Findings {
  readonly list: Finding[] = [];
  readonly codes = new Set<FindingCode>();
  readonly #told = new Set<string>();
  count = 0;

  /** One cause, one finding: what has been told under this name is not told again. */
  once(name: string, ...finding: Parameters<Findings['add']>): void {
    if (this.#told.has(name)) return;
    this.#told.add(name);
    this.add(...finding);
  }

  add(check: CheckId, message: string, where: { file?: string; index?: number } = {}): void {
    const code = codeOf(check);
    this.count += 1;
    this.codes.add(code);
    if (this.list.length < FINDINGS_MAX)
      this.list.push({ code, check, message, file: where.file ?? null, index: where.index ?? null });
  }

  has(...codes: FindingCode[]): boolean {
    return codes.some((code) => this.codes.has(code));
  }

  /** Some finding moves the verdict there. */
  moves<Q extends Question>(question: Q, word: Verdicts[Q]): boolean {
    return findingCodes.some((code) => this.codes.has(code) && verdictMoves[code][question] === word);
  }
}

/** 0 when clean, else the code of the weightiest finding. */
export function exitCodeOf(codes: ReadonlySet<FindingCode>): number {
  const first = findingCodes.find((code) => codes.has(code));
  return first === undefined ? EXIT_CLEAN : exitCodes[first];
}
