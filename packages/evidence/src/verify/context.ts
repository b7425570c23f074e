import type { Decompressor, Frame, ReplayTally } from '@lucid-sessions/recording';
import { type Crypto, DecodeError, type MaybePromise } from '@lucid-sessions/wire';
import { type BundleAnchor, type BundleDescription, type BundleWrap, SMALL_FILE_BYTES_MAX } from '../bundle/files.ts';
import { type BundleFile, type BundleSource, readWhole } from '../bundle/source.ts';
import type { ReadingKey } from '../envelope/session-keys.ts';
import type { TileReader } from '../log/tiles.ts';
import type {
  CustodyBody,
  EraseBody,
  ImportedBody,
  ManifestBody,
  OpenBody,
  ReplayBody,
  ResumeBody,
} from '../record/bodies.ts';
import type { PublicKey } from '../record/public-key.ts';
import type { SignedRecord } from '../record/record.ts';
import type { Findings, RecordingState } from './findings.ts';
import type { TrustPolicy } from './policy.ts';

/** What a check of an outside anchor against its chain or authority came to. */
export type AnchorVerdict =
  | { state: 'confirmed'; timeUs: number }
  | { state: 'pending' | 'reorged' | 'invalid'; message: string };

/** Draws a recording and says what could not be drawn: `ReplayWalk` of `@lucid-sessions/recording/replay`. */
export interface ReplayWalker {
  /** The next chunk's frames, in order; null where it can't be read. */
  chunk(frames: Iterable<Frame> | null): Promise<void>;
  end(): Promise<ReplayTally>;
}

export interface VerifyOptions {
  crypto: Crypto;
  policy: TrustPolicy;
  /** With a decompressor and a key the frames themselves are read too. */
  decompressor?: Decompressor;
  dek?: ReadingKey;
  /** Opens one of the wraps in the bundle; null when none is for it, an error of code `damaged` when one is and won't open. */
  unwrap?(wraps: BundleWrap[]): MaybePromise<Uint8Array | null>;
  /** Checks a receipt against its chain or authority; null when it can't say. Without it receipts are compared, not believed. */
  checkAnchor?(anchor: BundleAnchor): MaybePromise<AnchorVerdict | null>;
  /** The log itself (files by the paths of tlog-tiles): with it the bundle is compared with all that was logged. */
  log?: TileReader;
  /** The files lie where they were recorded, and nobody exported them: there is no `export` record to ask for. */
  stored?: boolean;
  /** With it the replay record is made again from the frames, and compared. Of no use without a key, or to a part. */
  replay?: ReplayWalker;
  /** Called after each chunk. */
  progress?(done: number): void;
}

export interface FoundKey {
  dek: ReadingKey | null;
  wrapsCount: number;
}

/** What the steps of one verification share. */
export interface Context extends Omit<VerifyOptions, 'replay'> {
  source: BundleSource;
  files: Map<string, BundleFile>;
  findings: Findings;
  states: Set<RecordingState>;
  description: BundleDescription;
  open: SignedRecord<OpenBody> | null;
  manifest: SignedRecord<ManifestBody> | null;
  /** Keys the recording's own records name, by their text; null: it is none. */
  namedKeys: Map<string, PublicKey | null>;
  /** Files something was read from: what is left over is a finding. */
  used: Set<string>;
  /** By their place in the bundle. */
  resumes: { at: number; record: SignedRecord<ResumeBody> }[];
  /** Erase records by a trusted key. */
  erases: { at: number; record: SignedRecord<EraseBody> }[];
  /** As far as the chain of custody records holds. */
  custody: SignedRecord<CustodyBody>[];
  /** The replay record, where it is of this recording and signed by a key that is trusted or named. */
  replay: SignedRecord<ReplayBody> | null;
  /** An `erase` record that counts destroyed the keys or the chunks. */
  erased: { keys: boolean; chunks: boolean };
}

/** The bytes of a small file, or null when it is not there. */
export async function smallFile(
  context: Context,
  name: string,
  bytesMax = SMALL_FILE_BYTES_MAX,
): Promise<Uint8Array | null> {
  const file = context.files.get(name);
  context.used.add(name);
  return file === undefined ? null : readWhole(context.source, file, bytesMax);
}

/** Runs a reading step; bytes that can't be read are a FORMAT finding, and the answer is null. */
export async function orFormat<T>(context: Context, file: string, read: () => MaybePromise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    context.findings.add('B4', error.message, { file });
    return null;
  }
}

/** Clocks are slewed by less than this without a word. */
const CLOCK_DRIFT_US = 1_000_000;

/** All steps back the manifest declares. */
export const clockStepsUs = ({ manifest }: Context): number =>
  (manifest?.body.clock_steps ?? []).reduce((sum, { step_us }) => sum + Math.max(0, -step_us), 0);

/** How far the recorder's wall clock may have run back inside the recording: drift, and the steps the manifest declares. */
export const clockAllowanceUs = (context: Context): number => CLOCK_DRIFT_US + clockStepsUs(context);

/** Where the recording comes from when it was made of a file; null: a gateway recorded it. */
export const importedOf = ({ open, manifest }: Pick<Context, 'open' | 'manifest'>): ImportedBody | null =>
  open?.body.imported ?? manifest?.body.imported ?? null;

/** Null where none of the times is known. */
export const earliest = (...times: (number | null)[]): number | null =>
  times.reduce<number | null>((best, time) => (time !== null && (best === null || time < best) ? time : best), null);
