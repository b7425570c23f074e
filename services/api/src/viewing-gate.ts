/** Recordings that are shown on request only: which, and by what grant. One gate for every route that shows any of them. */
import {
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
}

export async function viewingNeed({ api, sessionId }: Pick<Call, 'api' | 'sessionId'>): Promise<ViewingNeed | null> {
  const level = viewingLevel(api.config, await loadSession({ api, sessionId }));
  return level === 'open' ? null : { level };
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
  const grant = open.find(({ use }) => use === 'window') ?? open[0];
  if (grant === undefined)
    throw new LucidError(
      'viewingNeeded',
      'this recording is shown on request only: ask for it with a reason (POST /sessions/{id}/viewings)',
      { details: { session_id: sessionId, level: need.level, minutes_max: api.config.viewing.minutesMax } },
    );
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
