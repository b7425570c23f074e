import { type KeyWrap, LucidError, type SessionDocument, type StoragePort } from '@lucid-sessions/contract';
import { decodeLeafFlags, openSidecar, sealSidecar, sessionKeys } from '@lucid-sessions/evidence';
import type { KeepPolicy } from '@lucid-sessions/recording/session-index';
import { type Crypto, DecodeError } from '@lucid-sessions/wire';

export interface RecordingShelfOptions {
  storage: StoragePort;
  crypto: Crypto;
  /** Opens wraps with keys this host holds; null when it holds none of them. */
  unwrapKey: (wraps: KeyWrap[]) => Promise<Uint8Array | null>;
}

/** A recording and the keys to it; null where it is stored in clear. */
export interface Recording {
  sessionId: string;
  dek: Uint8Array | null;
  /** Opens pictures, and nothing that was typed or copied. */
  view: Uint8Array | null;
  input: KeepPolicy;
  clipboard: KeepPolicy;
  /** It was made of a file: its pictures say so. */
  imported: boolean;
}

/** A session's chunks as the index thread is given them, and its sidecars, opened and sealed. */
export class RecordingShelf {
  readonly #options: RecordingShelfOptions;

  constructor(options: RecordingShelfOptions) {
    this.#options = options;
  }

  /** Throws `recordNotFound` when this host has no key to it. */
  async recording(sessionId: string): Promise<Recording> {
    const { storage, unwrapKey } = this.#options;
    const { session } = await storage.getSession({ sessionId });
    if (session === null) throw new LucidError('sessionNotFound', 'there is no such session');
    const policies = { ...policiesOf(session), imported: Boolean(session.imported) };
    if (!session.storage_config.encryption_enabled) return { sessionId, dek: null, view: null, ...policies };
    const { wraps } = await storage.getWraps({ sessionId });
    const dek = wraps.length === 0 ? null : await unwrapKey(wraps);
    if (dek === null)
      throw new LucidError('recordNotFound', 'this host holds no key that opens the recording, or it was destroyed');
    const { view } = await sessionKeys(this.#options.crypto, dek, Buffer.from(wraps[0]!.keyId, 'hex'));
    return { sessionId, dek, view, ...policies };
  }

  /** Its keys were not destroyed. */
  async isWrapped(sessionId: string): Promise<boolean> {
    return (await this.#options.storage.getWraps({ sessionId })).wraps.length > 0;
  }

  async chunksCount(sessionId: string): Promise<number> {
    return (await this.#options.storage.listChunks({ sessionId, limit: 1, offset: 0 })).total;
  }

  /** Of all chunks. */
  async storedBytes(sessionId: string): Promise<number> {
    return (await this.#options.storage.sessionTotals({ sessionId })).storedBytes;
  }

  async chunk(sessionId: string, index: number): Promise<{ last: boolean; fileBytes: number; openedUs: number }> {
    const { chunk } = await this.#options.storage.getChunk({ sessionId, index });
    const { flags = 0, fileBytes = 0, openedUs = 0 } = chunk ?? {};
    return { last: decodeLeafFlags(flags).final, fileBytes, openedUs };
  }

  /** Null when the file is missing. */
  async file(sessionId: string, index: number): Promise<Uint8Array | null> {
    return (await this.#options.storage.readChunk({ sessionId, index })).file;
  }

  async put(recording: Recording, name: string, plain: Uint8Array): Promise<number> {
    const { sessionId } = recording;
    const bytes = await sealSidecar(this.#options.crypto, keyTo(recording, name), { sessionId, name }, plain);
    await this.#options.storage.putSidecar({ sessionId, name, bytes });
    return bytes.length;
  }

  /** Null where it is missing, or spoiled: it can be made again. */
  async get(recording: Recording, name: string): Promise<Uint8Array | null> {
    const { sessionId } = recording;
    const bytes = await this.sealed(sessionId, name);
    return bytes && orNull(() => openSidecar(this.#options.crypto, keyTo(recording, name), { sessionId, name }, bytes));
  }

  async sealed(sessionId: string, name: string): Promise<Uint8Array | null> {
    return (await this.#options.storage.getSidecar({ sessionId, name })).bytes;
  }
}

/** Of the index of one chunk. */
export const segmentName = (index: number): string => `index-${String(index + 1).padStart(6, '0')}`;
/** All segments of a finished session in one. */
export const wholeName = 'index-whole';

/** Players get the view key and open keyframes with it; the index holds texts and takes the key that opens everything. */
const keyTo = ({ dek, view }: Recording, name: string): Uint8Array | null => (name.startsWith('keyframe') ? view : dek);

/** What was spoiled, or made by another version, is made again. */
export async function orNull<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

function policiesOf({ recording_config }: SessionDocument): { input: KeepPolicy; clipboard: KeepPolicy } {
  const { input_policy: input = 'full', clipboard_policy: clipboard = 'full' } = recording_config;
  return { input, clipboard };
}
