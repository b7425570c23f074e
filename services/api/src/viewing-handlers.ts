/** Asking to see a recording, and answering who asks. */
import { isoOf, LucidError, type ViewingRequest, type viewingSchema, viewingState } from '@lucid-sessions/contract';
import type { z } from 'zod';
import { type Api, type Call, type Handlers, loadSession } from './call.ts';
import type { ViewingStep } from './custody.ts';
import { mayDo } from './people/callers.ts';
import { seenOf } from './scope-gate.ts';
import { shareKeeper, viewingNeed } from './viewing-gate.ts';
import { isoOrNull } from './views.ts';

type ViewingAnswer = z.output<typeof viewingSchema>;

const shownMax = 1000;

/** Whose shares are needed, and what they are sealed to on their way; read anew, because wraps and processes change. */
async function sharesOf(
  { deps }: Api,
  { sessionId, threshold, shares }: ViewingRequest,
): Promise<ViewingAnswer['shares']> {
  if (threshold === null || deps.keyShares === undefined) return null;
  const [{ wraps }, { recipients }] = await Promise.all([
    deps.storage.getWraps({ sessionId }),
    deps.pipeline.unlockers(),
  ]);
  return {
    threshold,
    given: shares.map(({ index, by }) => ({ index, by })),
    holders: (deps.keyShares.describe(wraps)?.holders ?? []).map(({ index, recipient, wrapped }) => ({
      index,
      recipient,
      wrapped: Buffer.from(wrapped).toString('base64'),
    })),
    unlock_recipients: recipients,
  };
}

async function answerOf(api: Api, viewing: ViewingRequest): Promise<ViewingAnswer> {
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
    shares: await sharesOf(api, viewing),
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
    threshold: need.threshold,
  };
  const { viewingId } = asked;
  Object.assign(call.told, { viewing_id: viewingId, reason: body.reason, use: body.use, minutes });
  // Signed first: no grant is without its record.
  await told(call, viewingId, 'ask', `asked to see it (${body.use}, ${minutes} minutes): ${body.reason}`);
  return answerOf(api, (await api.deps.pipeline.askViewing({ viewing: asked })).viewing);
}

async function shown(call: Pick<Call, 'api' | 'user'>, sessionId?: string) {
  const { api, user } = call;
  const { viewings } = await api.deps.pipeline.viewings(sessionId === undefined ? {} : { sessionId });
  const approves = mayDo(user, 'recordings:approve');
  const isShown = ({ by, threshold }: ViewingRequest): boolean => approves || by === user.userId || threshold !== null;
  const answers: ViewingAnswer[] = [];
  const seen = sessionId === undefined ? await seenOf(call, viewings.filter(isShown)) : viewings.filter(isShown);
  for (const viewing of seen.slice(-shownMax)) answers.push(await answerOf(api, viewing));
  return { viewings: answers };
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
  return answerOf(api, viewing);
}

async function giveShare(call: Call<'giveShare'>): Promise<ViewingAnswer> {
  const { api, sessionId, user, viewingId, body } = call;
  const { pipeline, storage } = api.deps;
  await loadSession(call);
  const keeper = shareKeeper(api);
  const { wraps } = await storage.getWraps({ sessionId });
  const given = 'share' in body ? { share: body.share } : { box: new Uint8Array(Buffer.from(body.box, 'base64')) };
  const { index, share } = await keeper.read(wraps, given);
  Object.assign(call.told, { viewing_id: viewingId, share: index });
  const { viewings } = await pipeline.viewings({ sessionId });
  const asked = viewings.find((known) => known.viewingId === viewingId);
  if (asked === undefined) throw new LucidError('recordNotFound', 'there is no such request (any more): ask again');
  if (viewingState(asked) !== 'waiting')
    throw new LucidError('notInThisState', 'this request waits for no share (any more)');
  if (asked.shares.some((known) => known.index === index))
    throw new LucidError('conflict', `share ${index} is given already; it takes another holder's`);
  const own = await keeper.recipient();
  const { recipients } = await pipeline.unlockers();
  const box = Buffer.from(await keeper.seal(share, [...new Set([own, ...recipients])])).toString('base64');
  await told(call, viewingId, 'share', `gave share ${index} for what ${asked.by} asked for`);
  return answerOf(
    api,
    (await pipeline.giveShare({ sessionId, viewingId, share: { index, by: user.userId, box } })).viewing,
  );
}

export const viewingHandlers: Handlers<
  'askViewing' | 'sessionViewings' | 'listViewings' | 'decideViewing' | 'giveShare'
> = {
  askViewing,
  async sessionViewings(call) {
    const need = await viewingNeed(call);
    const { minutesMax } = call.api.config.viewing;
    return {
      ...(await shown(call, call.sessionId)),
      needs: need && { level: need.level, threshold: need.threshold, minutes_max: minutesMax },
    };
  },
  listViewings: (call) => shown(call),
  decideViewing,
  giveShare,
};
