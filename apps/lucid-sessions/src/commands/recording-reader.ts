/** A recording's frames, chunk after chunk, from the API or from an evidence bundle: at no time more than one chunk is held. */
import { stat } from 'node:fs/promises';
import { chunkIdOf } from '@lucid-sessions/contract';
import {
  type BundleSource,
  bundleNames,
  bundleSchema,
  CHUNK_FILE_BYTES_MAX,
  CHUNK_HEADER_BYTES,
  chunkSuites,
  DEK_BYTES,
  decodeChunkHeader,
  openChunk,
  parseCanonicalJson,
  type ReadingKey,
  readRecord,
  readRecordOf,
  readWhole,
  SMALL_FILE_BYTES_MAX,
  wrapsSchema,
} from '@lucid-sessions/evidence';
import { openBundle } from '@lucid-sessions/files';
import { nodeCrypto, nodeDecompressor } from '@lucid-sessions/node';
import { type Frame, PAYLOAD_BYTES_MAX, readPayload } from '@lucid-sessions/recording';
import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes } from '../cli/output.ts';
import { identityUnwrapper } from './identity-file.ts';

/** Where chunk files and their key come from. */
interface ChunkFiles {
  readonly sessionId: string;
  readonly chunksCount: number;
  /** It was made of a file: what is shown of it says so. */
  readonly imported: boolean;
  /** Of its manifest, hex; null while there is none. */
  readonly root: string | null;
  read(index: number): Promise<Uint8Array>;
  /** Pictures need no more than the view key. */
  key(): Promise<ReadingKey>;
  close(): Promise<void>;
}

const descriptionBytesMax = 32 << 20;

/** `what` is a path of a bundle when something is there, else a session of the API. */
export async function openRecording(
  what: string,
  options: { api: () => ApiClient; identity?: string | undefined },
): Promise<Recording> {
  const exists = await stat(what).then(
    () => true,
    () => false,
  );
  if (exists) return new Recording(await bundleFiles(what, options.identity));
  if (/[/\\.]/.test(what)) throw new CliError(`there is no ${what}`, exitCodes.usage);
  return new Recording(await storedFiles(options.api(), what));
}

/** Reads from the beginning as often as asked. Evidence is judged by `verify`, not here. */
export class Recording {
  readonly #files: ChunkFiles;
  #key: ReadingKey | null = null;
  #sessionId: Uint8Array | null = null;

  constructor(files: ChunkFiles) {
    this.#files = files;
  }

  get sessionId(): string {
    return this.#files.sessionId;
  }
  get imported(): boolean {
    return this.#files.imported;
  }
  get chunksCount(): number {
    return this.#files.chunksCount;
  }
  get root(): string | null {
    return this.#files.root;
  }

  /** The frames of one chunk after the other. Throws `CliError` where a chunk can't be read. */
  async *chunks(): AsyncGenerator<Iterable<Frame>> {
    for (let index = 0; index < this.chunksCount; index += 1) {
      const file = await this.#files.read(index);
      yield this.#named(index, readPayload(await this.#payload(index, file)));
    }
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  *#named(index: number, frames: Iterable<Frame>): Generator<Frame> {
    try {
      yield* frames;
    } catch (error) {
      throw unreadable(index, error);
    }
  }

