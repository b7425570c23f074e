import { type Frame, PAYLOAD_BYTES_MAX, type ReplayTally, readPayload } from '@lucid-sessions/recording';
import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import { bundleNames } from '../bundle/files.ts';
import type { BundleFile } from '../bundle/source.ts';
import { CHUNK_FILE_BYTES_MAX, chunkFileBytes, openChunk } from '../envelope/chunk.ts';
import { CHUNK_HEADER_BYTES, type ChunkHeader, chunkSuites, decodeChunkHeader } from '../envelope/chunk-header.ts';
import type { Leaf } from '../envelope/leaf.ts';
import type { ReadingKey } from '../envelope/session-keys.ts';
import { toHex } from '../text.ts';
import type { Context, ReplayWalker } from './context.ts';

const contentChecks = { FORMAT: 'K1', COMMITMENT: 'K2', AUTH: 'K3' } as const;

const AHEAD_FILES_MAX = 4;
const GONE_MAX = 1000;
/** Of files whose bytes are held; one file may be larger. */
const AHEAD_BYTES_MAX = 48 << 20;

interface LoadedChunk {
  sha256: Uint8Array;
  head: Uint8Array;
  /** Null where only the hash was asked for. */
  bytes: Uint8Array | null;
}

/** Chunk files on their way into memory, by index. Bounded in number and bytes. */
class LoadedAhead {
  readonly #loads = new Map<number, { bytes: number; load: Promise<LoadedChunk> }>();
  #bytes = 0;

  has(index: number): boolean {
    return this.#loads.has(index);
  }

  /** False when there is no room. */
  add(index: number, bytes: number, start: () => Promise<LoadedChunk>): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > AHEAD_BYTES_MAX) return false;
    const load = start();
    // Whoever takes it sees the error; nobody may ever take it.
    load.catch(() => {});
    this.#loads.set(index, { bytes, load });
    this.#bytes += bytes;
    return true;
  }

  take(index: number): Promise<LoadedChunk> | null {
    const found = this.#loads.get(index);
    if (found === undefined) return null;
    this.#loads.delete(index);
    this.#bytes -= found.bytes;
    return found.load;
  }

  /** Leaves that jump must not keep files that nobody asks for. */
  forgetOutside(first: number, last: number): void {
    for (const index of this.#loads.keys()) if (index < first || index > last) this.take(index);
  }
}

/** Checks chunk files against their leaves; a few files at a time are in memory, whatever the recording's length. */
export class ChunkCheck {
  readonly #context: Context;
  readonly #dek: ReadingKey | null;
  readonly #walker: ReplayWalker | null;
  readonly #seen = new Set<string>();
  /** Chunks whose files are gone, by the word of an erase record. */
  readonly #gone: number[] = [];
  #goneCount = 0;
  #filesCount = 0;
  readonly #ahead = new LoadedAhead();
  #nextFrameNumber: number | null = null;
  #nextWalked = 0;
  checkedCount = 0;
  readCount = 0;
  framesCount = 0;
  encrypted = false;

  /** Every chunk file is gone; false where there never was one. */
  get isGone(): boolean {
    return this.#goneCount > 0 && this.#filesCount === 0;
  }

  /** `walker` draws the frames where all of them are here. */
  constructor(context: Context, dek: ReadingKey | null, walker: ReplayWalker | undefined) {
    this.#context = context;
    this.#dek = dek;
    this.#walker = (this.#readsFrames && context.description.partial === null && walker) || null;
  }

