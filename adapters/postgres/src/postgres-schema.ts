/** The tables, made and changed by one process at a time, and the indexes, looked for at each start. */
import { LucidError } from '@lucid-sessions/contract';
import type { PostgresDatabase, Session } from './postgres-database.ts';
import { listMissing, scopeWordSteps, sessionListIndexes, sessionListSteps } from './postgres-session-list.ts';

/** Migration i takes the tables from version i to i + 1. Text compares by its bytes, as it does in every other store. */
const migrations: readonly (readonly string[])[] = [
  [
    `CREATE TABLE sessions (
       session_id text COLLATE "C" PRIMARY KEY, version bigint NOT NULL, status text COLLATE "C" NOT NULL,
       created_at text COLLATE "C" NOT NULL, project text COLLATE "C", environment text COLLATE "C",
       search text NOT NULL, names text[] NOT NULL, route_token text COLLATE "C", document text NOT NULL)`,
    `CREATE TABLE leases (
       session_id text COLLATE "C" PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL, expires_us bigint NOT NULL
     ) WITH (fillfactor = 80)`,
    `CREATE TABLE chains (
       session_id text COLLATE "C" PRIMARY KEY, count bigint NOT NULL, leaf_hash text, stored_bytes bigint NOT NULL,
       payload_bytes bigint NOT NULL) WITH (fillfactor = 80)`,
    `CREATE TABLE chunks (
       session_id text COLLATE "C" NOT NULL, chunk_index bigint NOT NULL, chunk_id text NOT NULL, leaf_hash text NOT NULL,
       file_sha256 text NOT NULL, file_bytes bigint NOT NULL, payload_bytes bigint NOT NULL, compression text NOT NULL,
       stored_at_us bigint NOT NULL, opened_us bigint NOT NULL, closed_us bigint NOT NULL, frames_count bigint NOT NULL,
       updates_count bigint NOT NULL, flags bigint NOT NULL, storage_path text NOT NULL, key_id text NOT NULL,
       sealed_leaf bytea NOT NULL, rebuilt boolean NOT NULL, PRIMARY KEY (session_id, chunk_index))`,
    `CREATE TABLE records (
       session_id text COLLATE "C" NOT NULL, sequence bigint NOT NULL, kind text NOT NULL, record bytea NOT NULL,
       PRIMARY KEY (session_id, sequence))`,
    `CREATE TABLE wraps (
       session_id text COLLATE "C" NOT NULL, position bigint NOT NULL, scheme text NOT NULL, recipient text NOT NULL,
       key_id text NOT NULL, wrapped bytea NOT NULL, PRIMARY KEY (session_id, position))`,
    `CREATE TABLE audit (
       event_id text COLLATE "C" PRIMARY KEY, timestamp_us bigint NOT NULL, event_type text COLLATE "C" NOT NULL,
       user_id text COLLATE "C", resource_id text COLLATE "C", document text NOT NULL)`,
    `CREATE TABLE jobs (
       job_id text COLLATE "C" PRIMARY KEY, kind text NOT NULL, session_id text COLLATE "C" NOT NULL, payload text NOT NULL,
       run_at_us bigint NOT NULL, retries_max bigint NOT NULL, state text COLLATE "C" NOT NULL, retries bigint NOT NULL,
       last_error text, lease_until_us bigint NOT NULL) WITH (fillfactor = 80)`,
    `CREATE TABLE journals (
       session_id text COLLATE "C" PRIMARY KEY, version bigint NOT NULL, unfinished boolean NOT NULL, document text NOT NULL)`,
    `CREATE TABLE facts (
       session_id text COLLATE "C" NOT NULL, position bigint NOT NULL, document text NOT NULL,
       PRIMARY KEY (session_id, position))`,
    `CREATE TABLE receipts (
       session_id text COLLATE "C" NOT NULL, backend text COLLATE "C" NOT NULL, document text NOT NULL,
       PRIMARY KEY (session_id, backend))`,
    `CREATE TABLE sealed (
       session_id text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, sealed bytea NOT NULL,
       PRIMARY KEY (session_id, name))`,
    `CREATE TABLE gateway_credentials (
       session_id text COLLATE "C" PRIMARY KEY, user_name text COLLATE "C" NOT NULL, document text NOT NULL, sealed bytea)`,
    // Versions and epochs come from one sequence, so that neither is ever given twice.
    'CREATE SEQUENCE agreed_numbers',
    `CREATE TABLE agreed (
       space text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value text NOT NULL, version bigint NOT NULL,
       until_us bigint NOT NULL, writer text NOT NULL, PRIMARY KEY (space, key)) WITH (fillfactor = 80)`,
    `CREATE TABLE agreed_leases (
       name text COLLATE "C" PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL, expires_us bigint NOT NULL,
       touched_at timestamptz NOT NULL DEFAULT clock_timestamp()) WITH (fillfactor = 80)`,
  ],
  // Lists say how many there are: counted as they change, a page of a long list costs no more than one of a short.
  [
    `CREATE TABLE session_counts (
       key text COLLATE "C" PRIMARY KEY, status text COLLATE "C" NOT NULL, project text COLLATE "C", environment text COLLATE "C",
       count bigint NOT NULL) WITH (fillfactor = 50)`,
    // Eight rows of each kind, by connection, in the order of their keys: writers rarely wait for each other, and never in a circle.
    `CREATE FUNCTION count_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
       IF TG_OP = 'UPDATE' AND (OLD.status, OLD.project, OLD.environment) IS NOT DISTINCT FROM (NEW.status, NEW.project, NEW.environment)
         THEN RETURN NULL;
       END IF;
       INSERT INTO session_counts AS known (key, status, project, environment, count)
         SELECT concat_ws(' ', pg_backend_pid() % 8, status, quote_nullable(project), quote_nullable(environment)) AS key,
           status, project, environment, change
         FROM (SELECT NEW.status, NEW.project, NEW.environment, 1 WHERE TG_OP <> 'DELETE'
               UNION ALL SELECT OLD.status, OLD.project, OLD.environment, -1 WHERE TG_OP <> 'INSERT')
           AS changed (status, project, environment, change)
         ORDER BY key
         ON CONFLICT (key) DO UPDATE SET count = known.count + excluded.count;
       RETURN NULL;
     END $$`,
    `CREATE TRIGGER count_sessions AFTER INSERT OR UPDATE OR DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION count_sessions()`,
    `INSERT INTO session_counts (key, status, project, environment, count)
       SELECT concat_ws(' ', 0, status, quote_nullable(project), quote_nullable(environment)), status, project, environment, COUNT(*)
         FROM sessions GROUP BY status, project, environment`,
  ],
  [
    `CREATE TABLE entries (
       kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, owner text COLLATE "C", version bigint NOT NULL,
       until_us bigint, document text NOT NULL, PRIMARY KEY (kind, id)) WITH (fillfactor = 80)`,
  ],
  ['ALTER TABLE jobs ADD COLUMN claim text'],
  // Rows of the chain; those from before there was one have no place in it.
  ['ALTER TABLE audit ADD COLUMN sequence bigint'],
  ['CREATE TABLE progress (span_us bigint PRIMARY KEY, at_us bigint NOT NULL, heads bytea NOT NULL)'],
  sessionListSteps,
  scopeWordSteps,
];

