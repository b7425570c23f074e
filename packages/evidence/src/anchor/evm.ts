import { DecodeError } from '@lucid-sessions/wire';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { parseCanonicalJson } from '../record/json.ts';
import { array, hex, integer, literal, object, string } from '../record/schema.ts';
import { fromHex, toHex, utf8 } from '../text.ts';
import { proveTrieValue } from './merkle-patricia.ts';
import { decodeRlp, rlpBytes, rlpInteger } from './rlp.ts';

/** Receipts of the anchor contract on an EVM chain. */
export const EVM_BACKEND = 'evm';

/** keccak-256 of the anchor contract's code: whoever's contract has it keeps the first time of a digest and nothing else. */
export const EVM_ANCHOR_CODE_HASH = 'a21120e0558fe9614bc372701ede4e2bc712ea82a2a62a94aebeb4694ba19aa5';

const PROOF_BYTES_MAX = 256 * 1024;
const node = string(4096, /^(?:[0-9a-f]{2})+$/);

/** `detail` of a receipt: canonical JSON, hex without 0x. */
const proofSchema = object({
  v: literal(1),
  chain_id: integer(1),
  contract: hex(20),
  /** The block's header in RLP: its keccak-256 is the block's hash. */
  header: string(16_384, /^(?:[0-9a-f]{2})+$/),
  account_proof: array(node, 65),
  storage_proof: array(node, 65),
});

/** What a proof shows, if its block is a block of the chain. */
export interface EvmAnchorProof {
  chainId: number;
  /** Hex, 20 bytes. */
  contract: string;
  /** Hex, 32 bytes. */
  blockHash: string;
  blockNumber: number;
  /** When the contract first saw the digest, µs since 1970: the time of a block, which its makers choose within seconds. */
  timeUs: number;
}

const bytesOf = (text: string): Uint8Array => fromHex(text, text.length / 2, 'proof');
const bad = (message: string): DecodeError => new DecodeError('invalid', `bad proof of an EVM anchor: ${message}`);

/**
 * Checks, without a node, that the state of one block holds a time for `digest` in an anchor contract: header → state root →
 * account → storage root → value (yellow paper, 4.1 and 4.4). Whether the block is one of the chain is the caller's to know.
 * Throws `DecodeError`.
 */
export function readEvmAnchorProof(detail: string, digest: Uint8Array): EvmAnchorProof {
  const proof = proofSchema.parse(parseCanonicalJson(utf8(detail), PROOF_BYTES_MAX), 'proof');
  const headerBytes = bytesOf(proof.header);
  const header = decodeRlp(headerBytes);
  if (header instanceof Uint8Array) throw bad('the header is not a list');
  const contract = fromHex(proof.contract, 20, 'contract');
  const stateRoot = rlpBytes(header[3], 'state root');
  const account = decodeRlp(proveTrieValue(stateRoot, keccak_256(contract), proof.account_proof.map(bytesOf)));
  if (account instanceof Uint8Array || account.length !== 4) throw bad('the account is not a list of four');
  if (toHex(rlpBytes(account[3], 'code hash')) !== EVM_ANCHOR_CODE_HASH)
    throw bad('the account is not an anchor contract');
  const storageRoot = rlpBytes(account[2], 'storage root');
  const value = decodeRlp(proveTrieValue(storageRoot, slotOf(digest), proof.storage_proof.map(bytesOf)));
  const seconds = rlpInteger(value, 'time');
  if (!(seconds > 0 && seconds <= rlpInteger(header[11], 'block time'))) throw bad('the time lies behind its block');
  return {
    chainId: proof.chain_id,
    contract: proof.contract,
    blockHash: toHex(keccak_256(headerBytes)),
    blockNumber: rlpInteger(header[8], 'block number'),
    timeUs: seconds * 1_000_000,
  };
}

/** The trie's key of `anchoredAt[digest]`, a mapping in slot 0. */
function slotOf(digest: Uint8Array): Uint8Array {
  const place = new Uint8Array(64);
  place.set(digest);
  return keccak_256(keccak_256(place));
}
