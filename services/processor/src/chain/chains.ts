import { randomUUID } from 'node:crypto';
import { LucidError, type StoragePort } from '@lucid-sessions/contract';
import {
  DEK_BYTES,
  fromHex,
  MerkleTree,
  NO_LEAF_HASH,
  type OpenBody,
  type ResumeBody,
  recordBase,
  SEAL_KEY_BYTES,
  type SignedRecord,
  sessionIdBytes,
  sessionKeys,
  toHex,
} from '@lucid-sessions/evidence';
import type { Crypto } from '@lucid-sessions/wire';
import type { ProcessorKeys } from '../keys.ts';
import { persist } from '../persist.ts';
import type { ChunkPool } from '../pool/pool.ts';
import type { ChunkContext } from './chunk-link.ts';
import { type OpenRequest, openBodyOf, type RecorderIdentity } from './open-body.ts';
import { readRecords, signBody } from './records.ts';
import { replayLeaves } from './replay.ts';
import { SessionChain } from './session-chain.ts';

const dekIdBytes = 16;

export interface ChainsOptions {
  storage: StoragePort;
  pool: ChunkPool;
  crypto: Crypto;
  keys: ProcessorKeys;
  recorder: RecorderIdentity;
  chunkBytesMax: number;
  /** Names this process in leases. */
  processorId: string;
  leaseTtlMs: number;
  /** Chains kept at once; beyond it the one that was idle longest is let go and carried on with a `resume` when needed. */
  chainsMax: number;
  nowUs: () => number;
}

type SessionKey = Pick<ChunkContext, 'keys' | 'dekId'>;

const shuttingDown = () => new LucidError('unavailable', 'the chunk processor is shutting down');

/** The chains this processor holds the leases of. */
export class Chains {
  readonly #options: ChainsOptions;
  /** In order of last use. */
  readonly #chains = new Map<string, SessionChain>();
  readonly #loading = new Map<string, Promise<SessionChain>>();
  readonly #renewal: NodeJS.Timeout;
  #disposed = false;

  constructor(options: ChainsOptions) {
    this.#options = options;
    this.#renewal = setInterval(() => void this.#renewAll(), options.leaseTtlMs / 3).unref();
  }

  get size(): number {
    return this.#chains.size;
  }

  /** The session's chain if this processor has it. */
  held(sessionId: string): SessionChain | null {
    const chain = this.#chains.get(sessionId);
    if (chain === undefined || chain.stopped) return null;
    this.#chains.delete(sessionId);
    this.#chains.set(sessionId, chain);
    return chain;
  }

  /** Begins a session: keys, wraps, signed `open`. A session that was opened before answers its record. */
  async open(request: OpenRequest): Promise<Uint8Array> {
    const sessionId = request.session.session_id;
    const { storage } = this.#options;
    const [stored] = await readRecords(storage, sessionId, 'open');
    if (stored !== undefined) {
      // A crash may have come between its row and its copy beside the chunks.
      await persist('take the open record', () => storage.putRecord({ sessionId, kind: 'open', record: stored.bytes }));
      return stored.bytes;
    }
    await this.#once(sessionId, () => this.#begin(request));
    // Read back: whoever was first is the one that counts, and what counts is what storage has.
    const [open] = await readRecords(storage, sessionId, 'open');
    if (open === undefined) throw new LucidError('storage', 'the open record is not in storage after it was put there');
    return open.bytes;
  }

  /** The session's chain, taken over from a processor that is gone when this one does not hold it. */
  async take(sessionId: string): Promise<SessionChain> {
    return this.held(sessionId) ?? this.#once(sessionId, () => this.#takeOver(sessionId));
  }

  /** Releases a chain: keys are erased, the lease is given back. */
  async release(sessionId: string): Promise<void> {
    const chain = this.#chains.get(sessionId);
    if (chain === undefined) return;
    this.#chains.delete(sessionId);
    chain.stop(new LucidError('unavailable', 'the session was let go; send the chunk again'));
    await this.releaseLease(sessionId, chain.owner);
  }

