/** What sessions are listed by: narrow rows beside their documents, so that a list of many is read without them. */
import {
  hasHolds,
  type SessionDocument,
  type SessionQuery,
  type SessionSort,
  searchTextOf,
  sessionOrderOf,
  sessionPlacesOf,
  sessionWord,
  sessionWordKinds,
  storedWordsOf,
  wordText,
} from '@lucid-sessions/contract';
import { Conditions, foundPageOf, pageOf } from './postgres-conditions.ts';
import type { PostgresDatabase, Session, Value } from './postgres-database.ts';

const text = 'text COLLATE "C" NOT NULL';
/** What is not needed for an order or a filter is not here. `version` is the document's. */
const columns: Readonly<Record<string, string>> = {
  session_id: 'text COLLATE "C" PRIMARY KEY',
  version: 'bigint NOT NULL',
  status: text,
  created_at: text,
  started_at: text,
  duration: 'double precision NOT NULL',
  size: 'bigint NOT NULL',
  outcome: text,
  replay: text,
  project: 'text COLLATE "C"',
  environment: 'text COLLATE "C"',
  held: 'boolean NOT NULL',
  name: text,
  user_name: text,
  client: text,
  target: text,
  project_place: text,
  tag: text,
  words: 'text[] COLLATE "C" NOT NULL',
  search: text,
};

const columnOf: Readonly<Record<SessionSort, string>> = {
  created: 'created_at',
  started: 'started_at',
  name: 'name',
  status: 'status',
  user: 'user_name',
  client: 'client',
  target: 'target',
  project: 'project_place',
  tag: 'tag',
  duration: 'duration',
  size: 'size',
  outcome: 'outcome',
  replay: 'replay',
};

/** An earlier program that still runs writes `search` of sessions, and none of what is here: `listMissing` takes it up. */
export const sessionListSteps: readonly string[] = [
  'ALTER TABLE sessions ALTER COLUMN search DROP NOT NULL',
  ...['time', 'status', 'project', 'environment', 'words'].map((name) => `DROP INDEX IF EXISTS sessions_by_${name}`),
  'DROP INDEX IF EXISTS sessions_held',
  `CREATE TABLE session_list (${Object.entries(columns).map((column) => column.join(' '))}) WITH (fillfactor = 80)`,
];

/** Words of scopes were not kept before: `listMissing` adds them. */
export const scopeWordSteps: readonly string[] = ['UPDATE session_list SET version = 0'];

const newest = 'created_at DESC, session_id';
/** In PostgreSQL, too, the first index of an order is read by pages from either end. */
export const sessionListIndexes: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(columnOf)
      .filter(([sort]) => sort !== 'created' && sort !== 'started')
      .map(([sort, column]) => [`list_by_${sort}`, `session_list (${column}, ${newest}) WHERE status <> 'deleted'`]),
  ),
  list_by_created: `session_list (${newest}) WHERE status <> 'deleted'`,
  list_by_started: `session_list (started_at, ${newest}, status, project, environment, duration, size, outcome, replay) WHERE status <> 'deleted'`,
  list_of_status: `session_list (status, ${newest})`,
  list_of_project: `session_list (project, ${newest}, environment, status)`,
  list_of_environment: `session_list (environment, ${newest}, status)`,
  list_held: `session_list (${newest}, status, project, environment) WHERE held`,
  list_of_words: 'session_list USING gin (words)',
};

/** `columns` of a session, in their order. */
export function listValuesOf(session: SessionDocument): Value[] {
  const places = sessionPlacesOf(session);
  return [
    ...[session.session_id, session.version, places.status, places.created, places.started, String(places.duration)],
    ...[
      places.size,
      places.outcome,
      places.replay,
      session.metadata.project ?? null,
      session.metadata.environment ?? null,
    ],
    ...[hasHolds(session), places.name, places.user, places.client, places.target, places.project, places.tag],
    storedWordsOf(session),
    searchTextOf(session),
  ];
}

const typeOf = (declared: string) => declared.replace(/ (?:COLLATE|NOT NULL|PRIMARY KEY).*$/, '');

