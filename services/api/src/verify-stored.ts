/** A session's evidence, verified where it lies. */
import type { KeyWrap } from '@lucid-sessions/contract';
import { type BundleWrap, type VerificationReport, type VerifyOptions, verifyBundle } from '@lucid-sessions/evidence';
import type { Crypto } from '@lucid-sessions/wire';
import { bundleInput, ChunkFileMissing, type EvidenceCall, storedBundle } from './bundle.ts';
import type { ApiDeps } from './call.ts';

export type VerifiedCall = EvidenceCall & { api: { deps: Pick<ApiDeps, 'verification' | 'unwrapKey'> } };

/** Hashes large files off this thread, so that a verification does not hold up other calls. */
function offThread(crypto: Crypto): Crypto {
  return {
    ...crypto,
    async sha256(...parts) {
      const [only] = parts;
      if (parts.length !== 1 || only === undefined || only.buffer instanceof SharedArrayBuffer)
        return crypto.sha256(...parts);
      return new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', only as Uint8Array<ArrayBuffer>));
    },
  };
}

/** With a key this host holds the frames are read too: what can't be read is a finding, not left open. */
function ownKey({ api }: VerifiedCall): Pick<VerifyOptions, 'unwrap'> {
  const { unwrapKey } = api.deps;
  return unwrapKey === undefined ? {} : { unwrap: (wraps) => unwrapKey(wraps.map(keyWrapOf)) };
}

const keyWrapOf = ({ scheme, recipient, key_id, wrapped }: BundleWrap): KeyWrap => ({
  scheme,
  recipient,
  keyId: key_id,
  wrapped: new Uint8Array(Buffer.from(wrapped, 'base64')),
});

const missingMax = 10_000;

/** Reads every chunk of the session. */
export async function verifyStored(call: VerifiedCall): Promise<VerificationReport> {
  const { crypto, ...options } = call.api.deps.verification;
  const input = await bundleInput(call);
  const missing = new Set<number>();
  for (;;) {
    try {
      const source = await storedBundle(input, missing);
      return await verifyBundle(source, { ...options, ...ownKey(call), crypto: offThread(crypto), stored: true });
    } catch (thrown) {
      // Found while reading: begin again without it, so that the report says which one is missing.
      if (!(thrown instanceof ChunkFileMissing) || missing.size >= missingMax) throw thrown;
      missing.add(thrown.index);
    }
  }
}
