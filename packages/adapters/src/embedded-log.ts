import { join } from 'node:path';
import {
  type BundleInput,
  type Crypto,
  checkCosignature,
  consistencyRanges,
  decodeEntries,
  entriesPath,
  equalBytes,
  formatLogProof,
  formatNote,
  hashLeaf,
  inclusionRanges,
  LOG_ENTRY_BYTES_MAX,
  type LogProof,
  logEntry,
  type NoteKey,
  type NoteSignature,
  type NoteSigner,
  narrowing,
  parseSignedCheckpoint,
  readRecord,
  readRecordOf,
  signCheckpoint,
  TILE_WIDTH,
  TileEdge,
  type TileReader,
  tileRangeHash,
  toHex,
  utf8,
} from '@lucid-sessions/evidence';
import { type LogHead, type LogHeadStore, SqliteLogHeadStore } from './embedded-log-head.ts';
import { fsLogDisk, type LogDisk } from './log-disk.ts';
import { LogError } from './log-error.ts';

const BATCH_ENTRIES_MAX = 256;

interface Waiting {
  entry: Uint8Array;
  leafHash: Uint8Array;
  resolve(index: number): void;
  reject(error: unknown): void;
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
  #head: LogHead;
  #edge: TileEdge;
  #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;
  #failure: unknown = null;
  #closed = false;

  private constructor(signer: NoteSigner, disk: LogDisk, heads: LogHeadStore, head: LogHead, edge: TileEdge) {
    this.#signer = signer;
    this.#disk = disk;
    this.#read = narrowing((path) => disk.read(path));
    this.#heads = heads;
    this.#head = head;
    this.#edge = edge;
  }

  /** Takes the log's lock, finishes what a crash interrupted, and checks that the tiles are those of the head. */
  static async open(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
    const disk = options.disk ?? (await fsLogDisk(options.directory));
    const heads = options.heads ?? new SqliteLogHeadStore(join(options.directory, 'head.sqlite'));
    try {
      const head = heads.load();
      const before = await TileEdge.restore(
        head.size - head.staged.length,
        narrowing((path) => disk.read(path)),
      );
      const { edge, files } = before.append(withHashes(head.staged));
      if (edge.size !== head.size || !equalBytes(edge.root, head.root))
        throw new LogError(
          'corrupt',
          'the tiles of the log are not those of its last checkpoint; restore them from a copy',
        );
      const log = new EmbeddedLog(options.signer, disk, heads, head, edge);
      if (head.staged.length > 0) await log.#publish(files);
      return log;
    } catch (error) {
      heads.close();
      throw error;
    }
  }

  get size(): number {
    return this.#head.size;
  }
  get publicKey(): NoteKey {
    return this.#signer.key;
  }
  /** The latest signed checkpoint, null while the log is empty. */
  get checkpoint(): string | null {
    return this.#head.checkpoint === '' ? null : this.#head.checkpoint;
  }

