import type { AnchorReceipt } from '@lucid-sessions/contract';
import {
  type AnchorVerdict,
  type BundleAnchor,
  EVM_BACKEND,
  fromHex,
  readEvmAnchorProof,
} from '@lucid-sessions/evidence';
import type { Anchor, AnchorRequest } from '@lucid-sessions/pipeline';
import { DecodeError } from '@lucid-sessions/wire';
import type { Hex } from 'viem';
import { anchorContractAbi, anchorContractCode } from './contract.ts';
import { asUnusable, EvmChain, type EvmChainOptions, refused, unusable } from './evm-chain.ts';
import { proofOf } from './evm-proof.ts';

export interface EvmAnchorOptions extends EvmChainOptions {
  contract: Hex;
  /** Pays for the transactions and is worth nothing else: who steals it can anchor, not forge. */
  privateKey: Hex;
  /** Above this price a transaction waits for a cheaper hour. */
  feePerGasMaxWei: bigint;
  /** µs since 1970. */
  nowUs?(): number;
}

type WalletOptions = EvmChainOptions & Pick<EvmAnchorOptions, 'privateKey' | 'feePerGasMaxWei'>;

const digestOf = ({ merkleRoot }: Pick<AnchorRequest, 'merkleRoot'>): Hex => `0x${merkleRoot}`;
const isHash = (text: string | null): text is Hex => text !== null && /^0x[0-9a-f]{64}$/.test(text);

/**
 * Anchors session roots in the contract of `lucid-anchor.sol` on an EVM chain. The contract keeps the first time of a digest
 * for ever and nobody can change it, so it is asked before anything is sent and a transaction that was sent twice changes
 * nothing. `confirmed` needs the digest in a final block; the receipt then carries a proof anybody can check without the
 * node (`readEvmAnchorProof`), where node and chain can give one.
 */
export class EvmAnchor implements Anchor {
  readonly backend = EVM_BACKEND;
  readonly #options: EvmAnchorOptions;
  readonly #chain: EvmChain;
  readonly #nowUs: () => number;
  /** One transaction at a time: each takes the account's next number. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: EvmAnchorOptions) {
    this.#options = options;
    this.#chain = new EvmChain(options);
    this.#nowUs = options.nowUs ?? (() => Date.now() * 1000);
  }

  submit(request: AnchorRequest): Promise<AnchorReceipt> {
    const mine = this.#turn.then(() => this.#submit(request));
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #submit(request: AnchorRequest): Promise<AnchorReceipt> {
    try {
      await this.#chain.checkContract(this.#options.contract);
      const pending = this.#pending(request, null);
      if ((await this.#chain.anchoredAt(this.#options.contract, digestOf(request))) > 0)
        return (await this.#look(request, pending)) ?? pending;
      return this.#pending(request, await this.#send(digestOf(request)));
    } catch (thrown) {
      throw asUnusable(thrown);
    }
  }

  async check(request: AnchorRequest, receipt: AnchorReceipt): Promise<AnchorReceipt | null> {
    try {
      const now = await this.#look(request, receipt);
      if (receipt.status !== 'confirmed') return now;
      if (now?.status === 'confirmed') return now;
      // In the chain and not final: a reorganisation put it into a later block, which is final soon.
      const detail = now === null ? 'the chain does not hold it any more' : 'it is not in a final block any more';
      return { ...receipt, status: 'reorged', detail };
    } catch (thrown) {
      throw asUnusable(thrown);
    }
  }

  #pending(request: AnchorRequest, transactionId: string | null): AnchorReceipt {
    return {
      backend: this.backend,
      status: 'pending',
      submittedAtUs: this.#nowUs(),
      confirmedAtUs: null,
      blockHeight: null,
      transactionId,
      merkleRoot: request.merkleRoot,
      detail: null,
    };
  }

  /** What the chain says of a digest that was handed in; null when neither contract nor node know of it. */
  async #look(request: AnchorRequest, receipt: AnchorReceipt): Promise<AnchorReceipt | null> {
    const { contract } = this.#options;
    const digest = digestOf(request);
    const { submittedAtUs, transactionId } = receipt;
    const pending = { ...this.#pending(request, transactionId), submittedAtUs };
    const final = await this.#chain.finalBlock();
    const seconds = final === null ? 0 : await this.#chain.anchoredAt(contract, digest, BigInt(final.number));
    if (final === null || seconds === 0) {
      const isThere = (await this.#chain.anchoredAt(contract, digest)) > 0 || (await this.#isWaiting(transactionId));
      return isThere ? pending : null;
    }
    const kept = await this.#keptProof(receipt);
    const proof = kept ?? (await proofOf(this.#chain, contract, digest, final));
    return {
      ...pending,
      status: 'confirmed',
      confirmedAtUs: seconds * 1_000_000,
      blockHeight: await this.#heightOf(receipt, final.number),
      detail: proof,
    };
  }

  /** The node has the transaction, mined or not. */
  async #isWaiting(transactionId: string | null): Promise<boolean> {
    if (!isHash(transactionId)) return false;
    const client = await this.#chain.client();
    return client.getTransaction({ hash: transactionId }).then(
      () => true,
      (thrown: { name?: string }) => {
        if (thrown.name === 'TransactionNotFoundError') return false;
        throw thrown;
      },
    );
  }

  /** The block of our transaction; of one that came first by other hands, the block that proves it. */
  async #heightOf({ transactionId }: AnchorReceipt, finalNumber: Hex): Promise<number> {
    if (!isHash(transactionId)) return Number(finalNumber);
    const client = await this.#chain.client();
    const mined = await client.getTransactionReceipt({ hash: transactionId }).catch(() => null);
    return Number(mined?.blockNumber ?? finalNumber);
  }

  /** The proof of an earlier look, while its block is still one of the chain: nodes forget old states. */
  async #keptProof({ detail, merkleRoot, status }: AnchorReceipt): Promise<string | null> {
    if (status !== 'confirmed' || detail === null) return null;
    const block = await blockOfProof(detail, merkleRoot);
    if (block === null) return null;
    const known = await this.#chain.block(`0x${block.blockNumber.toString(16)}`);
    return known?.hash === `0x${block.blockHash}` ? detail : null;
  }