const routable = `status IN ('starting', 'created', 'recording', 'paused')`;

/** Beside those of the primary keys. */
const indexes: Readonly<Record<string, string>> = {
  ...sessionListIndexes,
  sessions_by_token: 'UNIQUE sessions (route_token) WHERE route_token IS NOT NULL',
  sessions_by_name: `sessions USING gin (names) WHERE ${routable}`,
  audit_by_time: 'audit (timestamp_us DESC, event_id)',
  audit_by_type: 'audit (event_type, timestamp_us DESC, event_id)',
  audit_by_resource: 'audit (resource_id, timestamp_us DESC, event_id)',
  audit_by_user: 'audit (user_id, timestamp_us DESC, event_id)',
  audit_by_sequence: 'UNIQUE audit (sequence) WHERE sequence IS NOT NULL',
  jobs_due: `jobs (run_at_us, job_id) WHERE state = 'waiting'`,
  jobs_running: `jobs (lease_until_us) WHERE state = 'running'`,
  jobs_by_session: 'jobs (session_id)',
  journals_unfinished: 'journals (session_id) WHERE unfinished',
  credentials_by_user: 'UNIQUE gateway_credentials (user_name)',
  agreed_by_end: 'agreed (until_us)',
  entries_by_owner: 'entries (kind, owner, id) WHERE owner IS NOT NULL',
  entries_by_end: 'entries (until_us) WHERE until_us IS NOT NULL',
};
/** Where the server has no pg_trgm to give, searches read every session's words. */
const searchIndex = 'list_by_search';