  /** Logs an entry and resolves with its index once it is durable and published. Calls that overlap share a batch. */
  append(entry: Uint8Array): Promise<number> {
    if (entry.length > LOG_ENTRY_BYTES_MAX)
      throw new LogError('entry_too_large', 'a log entry has at most 65,535 bytes');
    if (this.#closed) throw new LogError('closed', 'the log is closed');
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry: entry.slice(), leafHash: hashLeaf(entry), resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** The index of an entry that is logged, or null. */
  find(entry: Uint8Array): number | null {
    return this.#heads.indexOf(hashLeaf(entry));
  }

  async #run(): Promise<void> {
    // One turn later, so that callers of the same moment share the batch and its fsyncs.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_ENTRIES_MAX);
      try {
        // After a failed commit or write the state on disk is unknown: only `open` may go on from it.
        if (this.#failure !== null) throw this.#failure;
        await this.#append(batch);
      } catch (error) {
        this.#failure = error;
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = null;
  }

  async #append(batch: Waiting[]): Promise<void> {
    const fresh: Waiting[] = [];
    const indices = new Map<string, number>();
    for (const item of batch) {
      const name = Buffer.from(item.leafHash).toString('hex');
      const known = indices.get(name) ?? this.#heads.indexOf(item.leafHash);
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
    const swapped = this.#heads.swap(
      this.#head,
      next,
      fresh.map(({ leafHash }) => leafHash),
    );
    if (!swapped) throw new LogError('corrupt', 'another writer moved the log; stop one of the two');
    this.#head = next;
    this.#edge = edge;
    await this.#publish(files);
  }

  /** Writing the same files again is harmless: full tiles never change, and a partial tile's name says its width. */
  async #publish(files: { path: string; bytes: Uint8Array }[]): Promise<void> {
    for (const { path, bytes } of files) await this.#disk.write(path, bytes);
    await this.#disk.write('checkpoint', utf8(this.#head.checkpoint));
    for (const { path } of files) if (!path.includes('.p/')) await this.#disk.removeTree(`${path}.p`);
  }

  /** A proof that entry `index` is in the tree of the latest checkpoint. */
  async prove(index: number): Promise<LogProof> {
    const { size, checkpoint } = this.#head;
    if (!(Number.isSafeInteger(index) && index >= 0 && index < size))
      throw new LogError('unknown_entry', `the log has no entry ${index}`);
    const hash = tileRangeHash(size, this.#read);
    return { index, hashes: await Promise.all(inclusionRanges(index, size).map(hash)), checkpoint };
  }

  /** The same in C2SP tlog-proof form. */
  async proofText(index: number): Promise<string> {
    return formatLogProof(await this.prove(index));
  }

  /** A proof that the latest tree extends the one of `first` leaves. */
  async proveConsistency(
    first: number,
  ): Promise<{ first: number; second: number; hashes: Uint8Array[]; checkpoint: string }> {
    const { size, checkpoint } = this.#head;
    if (!(Number.isSafeInteger(first) && first >= 1 && first <= size))
      throw new LogError('unknown_entry', `the log never had a tree of ${first}`);
    const hash = tileRangeHash(size, this.#read);
    const hashes = await Promise.all(consistencyRanges(first, size).map(hash));
    return { first, second: size, hashes, checkpoint };
  }

  /**
   * Everything an evidence bundle needs of the log, against one checkpoint: a proof per record that is logged, and that
   * this tree extends the one the session's `open` record names. Plain values: they may travel as JSON.
   */
  async evidence(records: {
    open: Uint8Array;
    manifest: Uint8Array | null;
    resumes: readonly Uint8Array[];
  }): Promise<Pick<BundleInput, 'logProofs' | 'consistency'>> {
    const { size, checkpoint } = this.#head;
    const hash = tileRangeHash(size, this.#read);
    const prove = async (bytes: Uint8Array | null): Promise<string | null> => {
      if (bytes === null) return null;
      const record = readRecord(bytes);
      const index = this.find(logEntry(record.kind, record.sha256));
      if (index === null || index >= size) return null;
      const hashes = await Promise.all(inclusionRanges(index, size).map(hash));
      return formatLogProof({ index, hashes, checkpoint });
    };
    const { body } = readRecordOf('open', records.open);
    const first = body.checkpoint === null ? size : parseSignedCheckpoint(body.checkpoint).size;
    const hashes = first < 1 || first >= size ? [] : await Promise.all(consistencyRanges(first, size).map(hash));
    return {
      logProofs: {
        open: await prove(records.open),
        manifest: await prove(records.manifest),
        resumes: await Promise.all(records.resumes.map(prove)),
      },
      consistency:
        size > 0
          ? [...new Set([first, size])].map((from) => ({
              first: from,
              second: size,
              hashes: from === size ? [] : hashes.map(toHex),
            }))
          : [],
    };
  }

  /** The bytes of an entry. */
  async entry(index: number): Promise<Uint8Array> {
    const bundle = Math.floor(index / TILE_WIDTH);
    const width = Math.min(TILE_WIDTH, this.#head.size - bundle * TILE_WIDTH);
    const bytes = width > 0 ? await this.#read(entriesPath(bundle, width)) : null;
    const entry = bytes === null ? undefined : decodeEntries(bytes)[index % TILE_WIDTH];
    if (entry === undefined) throw new LogError('unknown_entry', `the log has no entry ${index}`);
    return entry;
  }

  /** Adds a witness's cosignature to the latest checkpoint, after checking it. False when the log has moved on since. */
  async attachCosignature(crypto: Crypto, witness: NoteKey, text: string, signature: NoteSignature): Promise<boolean> {
    await this.#running;
    if (this.#failure !== null) throw this.#failure;
    if (this.#head.checkpoint === '') return false;
    const { note } = parseSignedCheckpoint(this.#head.checkpoint);
    if (note.text !== text) return false;
    const check = await checkCosignature(crypto, { text, signatures: [signature] }, witness);
    if (check.state !== 'good')
      throw new LogError('bad_cosignature', `the cosignature of ${witness.name} does not check out`);
    const head = this.#head;
    const next = { ...head, checkpoint: formatNote({ text, signatures: [...note.signatures, signature] }), staged: [] };
    if (this.#running !== null || !this.#heads.swap(head, next, [])) return false;
    this.#head = next;
    await this.#disk.write('checkpoint', utf8(next.checkpoint));
    return true;
  }

  /** Waits for what is under way, then releases the lock. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    this.#heads.close();
  }
}

function withHashes(entries: readonly Uint8Array[]): { bytes: Uint8Array; leafHash: Uint8Array }[] {
  return entries.map((bytes) => ({ bytes, leafHash: hashLeaf(bytes) }));
}
