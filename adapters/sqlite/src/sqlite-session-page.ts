/** A page of the list of sessions: which index is read is decided here, since SQLite knows nothing of how many rows each filter leaves. */
import { type SessionQuery, sessionOrderOf, sessionWord, sessionWordKinds } from '@lucid-sessions/contract';
import { Conditions } from './sqlite-conditions.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { columnOf } from './sqlite-session-list.ts';

/** Sessions with three characters that are read to see how common they are, and how many threes of a search are tried. */
const probed = 200;
const probesMax = 16;
/** Where three characters are in more than one of so many sessions, reading all of them is as fast. */
const commonShare = 6;

interface Sought {
  /** Finds the sessions by a word or by characters, whatever the order; null: they are all looked through. */
  readonly found: string | null;
  readonly conditions: Conditions;
  /** All of them are not deleted, and indexes of those serve. */
  readonly listed: boolean;
  /** The counts that are kept say how many there are. */
  readonly counted: boolean;
}

const countOf = (database: SqliteDatabase, sql: string, values: readonly (string | number)[]): number =>
  Number(database.get(sql, ...values)?.total);

const allListed = `SELECT COALESCE(SUM(count), 0) AS total FROM session_counts WHERE status <> 'deleted'`;

/** Three characters that few sessions have, as the index of them is asked; null: all are common, or there are no three. */
function rareGram(database: SqliteDatabase, search: string): string | null {
  const characters = [...search];
  const grams = new Set(characters.map((_, at) => characters.slice(at, at + 3).join('')));
  const asked = [...grams].filter((gram) => [...gram].length === 3 && !gram.includes('\0'));
  const sessions = countOf(database, 'SELECT COALESCE(MAX(row), 0) AS total FROM session_list', []);
  const step = Math.max(1, Math.ceil(asked.length / probesMax));
  let rarest = { match: '', sessions: sessions / commonShare };
  for (let at = 0; at < asked.length; at += step) {
    const match = `"${asked[at]!.replaceAll('"', '""')}"`;
    // How far the first of them reach says how many there may be.
    const probe = database.get(
      `SELECT COUNT(*) AS count, MAX(rowid) AS last FROM (SELECT rowid FROM session_grams WHERE session_grams MATCH ? LIMIT ${probed})`,
      match,
    );
    const count = Number(probe?.count);
    const estimated = count < probed ? count : (count * sessions) / Number(probe?.last);
    if (estimated <= rarest.sessions) rarest = { match, sessions: estimated };
  }
  return rarest.match === '' ? null : rarest.match;
}

function soughtBy(database: SqliteDatabase, query: SessionQuery): Sought {
  const listed = query.status !== 'deleted' && (query.held === undefined || query.status !== undefined);
  const conditions = new Conditions();
  let found: string | null = null;
  const scoped = `SELECT DISTINCT row FROM session_words WHERE kind = 'scope' AND word IN (SELECT value FROM json_each(?))`;
  for (const words of query.within ?? []) {
    if (found === null) conditions.first(JSON.stringify(words));
    else conditions.add(`l.row IN (${scoped})`, JSON.stringify(words));
    found ??= `(${scoped}) AS s CROSS JOIN session_list AS l ON l.row = s.row`;
  }
  for (const kind of sessionWordKinds) {
    const word = query[kind];
    if (word === undefined) continue;
    if (found === null) conditions.always(`kind = '${kind}'`).add('word = ?', sessionWord(word));
    else
      conditions.add(`l.row IN (SELECT row FROM session_words WHERE kind = '${kind}' AND word = ?)`, sessionWord(word));
    found ??= 'session_words AS w CROSS JOIN session_list AS l ON l.row = w.row';
  }
  const search = query.search?.toLowerCase();
  const gram = search === undefined || found !== null ? null : rareGram(database, search);
  if (gram !== null) {
    conditions.add('session_grams MATCH ?', gram);
    found = 'session_grams AS g CROSS JOIN session_list AS l ON l.row = g.rowid';
  }
  if (listed) conditions.always(`status <> 'deleted'`);
  if (query.held !== undefined) conditions.always('held = 1');
  conditions
    .add('status = ?', query.status)
    .add('project = ?', query.project)
    .add('environment = ?', query.environment);
  const before = conditions.values.length;
  conditions
    .add('started_at >= ?', query.from)
    .add('started_at <= ?', query.to)
    .add('duration >= ?', query.durationMin)
    .add('duration <= ?', query.durationMax)
    .add('size >= ?', query.sizeMin)
    .add('size <= ?', query.sizeMax)
    .add('outcome = ?', query.outcome)
    .add('replay = ?', query.replay)
    .add('instr(l.search, ?) > 0', search);
  const counted = found === null && query.held === undefined && conditions.values.length === before;
  return { found, conditions, listed, counted };
}

