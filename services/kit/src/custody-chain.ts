/** The chain of custody of a session: every record names the one before, whoever adds to it. */
import { createHash } from 'node:crypto';
import { isLucidError, type ProcessorPort, type StoragePort } from '@lucid-sessions/contract';

export type CustodyAction = 'view' | 'export' | 'verify' | 'hold' | 'release' | 'delete' | 'key_shred';

export interface CustodyEntry {
  sessionId: string;
  actor: string;
  action: CustodyAction;
  detail: string;
  /** `id` names the event: two processes may sign the same words at the same moment, and one would be taken for the other, sent again. */
  extra: { id: string; [name: string]: unknown };
}

export interface CustodyDeps {
  storage: Pick<StoragePort, 'getRecords' | 'putRecord'>;
  processor: Pick<ProcessorPort, 'signRecord'>;
  nowUs: () => number;
}

/** Other processes write to the same chain: who is late signs again behind them. */
const triesMax = 50;

/** Signed and stored when it resolves; answers the record. Throws `conflict` where others are always faster. */
export async function appendCustody(
  { storage, processor, nowUs }: CustodyDeps,
  { sessionId, ...facts }: CustodyEntry,
): Promise<Uint8Array> {
  for (let tries = 1; ; tries += 1)
    try {
      const { records } = await storage.getRecords({ sessionId, kind: 'custody' });
      const last = records.at(-1);
      const body = {
        at_us: nowUs(),
        ...facts,
        sequence: records.length,
        previous_sha256: last === undefined ? null : createHash('sha256').update(last.record).digest('hex'),
      };
      const { record } = await processor.signRecord({ sessionId, kind: 'custody', body });
      await storage.putRecord({ sessionId, kind: 'custody', record, place: records.length });
      return record;
    } catch (thrown) {
      if (!isLucidError(thrown, 'conflict') || tries >= triesMax) throw thrown;
    }
}
