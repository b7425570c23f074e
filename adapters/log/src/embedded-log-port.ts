import { formatNoteKey, toHex } from '@lucid-sessions/evidence';
import type { TransparencyLog } from '@lucid-sessions/pipeline';
import type { EmbeddedLog } from './embedded-log.ts';

/** The embedded log as the pipeline sees it. Closing the log stays with who opened it. */
export function embeddedLogPort(log: EmbeddedLog): TransparencyLog {
  return {
    publicKey: formatNoteKey(log.publicKey),
    problem: () => log.held,
    append: async (entry) => ({ index: await log.append(entry) }),
    async prove(indices, first) {
      const { size, checkpoint, inclusion, consistency } = await log.prove(indices, first);
      return {
        size,
        checkpoint,
        inclusion: inclusion.map((hashes) => hashes.map(toHex)),
        consistency: consistency.map(toHex),
      };
    },
    proveAt: async (index, size) => (await log.proveAt(index, size)).map(toHex),
    proveConsistency: async (first, second) => (await log.proveConsistency(first, second)).map(toHex),
    find: (entry) => log.find(entry),
    // What a witness saw existed at the time it says: worth more to a recording than the entries that came since.
    async checkpoint() {
      await log.refresh();
      return log.witnessed.size > 0 ? log.witnessed.checkpoint : log.checkpoint;
    },
  };
}
