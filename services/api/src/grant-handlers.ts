/** Single recordings that somebody is let see: given, listed, taken back. */
import { isoOf, LucidError } from '@lucid-sessions/contract';
import { type Handlers, loadSession } from './call.ts';
import type { KeptGrant } from './people/grants.ts';

const dayUs = 86_400_000_000;

const viewOf = ({ owner, value, untilUs }: KeptGrant) => ({
  session_id: value.sessionId,
  user_id: owner ?? '',
  reason: value.reason,
  granted_by: value.grantedBy,
  granted_at: isoOf(value.grantedUs),
  expires_at: isoOf(untilUs ?? 0),
});

export const grantHandlers: Handlers<'grantRecording' | 'listGrants' | 'revokeGrant'> = {
  async grantRecording(call) {
    const { api, sessionId, user, body, told } = call;
    await loadSession(call);
    Object.assign(told, { user: body.user_id, days: body.days, reason: body.reason });
    const account = await api.people.accounts.need(body.user_id);
    const nowUs = api.deps.nowUs();
    const grant = { sessionId, reason: body.reason, grantedBy: user.userId, grantedUs: nowUs };
    const kept = await api.people.grants.give(account.id, grant, nowUs + body.days * dayUs);
    await api.people.onlyWhileThere(account, () => api.people.grants.revoke(sessionId, account.id));
    return viewOf(kept);
  },

  async listGrants(call) {
    await loadSession(call);
    return { grants: (await call.api.people.grants.ofSession(call.sessionId)).map(viewOf) };
  },

  async revokeGrant(call) {
    const { api, sessionId, params, told } = call;
    await loadSession(call);
    const userId = params.user_id ?? '';
    told.user = userId;
    if (!(await api.people.grants.revoke(sessionId, userId)))
      throw new LucidError('notFound', 'nobody of this name has a grant for this recording');
    return { session_id: sessionId, user_id: userId, revoked: true } as const;
  },
};
