/** Typed and copied texts need a right of their own, and leave a trace of their own before they leave. */
import { LucidError } from '@lucid-sessions/contract';
import { writeAudit } from './audit.ts';
import type { Call } from './call.ts';
import { addCustody } from './custody.ts';
import { mayDo } from './people/callers.ts';

type InputsCall = Call<'getIndex'> | Call<'listEvents'> | Call<'getKey'> | Call<'liveSession'>;

/** Nothing to do for a call that does not ask for them. `detail`: what custody says was viewed. Throws `forbidden`. */
export async function admitInputs(call: InputsCall, detail: string): Promise<void> {
  const { api, user, sessionId, query } = call;
  if (!query.inputs) return;
  const allowed = mayDo(user, 'recordings:inputs');
  await writeAudit(api, {
    event: allowed ? 'inputs_viewed' : 'permission_denied',
    userId: user.userId,
    resourceId: sessionId,
    ipAddress: null,
    userAgent: null,
    success: allowed,
    errorMessage: allowed ? null : 'not permitted',
    details: { view: detail, ...placeOf(query) },
  });
  if (!allowed)
    throw new LucidError('forbidden', 'typed and copied texts need the right recordings:inputs', {
      details: { permissions: ['recordings:inputs'] },
    });
  await addCustody(call, 'view', detail);
}

/** What may have been typed at a logon screen: a second step, with a trace of its own. */
export async function admitLogon(call: Call<'getIndex'> | Call<'listEvents'>): Promise<void> {
  const { api, user, sessionId, query } = call;
  if (!query.logon) return;
  if (!query.inputs)
    throw new LucidError('invalidRequest', 'logon=true shows more of what inputs=true shows: ask for both');
  await writeAudit(api, {
    event: 'logon_inputs_viewed',
    userId: user.userId,
    resourceId: sessionId,
    ipAddress: null,
    userAgent: null,
    success: true,
    errorMessage: null,
    details: placeOf(query),
  });
  await addCustody(call, 'view', 'what was typed before the logon');
}

/** What was searched for can be a secret itself: it is not written down. */
const placeOf = (query: InputsCall['query']): Record<string, unknown> =>
  'limit' in query
    ? { offset: query.offset, limit: query.limit, ...('search' in query ? { searched: true } : {}) }
    : {};