/** Any number; whoever prepares a database of ours takes it first. */
const lockKey = 0x6c75_6369;
const versionMin = 130_000;

/**
 * Makes or changes tables and missing indexes. Answers what an operator should hear. Throws LucidError that says, for a person,
 * why the database can't be used.
 */
export function prepareSchema(
  database: PostgresDatabase,
  { schema, waitMs }: { schema: string | null; waitMs: number },
): Promise<string[]> {
  return database.prepare(async (session) => {
    await session.rows('SELECT pg_advisory_xact_lock($1)', [lockKey]);
    const warnings = await checkServer(session);
    if (schema !== null && (await session.rows('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])).length === 0)
      await session.run(`CREATE SCHEMA "${schema}"`);
    await migrate(session);
    await listMissing(session);
    return [...warnings, ...(await makeIndexes(session))];
  }, waitMs);
}

async function checkServer(session: Session): Promise<string[]> {
  const [row] = await session.rows(
    `SELECT current_setting('server_version_num')::bigint AS version, current_setting('server_encoding') AS encoding,
       current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages`,
  );
  if (Number(row?.version) < versionMin) throw new LucidError('storage', 'it is older than PostgreSQL 13');
  if (row?.encoding !== 'UTF8') throw new LucidError('storage', `its encoding is ${row?.encoding}, it must be UTF8`);
  if (row.fsync === 'on' && row.pages === 'on') return [];
  return ['PostgreSQL runs with fsync or full_page_writes off: a power cut may lose or spoil what was stored'];
}

async function migrate(session: Session): Promise<void> {
  await session.run('CREATE TABLE IF NOT EXISTS lucid_schema (version bigint NOT NULL)');
  const version = Number((await session.rows('SELECT version FROM lucid_schema'))[0]?.version ?? 0);
  if (version > migrations.length)
    throw new LucidError(
      'storage',
      `the database has version ${version}, this program knows ${migrations.length}: use the newer program`,
    );
  for (const steps of migrations.slice(version)) for (const step of steps) await session.run(step);
  if (version === migrations.length) return;
  await session.run('DELETE FROM lucid_schema');
  await session.run('INSERT INTO lucid_schema (version) VALUES ($1)', [migrations.length]);
}

async function makeIndexes(session: Session): Promise<string[]> {
  const there = new Map(
    (
      await session.rows(
        `SELECT index.relname AS name, indisvalid AS valid FROM pg_index
           JOIN pg_class AS index ON index.oid = indexrelid
           WHERE index.relnamespace = current_schema()::regnamespace`,
      )
    ).map(({ name, valid }) => [name, valid]),
  );
  for (const [name, on] of Object.entries(indexes)) {
    if (there.get(name) === false)
      throw new LucidError('storage', `its index ${name} is not valid: drop it, it is made again at the next start`);
    const [, unique = '', what] = /^(UNIQUE )?(.*)$/s.exec(on)!;
    if (!there.has(name)) await session.run(`CREATE ${unique}INDEX ${name} ON ${what}`);
  }
  return there.has(searchIndex) ? [] : makeSearchIndex(session);
}

async function makeSearchIndex(session: Session): Promise<string[]> {
  await session.run('SAVEPOINT words');
  try {
    await session.run('CREATE EXTENSION IF NOT EXISTS pg_trgm');
    const [row] = await session.rows(
      `SELECT quote_ident(nspname) AS home FROM pg_extension JOIN pg_namespace AS space ON space.oid = extnamespace
         WHERE extname = 'pg_trgm'`,
    );
    await session.run(
      `CREATE INDEX ${searchIndex} ON session_list USING gin (search ${String(row?.home)}.gin_trgm_ops)`,
    );
    return [];
  } catch {
    await session.run('ROLLBACK TO SAVEPOINT words');
    return ['PostgreSQL has no pg_trgm for this user (CREATE EXTENSION pg_trgm): searches read every session'];
  }
}
