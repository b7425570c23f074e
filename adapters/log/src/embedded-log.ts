import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  checkCosignature,
  consistencyRanges,
  decodeEntries,
  entriesPath,
  formatNote,
  hashLeaf,
  inclusionRanges,
  LOG_ENTRY_BYTES_MAX,
  type NoteKey,
  type NoteSignature,
  type NoteSigner,
  narrowing,
  parseSignedCheckpoint,
  signCheckpoint,
  TILE_WIDTH,
  TileEdge,
  type TileReader,
  tileRangeHash,
  utf8,
} from '@lucid-sessions/evidence';
import { type Crypto, equalBytes } from '@lucid-sessions/wire';
import type { LogHead, LogHeadStore, Witnessed } from './embedded-log-head.ts';
import { LogHeadThread } from './embedded-log-head-thread.ts';
import { fsLogDisk, type LogDisk } from './log-disk.ts';
import { LogError } from './log-error.ts';

const BATCH_ENTRIES_MAX = 256;
/** Of one batch, while others are faster; after each a pause that grows. */
const MOVED_TRIES_MAX = 30;
const MOVED_PAUSE_MS = 20;

interface Waiting {
  entry: Uint8Array;
  leafHash: Uint8Array;
  resolve(index: number): void;
  reject(error: unknown): void;
}

/** Proofs under one checkpoint: `inclusion` in the order they were asked for. */
export interface LogProofs {
  size: number;
  checkpoint: string;
  inclusion: Uint8Array[][];
  consistency: Uint8Array[];
}

export interface EmbeddedLogOptions {
  directory: string;
  /** Its key's name is the log's origin. */
  signer: NoteSigner;
  /** For tests that crash. */
  disk?: LogDisk;
  heads?: LogHeadStore;
}

/**
 * A transparency log in a directory: C2SP tlog-tiles files and a `checkpoint`, readable by any static file server.
 *
 * One batch is: sign the next checkpoint → commit it with the batch's entries by compare-and-swap (durable) → write tiles
 * → write `checkpoint`. A checkpoint leaves this class only after its commit, so two different trees of one size can't
 * both be seen. A crash before the commit leaves nothing; after it, `open` writes the same files again from the committed
 * entries. Entries that are logged already keep their index, so a caller that lost its answer asks again.
 */
export class EmbeddedLog {
  readonly #signer: NoteSigner;
  readonly #disk: LogDisk;
  readonly #read: TileReader;
  readonly #heads: LogHeadStore;
  /** Committed. */
  #head: LogHead;
  /** The head whose tiles are on the disk: what others may see. */
  #shown: LogHead;
  #edge: TileEdge;
  #witnessed: Witnessed;
  #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;
  #attaching: Promise<unknown> = Promise.resolve();
  #failure: unknown = null;
  #held: string | null = null;
  /** What others wrote is to be taken up. */
  #stale = false;
  #closed = false;

  private constructor(
    signer: NoteSigner,
    disk: LogDisk,
    heads: LogHeadStore,
    { head, edge, witnessed }: { head: LogHead; edge: TileEdge; witnessed: Witnessed },
  ) {
    this.#signer = signer;
    this.#disk = disk;
    this.#read = narrowing((path) => disk.read(path));
    this.#heads = heads;
    this.#head = head;
    this.#shown = head;
    this.#edge = edge;
    this.#witnessed = witnessed;
  }

  /** Takes the log's lock, finishes what a crash interrupted, and checks that the tiles are those of the head. */
  static async open(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
    const disk = options.disk ?? (await fsLogDisk(options.directory));
    const heads = options.heads ?? (await LogHeadThread.open(join(options.directory, 'head.sqlite')));
    try {
      const head = await heads.load();
      const { edge, files } = await edgeOf(
        head,
        narrowing((path) => disk.read(path)),
      );
      const witnessed = await heads.loadWitnessed();
      const log = new EmbeddedLog(options.signer, disk, heads, { head, edge, witnessed });
      if (head.staged.length > 0) await log.#publish(files);
      return log;
    } catch (error) {
      await heads.close();
      throw error;
    }
  }

