import { concatBytes, type MaybePromise } from '@lucid-sessions/wire';
import { LEAF_BYTES, LEAF_RECORD_BYTES, leafHash } from '../envelope/leaf.ts';
import { inclusionProof } from '../merkle/proof.ts';
import { encodeJson } from '../record/json.ts';
import { toHex, utf8 } from '../text.ts';
import { sha256 } from '../web-crypto.ts';
import {
  type BundleAnchor,
  type BundleConsistency,
  type BundleDescription,
  type BundleProgress,
  type BundleWrap,
  bundleNames,
} from './files.ts';
import type { BundleEntry } from './tar.ts';

/** What a bundle is made of. Everything but chunks is small; chunks are asked for one at a time. */
export interface BundleInput {
  sessionId: string;
  /** Envelope bytes. */
  open: Uint8Array;
  /** Null while the session is not closed. */
  manifest: Uint8Array | null;
  /** Null while nobody walked through the recording. */
  replay?: Uint8Array | null;
  resumes: readonly Uint8Array[];
  erases: readonly Uint8Array[];
  custody: readonly Uint8Array[];
  /** All leaves and seals of the session, one behind the other. */
  leaves: Uint8Array;
  /** The chunk file, or null when it is gone. */
  chunk(index: number): MaybePromise<Uint8Array | null>;
  wraps: readonly BundleWrap[];
  /** C2SP tlog-proof texts, null where a record is not logged (yet). */
  logProofs: {
    open: string | null;
    manifest: string | null;
    resumes: readonly (string | null)[];
    erases: readonly (string | null)[];
    /** Of the latest custody record that is logged: it names all before it. */
    custody: string | null;
  };
  /** The `export` record's envelope over a `bundle.json` of this SHA-256; null: the files stay where they are, nobody exports them. */
  signExport: ((bundleSha256: string) => Promise<Uint8Array>) | null;
  /** Heads of the session that were logged while it ran, oldest first, each with the tlog-proof of its root. */
  progress?: readonly { head: BundleProgress; proof: string }[];
  consistency: readonly BundleConsistency[];
  anchors: readonly BundleAnchor[];
  /** Disclose only these chunks, both ends included. Needs the manifest. */
  range?: { first: number; last: number };
}

/** The signed and logged small files, in their order. */
function smallFiles(input: BundleInput): BundleEntry[] {
  const files: BundleEntry[] = [];
  const add = (name: string, content: Uint8Array | string | null | undefined): void => {
    if (content !== null && content !== undefined)
      files.push({ name, content: typeof content === 'string' ? utf8(content) : content });
  };
  add(bundleNames.open, input.open);
  add(bundleNames.manifest, input.manifest);
  add(bundleNames.replay, input.replay);
  for (const [at, record] of input.resumes.entries()) add(bundleNames.resume(at), record);
  for (const [at, record] of input.erases.entries()) add(bundleNames.erase(at), record);
  if (input.custody.length > 0)
    add(bundleNames.custody, concatBytes(...input.custody.flatMap((record) => [record, utf8('\n')])));
  if (input.wraps.length > 0) add(bundleNames.wraps, encodeJson(input.wraps));
  add(bundleNames.openProof, input.logProofs.open);
  add(bundleNames.manifestProof, input.logProofs.manifest);
  for (const [at, proof] of input.logProofs.resumes.entries()) add(bundleNames.resumeProof(at), proof);
  for (const [at, proof] of input.logProofs.erases.entries()) add(bundleNames.eraseProof(at), proof);
  add(bundleNames.custodyProof, input.logProofs.custody);
  if (input.consistency.length > 0) add(bundleNames.consistency, encodeJson(input.consistency));
  for (const [at, { head, proof }] of (input.progress ?? []).entries()) {
    add(bundleNames.progress(at), encodeJson(head));
    add(bundleNames.progressProof(at), proof);
  }
  for (const [at, anchor] of input.anchors.entries()) add(bundleNames.anchor(at), encodeJson(anchor));
  return files;
}

function leafHashes(leaves: Uint8Array): Uint8Array[] {
  return Array.from({ length: leaves.length / LEAF_RECORD_BYTES }, (_, at) =>
    leafHash(leaves.subarray(at * LEAF_RECORD_BYTES, at * LEAF_RECORD_BYTES + LEAF_BYTES)),
  );
}

function proofsOf(leaves: Uint8Array, first: number, last: number): Uint8Array {
  const hashes = leafHashes(leaves);
  const proofs = [];
  for (let index = Math.max(0, first - 1); index <= last; index += 1)
    proofs.push(inclusionProof(index, hashes).map(toHex));
  const at = (first - 1) * LEAF_RECORD_BYTES;
  const previous = first === 0 ? null : toHex(leaves.subarray(at, at + LEAF_BYTES));
  return encodeJson({ v: 2, previous, proofs });
}

/** The files of an evidence bundle, `bundle.json` first. Stream them with `tarStream` or write them to a directory. */
export async function* bundleEntries(input: BundleInput): AsyncGenerator<BundleEntry, void, undefined> {
  const count = input.leaves.length / LEAF_RECORD_BYTES;
  if (!Number.isInteger(count)) throw new RangeError(`leaves must be whole records of ${LEAF_RECORD_BYTES} bytes`);
  const files = smallFiles(input);
  let [first, last] = [0, count - 1];
  let partial: BundleDescription['partial'] = null;
  if (input.range !== undefined) {
    ({ first, last } = input.range);
    if (!(first >= 0 && first <= last && last < count) || input.manifest === null)
      throw new RangeError('a part needs a manifest and a range of chunks the session has');
    partial = { first_chunk: first, last_chunk: last };
    files.push({ name: bundleNames.proofs, content: proofsOf(input.leaves, first, last) });
  }
  const leaves = input.leaves.subarray(first * LEAF_RECORD_BYTES, (last + 1) * LEAF_RECORD_BYTES);
  const description: BundleDescription = {
    v: 2,
    kind: 'lucid-sessions-evidence',
    session_id: input.sessionId,
    partial,
    leaves: {
      count: leaves.length / LEAF_RECORD_BYTES,
      last_hash: leaves.length === 0 ? null : toHex(leafHashes(leaves.subarray(-LEAF_RECORD_BYTES))[0]!),
    },
    files: files.map(({ name, content }) => ({ name, sha256: toHex(sha256(content)) })),
  };
  const bundle = encodeJson(description);
  yield { name: bundleNames.bundle, content: bundle };
  if (input.signExport !== null)
    yield { name: bundleNames.export, content: await input.signExport(toHex(sha256(bundle))) };
  yield* files;
  yield { name: bundleNames.leaves, content: leaves };
  for (let index = first; index <= last; index += 1) {
    const content = await input.chunk(index);
    if (content !== null) yield { name: bundleNames.chunk(index), content };
  }
}
