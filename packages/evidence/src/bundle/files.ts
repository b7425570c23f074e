import { RECORD_BYTES_MAX } from '../record/dsse.ts';
import { array, hex, type Infer, integer, literal, nullable, object, string } from '../record/schema.ts';

/** The files of a bundle. */
export const bundleNames = {
  bundle: 'bundle.json',
  export: 'export.dsse.json',
  open: 'open.dsse.json',
  manifest: 'manifest.dsse.json',
  replay: 'replay.dsse.json',
  leaves: 'leaves.bin',
  proofs: 'proofs.json',
  custody: 'custody.jsonl',
  wraps: 'keys/wraps.json',
  consistency: 'log/consistency.json',
  openProof: 'log/open.tlog-proof',
  manifestProof: 'log/manifest.tlog-proof',
  custodyProof: 'log/custody.tlog-proof',
  chunk: (index: number): string => `chunks/${String(index).padStart(8, '0')}.lsc`,
  resume: (at: number): string => `resume/${String(at).padStart(4, '0')}.dsse.json`,
  resumeProof: (at: number): string => `log/resume-${String(at).padStart(4, '0')}.tlog-proof`,
  erase: (at: number): string => `erase/${String(at).padStart(4, '0')}.dsse.json`,
  eraseProof: (at: number): string => `log/erase-${String(at).padStart(4, '0')}.tlog-proof`,
  progress: (at: number): string => `progress/${String(at).padStart(4, '0')}.json`,
  progressProof: (at: number): string => `log/progress-${String(at).padStart(4, '0')}.tlog-proof`,
  anchor: (at: number): string => `anchors/${String(at).padStart(4, '0')}.json`,
} as const;

export const SMALL_FILE_BYTES_MAX = RECORD_BYTES_MAX;
export const CUSTODY_BYTES_MAX = 64 << 20;
export const CUSTODY_RECORDS_MAX = 100_000;
/** `resume/0000` to `resume/0999`, and as many of `erase`. */
export const NUMBERED_MAX = 1000;
/** Of each: texts of full length, every unit escaped, make a quarter of it. */
export const NUMBERED_BYTES_MAX = 64 << 10;
/** A year of chunks of 30 s. */
export const LEAVES_MAX = 1 << 20;

const name = string(200);

/**
 * `bundle.json`: what whoever exported it put in. The `export` record is signed over it; nothing it says of the recording is
 * believed: the session is named by `open`, and the range is proven leaf by leaf.
 */
export const bundleSchema = object({
  v: literal(2),
  kind: literal('lucid-sessions-evidence'),
  session_id: string(100, /^[A-Za-z0-9_-]{1,100}$/),
  /** Of a part: the chunks disclosed. */
  partial: nullable(object({ first_chunk: integer(), last_chunk: integer() })),
  /** Of `leaves.bin`: how many there are, and the hash of the last, null where there is none. */
  leaves: object({ count: integer(), last_hash: nullable(hex(32)) }),
  /** SHA-256 of every file that is not a chunk, `leaves.bin`, the `export` record or this one. */
  files: array(object({ name, sha256: hex(32) }), 100_000),
});
export type BundleDescription = Infer<typeof bundleSchema>;

/**
 * `proofs.json` of a part: inclusion proofs, hashes in hex. `previous` is the leaf before the first, which announces its seal key
 * (160 bytes in hex; null where the part begins with leaf 0): its proof comes first, then one for each leaf in `leaves.bin`.
 */
export const proofsSchema = object({
  v: literal(2),
  previous: nullable(hex(160)),
  proofs: array(array(hex(32), 64), LEAVES_MAX + 1),
});

/** `keys/wraps.json`. */
export const wrapsSchema = array(
  object({ scheme: string(50), recipient: string(5000), key_id: hex(16), wrapped: string(20_000) }),
  100,
);
export type BundleWrap = Infer<typeof wrapsSchema>[number];

/** `log/consistency.json`: proofs between the checkpoints of the bundle, hashes in hex. */
export const consistencySchema = array(
  object({ first: integer(1), second: integer(1), hashes: array(hex(32), 64) }),
  1000,
);
export type BundleConsistency = Infer<typeof consistencySchema>[number];

/** `anchors/NNNN.json`: what an outside anchor said. */
export const anchorSchema = object({
  v: literal(1),
  backend: string(100),
  /** What was anchored: the manifest's Merkle root, or SHA-256 of the text of the manifest's checkpoint. */
  subject: literal('session_root', 'checkpoint'),
  session_id: string(100),
  digest: hex(32),
  status: literal('pending', 'processing', 'confirmed', 'failed', 'reorged'),
  submitted_us: integer(),
  confirmed_us: nullable(integer()),
  block_height: nullable(integer()),
  transaction_id: nullable(string(500)),
  detail: nullable(string(RECORD_BYTES_MAX)),
});
export type BundleAnchor = Infer<typeof anchorSchema>;

/** `progress/NNNN.json`: a head of the session while it ran, and that it is in the root that was logged then. */
export const progressSchema = object({
  v: literal(1),
  /** When the heads were taken. */
  at_us: integer(),
  /** Heads under the root. */
  count: integer(1),
  root: hex(32),
  /** Of this session's head among them. */
  index: integer(),
  leaves_count: integer(),
  leaf_hash: nullable(hex(32)),
  /** RFC 9162 section 2.1.3. */
  hashes: array(hex(32), 64),
});
export type BundleProgress = Infer<typeof progressSchema>;
