/** What sessions are listed by: narrow rows beside their documents, so that a list of many is read without them. */
import {
  hasHolds,
  type SessionDocument,
  type SessionSort,
  searchTextOf,
  sessionPlacesOf,
  storedWordsOf,
} from '@lucid-sessions/contract';
import type { SqliteDatabase } from './sqlite-database.ts';

export const columnOf: Readonly<Record<SessionSort, string>> = {
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
const sorts = Object.entries(columnOf) as [SessionSort, string][];
const newest = 'created_at DESC, session_id';
/** What is filtered by beside words and search. */
const facts = 'status, project, environment, duration, size, outcome, replay';

/** `list_by_…` serve each order, from either end, `list_of_…` a filter in the order of most lists; list_by_started is read where rows are judged by facts. */
export const sessionListTables = `
  DROP INDEX sessions_by_time; DROP INDEX sessions_by_status; DROP INDEX sessions_by_words; DROP INDEX sessions_by_project;
  DROP INDEX sessions_by_environment; DROP INDEX sessions_held; ALTER TABLE sessions DROP COLUMN search;
  CREATE TABLE session_list (
    row INTEGER PRIMARY KEY, session_id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, created_at TEXT NOT NULL, started_at TEXT NOT NULL,
    duration REAL NOT NULL, size INTEGER NOT NULL, outcome TEXT NOT NULL, replay TEXT NOT NULL, project TEXT, environment TEXT,
    held INTEGER NOT NULL, name TEXT NOT NULL, user_name TEXT NOT NULL, client TEXT NOT NULL, target TEXT NOT NULL,
    project_place TEXT NOT NULL, tag TEXT NOT NULL, search TEXT NOT NULL
  );
  ${sorts
    .filter(([sort]) => sort !== 'created' && sort !== 'started')
    .map(
      ([sort, column]) =>
        `CREATE INDEX list_by_${sort} ON session_list (${column}, ${newest}) WHERE status <> 'deleted';`,
    )
    .join('\n')}
  CREATE INDEX list_by_created ON session_list (${newest}, status) WHERE status <> 'deleted';
  CREATE INDEX list_by_started ON session_list (started_at, ${newest}, ${facts}) WHERE status <> 'deleted';
  CREATE INDEX list_of_status ON session_list (status, ${newest}, project, environment);
  CREATE INDEX list_of_project ON session_list (project, ${newest}, environment, status);
  CREATE INDEX list_of_environment ON session_list (environment, ${newest}, status);
  CREATE INDEX list_held ON session_list (${newest}, status, project, environment) WHERE held = 1;
  CREATE TABLE session_words (kind TEXT NOT NULL, word TEXT NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (kind, word, row)) WITHOUT ROWID;
  CREATE VIRTUAL TABLE session_grams USING fts5 (
    search, content = 'session_list', content_rowid = 'row', tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0
  );
  CREATE TRIGGER grams_added AFTER INSERT ON session_list
    BEGIN INSERT INTO session_grams (rowid, search) VALUES (NEW.row, NEW.search); END;
  CREATE TRIGGER grams_changed AFTER UPDATE OF search ON session_list WHEN OLD.search <> NEW.search
    BEGIN
      INSERT INTO session_grams (session_grams, rowid, search) VALUES ('delete', OLD.row, OLD.search);
      INSERT INTO session_grams (rowid, search) VALUES (NEW.row, NEW.search);
    END;`;

const columns = [
  'status',
  'created_at',
  'started_at',
  'duration',
  'size',
  'outcome',
  'replay',
  'project',
  'environment',
];
columns.push('held', 'name', 'user_name', 'client', 'target', 'project_place', 'tag', 'search');

/** In the order of `columns`. */
function valuesOf(session: SessionDocument): (string | number | null)[] {
  const places = sessionPlacesOf(session);
  const { project = null, environment = null } = session.metadata;
  return [
    ...[places.status, places.created, places.started, places.duration, places.size, places.outcome, places.replay],
    ...[project, environment, hasHolds(session) ? 1 : 0, places.name, places.user, places.client, places.target],
    ...[places.project, places.tag, searchTextOf(session)],
  ];
}

/** `kind` and word, as one text. */
const kindAndWord = (text: string) => [text.slice(0, text.indexOf(' ')), text.slice(text.indexOf(' ') + 1)] as const;

export class SqliteSessionList {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  /** In the transaction that adds the session. */
  add(session: SessionDocument): void {
    this.#database.run(
      `INSERT INTO session_list (session_id, ${columns.join(', ')}) VALUES (?, ${columns.map(() => '?').join(', ')})`,
      session.session_id,
      ...valuesOf(session),
    );
    const row = this.#rowOf(session.session_id);
    for (const word of storedWordsOf(session)) this.#addWord(row, word);
  }

  /** In the transaction that replaces it. */
  change(before: SessionDocument, session: SessionDocument): void {
    const row = this.#rowOf(session.session_id);
    const known = valuesOf(before);
    const values = valuesOf(session);
    if (values.some((value, at) => value !== known[at]))
      this.#database.run(
        `UPDATE session_list SET ${columns.map((column) => `${column} = ?`).join(', ')} WHERE row = ?`,
        ...values,
        row,
      );
    const [old, now] = [storedWordsOf(before), storedWordsOf(session)];
    for (const word of old.filter((each) => !now.includes(each)))
      this.#database.run(
        'DELETE FROM session_words WHERE kind = ? AND word = ? AND row = ?',
        ...kindAndWord(word),
        row,
      );
    for (const word of now.filter((each) => !old.includes(each))) this.#addWord(row, word);
  }

  /** Words that were not kept before. In the transaction of a migration. */
  addMissingWords(session: SessionDocument): void {
    const row = this.#rowOf(session.session_id);
    for (const word of storedWordsOf(session))
      this.#database.run(
        'INSERT INTO session_words (kind, word, row) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
        ...kindAndWord(word),
        row,
      );
  }

  #rowOf(sessionId: string): number {
    return Number(this.#database.get('SELECT row FROM session_list WHERE session_id = ?', sessionId)?.row);
  }
  #addWord(row: number, word: string): void {
    this.#database.run('INSERT INTO session_words (kind, word, row) VALUES (?, ?, ?)', ...kindAndWord(word), row);
  }
}
