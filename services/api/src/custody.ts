/** The signed chain of who had a recording in hands: every view, export, verification and deletion. */
import { createHash } from 'node:crypto';
import type { Call } from './call.ts';

export type CustodyAction = 'view' | 'export' | 'verify' | 'delete' | 'key_shred';

/** Records of a session name the one before: they are signed one after the other. */
const tails = new WeakMap<object, Map<string, Promise<unknown>>>();

type CustodyCall = Pick<Call, 'api' | 'sessionId' | 'user'>;

async function append({ api, sessionId, user }: CustodyCall, action: CustodyAction, detail: string): Promise<void> {
  const { storage, processor, nowUs } = api.deps;
  const { records } = await storage.getRecords({ sessionId, kind: 'custody' });
  const last = records.at(-1);
  const { record } = await processor.signRecord({
    sessionId,
    kind: 'custody',
    body: {
      at_us: nowUs(),
      action,
      actor: user.userId,
      detail,
      sequence: records.length,
      previous_sha256: last === undefined ? null : createHash('sha256').update(last.record).digest('hex'),
    },
  });
  await storage.putRecord({ sessionId, kind: 'custody', record });
}

export function addCustody(call: CustodyCall, action: CustodyAction, detail: string): Promise<void> {
  const { api, sessionId } = call;
  const chains = tails.get(api) ?? new Map<string, Promise<unknown>>();
  tails.set(api, chains);
  const mine = (chains.get(sessionId) ?? Promise.resolve()).then(() => append(call, action, detail));
  const tail = mine
    .catch(() => {})
    .then(() => {
      if (chains.get(sessionId) === tail) chains.delete(sessionId);
    });
  chains.set(sessionId, tail);
  return mine;
}
