/** Legal holds at the command line. */
import { randomUUID } from 'node:crypto';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output, table } from '../cli/output.ts';
import type { SessionAnswer } from './sessions.ts';

export interface SetOptions {
  matter: string;
  reason: string;
  user?: string;
  /** ms since 1970. */
  from?: number;
  to?: number;
  yes?: boolean;
}

const page = 100;

async function* pagesOf<P extends { pagination: { has_next: boolean } }>(
  ask: (offset: number) => Promise<P>,
): AsyncGenerator<P> {
  for (let offset = 0; ; offset += page) {
    const answer = await ask(offset);
    yield answer;
    if (!answer.pagination.has_next) return;
  }
}

/** A session that has not ended goes on; one that has not begun is of when it was created. */
function isMeant(session: SessionAnswer, { user, from, to }: SetOptions): boolean {
  const { created_by, client_user, rdp_config, created_at, started_at, stopped_at } = session;
  const names = [created_by, client_user, rdp_config.username].map((name) => name?.toLowerCase());
  if (user !== undefined && !names.includes(user.toLowerCase())) return false;
  const began = Date.parse(started_at ?? created_at);
  const ended = stopped_at === null ? Number.POSITIVE_INFINITY : Date.parse(stopped_at);
  return (to === undefined || began < to) && (from === undefined || ended >= from);
}

async function sessionsMeant(api: ApiClient, options: SetOptions): Promise<SessionAnswer[]> {
  const { user, from, to } = options;
  if (user === undefined && from === undefined && to === undefined)
    throw new CliError('name a session, or say whose and when: --user, --from, --to', exitCodes.usage);
  const meant: SessionAnswer[] = [];
  for await (const { sessions } of pagesOf((offset) => api.rest.listSessions({ query: { limit: page, offset } })))
    meant.push(...sessions.filter((session) => isMeant(session, options)));
  return meant;
}

const rowOf = ({ session_id, created_by, client_user, started_at, created_at, name }: SessionAnswer) => [
  session_id,
  started_at ?? created_at,
  client_user ?? created_by ?? '-',
  name,
];

export async function setHolds(
  api: ApiClient,
  output: Output,
  id: string | undefined,
  options: SetOptions,
): Promise<void> {
  const { user, from, to } = options;
  if (id !== undefined && (user ?? from ?? to) !== undefined)
    throw new CliError('a session, or --user, --from and --to: not both', exitCodes.usage);
  const meant = id === undefined ? await sessionsMeant(api, options) : [{ session_id: id }];
  if (id === undefined && options.yes !== true) {
    const rows = (meant as SessionAnswer[]).map(rowOf);
    const shown = `${meant.length} sessions, no hold is set yet: add --yes`;
    output.result(
      { sessions: meant.map(({ session_id }) => session_id), set: false },
      rows.length === 0 ? shown : `${table(['SESSION', 'BEGAN', 'USER', 'NAME'], rows)}\n${shown}`,
    );
    return;
  }
  const set: RestAnswer<'setHold'>[] = [];
  const failed: string[] = [];
  for (const { session_id } of meant) {
    // An answer that is lost is asked for again, and is of the same hold then.
    const body = { reference: options.matter, reason: options.reason, hold_id: randomUUID() };
    try {
      set.push(await api.rest.setHold({ params: { session_id }, body }));
      output.progress(`${set.length} of ${meant.length} sessions held`, set.length);
    } catch (error) {
      if (id !== undefined || !(error instanceof CliError)) throw error;
      failed.push(`${session_id}: ${error.message}`);
    }
  }
  output.result(
    { holds: set, failed },
    [...set.map(({ session_id, hold }) => `held ${session_id} by ${hold.hold_id}`), ...failed].join('\n') ||
      'no session is meant',
  );
  if (failed.length > 0) throw new CliError(`${failed.length} of ${meant.length} sessions are not held`);
}

export async function clearHold(
  api: ApiClient,
  output: Output,
  id: string,
  holdId: string,
  reason: string,
): Promise<void> {
  const answer = await api.rest.clearHold({ params: { session_id: id }, body: { hold_id: holdId, reason } });
  const left = answer.holds_left;
  output.result(answer, `cleared; ${left === 0 ? 'nothing holds' : `${left} more hold`} ${id}`);
}

export async function listHolds(api: ApiClient, output: Output, id: string | undefined): Promise<void> {
  const sessions: RestAnswer<'listHolds'>['sessions'] = [];
  for await (const answer of pagesOf((offset) =>
    api.rest.listHolds({ query: { session_id: id, limit: page, offset } }),
  ))
    sessions.push(...answer.sessions);
  const rows = sessions.flatMap(({ session_id, name, holds }) =>
    holds.map(({ hold_id, reference, set_by, set_at, reason }) => [
      session_id,
      hold_id,
      reference,
      set_by,
      set_at,
      `${name}: ${reason}`,
    ]),
  );
  const header = ['SESSION', 'HOLD', 'MATTER', 'SET BY', 'SET AT', 'NAME: REASON'];
  output.result({ sessions }, rows.length === 0 ? 'no hold is in force' : table(header, rows));
}
