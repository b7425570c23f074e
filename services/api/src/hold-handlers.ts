/** Legal holds: set, cleared and listed by those with the right to. */
import type { SessionDocument } from '@lucid-sessions/contract';
import { type Handlers, loadSession } from './call.ts';
import { needVisible, withinQuery } from './scope-gate.ts';
import { paginationOf } from './views.ts';

const holdView = ({ session_id, name, status, created_at, holds = [] }: SessionDocument) => ({
  session_id,
  name,
  status,
  created_at,
  holds,
});

export const holdHandlers: Handlers<'listHolds' | 'setHold' | 'clearHold'> = {
  async listHolds(call) {
    const { api, query } = call;
    const { session_id: sessionId, limit, offset } = query;
    if (sessionId === undefined) {
      const { sessions, total } = await api.deps.storage.listSessions({
        ...{ held: true, limit, offset },
        ...(await withinQuery(call)),
      });
      return { sessions: sessions.map(holdView), pagination: paginationOf(total, query) };
    }
    await needVisible(call, sessionId);
    const session = await loadSession({ api, sessionId });
    const held = (session.holds ?? []).length > 0 ? [holdView(session)] : [];
    return { sessions: held.slice(offset), pagination: paginationOf(held.length, query) };
  },

  async setHold({ api, sessionId, body, user, told }) {
    const { reference, reason, hold_id: holdId = api.deps.newId() } = body;
    Object.assign(told, { hold_id: holdId, reference, reason });
    const { hold } = await api.deps.pipeline.setHold({ sessionId, holdId, reference, reason, by: user.userId });
    return { session_id: sessionId, hold };
  },

  async clearHold({ api, sessionId, body, user, told }) {
    const { hold_id: holdId, reason } = body;
    Object.assign(told, { hold_id: holdId, reason });
    const { holdsLeft } = await api.deps.pipeline.clearHold({ sessionId, holdId, reason, by: user.userId });
    return { session_id: sessionId, hold_id: holdId, holds_left: holdsLeft };
  },
};
