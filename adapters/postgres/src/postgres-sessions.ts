/** Rows of sessions: documents beside the columns they are found by. */
import {
  clientNamesOf,
  mstscNameLength,
  routableInTurn,
  routableStatuses,
  type SessionDocument,
  type SessionQuery,
  type SessionStatus,
} from '@lucid-sessions/contract';
import type { MetadataStore } from '@lucid-sessions/storage';
import type { PostgresDatabase, Row } from './postgres-database.ts';
import { listValuesOf, pageOfSessions, putListed } from './postgres-session-list.ts';

type SessionMethods = Pick<
  MetadataStore,
  | 'insertSession'
  | 'getSession'
  | 'setRouteToken'
  | 'findByToken'
  | 'findByCookie'
  | 'listSessions'
  | 'listStored'
  | 'countSessions'
  | 'replaceSession'
>;

const documentOf = (row: Row | undefined): SessionDocument | null =>
  row === undefined ? null : (JSON.parse(String(row.document)) as SessionDocument);

const whole = (name: string) => `=${name}`;
const cut = (name: string) => `<${[...name].slice(0, mstscNameLength).join('')}`;

/** Whole, and as mstsc cuts them. */
const namesOf = (session: SessionDocument) => [
  ...new Set(clientNamesOf(session).flatMap((name) => [whole(name), cut(name)])),
];

/** The columns a session is found by, in the order of the statements below. */
const columnsOf = (session: SessionDocument) =>
  [
    session.session_id,
    session.version,
    session.status,
    session.created_at,
    session.metadata.project ?? null,
    session.metadata.environment ?? null,
    namesOf(session),
    JSON.stringify(session),
  ] as const;

/** Armed sessions go first, then those under way; a name that is whole goes before one that was cut. Undefined: none, or several. */
function theOneMeant(rows: readonly Row[]): Row | undefined {
  for (const statuses of routableInTurn)
    for (const isWhole of [true, false]) {
      const fits = rows.filter((row) => statuses.includes(row.status as SessionStatus) && row.whole === isWhole);
      if (fits.length > 0) return fits.length === 1 ? fits[0] : undefined;
    }
  return undefined;
}

export const sessionRows = (database: PostgresDatabase): SessionMethods => ({
  insertSession: (session, routeTokenSha256) =>
    database.work(async (rows, again) => {
      const columns = columnsOf(session);
      const inserted = await rows.run(
        `WITH inserted AS (
           INSERT INTO sessions (session_id, version, status, created_at, project, environment, names, document, route_token)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING 1
         ) ${putListed(10, 'FROM inserted')}`,
        [...columns, routeTokenSha256, ...listValuesOf(session)],
      );
      if (inserted === 1 || !again) return inserted === 1;
      const [row] = await rows.rows(
        'SELECT 1 FROM sessions WHERE session_id = $1 AND document = $2 AND route_token IS NOT DISTINCT FROM $3',
        [session.session_id, columns[7], routeTokenSha256],
      );
      return row !== undefined;
    }),

  async getSession(sessionId) {
    return documentOf((await database.rows('SELECT document FROM sessions WHERE session_id = $1', [sessionId]))[0]);
  },

  async setRouteToken(sessionId, tokenSha256) {
    const sql = 'UPDATE sessions SET route_token = $1 WHERE session_id = $2';
    return (await database.run(sql, [tokenSha256, sessionId])) === 1;
  },

  async findByToken(tokenSha256) {
    return documentOf((await database.rows('SELECT document FROM sessions WHERE route_token = $1', [tokenSha256]))[0]);
  },

  /**
   * By id, or by user name: of the sessions that could be meant, exactly one must fit. What is the id of one and the name of
   * another leads to neither: it would give a session to whoever has the name. An id of a session that is over names it last.
   */
  async findByCookie(cookie) {
    const name = cookie.toLowerCase();
    const sought = [whole(name), ...([...name].length === mstscNameLength ? [cut(name)] : [])];
    const found = await database.rows(
      `SELECT document, status, true AS by_id, false AS whole FROM sessions WHERE session_id = $1
       UNION ALL (SELECT document, status, false, names @> ARRAY[$2] FROM sessions
         WHERE names && $3 AND status IN ('starting', 'created', 'recording', 'paused') AND session_id <> $1
         ORDER BY CASE status WHEN 'starting' THEN 0 WHEN 'created' THEN 2 ELSE 1 END, names @> ARRAY[$2] DESC LIMIT 100)`,
      [cookie, whole(name), sought],
    );
    const byId = documentOf(found.find(({ by_id }) => by_id === true));
    const rows = found.filter(({ by_id }) => by_id !== true);
    if (byId === null || rows.length === 0) return byId ?? documentOf(theOneMeant(rows));
    return routableStatuses.includes(byId.status) ? null : documentOf(theOneMeant(rows));
  },

  async listSessions(query: SessionQuery) {
    const { documents, total } = await pageOfSessions(database, query);
    return { sessions: documents.map((document) => JSON.parse(document) as SessionDocument), total };
  },

  async listStored(after, limit) {
    const sql = 'SELECT document, route_token FROM sessions WHERE session_id > $1 ORDER BY session_id LIMIT $2';
    const rows = await database.rows(sql, [after, limit]);
    return rows.map((row) => ({ session: documentOf(row)!, routeTokenSha256: row.route_token as string | null }));
  },

  async countSessions() {
    const rows = await database.rows(
      'SELECT status, SUM(count)::bigint AS count FROM session_counts GROUP BY status HAVING SUM(count) > 0',
    );
    return Object.fromEntries(rows.map(({ status, count }) => [String(status), Number(count)])) as Partial<
      Record<SessionStatus, number>
    >;
  },

  replaceSession: (session, expectedVersion) =>
    database.work(async (rows, again) => {
      const columns = columnsOf(session);
      const replaced = await rows.run(
        `WITH replaced AS (
           UPDATE sessions SET version = $2, status = $3, created_at = $4, project = $5, environment = $6, names = $7, document = $8
             WHERE session_id = $1 AND version = $9 RETURNING 1
         ) ${putListed(10, 'FROM replaced')}`,
        [...columns, expectedVersion, ...listValuesOf(session)],
      );
      if (replaced === 1 || !again) return replaced === 1;
      const sql = 'SELECT 1 FROM sessions WHERE session_id = $1 AND document = $2';
      return (await rows.rows(sql, [session.session_id, columns[7]])).length === 1;
    }),
});
