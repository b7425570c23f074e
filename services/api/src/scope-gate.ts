/** What callers with a limited scope may see: one gate before every route, and the words by which lists are filtered. */
import {
  isWithin,
  LucidError,
  mayReachTarget,
  type OperationId,
  routeScopes,
  type ScopedSession,
  sessionScopeWord,
  type Within,
  wordsOfScope,
} from '@lucid-sessions/contract';
import type { Call } from './call.ts';
import type { User } from './people/callers.ts';
import type { KeptTarget } from './targets.ts';
import { sessionNotFound } from './views.ts';

type Caller = Pick<Call, 'api' | 'user'>;

export const isScoped = ({ scope, tokenScope }: Pick<User, 'scope' | 'tokenScope'>): boolean =>
  scope !== null || tokenScope !== null;

/** An API token's scope limits its owner's. With `grants`: and the recordings they are let see beside their own scope. */
export async function withinOf({ api, user }: Caller, grants: boolean): Promise<Within> {
  const { scope, tokenScope, userId } = user;
  const within: string[][] = [];
  if (scope !== null) {
    const granted = grants ? await api.people.grants.ofUser(userId) : [];
    within.push([...wordsOfScope(scope, userId), ...granted.map(({ value }) => sessionScopeWord(value.sessionId))]);
  }
  if (tokenScope !== null) within.push(wordsOfScope(tokenScope, userId));
  return within;
}

/** For a query of the store; nothing for who sees everything. */
export async function withinQuery(caller: Caller): Promise<{ within?: Within }> {
  return isScoped(caller.user) ? { within: await withinOf(caller, true) } : {};
}

/** Whether this caller sees sessions, as a test of many. */
export async function visibleTo(caller: Caller, grants = true): Promise<(session: ScopedSession) => boolean> {
  if (!isScoped(caller.user)) return () => true;
  const within = await withinOf(caller, grants);
  return (session) => isWithin(within, session);
}

export const reachesTarget = ({ scope, tokenScope }: User, { id, value }: KeptTarget): boolean =>
  [scope, tokenScope].every((limit) => limit === null || mayReachTarget(limit, { id, metadata: value.metadata }));

/** What is made or changed must not leave the scope of who does it. */
export async function checkMade(caller: Caller, session: ScopedSession): Promise<void> {
  if ((await visibleTo(caller, false))(session)) return;
  throw new LucidError(
    'forbidden',
    'this session would be outside of what you may see: your own, or those of your projects, labels and targets',
  );
}

/** Whether this caller sees a session by its id; each is read once. */
export async function seesSession(caller: Caller): Promise<(sessionId: string) => Promise<boolean>> {
  if (!isScoped(caller.user)) return async () => true;
  const isVisible = await visibleTo(caller);
  const known = new Map<string, boolean>();
  return async (sessionId) => {
    const before = known.get(sessionId);
    if (before !== undefined) return before;
    const { session } = await caller.api.deps.storage.getSession({ sessionId });
    const sees = session !== null && isVisible(session);
    known.set(sessionId, sees);
    return sees;
  };
}

/** Of what is about sessions, that of those the caller sees. */
export async function seenOf<T extends { sessionId: string }>(
  caller: Caller,
  all: readonly T[],
): Promise<readonly T[]> {
  const sees = await seesSession(caller);
  const seen: T[] = [];
  for (const one of all) if (await sees(one.sessionId)) seen.push(one);
  return seen;
}

/** A session that may not be seen is not there: the answer is that of an id nobody has. */
export async function needVisible(caller: Caller, sessionId: string, grants = true): Promise<void> {
  if (!isScoped(caller.user)) return;
  const { session } = await caller.api.deps.storage.getSession({ sessionId });
  if (session === null || !(await visibleTo(caller, grants))(session)) throw sessionNotFound(sessionId);
}

export const wholeRefused = (): LucidError =>
  new LucidError('forbidden', 'this is of the whole installation, and what you may see is limited');

/** Before every route. */
export async function admitScope(call: Call, operation: OperationId): Promise<void> {
  if (!isScoped(call.user)) return;
  const rule = routeScopes[operation];
  if (rule === 'whole') throw wholeRefused();
  if (rule === 'view' || rule === 'act') await needVisible(call, call.sessionId, rule === 'view');
}
