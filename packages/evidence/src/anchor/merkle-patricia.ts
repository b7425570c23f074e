import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { decodeRlp, type RlpItem, rlpBytes } from './rlp.ts';

const nodesMax = 65;
const bad = (message: string): DecodeError => new DecodeError('invalid', `bad trie proof: ${message}`);

/**
 * The value a Merkle Patricia trie with this root holds under `key` (32 bytes, hashed already), proven by the nodes from the
 * root down, each in RLP (Ethereum yellow paper, appendix D; as `eth_getProof` gives them). Throws `DecodeError` when the proof
 * does not show a value.
 */
export function proveTrieValue(root: Uint8Array, key: Uint8Array, nodes: readonly Uint8Array[]): Uint8Array {
  if (!(nodes.length >= 1 && nodes.length <= nodesMax)) throw bad(`it has ${nodes.length} nodes`);
  const path = [...key].flatMap((byte) => [byte >> 4, byte & 0x0f]);
  let used = 0;
  let next: RlpItem = root;
  let at = 0;
  for (;;) {
    const node: RlpItem[] = nodeOf(next, () => nodes[used++]);
    if (node.length === 17) {
      const nibble = path[at];
      if (nibble === undefined) throw bad('the path ends inside the trie');
      next = node[nibble]!;
      at += 1;
      continue;
    }
    if (node.length !== 2) throw bad(`a node has ${node.length} items`);
    const { nibbles, isLeaf } = pathOf(rlpBytes(node[0], 'path'));
    if (nibbles.some((nibble, i) => path[at + i] !== nibble)) throw bad('the key is not in the trie');
    at += nibbles.length;
    next = node[1]!;
    if (!isLeaf) continue;
    if (at !== path.length || used !== nodes.length) throw bad('its end is not the end of the path');
    return rlpBytes(next, 'value');
  }
}

/** A node shorter than 32 bytes stands in its parent; every other is named there by its hash. */
function nodeOf(reference: RlpItem, take: () => Uint8Array | undefined): RlpItem[] {
  if (!(reference instanceof Uint8Array)) return reference;
  if (reference.length === 0) throw bad('the key is not in the trie');
  const bytes = take();
  if (bytes === undefined) throw bad('a node is missing');
  if (!equalBytes(keccak_256(bytes), reference)) throw bad('a node does not have the hash its parent names');
  const node = decodeRlp(bytes);
  if (node instanceof Uint8Array) throw bad('a node is not a list');
  return node;
}

/** Hex-prefix encoding (appendix C). */
function pathOf(bytes: Uint8Array): { nibbles: number[]; isLeaf: boolean } {
  const nibbles = [...bytes].flatMap((byte) => [byte >> 4, byte & 0x0f]);
  const [flag = 16, second] = nibbles;
  if (flag > 3 || ((flag & 1) === 0 && second !== 0)) throw bad('a path has a wrong prefix');
  return { nibbles: nibbles.slice((flag & 1) === 1 ? 1 : 2), isLeaf: (flag & 2) !== 0 };
}
