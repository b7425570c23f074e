/** Proofs that need no node: the header of a block and the way from its state root to what the anchor contract holds. */
import { encodeJson } from '@lucid-sessions/evidence';
import type { Hex } from 'viem';
import type { EvmChain, RawBlock } from './evm-chain.ts';

/** Fields of a header in their order, later ones as forks added them (EIP-1559, 4895, 4844, 4788, 7685). */
const headerFields = [
  ...['parentHash', 'sha3Uncles', 'miner', 'stateRoot', 'transactionsRoot', 'receiptsRoot', 'logsBloom'],
  ...['difficulty', 'number', 'gasLimit', 'gasUsed', 'timestamp', 'extraData', 'mixHash', 'nonce'],
  ...['baseFeePerGas', 'withdrawalsRoot', 'blobGasUsed', 'excessBlobGas', 'parentBeaconBlockRoot', 'requestsHash'],
];
const quantities = new Set([
  'difficulty',
  'number',
  'gasLimit',
  'gasUsed',
  'timestamp',
  'baseFeePerGas',
  'blobGasUsed',
  'excessBlobGas',
]);

const bare = (hex: string): string => hex.replace(/^0x/, '').toLowerCase();
/** A quantity is an integer without leading zeros, zero the empty string. */
const quantity = (value: string): Hex => {
  const digits = bare(value).replace(/^0+/, '');
  return `0x${digits.length % 2 === 1 ? '0' : ''}${digits}`;
};

/** The header in RLP, or null where the chain's headers are made otherwise: the hash must come out. */
async function headerOf(block: RawBlock): Promise<Hex | null> {
  const { keccak256, toRlp } = await import('viem');
  const fields: Hex[] = [];
  for (const name of headerFields) {
    const value = block[name];
    if (typeof value !== 'string') break;
    fields.push(quantities.has(name) ? quantity(value) : (value as Hex));
  }
  const header = toRlp(fields);
  return keccak256(header) === block.hash ? header : null;
}

/** What `readEvmAnchorProof` takes; null where the node or the chain can't prove. */
export async function proofOf(chain: EvmChain, contract: Hex, digest: Hex, block: RawBlock): Promise<string | null> {
  const { concat, keccak256, pad } = await import('viem');
  const header = await headerOf(block);
  if (header === null) return null;
  const client = await chain.client();
  const slot = keccak256(concat([digest, pad('0x', { size: 32 })]));
  const proof = await client
    .getProof({ address: contract, storageKeys: [slot], blockNumber: BigInt(block.number) })
    .catch(() => null);
  const storage = proof?.storageProof[0];
  if (proof === null || storage === undefined) return null;
  return new TextDecoder().decode(
    encodeJson({
      v: 1,
      chain_id: chain.chainId,
      contract: bare(contract),
      header: bare(header),
      account_proof: proof.accountProof.map(bare),
      storage_proof: storage.proof.map(bare),
    }),
  );
}
