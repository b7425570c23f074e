/**
 * Leaf and seal of each chunk, an object each, written once; there is never a hole, so that the first that is missing is the end,
 * found by asking for names. Full runs of them are merged into one object, from which they are read faster: it can be made again.
 */
import { LucidError } from '@lucid-sessions/contract';
import { LEAF_RECORD_BYTES } from '@lucid-sessions/evidence';
import type { S3Bucket } from './s3-bucket.ts';

/** Leaves in one merged object. */
export const leavesRun = 256;
const readAtOnceMax = 64;
const knownMax = 10_000;

export class S3Leaves {
  readonly #bucket: S3Bucket;
  readonly #folder: (sessionId: string) => string;
  /** Leaves this process knows to be there. */
  readonly #known = new Map<string, number>();

  constructor(bucket: S3Bucket, folder: (sessionId: string) => string) {
    this.#bucket = bucket;
    this.#folder = folder;
  }

  #one(sessionId: string, index: number): string {
    return `${this.#folder(sessionId)}/leaves/${String(index).padStart(10, '0')}`;
  }

  #run(sessionId: string, run: number): string {
    return `${this.#folder(sessionId)}/leaves/merged-${String(run).padStart(8, '0')}`;
  }

  /** Names of what there may be for `count` leaves. */
  names(sessionId: string, count: number): string[] {
    return [
      ...Array.from({ length: count }, (_, index) => this.#one(sessionId, index)),
      ...Array.from({ length: Math.floor(count / leavesRun) }, (_, run) => this.#run(sessionId, run)),
    ];
  }

  forget(sessionId: string): void {
    this.#known.delete(sessionId);
  }

  #learn(sessionId: string, count: number): void {
    if (count <= (this.#known.get(sessionId) ?? 0)) return;
    if (this.#known.size >= knownMax) this.#known.clear();
    this.#known.set(sessionId, count);
  }

  async #isThere(sessionId: string, index: number): Promise<boolean> {
    return (await this.#bucket.facts(this.#one(sessionId, index))) !== null;
  }

  async put(sessionId: string, index: number, sealedLeaf: Uint8Array, lock: { lockUntilMs?: number }): Promise<void> {
    const isBelow = index <= (this.#known.get(sessionId) ?? 0);
    if (!isBelow && !(await this.#isThere(sessionId, index - 1)))
      throw new LucidError('storage', 'leaves before this one are missing; restart storage to restore them');
    const key = this.#one(sessionId, index);
    const put = await this.#bucket.put(key, sealedLeaf, { ...lock, ifAbsent: true });
    if (!put.written) await this.#replace(sessionId, index, sealedLeaf, put.present?.etag ?? null, lock);
    this.#learn(sessionId, index + 1);
    // The leaf before is final: this one stands on it.
    if (index > 0 && index % leavesRun === 0) await this.#merge(sessionId, index / leavesRun - 1).catch(() => {});
  }

  /** What lies there is of a put that no row followed. */
  async #replace(
    sessionId: string,
    index: number,
    sealedLeaf: Uint8Array,
    etag: string | null,
    lock: { lockUntilMs?: number },
  ): Promise<void> {
    const key = this.#one(sessionId, index);
    const present = etag === null ? null : await this.#bucket.facts(key);
    if (present !== null && (await this.#bucket.isSame(key, present, sealedLeaf))) return;
    await this.#bucket.remove(this.#run(sessionId, Math.floor(index / leavesRun)));
    const condition = present === null ? { ifAbsent: true } : { ifEtag: present.etag };
    const { written } = await this.#bucket.put(key, sealedLeaf, { ...lock, ...condition });
    if (!written) throw new LucidError('storage', 'somebody else writes the same leaf');
  }

  async #merge(sessionId: string, run: number): Promise<void> {
    const leaves = await this.#readOnes(sessionId, run * leavesRun, leavesRun);
    if (leaves.length === leavesRun)
      await this.#bucket.put(this.#run(sessionId, run), Buffer.concat(leaves), { ifAbsent: true });
  }

  /** Up to `count` leaves from `from` on, as far as they are there. */
  async #readOnes(sessionId: string, from: number, count: number): Promise<Uint8Array[]> {
    const leaves: Uint8Array[] = [];
    for (let atOnce = 8; leaves.length < count; atOnce = Math.min(readAtOnceMax, atOnce * 2)) {
      const first = from + leaves.length;
      const length = Math.min(atOnce, count - leaves.length);
      const read = await Promise.all(Array.from({ length }, (_, at) => this.#read(sessionId, first + at)));
      const end = read.indexOf(null);
      for (const leaf of end === -1 ? read : read.slice(0, end)) leaves.push(leaf!);
      if (end !== -1) break;
    }
    return leaves;
  }

  async #read(sessionId: string, index: number): Promise<Uint8Array | null> {
    const leaf = await this.#bucket.getWhole(this.#one(sessionId, index), 'a leaf');
    if (leaf !== null && leaf.length !== LEAF_RECORD_BYTES)
      throw new LucidError('storage', `a leaf in the object store has ${leaf.length} bytes`);
    return leaf;
  }

  async readAll(sessionId: string): Promise<Uint8Array> {
    const runs: Uint8Array[] = [];
    for (let run = 0; ; run++) {
      const merged = await this.#bucket.get(this.#run(sessionId, run));
      if (merged !== null && !merged.isSpoiled && merged.bytes.length === leavesRun * LEAF_RECORD_BYTES) {
        runs.push(merged.bytes);
        continue;
      }
      const ones = await this.#readOnes(sessionId, run * leavesRun, leavesRun);
      runs.push(...ones);
      if (ones.length < leavesRun) break;
    }
    const leaves = Buffer.concat(runs);
    this.#learn(sessionId, leaves.length / LEAF_RECORD_BYTES);
    return new Uint8Array(leaves.buffer, leaves.byteOffset, leaves.length);
  }

  async tail(sessionId: string): Promise<{ count: number; last: Uint8Array | null }> {
    const count = await this.#count(sessionId);
    this.#learn(sessionId, count);
    return { count, last: count === 0 ? null : await this.#read(sessionId, count - 1) };
  }

  async #count(sessionId: string): Promise<number> {
    const hint = this.#known.get(sessionId) ?? (await this.#listed(sessionId));
    // Leaves known to be there.
    let low = hint > 0 && (await this.#isThere(sessionId, hint - 1)) ? hint : 0;
    let step = 1;
    while (await this.#isThere(sessionId, low + step - 1)) {
      low += step;
      step *= 2;
    }
    // The first missing one is from `low` to `low + step - 1`.
    for (let high = low + step - 1; low < high; ) {
      const middle = Math.floor((low + high) / 2);
      if (await this.#isThere(sessionId, middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async #listed(sessionId: string): Promise<number> {
    let count = 0;
    for await (const { key } of this.#bucket.list(`${this.#folder(sessionId)}/leaves/0`)) {
      const index = Number(key.split('/').at(-1));
      if (Number.isSafeInteger(index)) count = Math.max(count, index + 1);
    }
    return count;
  }
}
