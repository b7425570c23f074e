import { formatNoteKey, toHex } from '@lucid-sessions/evidence';
import type { TransparencyLog } from '@lucid-sessions/pipeline';
import type { EmbeddedLog } from './embedded-log.ts';

/** The embedded log as the pipeline sees it. Closing the log stays with who opened it. */
export function embeddedLogPort(log: EmbeddedLog): TransparencyLog {
  return {
    publicKey: formatNoteKey(log.publicKey),
    append: async (entry) => ({ index: await log.append(entry) }),
    async proof(index) {
      const { hashes, checkpoint } = await log.prove(index);
      return { logIndex: index, checkpoint, inclusion: hashes.map(toHex) };
    },
    find: async (entry) => log.find(entry),
    async consistency(first) {
      const { hashes, ...rest } = await log.proveConsistency(first);
      return { ...rest, hashes: hashes.map(toHex) };
    },
    checkpoint: async () => log.checkpoint,
  };
}
