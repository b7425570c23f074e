import { Reader, Writer } from '@lucid-sessions/wire';
import { emptyRoot, HASH_BYTES, hashChildren } from './hash.ts';

/**
 * An append-only Merkle tree (RFC 6962, RFC 9162 section 2.1) that keeps only the roots of its complete subtrees, left to
 * right: O(log n) memory, and enough to go on after a restart (`serialize`).
 */
export class MerkleTree {
  #size: number;
  readonly #peaks: Uint8Array[];

  private constructor(size: number, peaks: Uint8Array[]) {
    this.#size = size;
    this.#peaks = peaks;
  }

  static empty(): MerkleTree {
    return new MerkleTree(0, []);
  }

  get size(): number {
    return this.#size;
  }

  /** Appends a leaf by its leaf hash (`hashLeaf`). */
  append(leafHash: Uint8Array): void {
    let hash = leafHash;
    // Each trailing 1 bit of the size is a complete subtree the new leaf completes to twice its size.
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2))
      hash = hashChildren(this.#peaks.pop()!, hash);
    this.#peaks.push(hash);
    this.#size += 1;
  }

  root(): Uint8Array {
    if (this.#size === 0) return emptyRoot();
    return this.#peaks.reduceRight((right, left) => hashChildren(left, right));
  }

  /** Roots of the complete subtrees, largest first. */
  peaks(): readonly Uint8Array[] {
    return this.#peaks;
  }

  /** u64 size, then the peaks. */
  serialize(): Uint8Array {
    const writer = new Writer(8 + this.#peaks.length * HASH_BYTES).u64be(BigInt(this.#size));
    for (const peak of this.#peaks) writer.slice(peak);
    return writer.bytes();
  }

  /** Throws `DecodeError`. */
  static restore(bytes: Uint8Array): MerkleTree {
    const reader = new Reader(bytes);
    const size = reader.u64beNumber();
    const peaks: Uint8Array[] = [];
    for (let rest = size; rest > 0; rest = Math.floor(rest / 2))
      if (rest % 2 === 1) peaks.push(reader.copy(HASH_BYTES));
    reader.expectEnd('tree');
    return new MerkleTree(size, peaks);
  }
}

/** The root over leaf hashes. */
export function merkleRoot(leafHashes: Iterable<Uint8Array>): Uint8Array {
  const tree = MerkleTree.empty();
  for (const leafHash of leafHashes) tree.append(leafHash);
  return tree.root();
}
