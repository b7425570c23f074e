/** Asking to see a recording, and answering who asks. */
import {
  isoOf,
  isPermitted,
  LucidError,
  type ViewingRequest,
  type viewingSchema,
  viewingState,
} from '@lucid-sessions/contract';
import type { z } from 'zod';
import { type Api, type Call, type Handlers, loadSession } from './call.ts';
import type { ViewingStep } from './custody.ts';
import { viewingNeed } from './viewing-gate.ts';
import { isoOrNull } from './views.ts';

type ViewingAnswer = z.output<typeof viewingSchema>;

const shownMax = 1000;

function answerOf(viewing: ViewingRequest): ViewingAnswer {
  const { decision } = viewing;
  return {
    viewing_id: viewing.viewingId,
    session_id: viewing.sessionId,
    asked_by: viewing.by,
    reason: viewing.reason,
    use: viewing.use,
    minutes: viewing.minutes,
    asked_at: isoOf(viewing.askedUs),
    state: viewingState(viewing),
    approval: viewing.approval,
    decision: decision && {
      decision: decision.approved ? 'approve' : 'refuse',
      by: decision.by,
      reason: decision.reason,
      at: isoOf(decision.atUs),
    },
    shares: null,
    granted_at: isoOrNull(viewing.grantedUs),
    expires_at: isoOf(viewing.untilUs),
  };
}

/** Signed into the chain of the recording that is asked for. */
const told = (
  { api, sessionId, user }: Pick<Call, 'api' | 'sessionId' | 'user'>,
  id: string,
  step: ViewingStep['step'],
  detail: string,
): Promise<void> => api.custody.add({ sessionId, actor: user.userId, action: 'view', detail, viewing: { id, step } });

async function askViewing(call: Call<'askViewing'>): Promise<ViewingAnswer> {
  const { api, sessionId, user, body } = call;
  const { minutesMax } = api.config.viewing;
  const { started_at, status } = await loadSession(call);
  if (started_at === null || status === 'deleted')
    throw new LucidError('notInThisState', 'there is nothing of this session to see');
  const need = await viewingNeed(call);
  if (need === null)
    throw new LucidError('notInThisState', 'this recording is open to whoever has the right to see it');
  const minutes = body.minutes ?? minutesMax;
  if (minutes > minutesMax)
    throw new LucidError('invalidRequest', `a recording may be seen for at most ${minutesMax} minutes`);
  const asked = {
    viewingId: api.deps.newId(),
    sessionId,
    by: user.userId,
    reason: body.reason,
    use: body.use,
    minutes,
    approval: need.level === 'approval',
    threshold: null,
  };
  const { viewingId } = asked;
  Object.assign(call.told, { viewing_id: viewingId, reason: body.reason, use: body.use, minutes });
  // Signed first: no grant is without its record.
  await told(call, viewingId, 'ask', `asked to see it (${body.use}, ${minutes} minutes): ${body.reason}`);
  return answerOf((await api.deps.pipeline.askViewing({ viewing: asked })).viewing);
}

async function shown(api: Api, user: Call['user'], sessionId?: string) {
  const { viewings } = await api.deps.pipeline.viewings(sessionId === undefined ? {} : { sessionId });
  const approves = isPermitted(user.roles, 'recordings:approve');
  const isShown = ({ by, threshold }: ViewingRequest): boolean => approves || by === user.userId || threshold !== null;
  return { viewings: viewings.filter(isShown).slice(-shownMax).map(answerOf) };
}

async function decideViewing(call: Call<'decideViewing'>): Promise<ViewingAnswer> {
  const { api, sessionId, user, viewingId } = call;
  const { decision, reason } = call.body;
  await loadSession(call);
  Object.assign(call.told, { viewing_id: viewingId, decision, reason });
  const { viewings } = await api.deps.pipeline.viewings({ sessionId });
  const asker = viewings.find((known) => known.viewingId === viewingId)?.by;
  if (asker === undefined) throw new LucidError('recordNotFound', 'there is no such request (any more)');
  if (asker === user.userId)
    throw new LucidError('forbidden', 'nobody can agree to what they asked for: it takes a second person');
  // Refusing takes hold even where its record can not be signed now; agreeing waits for it.
  const approve = decision === 'approve';
  const tell = () => told(call, viewingId, decision, `${decision}d what ${asker} asked for: ${reason}`);
  if (approve) await tell();
  const { viewing } = await api.deps.pipeline.decideViewing({
    sessionId,
    viewingId,
    approve,
    by: user.userId,
    reason,
  });
  if (!approve) await tell();
  return answerOf(viewing);
}

export const viewingHandlers: Handlers<
  'askViewing' | 'sessionViewings' | 'listViewings' | 'decideViewing' | 'giveShare'
> = {
  askViewing,
  async sessionViewings(call) {
    await loadSession(call);
    return shown(call.api, call.user, call.sessionId);
  },
  listViewings: ({ api, user }) => shown(api, user),
  decideViewing,
  async giveShare() {
    throw new LucidError('notInThisState', 'the key of this recording is not shared');
  },
};
