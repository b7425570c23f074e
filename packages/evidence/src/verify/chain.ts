import { DecodeError, equalBytes } from '@lucid-sessions/wire';
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
async function* leafRecords(context: Context, count: number): AsyncGenerator<Uint8Array, void, undefined> {
  const file = context.files.get(bundleNames.leaves);
  if (file === undefined) return;
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
export async function checkChain(
  context: Context,
  visit: (leaf: Leaf, bytes: Uint8Array) => Promise<void>,
): Promise<ChainResult> {
  const file = context.files.get(bundleNames.leaves);
  context.used.add(bundleNames.leaves);
  const where = { file: bundleNames.leaves };
  if (file === undefined) context.findings.add('C1', 'the bundle holds no leaves', where);
  else if (file.bytes % LEAF_RECORD_BYTES !== 0 || file.bytes > LEAVES_MAX * LEAF_RECORD_BYTES)
    context.findings.add('C2', 'leaves.bin does not hold whole leaves and seals', where);
  const count = Math.floor((file?.bytes ?? 0) / LEAF_RECORD_BYTES);
  const { partial } = context.description;
  const walk = new ChainWalk(context, count, partial === null ? null : await readProofs(context, count));
  // What follows beyond the manifest's count is told as one, not read: a file may claim any length.
  const wanted = context.manifest?.body.chunks_count ?? LEAVES_MAX;
  for await (const record of leafRecords(context, Math.min(count, wanted + 1, LEAVES_MAX))) {
    const leaf = await walk.next(record);
    // Behind one that can't be read nothing is known of the others.
    if (leaf === null) break;
    await visit(leaf, record.subarray(0, LEAF_BYTES));
  }
  walk.end();
  return walk.result();
}

interface PartProofs {
  /** Leaf before the first of the part; null: there is none, or it is not there. */
  previous: Uint8Array | null;
  /** By index of the leaf. */
  of(index: number): Uint8Array[];
}

async function readProofs(context: Context, count: number): Promise<PartProofs> {
  const file = bundleNames.proofs;
  const first = context.description.partial?.first_chunk ?? 0;
  const parsed = await orFormat(context, file, async () => {
    const bytes = await smallFile(context, file, 64 << 20);
    return bytes === null ? null : proofsSchema.parse(parseCanonicalJson(bytes, 64 << 20), 'proofs');
  });
  const from = first - (parsed?.previous == null ? 0 : 1);
  const isWhole = parsed !== null && (parsed.previous === null) === (first === 0);
  if (!isWhole || parsed.proofs.length !== count + first - from)
    context.findings.add('C3', 'a part needs one proof for each of its leaves, and the leaf before them', { file });
  return {
    previous: parsed?.previous == null ? null : fromHex(parsed.previous, LEAF_BYTES),
    of: (index) => (parsed?.proofs[index - from] ?? []).map((text) => fromHex(text, 32)),
  };
}

class ChainWalk {
  readonly #context: Context;
  readonly #tree = MerkleTree.empty();
  readonly #holes = new Set<number>();
  readonly #filedCount: number;
  readonly #proofs: PartProofs | null;
  #head: Head;
  #lastHash: Uint8Array | null = null;
  #unreadable = false;
  #position = 0;
  #nextIndex: number;
  #firstOpenedUs: number | null = null;
  #recoveredCount = 0;
  #totalBytes = 0;
  readonly #allowanceUs: number;
  /** Seal keys of resume records by the place they explain. */
  readonly #resumed: ReadonlyMap<string, string>;

  /** `filedCount`: leaves that `leaves.bin` has room for. */
  constructor(context: Context, filedCount: number, proofs: PartProofs | null) {
    this.#context = context;
    this.#filedCount = filedCount;
    this.#allowanceUs = clockAllowanceUs(context);
    this.#resumed = new Map(
      context.resumes.map(({ record: { body } }) => [`${body.index} ${body.previous_leaf_hash}`, body.seal_key]),
    );
    this.#proofs = proofs;
    const first = context.description.partial?.first_chunk ?? 0;
    this.#nextIndex = first;
    const { open } = context;
    const atStart = first === 0;
    this.#head = {
      hash: atStart ? NO_LEAF_HASH : null,
      sealKey: atStart && open !== null ? fromHex(open.body.first_seal_key, 32) : null,
      // The chunks of an imported recording have the times its file claims: only their order is checked.
      closedUs: importedOf(context) === null ? (open?.body.opened_us ?? 0) : 0,
      final: false,
    };
    if (proofs?.previous) this.#beginBehind(proofs.previous, first - 1);
  }

  /** The leaf before a part is proven like the others, and announces the first seal key. */
  #beginBehind(leafBytes: Uint8Array, index: number): void {
    const { findings } = this.#context;
    // A part that begins with leaf 0 has none before it; that there is one is told.
    const where = { file: bundleNames.proofs, ...(index < 0 ? {} : { index }) };
    let leaf: Leaf;
    try {
      leaf = decodeLeaf(leafBytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      findings.add('B4', error.message, where);
      return;
    }
    const hash = leafHash(leafBytes);
    if (leaf.index !== index) findings.add('C5', `the leaf before the part is leaf ${leaf.index}`, where);
    if (leaf.final) findings.add('C7', `leaf ${index + 1} follows the final one`, where);
    this.#checkProof(leaf, hash);
    this.#head = { hash, sealKey: leaf.nextSealKey, closedUs: leaf.closedUs, final: false };
  }

  async next(record: Uint8Array): Promise<Leaf | null> {
    const { findings } = this.#context;
    this.#position += 1;
    const leafBytes = record.subarray(0, LEAF_BYTES);
    const hash = leafHash(leafBytes);
    this.#tree.append(hash);
    this.#lastHash = hash;
    const leaf = await orFormat(this.#context, bundleNames.leaves, () => decodeLeaf(leafBytes));
    if (leaf === null) {
      this.#unreadable = true;
      return null;
    }
    const where = { file: bundleNames.leaves, index: leaf.index };
    const { open } = this.#context;
    const session = toHex(leaf.sessionId);
    // Without an open record nobody can say of which session it is; that is told.
    if (open !== null && session !== open.body.session_uuid)
      findings.once(`leaf of ${session}`, 'C4', `leaf ${leaf.index} belongs to another session`, where);
    this.#checkIndex(leaf);
    if (this.#head.final) findings.once('behind', 'C7', `leaf ${leaf.index} follows the final one`, where);
    this.#checkLink(leaf);
    await this.#checkSeal(leaf, hash, record.subarray(LEAF_BYTES));
    this.#checkTimes(leaf);
    if (this.#proofs !== null) this.#checkProof(leaf, hash);
    if (leaf.gapBefore) findings.add('C12', `frames are missing before chunk ${leaf.index}`, where);
    if (leaf.recovered) this.#recoveredCount += 1;
    if (leaf.recovered) this.#context.states.add('RECOVERED');
    this.#firstOpenedUs ??= leaf.openedUs;
    this.#totalBytes += leaf.fileBytes;
    this.#head = { hash, sealKey: leaf.nextSealKey, closedUs: leaf.closedUs, final: leaf.final };
    this.#nextIndex = leaf.index + 1;
    return leaf;
  }

  /** A leaf ahead of its place leaves a hole; if it turns up later the leaves are in another order, else it is missing. */
  #checkIndex(leaf: Leaf): void {
    const { findings } = this.#context;
    const expected = this.#nextIndex;
    if (leaf.index === expected) return;
    const where = { file: bundleNames.leaves, index: leaf.index };
    if (leaf.index < expected) {
      this.#holes.delete(leaf.index);
      findings.add('C5', `leaf ${leaf.index} stands where leaf ${expected} belongs`, where);
    } else if (leaf.index - expected > HOLES_MAX - this.#holes.size)
      findings.add('C6', `leaves ${expected} to ${leaf.index - 1} are missing`, where);
    else for (let hole = expected; hole < leaf.index; hole += 1) this.#holes.add(hole);
    this.#head = { ...this.#head, hash: null, sealKey: null };
  }

  #checkLink(leaf: Leaf): void {
    const { hash } = this.#head;
    if (hash !== null && !equalBytes(leaf.previousLeafHash, hash))
      this.#context.findings.add('C8', `leaf ${leaf.index} does not follow the leaf before it`, {
        file: bundleNames.leaves,
        index: leaf.index,
      });
  }

  /** The key the leaf before announced, `open` for the first, or that of a trusted `resume` at exactly this place. */
  async #checkSeal(leaf: Leaf, hash: Uint8Array, seal: Uint8Array): Promise<void> {
    const resumed = this.#resumed.get(`${leaf.index} ${toHex(leaf.previousLeafHash)}`);
    const key = resumed === undefined ? this.#head.sealKey : fromHex(resumed, 32);
    // Unknown only behind a leaf, or an open record, that is missing or unreadable (reported).
    if (key === null) return;
    if (!(await verifySeal(this.#context.crypto, key, hash, seal)))
      this.#context.findings.add('C9', `chunk ${leaf.index} is not sealed with the key announced for it`, {
        file: bundleNames.leaves,
        index: leaf.index,
      });
  }

  #checkTimes(leaf: Leaf): void {
    const allowanceUs = this.#allowanceUs;
    if (leaf.openedUs + allowanceUs >= this.#head.closedUs && leaf.closedUs + allowanceUs >= leaf.openedUs) return;
    this.#context.findings.add('C10', `the times of chunk ${leaf.index} run backwards`, {
      file: bundleNames.leaves,
      index: leaf.index,
    });
  }

  #checkProof(leaf: Leaf, hash: Uint8Array): void {
    const body = this.#context.manifest?.body;
    if (body === undefined) return;
    const root = fromHex(body.merkle_root, 32);
    const proof = this.#proofs?.of(leaf.index) ?? [];
    if (!verifyInclusion({ leafHash: hash, index: leaf.index, size: body.chunks_count, root, proof }))
      this.#context.findings.add('C11', `leaf ${leaf.index} is not shown to be under the manifest's root`, {
        file: bundleNames.leaves,
        index: leaf.index,
      });
  }

  /** What only shows once the last leaf was read. */
  end(): void {
    const { findings, manifest, description } = this.#context;
    for (const hole of this.#holes)
      findings.add('C6', `leaf ${hole} is missing`, { file: bundleNames.leaves, index: hole });
    this.#checkDescribed();
    // Of one that can't be read more can't be told.
    if (this.#unreadable) return;
    if (description.partial !== null) this.#endOfPart(description.partial.last_chunk);
    else if (manifest !== null) this.#endOfWhole();
  }

  /** What whoever exported it saw. */
  #checkDescribed(): void {
    const { description, files, findings, stored } = this.#context;
    if (stored === true || !files.has(bundleNames.bundle) || description.files.length === 0) return;
    const { count, last_hash: last } = description.leaves;
    const isRead = this.#position === this.#filedCount && !this.#unreadable;
    if (count !== this.#filedCount || (isRead && last !== (this.#lastHash && toHex(this.#lastHash))))
      findings.add('B11', 'leaves.bin is not the file that was exported', { file: bundleNames.leaves });
  }

  #endOfPart(lastChunk: number): void {
    const { findings, manifest } = this.#context;
    const where = { file: bundleNames.leaves };
    if (this.#nextIndex !== lastChunk + 1) {
      findings.add('C13', `the part ends before chunk ${lastChunk}`, where);
      return;
    }
    const isLast = manifest === null ? this.#head.final : lastChunk === manifest.body.chunks_count - 1;
    if (isLast && !this.#head.final) findings.add('C14', 'the last leaf is not marked final', where);
    if (!isLast && this.#head.final) findings.add('C15', `leaf ${lastChunk + 1} follows the final one`, where);
  }

  #endOfWhole(): void {
    const { findings } = this.#context;
    const { body } = this.#context.manifest!;
    const where = { file: bundleNames.leaves };
    // Who deletes a recording deletes its leaves too: there is nothing left to compare.
    if (this.#context.erased.chunks && this.#position === 0) return;
    const { chunks_count: count } = body;
    if (this.#filedCount < count)
      findings.add('C16', `${count - this.#filedCount} of ${count} leaves are missing`, where);
    if (this.#filedCount > count)
      findings.add('C17', `${this.#filedCount - count} leaves are not in the manifest`, where);
    if (this.#position > 0 && !this.#head.final) findings.add('C14', 'the last leaf is not marked final', where);
    if (toHex(this.#tree.root()) !== body.merkle_root || this.#totalBytes !== body.total_bytes)
      findings.add('C18', 'the leaves are not those the manifest was signed over', where);
  }

  result(): ChainResult {
    return {
      leavesCount: this.#filedCount,
      firstOpenedUs: this.#firstOpenedUs,
      lastClosedUs: this.#position > 0 ? this.#head.closedUs : null,
      recoveredCount: this.#recoveredCount,
      totalBytes: this.#totalBytes,
      root: this.#tree.root(),
    };
  }
}
