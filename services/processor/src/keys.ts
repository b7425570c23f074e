import type { KeyWrap } from '@lucid-sessions/contract';
import type { Signer } from '@lucid-sessions/evidence';

/** Port: the processor's keys. Adapters implement it with key files, age recipients, Vault. */
export interface ProcessorKeys {
  /** Signs `open`, `manifest`, `resume`, `custody` and `erase`. */
  readonly identity: Signer;
  /** Everyone a session's DEK is wrapped to; at least one. Their errors' messages are shown and hold no secret. */
  readonly wrappers: readonly { wrap(dek: Uint8Array, keyId: string): Promise<KeyWrap> }[];
  /** What this processor itself can unwrap, to carry on a session another one began. May be empty. */
  readonly unwrappers: readonly { unwrap(wrap: KeyWrap): Promise<Uint8Array | null> }[];
}
