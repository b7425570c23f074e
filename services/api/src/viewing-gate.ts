/** Recordings that are shown on request only: which, and by what grant. One gate for every route that shows any of them. */
import {
  type KeyWrap,
  LucidError,
  type OperationId,
  routeReveals,
  type SessionDocument,
  strictestLevel,
  type ViewingLevel,
  type ViewingRequest,
  viewingState,
} from '@lucid-sessions/contract';
import { type Api, type Call, loadSession } from './call.ts';
import type { ApiConfig } from './config.ts';
import type { KeyShares } from './key-shares.ts';

/** The grant a call goes by. */
export interface CallViewing {
  sessionId: string;
  viewingId: string;
  operation: OperationId;
  handsOut: boolean;
  /** It counts once, however many records the call leaves. */
  claimed: boolean;
}

type Levelled = { recording_config: Pick<SessionDocument['recording_config'], 'viewing'> } & Pick<
  SessionDocument,
  'metadata'
>;

/** The strictest of what session, project and installation say. */
export function viewingLevel({ viewing }: Pick<ApiConfig, 'viewing'>, session: Levelled): ViewingLevel {
  const { project } = session.metadata;
  const ofProject = project === undefined ? undefined : viewing.projects.get(project);
  return strictestLevel([viewing.level, ofProject ?? 'open', session.recording_config.viewing ?? 'open']);
}

/** What has to be there before this recording is shown; null: nothing. */
export interface ViewingNeed {
  level: ViewingLevel;
  /** Its key is shared: so many holders give their share. Null: it is not. */
  threshold: number | null;
  wraps: KeyWrap[];
}

export async function viewingNeed({ api, sessionId }: Pick<Call, 'api' | 'sessionId'>): Promise<ViewingNeed | null> {
  const level = viewingLevel(api.config, await loadSession({ api, sessionId }));
  const { wraps } = await api.deps.storage.getWraps({ sessionId });
  const isShared = wraps.some(({ scheme }) => scheme === sharedScheme);
  const threshold = isShared ? shareKeeper(api).describe(wraps)!.threshold : null;
  return level === 'open' && !isShared ? null : { level, threshold, wraps };
}

const sharedScheme = 'share';

/** Whether it takes a request to see any of it: for answers about many recordings at once, which pass such ones over. */
export async function isOnRequest({ api }: Pick<Call, 'api'>, session: SessionDocument): Promise<boolean> {
  if (viewingLevel(api.config, session) !== 'open') return true;
  // Of a shared key others may hold the grant by which this process can read now.
  const { wraps } = await api.deps.storage.getWraps({ sessionId: session.session_id });
  return wraps.some(({ scheme }) => scheme === sharedScheme);
}

/** Throws `unavailable` where this process opens no shared keys. */
export function shareKeeper({ deps }: Pick<Api, 'deps'>): KeyShares {
  if (deps.keyShares !== undefined) return deps.keyShares;
  throw new LucidError('unavailable', 'the key of this recording is shared among holders, and this process opens none');
}

/** A shared key is combined in each process that shows the recording, from what is sealed to it. */
async function openShared(call: Call, { threshold, wraps }: ViewingNeed, grant: ViewingRequest): Promise<void> {
  if (threshold === null) return;
  const { sessionId, viewingId, untilUs, shares } = grant;
  const keeper = shareKeeper(call.api);
  if (keeper.holds(viewingId)) return;
  const boxes = shares.map(({ box }) => new Uint8Array(Buffer.from(box, 'base64')));
  if (await keeper.hold(wraps, boxes, { sessionId, viewingId, untilUs })) return;
  throw new LucidError('unavailable', 'this process came after the shares were given, or started anew: ask again');
}

/** Those a person has now: those that hand out first, then those that end last. */
async function grantsOf({ api, sessionId, user }: Pick<Call, 'api' | 'sessionId' | 'user'>): Promise<ViewingRequest[]> {
  const { viewings } = await api.deps.pipeline.viewings({ sessionId });
  const mine = viewings.filter(({ by, grantedUs }) => by === user.userId && grantedUs !== null);
  return mine.sort((a, b) => b.untilUs - a.untilUs);
}

const isOpen = (viewing: ViewingRequest, handsOut: boolean): boolean =>
  viewingState(viewing) === 'granted' || (!handsOut && viewingState(viewing) === 'used');

/**
 * Throws `viewingNeeded` where nothing is granted; else the call goes by its grant from here on. A window is taken before what is good
 * for once.
 */
export async function admitViewing(call: Call, operation: OperationId): Promise<void> {
  const reveals = routeReveals[operation];
  if (reveals === 'nothing') return;
  const need = await viewingNeed(call);
  if (need === null) return;
  const { api, sessionId, user } = call;
  const handsOut = reveals === 'whole';
  const open = (await grantsOf(call)).filter((viewing) => isOpen(viewing, handsOut));
  // Granted before more was asked for, or shares of another key, it opens nothing.
  const valid = open.filter(
    ({ approval, threshold }) => threshold === need.threshold && (approval || need.level !== 'approval'),
  );
  const grant = valid.find(({ use }) => use === 'window') ?? valid[0];
  if (grant === undefined)
    throw new LucidError(
      'viewingNeeded',
      open.length > 0
        ? 'since it was granted to you this recording asks for more: ask again (POST /sessions/{id}/viewings)'
        : 'this recording is shown on request only: ask for it with a reason (POST /sessions/{id}/viewings)',
      {
        details: {
          session_id: sessionId,
          level: need.level,
          shares: need.threshold,
          minutes_max: api.config.viewing.minutesMax,
        },
      },
    );
  await openShared(call, need, grant);
  const { viewingId, operations } = grant;
  call.viewing = { sessionId, viewingId, operation, handsOut, claimed: false };
  call.told.viewing_id = viewingId;
  if (handsOut || operations.includes(operation)) return;
  // Twice rather than never: the record is signed before it is noted that there is one.
  const viewing = { id: viewingId, step: 'use' as const };
  await api.custody.add({ sessionId, actor: user.userId, action: 'view', detail: operation, viewing });
  await claimViewing(api, call.viewing);
}

/** Throws `viewingNeeded` when the grant was used up or taken back since. */
export async function claimViewing({ deps }: Pick<Api, 'deps'>, viewing: CallViewing): Promise<void> {
  if (viewing.claimed) return;
  const { sessionId, viewingId, operation, handsOut } = viewing;
  await deps.pipeline.useViewing({ sessionId, viewingId, operation, handsOut });
  viewing.claimed = true;
}

/** Whether what a call goes by is still granted: for answers that go on for long. */
export async function isGranted({ api, viewing }: Pick<Call, 'api' | 'viewing'>): Promise<boolean> {
  if (viewing === null) return true;
  const { sessionId, viewingId } = viewing;
  const { viewings } = await api.deps.pipeline.viewings({ sessionId });
  const known = viewings.find((each) => each.viewingId === viewingId);
  return known !== undefined && isOpen(known, false);
}