/** What is read where nothing leads to the sessions: an index of their words, or one of all else that is judged by. */
const lookedThrough = ({ search, held }: SessionQuery, { listed }: Sought): string => {
  if (!listed || held !== undefined) return 'session_list AS l';
  return `session_list AS l INDEXED BY ${search === undefined ? 'list_by_started' : 'list_of_words'}`;
};

interface SessionPage {
  documents: string[];
  total: number;
}

/** Documents of a page, and how many sessions there are. */
export function pageOfSessions(database: SqliteDatabase, query: SessionQuery): SessionPage {
  const sought = soughtBy(database, query);
  return sought.found === null ? pageOfAll(database, query, sought) : pageOfFound(database, query, sought);
}

/** What is found is read once, then counted and sorted. */
function pageOfFound(database: SqliteDatabase, query: SessionQuery, { found, conditions }: Sought): SessionPage {
  const { order } = orderOf(query, 'place', 'made', 'id');
  const rows = database.all(
    `WITH found AS MATERIALIZED (
       SELECT l.session_id AS id, created_at AS made, ${orderOf(query).column} AS place FROM ${found} ${conditions.where}
     )
     SELECT total, document FROM (SELECT COUNT(*) AS total FROM found)
       LEFT JOIN (SELECT * FROM found ORDER BY ${order} LIMIT ? OFFSET ?) LEFT JOIN sessions ON session_id = id ORDER BY ${order}`,
    ...conditions.values,
    query.limit,
    query.offset,
  );
  const documents = rows.flatMap(({ document }) => (document === null ? [] : [String(document)]));
  return { documents, total: Number(rows[0]?.total) };
}

function pageOfAll(database: SqliteDatabase, query: SessionQuery, sought: Sought): SessionPage {
  const { where, values } = sought.conditions;
  const from = lookedThrough(query, sought);
  const total = countOf(
    database,
    sought.counted
      ? `SELECT COALESCE(SUM(count), 0) AS total FROM session_counts ${where}`
      : `SELECT COUNT(*) AS total FROM ${from} ${where}`,
    values,
  );
  const count = Math.max(0, Math.min(query.limit, total - query.offset));
  if (count === 0) return { documents: [], total };
  const behind = total - query.offset - count;
  const { order, reverse, column, sort } = orderOf(query);
  // Sought from the nearer end, and only the page's own documents are read.
  const [way, skip] = behind < query.offset ? [reverse, behind] : [order, query.offset];
  const walked = (): string => {
    const sessions = countOf(database, allListed, []);
    // Of some days: they lie together, not all over the order.
    const together = sort !== 'started' && (query.from !== undefined || query.to !== undefined);
    // In the order of an index until the page is full, where that is less than all there are.
    if (sought.listed && !together && (sessions * (skip + count)) / total <= total)
      return `session_list AS l INDEXED BY list_by_${sort}`;
    return sought.counted ? 'session_list AS l' : from;
  };
  const rows = database.all(
    `SELECT document FROM (
       SELECT l.session_id AS id, created_at AS made, ${column} AS place FROM ${walked()} ${where}
         ORDER BY ${way} LIMIT ? OFFSET ?
     ) JOIN sessions ON session_id = id ORDER BY ${orderOf(query, 'place', 'made', 'id').order}`,
    ...values,
    count,
    skip,
  );
  return { documents: rows.map(({ document }) => String(document)), total };
}

function orderOf(query: SessionQuery, place?: string, made = 'created_at', id = 'session_id') {
  const { sort, descending } = sessionOrderOf(query);
  const column = place ?? columnOf[sort];
  const down = `${made} DESC, ${id}`;
  const up = `${made}, ${id} DESC`;
  if (sort === 'created') {
    const [order, reverse] = descending ? [down, up] : [up, down];
    return { order, reverse, column, sort };
  }
  const [way, back] = descending ? [' DESC', ''] : ['', ' DESC'];
  return { order: `${column}${way}, ${down}`, reverse: `${column}${back}, ${up}`, column, sort };
}
