/** Rules over how a session began, held against the sessions before it. */
import type { AlertCondition, SessionDocument, SessionQuery } from '@lucid-sessions/contract';
import type { Context } from '../context.ts';
import type { KnownRule } from './known-rules.ts';
import { personOf } from './raise.ts';

type BeginningCondition = Extract<AlertCondition, { kind: 'sessions' | 'rare_target' }>;

const pageSize = 100;
/** More than any rule counts to, and enough that one of them is what is looked for. */
const sessionsMax = 2000;
const minuteMs = 60_000;
const dayMs = 86_400_000;

const samePerson = (a: SessionDocument, b: SessionDocument): boolean =>
  personOf(a)?.toLowerCase() === personOf(b)?.toLowerCase();

/** The sessions a rule asks about; null: nobody is known whose they could be. */
function asked(began: SessionDocument, condition: BeginningCondition): Partial<SessionQuery> | null {
  const person = personOf(began);
  if (condition.kind === 'sessions') return person === null ? null : { user: person };
  const { host: target } = began.rdp_config;
  if (condition.by === 'anyone') return { target };
  return person === null ? null : { target, user: person };
}

/** Other sessions, latest first, which count for the rule: up to `most` of them. */
async function countBefore(
  { deps }: Pick<Context, 'deps'>,
  began: SessionDocument,
  condition: BeginningCondition,
  most: number,
): Promise<number> {
  const wanted = asked(began, condition);
  if (wanted === null) return 0;
  const reachMs = condition.kind === 'sessions' ? condition.minutes * minuteMs : condition.days * dayMs;
  const to = began.started_at ?? began.created_at;
  const from = new Date(Date.parse(to) - reachMs).toISOString();
  const isAnyone = condition.kind === 'rare_target' && condition.by === 'anyone';
  // The list moves while it is read: each counts once.
  const counted = new Set<string>();
  for (let offset = 0; offset < sessionsMax && counted.size < most; offset += pageSize) {
    const query = { ...wanted, from, to, sort: 'started', descending: true, limit: pageSize, offset } as const;
    const { sessions } = await deps.storage.listSessions(query);
    for (const other of sessions) {
      const isOther = other.session_id !== began.session_id && other.started_at !== null;
      if (isOther && (isAnyone || samePerson(other, began))) counted.add(other.session_id);
    }
    if (sessions.length < pageSize) break;
  }
  return counted.size;
}

/** Whether a rule says something of it. */
export async function isSaidOfBeginning(
  context: Pick<Context, 'deps'>,
  began: SessionDocument,
  { condition }: KnownRule,
): Promise<boolean> {
  if (condition.kind === 'sessions')
    return (await countBefore(context, began, condition, condition.more_than)) >= condition.more_than;
  if (condition.kind !== 'rare_target') return false;
  // Who is not known is not told of: everybody would be new.
  if (condition.by === 'person' && personOf(began) === null) return false;
  return (await countBefore(context, began, condition, 1)) === 0;
}