  /** A lease under a new name: its epoch is above every one before. */
  async acquireLease(sessionId: string): Promise<{ owner: string; epoch: number }> {
    const owner = `${this.#options.processorId}/${randomUUID()}`;
    const ttlMs = this.#options.leaseTtlMs;
    const lease = await persist('give a lease', () => this.#options.storage.acquireLease({ sessionId, owner, ttlMs }));
    if (!lease.acquired)
      throw new LucidError('unavailable', 'another processor holds this session; ask again when its lease is over', {
        details: { owner: lease.owner },
      });
    return { owner, epoch: lease.epoch };
  }

  /** A lease that can't be given back runs out by itself. */
  async releaseLease(sessionId: string, owner: string): Promise<void> {
    await this.#options.storage.releaseLease({ sessionId, owner }).catch(() => {});
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    clearInterval(this.#renewal);
    await Promise.allSettled(this.#loading.values());
    await Promise.all([...this.#chains.keys()].map((sessionId) => this.release(sessionId)));
  }

  #once(sessionId: string, make: () => Promise<SessionChain>): Promise<SessionChain> {
    const loading = this.#loading.get(sessionId);
    if (loading !== undefined) return loading;
    if (this.#disposed) return Promise.reject(shuttingDown());
    const made = this.#keep(sessionId, make).finally(() => this.#loading.delete(sessionId));
    this.#loading.set(sessionId, made);
    return made;
  }

  async #keep(sessionId: string, make: () => Promise<SessionChain>): Promise<SessionChain> {
    const chain = await make();
    this.#chains.set(sessionId, chain);
    for (const [oldest, idle] of this.#chains) {
      if (this.#chains.size <= this.#options.chainsMax) break;
      if (!idle.busy && oldest !== sessionId) await this.release(oldest);
    }
    return chain;
  }

  /** Runs `make` under a new lease, which is given back when it fails. */
  async #underLease(
    sessionId: string,
    make: (lease: { owner: string; epoch: number }) => Promise<SessionChain>,
  ): Promise<SessionChain> {
    const lease = await this.acquireLease(sessionId);
    try {
      return await make(lease);
    } catch (thrown) {
      await this.releaseLease(sessionId, lease.owner);
      throw thrown;
    }
  }

  #begin(request: OpenRequest): Promise<SessionChain> {
    const { crypto, storage, keys, recorder, chunkBytesMax } = this.#options;
    const sessionId = request.session.session_id;
    return this.#underLease(sessionId, async (lease) => {
      const [already] = await readRecords(storage, sessionId, 'open');
      if (already !== undefined) throw new LucidError('conflict', 'the session was opened meanwhile; ask again');
      const key = request.session.storage_config.encryption_enabled ? await this.#newKey(sessionId) : plainKey();
      const sealSeed = crypto.randomBytes(SEAL_KEY_BYTES);
      const firstSealKey = await crypto.ed25519PublicKey(sealSeed);
      const dekId = key.keys === null ? null : key.dekId;
      const body = openBodyOf(request, recorder, { firstSealKey, dekId }, chunkBytesMax);
      const record = await signBody(keys.identity, body);
      await persist('take the open record', () => storage.putRecord({ sessionId, kind: 'open', record }));
      const tree = MerkleTree.empty();
      const start = { tree, totalBytes: 0, head: NO_LEAF_HASH, ended: false };
      return this.#chain(sessionId, lease, body, key, sealSeed, start);
    });
  }

  async #takeOver(sessionId: string): Promise<SessionChain> {
    const { crypto, storage, keys, nowUs } = this.#options;
    // A chain of our own that stopped gives its lease back, so that its successor need not wait for the lease to end.
    await this.release(sessionId);
    return this.#underLease(sessionId, async (lease) => {
      const open = await this.#openRecord(sessionId);
      const [manifest] = await readRecords(storage, sessionId, 'manifest');
      if (manifest !== undefined) throw new LucidError('notInThisState', 'the session is finished');
      const { leaves } = await persist('answer for the leaves', () => storage.readLeaves({ sessionId }));
      const replayed = await replayLeaves(sessionIdBytes(sessionId), leaves);
      if (replayed.ended) throw new LucidError('notInThisState', 'the session has its final chunk');
      const key = open.body.dek_id === null ? plainKey() : await this.#knownKey(sessionId, open.body.dek_id);
      const sealSeed = crypto.randomBytes(SEAL_KEY_BYTES);
      const body: ResumeBody = {
        ...recordBase('resume', sessionId),
        open_sha256: open.sha256,
        index: replayed.tree.size,
        previous_leaf_hash: toHex(replayed.head),
        seal_key: toHex(await crypto.ed25519PublicKey(sealSeed)),
        resumed_us: nowUs(),
        epoch: lease.epoch,
        reason: 'the processor before did not go on',
      };
      const record = await signBody(keys.identity, body);
      await persist('take the resume record', () => storage.putRecord({ sessionId, kind: 'resume', record }));
      return this.#chain(sessionId, lease, open.body, key, sealSeed, replayed);
    });
  }

  #chain(
    sessionId: string,
    lease: { owner: string; epoch: number },
    open: OpenBody,
    key: SessionKey,
    sealSeed: Uint8Array,
    start: Awaited<ReturnType<typeof replayLeaves>>,
  ): SessionChain {
    const session = { sessionId: sessionIdBytes(sessionId), sessionName: sessionId };
    const { compression } = open.policy;
    return new SessionChain({ ...session, ...lease, ...key, ...start, compression, sealSeed }, this.#options);
  }

  async #openRecord(sessionId: string): Promise<SignedRecord<OpenBody>> {
    const [open] = await readRecords(this.#options.storage, sessionId, 'open');
    if (open === undefined) throw new LucidError('notInThisState', 'the session was not opened; open it first');
    return open.record;
  }

  /** A new DEK, its wraps durable before anything is sealed under it. */
  async #newKey(sessionId: string): Promise<SessionKey> {
    const { crypto, keys, storage } = this.#options;
    const dek = crypto.randomBytes(DEK_BYTES);
    const dekId = crypto.randomBytes(dekIdBytes);
    const keyId = toHex(dekId);
    if (keys.wrappers.length === 0)
      throw new LucidError('encryption', 'there is nobody to wrap session keys to; set LUCID_RECIPIENTS');
    const wraps = await Promise.all(keys.wrappers.map((wrapper) => wrapper.wrap(dek, keyId))).catch((cause) => {
      const why = cause instanceof Error ? `: ${cause.message}` : '';
      throw new LucidError('encryption', `the session key could not be wrapped${why}`, { cause });
    });
    await persist('take the key wraps', () => storage.putWraps({ sessionId, wraps }));
    return this.#derive(dek, dekId);
  }

  /**
   * The DEK the session began with. A recording has one, named in `open` before its first frame; a processor that can only
   * encrypt leaves the session in the spool, for one that can unwrap it.
   */
  async #knownKey(sessionId: string, keyId: string): Promise<SessionKey> {
    const { storage, keys } = this.#options;
    const { wraps } = await persist('answer for the key wraps', () => storage.getWraps({ sessionId }));
    let failure: unknown;
    for (const wrap of wraps.filter((candidate) => candidate.keyId === keyId)) {
      for (const unwrapper of keys.unwrappers) {
        const dek = await unwrapper.unwrap(wrap).catch((error: unknown) => {
          failure ??= error;
          return null;
        });
        if (dek?.length === DEK_BYTES) return this.#derive(dek, fromHex(keyId, dekIdBytes));
      }
    }
    throw new LucidError(
      'unavailable',
      'this chunk processor has no key that unwraps the key of the session it was to carry on; start one with the key directory of the processor that began it',
      { details: { key_id: keyId }, cause: failure },
    );
  }

  /** What a chain seals with; the DEK itself is erased. */
  async #derive(dek: Uint8Array, dekId: Uint8Array): Promise<SessionKey> {
    const keys = await sessionKeys(this.#options.crypto, dek, dekId);
    dek.fill(0);
    return { keys, dekId };
  }

  async #renewAll(): Promise<void> {
    const { storage, leaseTtlMs: ttlMs } = this.#options;
    for (const [sessionId, { owner }] of [...this.#chains]) {
      try {
        const lease = await storage.acquireLease({ sessionId, owner, ttlMs });
        if (!lease.acquired) this.#lost(sessionId, owner);
      } catch {
        // Storage is away. Its compare-and-swap decides what may still be appended when it is back.
      }
    }
  }

  #lost(sessionId: string, owner: string): void {
    const chain = this.#chains.get(sessionId);
    if (chain?.owner !== owner) return;
    this.#chains.delete(sessionId);
    chain.stop(new LucidError('conflict', 'another processor carries this session on; this one stops sealing it'));
  }
}

function plainKey(): SessionKey {
  return { keys: null, dekId: new Uint8Array(dekIdBytes) };
}
