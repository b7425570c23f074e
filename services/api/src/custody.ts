/** The signed chain of who had a recording in hands: every view, export, verification and deletion. */
import { createHash, randomUUID } from 'node:crypto';
import { isLucidError } from '@lucid-sessions/contract';
import { KeyedQueue } from '@lucid-sessions/kit';
import type { ApiDeps, Call } from './call.ts';
import { claimViewing } from './viewing-gate.ts';

export type CustodyAction = 'view' | 'export' | 'verify' | 'delete' | 'key_shred';

type CustodyCall = Pick<Call, 'api' | 'sessionId' | 'user'> & Partial<Pick<Call, 'viewing'>>;
type Entry = { sessionId: string; actor: string; action: CustodyAction; detail: string; viewing?: ViewingStep };

/** What a record tells of a request to see the recording (`extra.viewing`). */
export interface ViewingStep {
  id: string;
  step: 'ask' | 'approve' | 'refuse' | 'share' | 'use';
}

/** Other processes write to the same chain: who is late signs again behind them. */
const triesMax = 50;
/** Records of one session that may wait to be signed. */
const waitingMax = 1000;

type Deps = Pick<ApiDeps, 'storage' | 'processor' | 'pipeline' | 'nowUs' | 'onError'>;

/** Records of a session name the one before: of one process they are signed one after the other. */
export class Custody {
  readonly #deps: Deps;
  readonly #queue = new KeyedQueue(waitingMax);

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Signed and stored when it resolves. */
  add(entry: Entry): Promise<void> {
    return this.#queue.run(entry.sessionId, () => this.#append(entry));
  }

  async #append(entry: Entry): Promise<void> {
    // Two processes may sign the same words at the same moment: without a name of its own the second is taken for the first, sent again.
    const id = randomUUID();
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#try(entry, id);
        // Signed and stored it is; what comes next has its head logged too.
        await this.#deps.pipeline
          .custodyAdded(entry)
          .catch((thrown: unknown) => this.#deps.onError?.('custody', thrown));
        return;
      } catch (thrown) {
        if (!isLucidError(thrown, 'conflict') || tries >= triesMax) throw thrown;
      }
    }
  }

  async #try({ sessionId, actor, action, detail, viewing }: Entry, id: string): Promise<void> {
    const { storage, processor, nowUs } = this.#deps;
    const { records } = await storage.getRecords({ sessionId, kind: 'custody' });
    const last = records.at(-1);
    const { record } = await processor.signRecord({
      sessionId,
      kind: 'custody',
      body: {
        at_us: nowUs(),
        action,
        actor,
        detail,
        sequence: records.length,
        previous_sha256: last === undefined ? null : createHash('sha256').update(last.record).digest('hex'),
        extra: { id, ...(viewing === undefined ? {} : { viewing: { ...viewing } }) },
      },
    });
    await storage.putRecord({ sessionId, kind: 'custody', record, place: records.length });
  }
}

/** Before anything leaves; what a grant allows once is used up by it. */
export async function addCustody(call: CustodyCall, action: CustodyAction, detail: string): Promise<void> {
  const { api, sessionId, user, viewing } = call;
  if (viewing) await claimViewing(api, viewing);
  const step = viewing ? { viewing: { id: viewing.viewingId, step: 'use' as const } } : {};
  await api.custody.add({ sessionId, actor: user.userId, action, detail, ...step });
}
