import { type ChunkReceipt, type ChunkToSeal, chunkIdOf, LucidError, type StoragePort } from '@lucid-sessions/contract';
import {
  decodeLeaf,
  decodeLeafFlags,
  encodeLeafFlags,
  leafHash,
  type MerkleTree,
  SEAL_KEY_BYTES,
  sealLeaf,
  toHex,
} from '@lucid-sessions/evidence';
import { type Crypto, equalBytes } from '@lucid-sessions/wire';
import { persist } from '../persist.ts';
import type { PaceDecision } from '../pool/pace.ts';
import type { ChunkPool, CompressedBody, PooledChunk, SealedBody } from '../pool/pool.ts';
import { type ChunkContext, inputsSecretOf, leafOf, newSalt, prefixBytesOf, sealRequestOf } from './chunk-link.ts';

/** Chunks that came before the ones they follow, and those under way, per session. */
const aheadMax = 16;
const parkedMsMax = 20_000;
/** How often a chunk waits for the one before it to arrive at storage. */
const overtakesMax = 8;

export interface ChainStart extends ChunkContext {
  sessionName: string;
  owner: string;
  epoch: number;
  /** Over every leaf in storage. */
  tree: MerkleTree;
  totalBytes: number;
  /** Hash of the last leaf, zero before the first. */
  head: Uint8Array;
  /** Ed25519 seed the next leaf is sealed with. */
  sealSeed: Uint8Array;
  /** The last leaf was a final one. */
  ended: boolean;
}

export interface ChainDeps {
  storage: StoragePort;
  pool: ChunkPool;
  crypto: Crypto;
}

/** A leaf that was signed and that storage has not confirmed. Its seal key is gone: the same leaf is put again, or none. */
interface Link {
  salt: Uint8Array;
  pace: PaceDecision;
  previousLeafHash: Uint8Array;
  leaf: Uint8Array;
  seal: Uint8Array;
  leafHash: Uint8Array;
}

interface Parked {
  chunk: ChunkToSeal;
  result: PromiseWithResolvers<ChunkReceipt>;
  timer: NodeJS.Timeout;
}

/**
 * One session's chain of leaves as long as this processor holds its lease. Chunks are compressed beside each other and
 * linked one after the other, because a chunk's key is bound to the leaf before it.
 *
 * A chunk that fails before its leaf was signed leaves no trace: the chunks behind it fail with it and are asked for again.
 * A chunk whose leaf was signed and not confirmed keeps its salt and leaf, so that asking again makes the very same file;
 * when it does not, or when storage holds another chain, this chain stops for good and a new one starts with a `resume`.
 */
export class SessionChain {
  readonly owner: string;
  readonly epoch: number;
  readonly sessionName: string;
  readonly #context: ChunkContext;
  readonly #deps: ChainDeps;
  readonly #tree: MerkleTree;
  readonly #links = new Map<number, Link>();
  readonly #running = new Map<number, Promise<ChunkReceipt>>();
  readonly #parked = new Map<number, Parked>();
  #totalBytes: number;
  #head: Uint8Array;
  #sealSeed: Uint8Array;
  #ended: boolean;
  /** Index of the next chunk to let in. */
  #next: number;
  #slotTurn: Promise<unknown> = Promise.resolve();
  #linkTurn: Promise<unknown> = Promise.resolve();
  #stopped: LucidError | null = null;

  constructor(start: ChainStart, deps: ChainDeps) {
    const { sessionId, keys, dekId, compression } = start;
    this.#context = { sessionId, keys, dekId, compression };
    this.sessionName = start.sessionName;
    this.owner = start.owner;
    this.epoch = start.epoch;
    this.#deps = deps;
    this.#tree = start.tree;
    this.#totalBytes = start.totalBytes;
    this.#head = start.head;
    this.#sealSeed = start.sealSeed;
    this.#ended = start.ended;
    this.#next = start.tree.size;
  }

  get stopped(): boolean {
    return this.#stopped !== null;
  }

  get busy(): boolean {
    return this.#running.size > 0 || this.#parked.size > 0;
  }