/** Puts the row of a session's document, with `from` where that was put itself. Its values begin at `first`. */
export const putListed = (first: number, from = ''): string => {
  const names = Object.keys(columns);
  const values = Object.values(columns).map((declared, at) => `$${first + at}::${typeOf(declared)}`);
  return `INSERT INTO session_list AS known (${names}) SELECT ${values} ${from}
    ON CONFLICT (session_id) DO UPDATE SET ${names.slice(1).map((name) => `${name} = excluded.${name}`)}`;
};

const missingAtOnce = 500;

/** Takes up what an earlier program wrote. */
export async function listMissing(session: Session): Promise<void> {
  for (;;) {
    const rows = await session.rows(
      `SELECT document FROM sessions LEFT JOIN session_list AS listed USING (session_id)
         WHERE listed.version IS DISTINCT FROM sessions.version LIMIT ${missingAtOnce}`,
    );
    for (const { document } of rows)
      await session.run(putListed(1), listValuesOf(JSON.parse(String(document)) as SessionDocument));
    if (rows.length < missingAtOnce) return;
  }
}

/** Documents of a page, and how many sessions there are. */
export function pageOfSessions(
  database: PostgresDatabase,
  query: SessionQuery,
): Promise<{ documents: string[]; total: number }> {
  const { status, held, search } = query;
  const words = sessionWordKinds.flatMap((kind) =>
    query[kind] === undefined ? [] : [wordText(kind, sessionWord(query[kind]))],
  );
  const within = (query.within ?? []).map((group) => group.map((word) => wordText('scope', word)));
  const conditions = new Conditions()
    .add('status = ?', status)
    .add('project = ?', query.project)
    .add('environment = ?', query.environment);
  const before = conditions.values.length;
  conditions
    .each('words && ?', within)
    .add('words @> ?', words.length === 0 ? undefined : words)
    .add('search LIKE ?', search === undefined ? undefined : `%${escapeLike(search.toLowerCase())}%`)
    .add('started_at >= ?', query.from)
    .add('started_at <= ?', query.to)
    .add('duration >= ?::double precision', asText(query.durationMin))
    .add('duration <= ?::double precision', asText(query.durationMax))
    .add('size >= ?::double precision', asText(query.sizeMin))
    .add('size <= ?::double precision', asText(query.sizeMax))
    .add('outcome = ?', query.outcome)
    .add('replay = ?', query.replay);
  const counted = conditions.values.length === before && held === undefined;
  if (held !== undefined) conditions.always('held');
  if (status !== 'deleted' && (held === undefined || status !== undefined)) conditions.always(`status <> 'deleted'`);
  const { order, reverse, column } = orderOf(query);
  const names = ['session_id', 'created_at', column].filter((name, at, all) => all.indexOf(name) === at);
  const pages = {
    table: 'session_list',
    documents: 'sessions',
    key: 'session_id',
    columns: names.join(', '),
    order,
    reverse,
  };
  if (words.length + within.length > 0 || search !== undefined) return foundPageOf(database, pages, conditions, query);
  const counting = counted ? 'COALESCE(SUM(count), 0)::bigint FROM session_counts' : undefined;
  return pageOf(database, pages, conditions, query, counting);
}

/** The driver sends whole numbers alone as such. */
const asText = (value: number | undefined) => (value === undefined ? undefined : String(value));

const escapeLike = (some: string) => some.replace(/[\\%_]/g, (character) => `\\${character}`);

function orderOf(query: SessionQuery) {
  const { sort, descending } = sessionOrderOf(query);
  const column = columnOf[sort];
  const oldest = 'created_at, session_id DESC';
  if (sort === 'created') {
    const [order, reverse] = descending ? [newest, oldest] : ([oldest, newest] as const);
    return { order, reverse, column };
  }
  const [way, back] = descending ? [' DESC', ''] : (['', ' DESC'] as const);
  return { order: `${column}${way}, ${newest}`, reverse: `${column}${back}, ${oldest}`, column };
}
