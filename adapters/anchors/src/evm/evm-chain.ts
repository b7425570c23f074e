/** What the EVM anchor asks of a node. viem is loaded on first use: few installations have such an anchor. */
import { LucidError } from '@lucid-sessions/contract';
import { EVM_ANCHOR_CODE_HASH } from '@lucid-sessions/evidence';
import type { Hex, PublicClient } from 'viem';
import { anchorContractAbi } from './contract.ts';

/** How deep a block must lie: by the chain's own finality, or so many blocks. */
export type EvmFinality = 'finalized' | 'safe' | number;

export interface EvmChainOptions {
  /** JSON-RPC over HTTP. It may hold an access key: it is in no message. */
  rpcUrl: string;
  chainId: number;
  finality: EvmFinality;
  timeoutMs?: number;
  retriesMax?: number;
}

/** A block as the node tells it: quantities and bytes in hex. */
export type RawBlock = Record<string, unknown> & { number: Hex; hash: Hex; timestamp: Hex };

/** Status 502: tried again later. */
export const unusable = (message: string): LucidError => new LucidError('anchoring', message, { status: 502 });
/** Status 500: no use in trying again. */
export const refused = (message: string): LucidError => new LucidError('anchoring', message, { status: 500 });

/** viem's long messages hold the node's URL; its short ones do not, and no cause goes along. */
export function asUnusable(thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  const { shortMessage } = thrown as { shortMessage?: unknown };
  return unusable(`the EVM node can't be used now: ${typeof shortMessage === 'string' ? shortMessage : 'it failed'}`);
}

async function openClient(options: EvmChainOptions): Promise<PublicClient> {
  const { createPublicClient, http } = await import('viem');
  const { rpcUrl, timeoutMs = 15_000, retriesMax = 2 } = options;
  return createPublicClient({ transport: http(rpcUrl, { timeout: timeoutMs, retryCount: retriesMax }) });
}

export class EvmChain {
  readonly #options: EvmChainOptions;
  #client: Promise<PublicClient> | null = null;

  constructor(options: EvmChainOptions) {
    this.#options = options;
  }

  get chainId(): number {
    return this.#options.chainId;
  }

  /** The node, after it said that it serves the chain that was configured. */
  async client(): Promise<PublicClient> {
    this.#client ??= this.#open();
    try {
      return await this.#client;
    } catch (thrown) {
      this.#client = null;
      throw thrown;
    }
  }

  async #open(): Promise<PublicClient> {
    const client = await openClient(this.#options);
    const served = await client.getChainId();
    if (served !== this.#options.chainId)
      throw unusable(`the EVM node serves chain ${served}, not ${this.#options.chainId}`);
    return client;
  }

  /** Null: the node has no such block. */
  async block(which: Hex | 'latest' | 'finalized' | 'safe'): Promise<RawBlock | null> {
    const client = await this.client();
    const block = (await client.request({
      method: 'eth_getBlockByNumber',
      params: [which, false],
    } as never)) as RawBlock | null;
    return block;
  }

  /** The latest block that is not expected to go away; null while there is none. */
  async finalBlock(): Promise<RawBlock | null> {
    const { finality } = this.#options;
    if (typeof finality === 'string') return this.block(finality);
    const latest = await this.block('latest');
    const number = latest === null ? -1n : BigInt(latest.number) - BigInt(finality);
    return number < 0n ? null : this.block(`0x${number.toString(16)}`);
  }

  /** Seconds since 1970, 0 when never, or when the contract was not there yet. */
  async anchoredAt(contract: Hex, digest: Hex, blockNumber?: bigint): Promise<number> {
    const [client, { encodeFunctionData }] = await Promise.all([this.client(), import('viem')]);
    const call = encodeFunctionData({ abi: anchorContractAbi, functionName: 'anchoredAt', args: [digest] });
    const { data } = await client.call({
      to: contract,
      data: call,
      ...(blockNumber === undefined ? {} : { blockNumber }),
    });
    return Number(data ?? 0);
  }

  /** Throws `refused` when the code at the address is not the anchor contract's. */
  async checkContract(contract: Hex): Promise<void> {
    const [client, { keccak256 }] = await Promise.all([this.client(), import('viem')]);
    const code = await client.getCode({ address: contract });
    if (code === undefined) throw unusable(`there is no contract at ${contract} yet`);
    if (keccak256(code) !== `0x${EVM_ANCHOR_CODE_HASH}`) throw refused(`${contract} is not an anchor contract`);
  }
}
