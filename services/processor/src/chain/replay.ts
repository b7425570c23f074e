import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { LucidError } from '@lucid-sessions/contract';
import {
  decodeLeaf,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  leafHash,
  MerkleTree,
  NO_LEAF_HASH,
} from '@lucid-sessions/evidence';
import { equalBytes } from '@lucid-sessions/wire';

/** Leaves replayed before other work gets its turn: a long session must not hold up the thread. */
const leavesPerTurn = 256;

export interface Replayed {
  tree: MerkleTree;
  totalBytes: number;
  head: Uint8Array;
  /** The last leaf is a final one. */
  ended: boolean;
}

/** Builds tree and sums again from the leaves in storage, and checks that they are one chain. */
export async function replayLeaves(sessionId: Uint8Array, leaves: Uint8Array): Promise<Replayed> {
  const replayed: Replayed = { tree: MerkleTree.empty(), totalBytes: 0, head: NO_LEAF_HASH, ended: false };
  for (let at = 0; at + LEAF_RECORD_BYTES <= leaves.length; at += LEAF_RECORD_BYTES) {
    const bytes = leaves.subarray(at, at + LEAF_BYTES);
    const leaf = decodeLeaf(bytes);
    const { tree, head } = replayed;
    const follows =
      leaf.index === tree.size &&
      equalBytes(leaf.previousLeafHash, head) &&
      equalBytes(leaf.sessionId, sessionId) &&
      !replayed.ended;
    if (!follows) throw new LucidError('storage', `leaf ${tree.size} in storage does not follow the one before it`);
    replayed.head = leafHash(bytes);
    tree.append(replayed.head);
    replayed.totalBytes += leaf.fileBytes;
    replayed.ended = leaf.final;
    if (tree.size % leavesPerTurn === 0) await yieldToOthers();
  }
  return replayed;
}