  async check(leaf: Leaf): Promise<void> {
    const frames = await this.#check(leaf);
    if (this.#walker === null) return;
    // A leaf that is not there is a chunk that can't be drawn.
    await this.#walker.chunk(leaf.index === this.#nextWalked ? frames : null);
    this.#nextWalked += 1;
  }

  /** What the walk through all frames came to; null where there was none. */
  async walked(): Promise<ReplayTally | null> {
    if (this.#walker === null) return null;
    const count = this.#context.manifest?.body.chunks_count ?? this.#nextWalked;
    if (this.#nextWalked < count) await this.#walker.chunk(null);
    return this.#walker.end();
  }

  /** Answers the frames, null where they could not be read. */
  async #check(leaf: Leaf): Promise<Frame[] | null> {
    const { findings, description, files } = this.#context;
    const { partial } = description;
    if (partial !== null && (leaf.index < partial.first_chunk || leaf.index > partial.last_chunk)) return null;
    const name = bundleNames.chunk(leaf.index);
    const where = { file: name, index: leaf.index };
    const file = files.get(name);
    // A leaf that stands twice is told; its file is not read twice.
    if (this.#seen.has(name)) return null;
    this.#seen.add(name);
    const expectedFrameNumber = this.#nextFrameNumber;
    // Unless this one can be read, nothing is known of where the next one begins.
    this.#nextFrameNumber = null;
    if (file === undefined) {
      this.#goneCount += 1;
      if (!this.#context.erased.chunks) findings.add('C21', `the file of chunk ${leaf.index} is missing`, where);
      else if (this.#gone.length < GONE_MAX) this.#gone.push(leaf.index);
      return null;
    }
    this.#filesCount += 1;
    if (file.bytes > CHUNK_FILE_BYTES_MAX) {
      findings.add('C22', `the file of chunk ${leaf.index} is larger than ${CHUNK_FILE_BYTES_MAX} bytes`, where);
      return null;
    }
    const loaded = this.#ahead.take(leaf.index) ?? this.#load(file);
    this.#lookAhead(leaf.index);
    const { head, sha256, bytes } = await loaded;
    if (file.bytes !== leaf.fileBytes || !equalBytes(sha256, leaf.fileSha256)) {
      this.#explainMismatch(leaf, head);
      return null;
    }
    this.checkedCount += 1;
    const header = this.#checkHeader(leaf, head);
    if (header === null || bytes === null) return null;
    return this.#readFrames(leaf, header, bytes, expectedFrameNumber);
  }

  /** Frames can be read: with a key, or where the recording says it is not encrypted. */
  get #readsFrames(): boolean {
    const { decompressor, open } = this.#context;
    return decompressor !== undefined && (this.#dek !== null || open === null || open.body.dek_id === null);
  }

  /** Where nobody can read the frames, hash and header are all that is needed of a file. */
  async #load({ name, bytes: length }: BundleFile): Promise<LoadedChunk> {
    const { source, crypto } = this.#context;
    if (source.digest !== undefined && !this.#readsFrames)
      return { ...(await source.digest(name, CHUNK_HEADER_BYTES)), bytes: null };
    const bytes = await source.read(name, 0, length);
    return { sha256: await crypto.sha256(bytes), head: bytes.subarray(0, CHUNK_HEADER_BYTES), bytes };
  }

  /** Files are loaded ahead of their turn; their results are judged in their turn, so findings keep their order. */
  #lookAhead(index: number): void {
    const { files, description, source } = this.#context;
    const last = description.partial?.last_chunk ?? Number.POSITIVE_INFINITY;
    const held = source.digest === undefined || this.#readsFrames;
    this.#ahead.forgetOutside(index + 1, index + AHEAD_FILES_MAX);
    for (let next = index + 1; next <= Math.min(last, index + AHEAD_FILES_MAX); next += 1) {
      const file = files.get(bundleNames.chunk(next));
      if (file === undefined || file.bytes > CHUNK_FILE_BYTES_MAX) continue;
      if (this.#ahead.has(next)) continue;
      if (!this.#ahead.add(next, held ? file.bytes : 0, () => this.#load(file))) return;
    }
  }

  /** A file whose header names another session or another place was moved; anything else was altered. */
  #explainMismatch(leaf: Leaf, bytes: Uint8Array): void {
    const { findings } = this.#context;
    const where = { file: bundleNames.chunk(leaf.index), index: leaf.index };
    let header: ChunkHeader | null = null;
    try {
      header = decodeChunkHeader(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
    if (header !== null && !equalBytes(header.sessionId, leaf.sessionId))
      findings.add('C23', `the file of chunk ${leaf.index} is from another session`, where);
    else if (header !== null && header.index !== leaf.index)
      findings.add('C24', `the file of chunk ${leaf.index} is chunk ${header.index}`, where);
    else findings.add('C25', `the file of chunk ${leaf.index} is not the one that was sealed`, where);
  }

  #checkHeader(leaf: Leaf, bytes: Uint8Array): ChunkHeader | null {
    const { findings, open } = this.#context;
    const where = { file: bundleNames.chunk(leaf.index), index: leaf.index };
    let header: ChunkHeader;
    try {
      header = decodeChunkHeader(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      findings.add('C26', error.message, where);
      return null;
    }
    const same =
      equalBytes(header.sessionId, leaf.sessionId) &&
      header.index === leaf.index &&
      header.openedUs === leaf.openedUs &&
      equalBytes(header.previousLeafHash, leaf.previousLeafHash) &&
      header.recovered === leaf.recovered &&
      header.gapBefore === leaf.gapBefore &&
      chunkFileBytes(header.suite, leaf.compressedBytes) === leaf.fileBytes;
    if (!same) findings.add('C27', `header and leaf of chunk ${leaf.index} tell different things`, where);
    const encrypted = header.suite !== chunkSuites.plain;
    if (encrypted) this.encrypted = true;
    const keyId = open?.body.dek_id ?? null;
    if (open !== null && (encrypted ? toHex(header.dekId) !== keyId : keyId !== null))
      findings.add('C28', `chunk ${leaf.index} is under another key than the open record names`, where);
    return header;
  }

  async #readFrames(
    leaf: Leaf,
    header: ChunkHeader,
    bytes: Uint8Array,
    expectedFrameNumber: number | null,
  ): Promise<Frame[] | null> {
    const { crypto, decompressor, findings } = this.#context;
    const plain = header.suite === chunkSuites.plain;
    if (decompressor === undefined || (this.#dek === null && !plain)) return null;
    const where = { file: bundleNames.chunk(leaf.index), index: leaf.index };
    const opened = plain
      ? { opened: true as const, compressed: bytes.subarray(CHUNK_HEADER_BYTES) }
      : await openChunk(crypto, this.#dek!, bytes);
    if (!opened.opened) {
      findings.add(contentChecks[opened.finding], opened.message, where);
      return null;
    }
    try {
      const payload = await decompressor.decompress(header.compression, opened.compressed, PAYLOAD_BYTES_MAX);
      const frames = this.#countFrames(leaf, payload, expectedFrameNumber);
      this.readCount += 1;
      return frames;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      findings.add('K4', error.message, where);
      return null;
    }
  }

  #countFrames(leaf: Leaf, payload: Uint8Array, expectedFrameNumber: number | null): Frame[] {
    const frames: Frame[] = [];
    const reading = readPayload(payload);
    let step = reading.next();
    for (; step.done !== true; step = reading.next()) if (this.#walker !== null) frames.push(step.value);
    const { framesCount, firstFrameNumber } = step.value;
    // A chunk without frames may come from a recovery that knows no frame numbers any more.
    this.#nextFrameNumber = expectedFrameNumber;
    if (framesCount === 0) return frames;
    this.framesCount += framesCount;
    if (expectedFrameNumber !== null && firstFrameNumber !== expectedFrameNumber && !leaf.gapBefore)
      this.#context.findings.add('C31', `frames are missing before chunk ${leaf.index}`, { index: leaf.index });
    this.#nextFrameNumber = firstFrameNumber + framesCount;
    return frames;
  }

  /** Chunk files no leaf asked for, and those that are gone while others are not: who destroys a recording leaves none of it. */
  end(): void {
    if (this.#context.erased.chunks && this.#filesCount > 0)
      for (const index of this.#gone)
        this.#context.findings.add(
          'C29',
          `the file of chunk ${index} is missing, and others that were destroyed with it are here`,
          { file: bundleNames.chunk(index), index },
        );
    for (const name of this.#context.files.keys())
      if (name.startsWith('chunks/') && !this.#seen.has(name))
        this.#context.findings.add('C30', `${name} belongs to no leaf`, { file: name });
  }
}