  async #payload(index: number, file: Uint8Array): Promise<Uint8Array> {
    try {
      const header = decodeChunkHeader(file);
      this.#sessionId ??= header.sessionId.slice();
      if (header.index !== index || !equalBytes(header.sessionId, this.#sessionId))
        throw new DecodeError('invalid', 'it belongs elsewhere');
      const compressed =
        header.suite === chunkSuites.plain ? file.subarray(CHUNK_HEADER_BYTES) : await this.#decrypted(file);
      return await nodeDecompressor.decompress(header.compression, compressed, PAYLOAD_BYTES_MAX);
    } catch (error) {
      throw unreadable(index, error);
    }
  }

  async #decrypted(file: Uint8Array): Promise<Uint8Array> {
    this.#key ??= await this.#files.key();
    const opened = await openChunk(nodeCrypto, this.#key, file);
    if (!opened.opened) throw new DecodeError('invalid', opened.message);
    return opened.compressed;
  }
}

function unreadable(index: number, error: unknown): unknown {
  if (!(error instanceof DecodeError)) return error;
  return new CliError(`chunk ${index + 1} can't be read (${error.message}): "verify" says what is wrong`);
}

async function storedFiles(api: ApiClient, sessionId: string): Promise<ChunkFiles> {
  const params = { session_id: sessionId };
  const page = await api.rest.listChunks({ params, query: { limit: 1 } });
  const chunksCount = page.pagination.total;
  if (chunksCount === 0) throw new CliError('nothing of this session is stored yet');
  const session = await api.rest.getSession({ params });
  return {
    imported: (session.imported ?? null) !== null,
    root: session.merkle_root,
    sessionId,
    chunksCount,
    read: (index) => downloadChunk(api, sessionId, chunkIdOf(sessionId, index)),
    async key() {
      const { key } = await api.rest.getKey({ params });
      return { view: checkedKey(new Uint8Array(Buffer.from(key, 'base64'))), inputs: null };
    },
    close: async () => {},
  };
}

const downloadChunk = async (api: ApiClient, session_id: string, chunk_id: string): Promise<Uint8Array> =>
  boundedBody(await api.rest.downloadChunk({ params: { session_id, chunk_id } }), chunk_id);

async function boundedBody(response: Response, chunkId: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > CHUNK_FILE_BYTES_MAX)
      throw new CliError(`chunk ${chunkId} is larger than ${CHUNK_FILE_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function bundleFiles(path: string, identity: string | undefined): Promise<ChunkFiles> {
  try {
    const { source, close } = await openBundle(path);
    try {
      return { ...(await describeBundle(source, identity)), close };
    } catch (error) {
      await close();
      throw error;
    }
  } catch (error) {
    if (error instanceof DecodeError) throw new CliError(`${path} is no evidence bundle: ${error.message}`);
    throw error;
  }
}

async function describeBundle(source: BundleSource, identity: string | undefined): Promise<Omit<ChunkFiles, 'close'>> {
  const files = new Map((await source.list()).map((file) => [file.name, file]));
  const whole = async (name: string, bytesMax: number): Promise<Uint8Array> => {
    const file = files.get(name);
    if (file === undefined) throw new DecodeError('invalid', `it holds no ${name}`);
    return readWhole(source, file, bytesMax);
  };
  const json = await whole(bundleNames.bundle, descriptionBytesMax);
  const { session_id: sessionId, partial } = bundleSchema.parse(
    parseCanonicalJson(json, descriptionBytesMax),
    'bundle',
  );
  // Every picture builds on the ones before it, down to the handshake.
  if (partial !== null && partial.first_chunk > 0)
    throw new CliError(
      'this bundle is a part without the beginning of the session: pictures need everything before them',
    );
  const open = files.has(bundleNames.open) ? readRecord(await whole(bundleNames.open, SMALL_FILE_BYTES_MAX)) : null;
  const manifest = files.has(bundleNames.manifest)
    ? readRecordOf('manifest', await whole(bundleNames.manifest, SMALL_FILE_BYTES_MAX))
    : null;
  const names = [...files.keys()].filter((name) => name.startsWith('chunks/'));
  return {
    sessionId,
    imported: open?.body.kind === 'open' && open.body.imported !== undefined,
    root: manifest?.body.merkle_root ?? null,
    chunksCount: names.length,
    async read(index) {
      const name = bundleNames.chunk(index);
      if (!files.has(name)) throw new CliError(`the bundle holds no ${name}: "verify" says what is missing`);
      return whole(name, CHUNK_FILE_BYTES_MAX);
    },
    async key() {
      if (!files.has(bundleNames.wraps))
        throw new CliError('the bundle holds no key of its encrypted recording: was it destroyed?');
      const wraps = wrapsSchema.parse(
        parseCanonicalJson(await whole(bundleNames.wraps, SMALL_FILE_BYTES_MAX), SMALL_FILE_BYTES_MAX),
        'wraps',
      );
      if (identity === undefined)
        throw new CliError('this bundle is encrypted: name an age identity with --identity', exitCodes.usage);
      const key = await (await identityUnwrapper(identity))(wraps);
      if (key === null) throw new CliError(`${identity} opens none of the bundle's ${wraps.length} wrapped keys`);
      return checkedKey(key);
    },
  };
}

function checkedKey(key: Uint8Array): Uint8Array {
  if (key.length !== DEK_BYTES) throw new CliError(`the key has ${key.length} bytes instead of ${DEK_BYTES}`);
  return key;
}
