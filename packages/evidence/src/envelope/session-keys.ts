import { type Crypto, concatBytes } from '@lucid-sessions/wire';
import { utf8 } from '../text.ts';

/** What a session's DEK opens, apart: pictures and everything else, and what was typed and copied. 32 bytes each. */
export interface SessionKeys {
  view: Uint8Array;
  /** Null for a reader without the right to it: frames with the flag `inputs` stay sealed. */
  inputs: Uint8Array | null;
}

/** Bytes are the DEK itself. */
export type ReadingKey = Uint8Array | SessionKeys;

/** HKDF-SHA-256(DEK, no salt, domain ‖ DEK id) for each. `dekId`: 16 bytes. */
export async function sessionKeys(
  crypto: Crypto,
  dek: Uint8Array,
  dekId: Uint8Array,
): Promise<{ view: Uint8Array; inputs: Uint8Array }> {
  const derive = (name: string) =>
    crypto.hkdfSha256(dek, new Uint8Array(0), concatBytes(utf8(`lucid-sessions/v1/${name}\0`), dekId), 32);
  return { view: await derive('view'), inputs: await derive('inputs') };
}