  get size(): number {
    return this.#shown.size;
  }
  get publicKey(): NoteKey {
    return this.#signer.key;
  }
  /** The latest checkpoint with cosignatures; size 0 while there is none. */
  get witnessed(): Witnessed {
    return this.#witnessed;
  }
  /** The latest signed checkpoint, null while the log is empty. */
  get checkpoint(): string | null {
    return this.#shown.checkpoint === '' ? null : this.#shown.checkpoint;
  }

  /** Why nothing new may be appended; null when it may. */
  get held(): string | null {
    return this.#held;
  }

  /** From here on nothing new is appended: a log that may be older than one others have seen must not grow apart from it. */
  hold(reason: string): void {
    this.#held = reason;
  }

  release(): void {
    this.#held = null;
  }

  /** Logs an entry and resolves with its index once it is durable and published. Calls that overlap share a batch. */
  append(entry: Uint8Array): Promise<number> {
    if (entry.length > LOG_ENTRY_BYTES_MAX)
      throw new LogError('entry_too_large', 'a log entry has at most 65,535 bytes');
    if (this.#closed) throw new LogError('closed', 'the log is closed');
    if (this.#held !== null) return this.#known(entry, this.#held);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry: entry.slice(), leafHash: hashLeaf(entry), resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #known(entry: Uint8Array, held: string): Promise<number> {
    const index = await this.find(entry);
    if (index === null) throw new LogError('held', held);
    return index;
  }

  /** The index of an entry that is logged, or null. */
  async find(entry: Uint8Array): Promise<number | null> {
    const leafHash = hashLeaf(entry);
    const index = await this.#heads.indexOf(leafHash);
    if (index !== null || this.#heads.isShared !== true) return index;
    await this.refresh();
    return this.#heads.indexOf(leafHash);
  }

  /** Takes up what other writers added. Nothing to do where there are none. */
  async refresh(): Promise<void> {
    if (this.#heads.isShared !== true || this.#closed) return;
    this.#stale = true;
    this.#running ??= this.#run();
    await this.#running;
    if (this.#stale) throw this.#failure;
  }

  async #run(): Promise<void> {
    // One turn later, so that callers of the same moment share the batch and its fsyncs.
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#stale) {
      const batch = this.#waiting.splice(0, BATCH_ENTRIES_MAX);
      try {
        // After a failed commit or write the state on disk is unknown: it is taken up from there, as after a crash.
        if (this.#failure !== null || this.#stale) await this.#takeUp();
        await this.#appendFirst(batch);
      } catch (error) {
        this.#failure = error;
        for (const { reject } of batch) reject(error);
        if (this.#waiting.length === 0) break;
      }
    }
    this.#running = null;
  }

  /** A disk that was full has room again. What contradicts itself stays as it is, for a person to look at. */
  async #takeUp(): Promise<void> {
    if (this.#failure instanceof LogError && this.#failure.code !== 'moved') throw this.#failure;
    const head = await this.#heads.load();
    const isKnown = this.#failure === null && head.checkpoint === this.#shown.checkpoint;
    if (!isKnown) {
      const { edge, files } = await edgeOf(head, this.#read);
      this.#head = head;
      this.#edge = edge;
      if (head.size > 0) await this.#publish(files);
    }
    if (this.#heads.isShared === true) await this.#takeUpWitnessed();
    this.#failure = null;
    this.#stale = false;
  }

  async #takeUpWitnessed(): Promise<void> {
    const witnessed = await this.#heads.loadWitnessed();
    if (witnessed.size > this.#witnessed.size) this.#witnessed = witnessed;
  }

  /** Again, on what another writer wrote meanwhile. */
  async #appendFirst(batch: Waiting[]): Promise<void> {
    for (let tries = 1; batch.length > 0; tries++) {
      try {
        return await this.#append(batch);
      } catch (error) {
        if (!(error instanceof LogError && error.code === 'moved') || tries === MOVED_TRIES_MAX) throw error;
        await delay(Math.random() * MOVED_PAUSE_MS * tries);
        this.#failure = error;
        await this.#takeUp();
      }
    }
  }

  async #append(batch: Waiting[]): Promise<void> {
    const fresh: Waiting[] = [];
    const indices = new Map<string, number>();
    const logged = await Promise.all(batch.map(({ leafHash }) => this.#heads.indexOf(leafHash)));
    for (const [at, item] of batch.entries()) {
      const name = Buffer.from(item.leafHash).toString('hex');
      const known = indices.get(name) ?? logged[at] ?? null;
      if (known === null) fresh.push(item);
      indices.set(name, known ?? this.#head.size + fresh.length - 1);
    }
    if (fresh.length > 0) await this.#commit(fresh);
    for (const item of batch) item.resolve(indices.get(Buffer.from(item.leafHash).toString('hex')) as number);
  }

  async #commit(fresh: Waiting[]): Promise<void> {
    const staged = fresh.map(({ entry }) => entry);
    const { edge, files } = this.#edge.append(withHashes(staged));
    const checkpoint = await signCheckpoint(this.#signer, edge.size, edge.root);
    const next: LogHead = { size: edge.size, root: edge.root, checkpoint, staged };
    const swapped = await this.#heads.swap(
      this.#head,
      next,
      fresh.map(({ leafHash }) => leafHash),
    );
    if (!swapped && this.#heads.isShared === true) throw new LogError('moved', 'another writer was faster; ask again');
    if (!swapped) throw new LogError('corrupt', 'another writer moved the log; stop one of the two');
    this.#head = next;
    this.#edge = edge;
    await this.#publish(files);
  }

  /** Writing the same files again is harmless: full tiles never change, and a partial tile's name says its width. */
  async #publish(files: { path: string; bytes: Uint8Array }[]): Promise<void> {
    // Beside each other, and all of them over before anything else is done to the log: also where one has failed.
    const written = await Promise.allSettled(files.map(({ path, bytes }) => this.#disk.write(path, bytes)));
    for (const outcome of written) if (outcome.status === 'rejected') throw outcome.reason;
    await this.#disk.write('checkpoint', utf8(this.#head.checkpoint));
    this.#shown = this.#head;
    for (const { path } of files) if (!path.includes('.p/')) await this.#disk.removeTree(`${path}.p`);
  }

  /**
   * Inclusion proofs of entries, and with `first` a proof that the tree extends the one of `first` entries, all under one
   * checkpoint: the latest one that witnesses cosigned where it covers them, else the latest.
   */
  async prove(indices: readonly number[], first: number | null = null): Promise<LogProofs> {
    const needed = Math.max(first ?? 0, ...indices.map((index) => index + 1));
    // Committed, and its tiles are being written.
    if (needed > this.#shown.size) await this.#running;
    if (needed > this.#shown.size) await this.refresh();
    const { size, checkpoint } = needed <= this.#witnessed.size ? this.#witnessed : this.#shown;
    for (const index of indices)
      if (!(Number.isSafeInteger(index) && index >= 0 && index < size))
        throw new LogError('unknown_entry', `the log has no entry ${index}`);
    return {
      size,
      checkpoint,
      inclusion: await Promise.all(indices.map((index) => this.#hashes(inclusionRanges(index, size), size))),
      consistency: first === null ? [] : await this.proveConsistency(first, size),
    };
  }

  /** That the tree of `size` entries holds one. */
  async proveAt(index: number, size: number): Promise<Uint8Array[]> {
    if (!(Number.isSafeInteger(index) && index >= 0 && index < size && size <= this.#shown.size))
      throw new LogError('unknown_entry', `the log of ${size} entries has no entry ${index}`);
    return this.#hashes(inclusionRanges(index, size), size);
  }

  /** That the tree of `second` entries extends the one of `first`. */
  async proveConsistency(first: number, second: number): Promise<Uint8Array[]> {
    if (!(Number.isSafeInteger(first) && first >= 1 && first <= second && second <= this.#shown.size))
      throw new LogError('unknown_entry', `the log never had a tree of ${first}`);
    return this.#hashes(consistencyRanges(first, second), second);
  }

  #hashes(ranges: ReturnType<typeof inclusionRanges>, size: number): Promise<Uint8Array[]> {
    return Promise.all(ranges.map(tileRangeHash(size, this.#read)));
  }

  /** The bytes of an entry. */
  async entry(index: number): Promise<Uint8Array> {
    const bundle = Math.floor(index / TILE_WIDTH);
    const width = Math.min(TILE_WIDTH, this.#shown.size - bundle * TILE_WIDTH);
    const bytes = width > 0 ? await this.#read(entriesPath(bundle, width)) : null;
    const entry = bytes === null ? undefined : decodeEntries(bytes)[index % TILE_WIDTH];
    if (entry === undefined) throw new LogError('unknown_entry', `the log has no entry ${index}`);
    return entry;
  }

  /**
   * Keeps what witnesses said of a checkpoint of this log, which may have moved on since. False when a later one, or this one
   * by as many, is cosigned already. Throws `LogError('bad_cosignature')` and keeps nothing when one does not check out.
   */
  async attachCosignatures(
    crypto: Crypto,
    checkpoint: string,
    cosignatures: readonly { witness: NoteKey; signature: NoteSignature }[],
  ): Promise<boolean> {
    const { note, size } = parseSignedCheckpoint(checkpoint);
    for (const { witness, signature } of cosignatures) {
      const check = await checkCosignature(crypto, { text: note.text, signatures: [signature] }, witness);
      if (check.state !== 'good')
        throw new LogError('bad_cosignature', `the cosignature of ${witness.name} does not check out`);
    }
    const signatures = [...note.signatures, ...cosignatures.map(({ signature }) => signature)];
    const witnessed = { size, checkpoint: formatNote({ text: note.text, signatures }) };
    // One after the other: what is kept only grows.
    const attached = this.#attaching.then(() => this.#attach(witnessed, signatures.length));
    this.#attaching = attached.catch(() => {});
    return attached;
  }

  async #attach(witnessed: Witnessed, signaturesCount: number): Promise<boolean> {
    const { size } = witnessed;
    if (size < this.#witnessed.size || (size === this.#witnessed.size && !this.#hasMore(signaturesCount))) return false;
    await this.#heads.putWitnessed(witnessed);
    this.#witnessed = witnessed;
    // Beside the public files: a copy of them holds what witnesses said.
    await this.#disk.write('witnessed', utf8(witnessed.checkpoint));
    await this.#running;
    if (size === this.#shown.size && this.#running === null)
      await this.#disk.write('checkpoint', utf8(witnessed.checkpoint));
    return true;
  }

  #hasMore(signaturesCount: number): boolean {
    return signaturesCount > parseSignedCheckpoint(this.#witnessed.checkpoint).note.signatures.length;
  }

  /** Waits for what is under way, then releases the lock. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await this.#attaching;
    await this.#heads.close();
  }
}

function withHashes(entries: readonly Uint8Array[]): { bytes: Uint8Array; leafHash: Uint8Array }[] {
  return entries.map((bytes) => ({ bytes, leafHash: hashLeaf(bytes) }));
}

/** The tree of a committed head, and the files of its last batch, which may not have been written. */
async function edgeOf(head: LogHead, read: TileReader): Promise<ReturnType<TileEdge['append']>> {
  const before = await TileEdge.restore(head.size - head.staged.length, read);
  const { edge, files } = before.append(withHashes(head.staged));
  if (edge.size !== head.size || !equalBytes(edge.root, head.root))
    throw new LogError(
      'corrupt',
      'the tiles of the log are not those of its last checkpoint; restore them from a copy',
    );
  return { edge, files };
}
