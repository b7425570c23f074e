/** The signed chain of who had a recording in hands: every view, export, verification and deletion. */
import { randomUUID } from 'node:crypto';
import { appendCustody, type CustodyAction, KeyedQueue } from '@lucid-sessions/kit';
import type { ApiDeps, Call } from './call.ts';
import { claimViewing } from './viewing-gate.ts';

type CustodyCall = Pick<Call, 'api' | 'sessionId' | 'user'> & Partial<Pick<Call, 'viewing'>>;
type Entry = { sessionId: string; actor: string; action: CustodyAction; detail: string; viewing?: ViewingStep };

/** What a record tells of a request to see the recording (`extra.viewing`). */
export interface ViewingStep {
  id: string;
  step: 'ask' | 'approve' | 'refuse' | 'share' | 'use';
}

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
    return this.#queue.run(entry.sessionId, async () => {
      const { viewing, ...facts } = entry;
      const extra = { id: randomUUID(), ...(viewing === undefined ? {} : { viewing: { ...viewing } }) };
      await appendCustody(this.#deps, { ...facts, extra });
      // Signed and stored it is; what comes next has its head logged too.
      await this.#deps.pipeline.custodyAdded(entry).catch((thrown: unknown) => this.#deps.onError?.('custody', thrown));
    });
  }
}

/** Before anything leaves; what a grant allows once is used up by it. */
export async function addCustody(call: CustodyCall, action: CustodyAction, detail: string): Promise<void> {
  const { api, sessionId, user, viewing } = call;
  if (viewing) await claimViewing(api, viewing);
  const step = viewing ? { viewing: { id: viewing.viewingId, step: 'use' as const } } : {};
  await api.custody.add({ sessionId, actor: user.userId, action, detail, ...step });
}
