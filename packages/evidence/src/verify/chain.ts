import { equalBytes } from '@lucid-sessions/wire';
import { bundleNames, LEAVES_MAX, proofsSchema } from '../bundle/files.ts';
import {
  decodeLeaf,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  type Leaf,
  leafHash,
  NO_LEAF_HASH,
  verifySeal,
} from '../envelope/leaf.ts';
import { verifyInclusion } from '../merkle/proof.ts';
import { MerkleTree } from '../merkle/tree.ts';
import { parseCanonicalJson } from '../record/json.ts';
import { fromHex, toHex } from '../text.ts';
import { type Context, clockAllowanceUs, importedOf, orFormat, smallFile } from './context.ts';

const LEAVES_PER_READ = 256;
const HOLES_MAX = 1000;

/** What the walk over the leaves learned. */
export interface ChainResult {
  leavesCount: number;
  firstOpenedUs: number | null;
  lastClosedUs: number | null;
  recoveredCount: number;
  totalBytes: number;
  root: Uint8Array;
}

/** Where the chain stands before the next leaf. */
interface Head {
  /** Null when the leaf before is not known: its hash and seal key can't be asked for. */
  hash: Uint8Array | null;
  sealKey: Uint8Array | null;
  closedUs: number;
  final: boolean;
}

/** Leaves of `leaves.bin`, in pieces. */
async function* leafRecords(context: Context): AsyncGenerator<Uint8Array, void, undefined> {
  const file = context.files.get(bundleNames.leaves);
  if (file === undefined) return;
  const count = Math.min(LEAVES_MAX, Math.floor(file.bytes / LEAF_RECORD_BYTES));
  for (let at = 0; at < count; at += LEAVES_PER_READ) {
    const records = Math.min(LEAVES_PER_READ, count - at);
    const bytes = await context.source.read(file.name, at * LEAF_RECORD_BYTES, records * LEAF_RECORD_BYTES);
    for (let i = 0; i < records; i += 1) yield bytes.subarray(i * LEAF_RECORD_BYTES, (i + 1) * LEAF_RECORD_BYTES);
  }
}

/**
 * Walks the leaves in order: index, link, seal, times, and the tree. Memory does not grow with the recording. `visit` is
 * called for each leaf that could be read.
 */
export async function checkChain(context: Context, visit: (leaf: Leaf) => Promise<void>): Promise<ChainResult> {
  const walk = new ChainWalk(context);
  const file = context.files.get(bundleNames.leaves);
  if (file === undefined) context.findings.add('FORMAT', 'the bundle holds no leaves', { file: bundleNames.leaves });
  else if (file.bytes % LEAF_RECORD_BYTES !== 0 || file.bytes > LEAVES_MAX * LEAF_RECORD_BYTES)
    context.findings.add('FORMAT', 'leaves.bin does not hold whole leaves and seals', { file: bundleNames.leaves });
  const proofs = await readProofs(context);
  for await (const record of leafRecords(context)) {
    const leaf = await walk.next(record, proofs);
    if (leaf !== null) await visit(leaf);
  }
  walk.end();
  return walk.result();
}

async function readProofs(context: Context): Promise<Uint8Array[][] | null> {
  if (context.description.partial === null) return null;
  const file = bundleNames.proofs;
  const parsed = await orFormat(context, file, async () => {
    const bytes = await smallFile(context, file, 64 << 20);
    return bytes === null ? null : proofsSchema.parse(parseCanonicalJson(bytes, 64 << 20), 'proofs');
  });
  if (parsed === null) context.findings.add('FORMAT', 'a part needs proofs of its leaves', { file });
  return (parsed?.proofs ?? []).map((proof) => proof.map((text) => fromHex(text, 32)));
}

class ChainWalk {
  readonly #context: Context;
  readonly #tree = MerkleTree.empty();
  readonly #holes = new Set<number>();
  readonly #firstIndex: number;
  #head: Head;
  #position = 0;
  #nextIndex: number;
  #firstOpenedUs: number | null = null;
  #recoveredCount = 0;
  #totalBytes = 0;