  /** Root and sums over the chain; null while a signed leaf is not confirmed by storage. */
  summary(): { root: Uint8Array; chunksCount: number; totalBytes: number } | null {
    if (this.#stopped !== null || this.#links.size > 0 || this.busy) return null;
    return { root: this.#tree.root(), chunksCount: this.#tree.size, totalBytes: this.#totalBytes };
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }

  /** The chain is no longer ours or no longer needed: keys are erased, whatever is under way fails. */
  stop(reason: LucidError): void {
    if (this.#stopped !== null) return;
    this.#stopped = reason;
    this.#sealSeed.fill(0);
    this.#context.keys?.view.fill(0);
    this.#context.keys?.inputs.fill(0);
    for (const { result, timer } of this.#parked.values()) {
      clearTimeout(timer);
      result.reject(reason);
    }
    this.#parked.clear();
  }

  seal(chunk: ChunkToSeal): Promise<ChunkReceipt> {
    const { index } = chunk;
    if (this.#stopped !== null) return Promise.reject(this.#stopped);
    const running = this.#running.get(index) ?? this.#parked.get(index)?.result.promise;
    if (running !== undefined) return running;
    if (index < this.#next) return storedReceipt(this.#deps.storage, chunk);
    if (this.#running.size + this.#parked.size >= aheadMax || index >= this.#next + aheadMax)
      return Promise.reject(
        new LucidError('unavailable', `at most ${aheadMax} chunks of a session are sealed at once`),
      );
    return index === this.#next ? this.#admit(chunk) : this.#park(chunk);
  }

  /** Chunks may overtake each other on the network: one that is early waits for those before it. */
  #park(chunk: ChunkToSeal): Promise<ChunkReceipt> {
    const result = Promise.withResolvers<ChunkReceipt>();
    const timer = setTimeout(() => {
      this.#parked.delete(chunk.index);
      result.reject(new LucidError('unavailable', `chunk ${chunk.index} came, and the one before it did not`));
    }, parkedMsMax);
    this.#parked.set(chunk.index, { chunk, result, timer });
    return result.promise;
  }

  #admit(chunk: ChunkToSeal): Promise<ChunkReceipt> {
    const { index } = chunk;
    this.#next = index + 1;
    const receipt = this.#run(chunk).finally(() => this.#running.delete(index));
    this.#running.set(index, receipt);
    const parked = this.#parked.get(index + 1);
    if (parked !== undefined) {
      this.#parked.delete(index + 1);
      clearTimeout(parked.timer);
      this.#admit(parked.chunk).then(parked.result.resolve, parked.result.reject);
    }
    return receipt;
  }

  async #run(chunk: ChunkToSeal): Promise<ChunkReceipt> {
    const earlier = this.#links.get(chunk.index);
    const salt = earlier?.salt ?? newSalt(this.#deps.crypto);
    const slot = this.#slotTurn.then(() => this.#take(chunk, salt, earlier?.pace));
    this.#slotTurn = slot.catch(() => {});
    const before = this.#linkTurn;
    const turn = Promise.withResolvers<void>();
    this.#linkTurn = turn.promise;
    let pooled: PooledChunk | null = null;
    try {
      let linked: Linked;
      try {
        pooled = await slot;
        const body = await pooled.compressed;
        await before;
        linked = await this.#link(chunk, pooled, body, salt);
      } finally {
        turn.resolve();
      }
      return await this.#store(chunk, linked);
    } catch (thrown) {
      this.#next = Math.min(this.#next, chunk.index);
      throw thrown;
    } finally {
      pooled?.release();
    }
  }

  async #take(chunk: ChunkToSeal, salt: Uint8Array, pace: PaceDecision | undefined): Promise<PooledChunk> {
    const { crypto, pool } = this.#deps;
    this.#checkRunning();
    const inputs = await inputsSecretOf(crypto, this.#context, { index: chunk.index, salt });
    const { compression } = this.#context;
    return pool.take(chunk.payload, { compression, prefixBytes: prefixBytesOf(this.#context), pace, inputs });
  }

  async #link(chunk: ChunkToSeal, pooled: PooledChunk, body: CompressedBody, salt: Uint8Array): Promise<Linked> {
    this.#checkRunning();
    const earlier = this.#links.get(chunk.index);
    if (earlier !== undefined) return this.#linkAgain(chunk, pooled, body, earlier);
    if (this.#ended) throw new LucidError('notInThisState', 'the session has its final chunk');
    if (this.#tree.size !== chunk.index)
      throw new LucidError('unavailable', 'the chunk before this one failed; send both again');
    const { crypto } = this.#deps;
    const previousLeafHash = this.#head;
    const request = await sealRequestOf(crypto, this.#context, chunk, { body, previousLeafHash, salt });
    const sealed = await pooled.seal(request);
    const nextSeed = crypto.randomBytes(SEAL_KEY_BYTES);
    const nextSealKey = chunk.final ? new Uint8Array(SEAL_KEY_BYTES) : await crypto.ed25519PublicKey(nextSeed);
    const leaf = leafOf(this.#context, chunk, { body, sealed, previousLeafHash, nextSealKey });
    const seal = await sealLeaf(crypto, this.#sealSeed, leaf);
    // A chain that was stopped meanwhile has erased its seal key: nothing it signed may leave.
    this.#checkRunning();
    this.#sealSeed.fill(0);
    this.#sealSeed = nextSeed;
    const link: Link = { salt, pace: pooled.pace, previousLeafHash, leaf, seal, leafHash: leafHash(leaf) };
    this.#links.set(chunk.index, link);
    this.#head = link.leafHash;
    this.#ended = chunk.final;
    this.#tree.append(link.leafHash);
    this.#totalBytes += sealed.file.length;
    return { link, body, sealed };
  }

  /** Makes the file of a signed leaf again. */
  async #linkAgain(chunk: ChunkToSeal, pooled: PooledChunk, body: CompressedBody, link: Link): Promise<Linked> {
    const sealed = await pooled.seal(await sealRequestOf(this.#deps.crypto, this.#context, chunk, { body, ...link }));
    this.#checkRunning();
    if (!equalBytes(sealed.sha256, decodeLeaf(link.leaf).fileSha256)) {
      const changed = new LucidError('conflict', 'the chunk asked for again is not the one that was sealed');
      this.stop(changed);
      throw changed;
    }
    return { link, body, sealed };
  }

  #checkRunning(): void {
    if (this.#stopped !== null) throw this.#stopped;
  }

  async #store(chunk: ChunkToSeal, linked: Linked): Promise<ChunkReceipt> {
    const { link, body, sealed } = linked;
    const { index } = chunk;
    const receipt: Omit<ChunkReceipt, 'storedAtUs'> = {
      chunkId: chunkIdOf(this.sessionName, index),
      index,
      leafHash: toHex(link.leafHash),
      fileSha256: toHex(sealed.sha256),
      fileBytes: sealed.file.length,
      payloadBytes: chunk.payload.length,
      compression: body.compression,
    };
    const request: Parameters<StoragePort['putChunk']>[0] = {
      metadata: {
        ...receipt,
        sessionId: this.sessionName,
        openedUs: chunk.openedUs,
        closedUs: chunk.closedUs,
        framesCount: chunk.framesCount,
        updatesCount: chunk.updatesCount,
        flags: encodeLeafFlags(decodeLeaf(link.leaf)),
        keyId: this.#context.keys === null ? '' : toHex(this.#context.dekId),
      },
      epoch: this.epoch,
      leaf: link.leaf,
      seal: link.seal,
      file: sealed.file,
    };
    const storedAtUs = await this.#put(index, request);
    this.#links.delete(index);
    return { ...receipt, storedAtUs, final: chunk.final };
  }

  /**
   * Compare-and-swap in storage. Chunks are put without waiting for each other; over a network one may arrive before its
   * predecessor and is refused, then it waits for it and comes again. Any other refusal means the chain is not ours any more.
   */
  async #put(index: number, request: Parameters<StoragePort['putChunk']>[0]): Promise<number> {
    for (let overtakes = 0; ; overtakes += 1) {
      this.#checkRunning();
      const { appended, storedAtUs, head } = await persist('take the chunk', () =>
        this.#deps.storage.putChunk(request),
      );
      if (appended) return storedAtUs;
      const early = head.count < index && overtakes < overtakesMax;
      if (!early) break;
      await this.#running.get(index - 1)?.catch(() => {});
      if (this.#links.has(index - 1))
        throw new LucidError('unavailable', 'the chunk before this one is not stored yet; send both again');
    }
    const taken = new LucidError('conflict', 'another processor carries this session on; this one stops sealing it');
    this.stop(taken);
    throw taken;
  }
}

interface Linked {
  link: Link;
  body: CompressedBody;
  sealed: SealedBody;
}

/** The receipt of a chunk that storage has already. Throws `conflict` when it is another chunk than the one asked for. */
export async function storedReceipt(storage: StoragePort, chunk: ChunkToSeal): Promise<ChunkReceipt> {
  const receipt = await findStoredReceipt(storage, chunk);
  if (receipt === null)
    throw new LucidError('notInThisState', `chunk ${chunk.index} was sealed and is not there any more`);
  return receipt;
}

export async function findStoredReceipt(storage: StoragePort, chunk: ChunkToSeal): Promise<ChunkReceipt | null> {
  const { sessionId, index } = chunk;
  const { chunk: stored } = await persist('answer for a chunk', () => storage.getChunk({ sessionId, index }));
  if (stored === null) return null;
  if (stored.openedUs !== chunk.openedUs || stored.closedUs !== chunk.closedUs)
    throw new LucidError('conflict', `storage holds another chunk ${index} of this session`);
  const { chunkId, leafHash, fileSha256, fileBytes, compression, storedAtUs, flags } = stored;
  return {
    chunkId,
    index,
    leafHash,
    fileSha256,
    fileBytes,
    payloadBytes: chunk.payload.length,
    compression,
    storedAtUs,
    final: decodeLeafFlags(flags).final,
  };
}
