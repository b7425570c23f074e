/** The verifier over every session where it lies now, with this installation's own keys and log. */

import { verifyStored } from '@lucid-sessions/api';
import { parsePolicy, type VerificationReport } from '@lucid-sessions/evidence';
import { embeddedLogPort } from '@lucid-sessions/log';
import { nodeCrypto, nodeDecompressor } from '@lucid-sessions/node';
import { logProofs } from '@lucid-sessions/pipeline';
import { createStorageService } from '@lucid-sessions/storage';
import { anchorCheck } from '../server/anchors.ts';
import { logOrigin, nowUs, openKeyDirectory, openUnwrap } from '../server/embedded-parts.ts';
import { openLog } from '../server/log-place.ts';
import { trustPolicy } from '../server/trust-policy.ts';
import { readVault } from '../server/vault.ts';
import type { Installation } from './installation.ts';

export interface Verifier {
  /** Null: the session has no signed record, because nothing of it was recorded. */
  verify(sessionId: string): Promise<VerificationReport | null>;
  close(): Promise<void>;
}

/** Keys and settings are `from`'s; what is verified is `at`'s, its log among it. */
export async function openVerifier(from: Installation, at: Installation): Promise<Verifier> {
  const { environment, directory } = from;
  const keys = await openKeyDirectory(directory);
  const origin = logOrigin(environment, directory);
  const policy = parsePolicy(new TextEncoder().encode(JSON.stringify(await trustPolicy(keys, environment, directory))));
  const checkAnchor = anchorCheck(environment);
  const unwrapKey = await openUnwrap(keys, readVault(environment));
  const { log, close } = await openLog(at.environment, keys, at.directory, origin);
  const storage = createStorageService({ metadata: at.metadata, chunks: at.chunks, nowUs });
  const pipeline = {
    logProofs: ({ sessionId }: { sessionId: string }) =>
      logProofs({ storage, log: embeddedLogPort(log), journal: at.journal, nowUs }, sessionId),
    anchor: async ({ sessionId }: { sessionId: string }) => ({
      log: null,
      receipts: await at.journal.listReceipts(sessionId),
      anchoring: [],
    }),
  };
  const verification = {
    crypto: nodeCrypto,
    decompressor: nodeDecompressor,
    policy,
    ...(checkAnchor === null ? {} : { checkAnchor }),
  };
  return {
    async verify(sessionId) {
      const opened = await at.metadata.getRecords(sessionId, 'open');
      if (opened.length === 0) return null;
      return verifyStored({ api: { deps: { storage, pipeline, verification, unwrapKey } }, sessionId });
    },
    close,
  };
}