  constructor(context: Context) {
    this.#context = context;
    this.#firstIndex = context.description.partial?.first_leaf ?? 0;
    this.#nextIndex = this.#firstIndex;
    const { open } = context;
    const atStart = this.#firstIndex === 0;
    this.#head = {
      hash: atStart ? NO_LEAF_HASH : null,
      sealKey: atStart && open !== null ? fromHex(open.body.first_seal_key, 32) : null,
      // The chunks of an imported recording have the times its file claims: only their order is checked.
      closedUs: importedOf(context) === null ? (open?.body.opened_us ?? 0) : 0,
      final: false,
    };
  }

  async next(record: Uint8Array, proofs: Uint8Array[][] | null): Promise<Leaf | null> {
    const { findings } = this.#context;
    const position = this.#position;
    this.#position += 1;
    const leafBytes = record.subarray(0, LEAF_BYTES);
    const hash = leafHash(leafBytes);
    this.#tree.append(hash);
    const leaf = await orFormat(this.#context, bundleNames.leaves, () => decodeLeaf(leafBytes));
    if (leaf === null) {
      this.#nextIndex += 1;
      this.#head = { ...this.#head, hash: null, sealKey: null };
      return null;
    }
    const where = { file: bundleNames.leaves, index: leaf.index };
    if (toHex(leaf.sessionId) !== this.#sessionUuid())
      findings.add('SPLICED', `leaf ${leaf.index} belongs to another session`, where);
    this.#checkIndex(leaf);
    if (this.#head.final) findings.add('CHUNK_EXTRA', `leaf ${leaf.index} follows the final one`, where);
    this.#checkLink(leaf);
    await this.#checkSeal(leaf, hash, record.subarray(LEAF_BYTES));
    this.#checkTimes(leaf);
    if (proofs !== null) this.#checkProof(leaf, hash, proofs[position] ?? []);
    if (leaf.gapBefore) findings.add('GAP', `frames are missing before chunk ${leaf.index}`, where);
    if (leaf.recovered) this.#recoveredCount += 1;
    if (leaf.recovered) this.#context.states.add('RECOVERED');
    this.#firstOpenedUs ??= leaf.openedUs;
    this.#totalBytes += leaf.fileBytes;
    this.#head = { hash, sealKey: leaf.nextSealKey, closedUs: leaf.closedUs, final: leaf.final };
    this.#nextIndex = leaf.index + 1;
    return leaf;
  }

  #sessionUuid(): string {
    return this.#context.open?.body.session_uuid ?? '';
  }

  /** A leaf ahead of its place leaves a hole; if it turns up later the leaves are in another order, else it is missing. */
  #checkIndex(leaf: Leaf): void {
    const { findings } = this.#context;
    const expected = this.#nextIndex;
    if (leaf.index === expected) return;
    const where = { file: bundleNames.leaves, index: leaf.index };
    if (leaf.index < expected) {
      this.#holes.delete(leaf.index);
      findings.add('REORDERED', `leaf ${leaf.index} stands where leaf ${expected} belongs`, where);
    } else if (leaf.index - expected > HOLES_MAX - this.#holes.size)
      findings.add('CHUNK_MISSING', `leaves ${expected} to ${leaf.index - 1} are missing`, where);
    else for (let hole = expected; hole < leaf.index; hole += 1) this.#holes.add(hole);
    this.#head = { ...this.#head, hash: null, sealKey: null };
  }

  #checkLink(leaf: Leaf): void {
    const { hash } = this.#head;
    if (hash !== null && !equalBytes(leaf.previousLeafHash, hash))
      this.#context.findings.add('SPLICED', `leaf ${leaf.index} does not follow the leaf before it`, {
        file: bundleNames.leaves,
        index: leaf.index,
      });
  }

  /** The key the leaf before announced, `open` for the first, or that of a trusted `resume` at exactly this place. */
  async #checkSeal(leaf: Leaf, hash: Uint8Array, seal: Uint8Array): Promise<void> {
    const previous = toHex(leaf.previousLeafHash);
    const resumed = this.#context.resumes.findLast(
      ({ body }) => body.index === leaf.index && body.previous_leaf_hash === previous,
    );
    const key = resumed === undefined ? this.#head.sealKey : fromHex(resumed.body.seal_key, 32);
    // Unknown only behind a leaf that is missing or unreadable (reported), or at the start of a part (proven by inclusion).
    if (key === null) return;
    if (!(await verifySeal(this.#context.crypto, key, hash, seal)))
      this.#context.findings.add('SEAL_EPOCH', `chunk ${leaf.index} is not sealed with the key announced for it`, {
        file: bundleNames.leaves,
        index: leaf.index,
      });
  }

  #checkTimes(leaf: Leaf): void {
    const allowanceUs = clockAllowanceUs(this.#context);
    if (leaf.openedUs + allowanceUs >= this.#head.closedUs && leaf.closedUs + allowanceUs >= leaf.openedUs) return;
    this.#context.findings.add('TIME_ORDER', `the times of chunk ${leaf.index} run backwards`, {
      file: bundleNames.leaves,
      index: leaf.index,
    });
  }

  #checkProof(leaf: Leaf, hash: Uint8Array, proof: Uint8Array[]): void {
    const body = this.#context.manifest?.body;
    if (body === undefined) return;
    const root = fromHex(body.merkle_root, 32);
    if (!verifyInclusion({ leafHash: hash, index: leaf.index, size: body.chunks_count, root, proof }))
      this.#context.findings.add('ROOT_MISMATCH', `leaf ${leaf.index} is not shown to be under the manifest's root`, {
        file: bundleNames.leaves,
        index: leaf.index,
      });
  }

  /** What only shows once the last leaf was read. */
  end(): void {
    const { findings, manifest, description } = this.#context;
    for (const hole of this.#holes)
      findings.add('CHUNK_MISSING', `leaf ${hole} is missing`, { file: bundleNames.leaves, index: hole });
    if (description.partial !== null) this.#endOfPart(description.partial.last_chunk);
    else if (manifest !== null) this.#endOfWhole();
  }

  #endOfPart(lastChunk: number): void {
    if (this.#nextIndex !== lastChunk + 1)
      this.#context.findings.add('CHUNK_MISSING', `the part ends before chunk ${lastChunk}`, {
        file: bundleNames.leaves,
      });
  }

  #endOfWhole(): void {
    const { findings } = this.#context;
    const { body } = this.#context.manifest!;
    const where = { file: bundleNames.leaves };
    // Who deletes a recording deletes its leaves too: there is nothing left to compare.
    if (this.#context.erased.chunks && this.#position === 0) return;
    if (this.#position < body.chunks_count)
      findings.add(
        'TRUNCATED',
        `${body.chunks_count - this.#position} of ${body.chunks_count} leaves are missing`,
        where,
      );
    if (this.#position > body.chunks_count)
      findings.add('CHUNK_EXTRA', `${this.#position - body.chunks_count} leaves are not in the manifest`, where);
    if (this.#position > 0 && !this.#head.final) findings.add('TRUNCATED', 'the last leaf is not marked final', where);
    if (toHex(this.#tree.root()) !== body.merkle_root || this.#totalBytes !== body.total_bytes)
      findings.add('ROOT_MISMATCH', 'the leaves are not those the manifest was signed over', where);
  }

  result(): ChainResult {
    return {
      leavesCount: this.#position,
      firstOpenedUs: this.#firstOpenedUs,
      lastClosedUs: this.#position > 0 ? this.#head.closedUs : null,
      recoveredCount: this.#recoveredCount,
      totalBytes: this.#totalBytes,
      root: this.#tree.root(),
    };
  }
}
