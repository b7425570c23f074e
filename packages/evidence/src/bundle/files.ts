import { RECORD_BYTES_MAX } from '../record/dsse.ts';
import { array, hex, type Infer, integer, literal, nullable, object, string } from '../record/schema.ts';

/** The files of a bundle. */
export const bundleNames = {
  bundle: 'bundle.json',
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
  chunk: (index: number): string => `chunks/${String(index).padStart(8, '0')}.lsc`,
  resume: (at: number): string => `resume/${String(at).padStart(4, '0')}.dsse.json`,
  resumeProof: (at: number): string => `log/resume-${String(at).padStart(4, '0')}.tlog-proof`,
  erase: (at: number): string => `erase/${String(at).padStart(4, '0')}.dsse.json`,
  anchor: (at: number): string => `anchors/${String(at).padStart(4, '0')}.json`,
} as const;

export const SMALL_FILE_BYTES_MAX = RECORD_BYTES_MAX;
export const CUSTODY_BYTES_MAX = 64 << 20;
export const LEAVES_MAX = 1 << 24;

const name = string(200);

/**
 * `bundle.json`. It is not signed, and nothing it says is believed: the session is named by `open`, the range is proven
 * leaf by leaf, and the hashes only tell damage to files that carry no signature of their own.
 */
export const bundleSchema = object({
  v: literal(1),
  kind: literal('lucid-sessions-evidence'),
  session_id: string(100, /^[A-Za-z0-9_-]{1,100}$/),
  /** Of a part: the chunks disclosed, and the first leaf in `leaves.bin` (one earlier, for its seal key, where there is one). */
  partial: nullable(object({ first_chunk: integer(), last_chunk: integer(), first_leaf: integer() })),
  /** SHA-256 of every file that is not a chunk, `leaves.bin` or this one. */
  files: array(object({ name, sha256: hex(32) }), 100_000),
});
export type BundleDescription = Infer<typeof bundleSchema>;

/** `proofs.json` of a part: for each leaf in `leaves.bin` its inclusion proof, hashes in hex. */
export const proofsSchema = object({ v: literal(1), proofs: array(array(hex(32), 64), 1 << 16) });

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