  async #send(digest: Hex): Promise<Hex> {
    const { contract, feePerGasMaxWei } = this.#options;
    const client = await this.#chain.client();
    const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas();
    if (maxFeePerGas > feePerGasMaxWei)
      throw unusable(`a unit of gas costs ${maxFeePerGas} wei now, more than LUCID_EVM_MAX_FEE_GWEI allows`);
    const wallet = await openWallet(this.#options);
    return wallet.writeContract({
      chain: null,
      address: contract,
      abi: anchorContractAbi,
      functionName: 'anchor',
      args: [digest],
      maxFeePerGas,
      maxPriorityFeePerGas,
    });
  }
}

/** Sending is not repeated: whoever asks again asks the contract first. */
async function openWallet({ privateKey, rpcUrl, timeoutMs = 15_000 }: WalletOptions) {
  const [{ createWalletClient, http }, { privateKeyToAccount }] = await Promise.all([
    import('viem'),
    import('viem/accounts'),
  ]);
  const transport = http(rpcUrl, { timeout: timeoutMs, retryCount: 0 });
  return createWalletClient({ account: privateKeyToAccount(privateKey), transport });
}

async function blockOfProof(detail: string, digest: string) {
  try {
    return readEvmAnchorProof(detail, fromHex(digest, 32));
  } catch (thrown) {
    if (thrown instanceof DecodeError) return null;
    throw thrown;
  }
}

/**
 * For a verification: whether the block of a receipt's proof is a final block of the chain, asked of a node the verifying
 * person trusts. The rest of the proof has been checked without it. Null: the node can't say now.
 */
export async function checkEvmAnchor(options: EvmChainOptions, anchor: BundleAnchor): Promise<AnchorVerdict | null> {
  const proof = anchor.detail === null ? null : await blockOfProof(anchor.detail, anchor.digest);
  if (proof === null || proof.chainId !== options.chainId) return null;
  const chain = new EvmChain(options);
  try {
    const [final, known] = await Promise.all([chain.finalBlock(), chain.block(`0x${proof.blockNumber.toString(16)}`)]);
    if (known === null || final === null || BigInt(final.number) < BigInt(proof.blockNumber))
      return { state: 'pending', message: `block ${proof.blockNumber} is not final on chain ${proof.chainId}` };
    if (known.hash !== `0x${proof.blockHash}`)
      return { state: 'reorged', message: `chain ${proof.chainId} has another block ${proof.blockNumber}` };
    return { state: 'confirmed', timeUs: proof.timeUs };
  } catch {
    return null;
  }
}

/** Deploys the anchor contract and waits for it; answers its address. Throws `LucidError`. */
export async function deployEvmContract(options: WalletOptions): Promise<{ contract: Hex; transaction: Hex }> {
  try {
    const client = await new EvmChain(options).client();
    const { maxFeePerGas } = await client.estimateFeesPerGas();
    if (maxFeePerGas > options.feePerGasMaxWei) throw refused(`a unit of gas costs ${maxFeePerGas} wei now`);
    const wallet = await openWallet(options);
    const transaction = await wallet.deployContract({
      chain: null,
      abi: anchorContractAbi,
      bytecode: anchorContractCode,
    });
    const { contractAddress, status } = await client.waitForTransactionReceipt({ hash: transaction, timeout: 300_000 });
    if (status !== 'success' || !contractAddress) throw refused('the contract could not be deployed');
    return { contract: contractAddress, transaction };
  } catch (thrown) {
    throw asUnusable(thrown);
  }
}
