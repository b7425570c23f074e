/** Heads of the running session that were logged while it ran: what came up to them can't be disowned. */
import { bundleNames, progressSchema } from '../bundle/files.ts';
import { type Leaf, leafHash } from '../envelope/leaf.ts';
import { progressEntry } from '../log/entry.ts';
import { progressLeafHash, progressStatement } from '../log/progress.ts';
import { hashLeaf } from '../merkle/hash.ts';
import { verifyInclusion } from '../merkle/proof.ts';
import { parseCanonicalJson } from '../record/json.ts';
import { fromHex, toHex } from '../text.ts';
import type { ChainResult } from './chain.ts';
import { type Context, clockAllowanceUs, importedOf, orFormat, smallFile } from './context.ts';

/** `progress/0000` to `progress/0015`. */
export const PROGRESS_MAX = 16;
/** With 64 hashes it has some 5,000. */
const PROGRESS_FILE_BYTES_MAX = 16 << 10;

/** A head that a trusted log holds, as entry `logIndex`. */
export interface ProvenHead {
  file: string;
  logIndex: number;
  atUs: number;
  leavesCount: number;
  leafHash: string | null;
}

export interface ProgressFile extends Omit<ProvenHead, 'logIndex'> {
  /** Of the entry it is proven by. */
  entryHash: Uint8Array;
}

/** Reads the files, and that each is of this session and in the root it names. What the log says is for who trusts one. */
export async function readProgress(context: Context): Promise<ProgressFile[]> {
  const found: ProgressFile[] = [];
  for (let at = 0; at < PROGRESS_MAX && context.files.has(bundleNames.progress(at)); at += 1) {
    const file = bundleNames.progress(at);
    const read = await orFormat(context, file, async () => {
      const bytes = (await smallFile(context, file, PROGRESS_FILE_BYTES_MAX)) as Uint8Array;
      return progressSchema.parse(parseCanonicalJson(bytes, bytes.length), 'progress');
    });
    if (read === null || context.open === null) continue;
    const { at_us: atUs, count, root, index, leaves_count: leavesCount, leaf_hash: leaf, hashes } = read;
    const head = { openSha256: context.open.sha256, leavesCount, leafHash: leaf };
    const isIn =
      (leaf === null) === (leavesCount === 0) &&
      verifyInclusion({
        leafHash: progressLeafHash(head),
        index,
        size: count,
        root: fromHex(root, 32),
        proof: hashes.map((hash) => fromHex(hash, 32)),
      });
    if (!isIn) {
      context.findings.add('L23', 'the head is not one of those its root is over', { file });
      continue;
    }
    const entryHash = hashLeaf(progressEntry({ statement: progressStatement({ atUs, count, root }), root }));
    found.push({ file, atUs, leavesCount, leafHash: leaf, entryHash });
  }
  return found;
}

/** Compares the recording with the heads that were logged of it. */
export class ProgressCheck {
  readonly #context: Context;
  readonly #heads: readonly ProvenHead[];
  readonly #wanted: ReadonlySet<number>;

  /** Index of the manifest in the log; null: it is not shown to be there. */
  readonly #manifestIndex: number | null;

  constructor(context: Context, heads: readonly ProvenHead[], manifestIndex: number | null) {
    this.#context = context;
    this.#manifestIndex = manifestIndex;
    this.#heads = heads;
    this.#wanted = new Set(heads.map(({ leavesCount }) => leavesCount));
  }

  /** With each leaf that could be read, and its 160 bytes. */
  leaf(leaf: Leaf, bytes: Uint8Array): void {
    if (!this.#wanted.has(leaf.index + 1)) return;
    const hash = toHex(leafHash(bytes));
    const { findings, policy } = this.#context;
    for (const head of this.#heads.filter(({ leavesCount }) => leavesCount === leaf.index + 1)) {
      const where = { file: head.file, index: leaf.index };
      if (hash !== head.leafHash)
        findings.once(
          'disowned',
          'L25',
          `leaf ${leaf.index} is not the one that was logged while it was recorded`,
          where,
        );
      else if (leaf.closedUs > head.atUs + clockAllowanceUs(this.#context) + policy.clockToleranceUs)
        findings.add('L27', `leaf ${leaf.index} was logged before it says it was closed`, where);
    }
  }

  end(chain: ChainResult): void {
    const last = this.#heads.reduce<ProvenHead | null>(
      (best, head) => (head.leavesCount > (best?.leavesCount ?? 0) ? head : best),
      null,
    );
    const { manifest, erased, findings, description } = this.#context;
    // Of a part the end is not here; of what was destroyed the manifest alone says what there was.
    const isHere = description.partial === null && !(erased.chunks && chain.leavesCount === 0);
    const count = manifest?.body.chunks_count ?? (isHere ? chain.leavesCount : null);
    if (last !== null && count !== null && count < last.leavesCount)
      findings.add('L26', `${last.leavesCount} leaves were logged while it was recorded, and ${count} are told of`, {
        file: last.file,
      });
    this.#atEnd();
  }

  /** Whether the log saw the recording shortly before its end. */
  #atEnd(): void {
    const { manifest, open, policy, findings } = this.#context;
    const limitUs = policy.progressUs ?? null;
    if (limitUs === null || manifest === null || open === null || importedOf(this.#context) !== null) return;
    const before = this.#manifestIndex ?? 0;
    const seenUs = this.#heads
      .filter(({ leavesCount, logIndex }) => leavesCount > 0 && logIndex < before)
      .reduce((latest, { atUs }) => Math.max(latest, atUs), open.body.opened_us);
    const leftUs = manifest.body.ended_us - seenUs;
    if (leftUs > limitUs)
      findings.add('L28', `nothing of the last ${(leftUs / 1_000_000).toFixed(1)} s was logged while it was recorded`, {
        file: bundleNames.manifest,
      });
  }
}
