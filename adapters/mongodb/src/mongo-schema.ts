/**
 * Collections, the indexes that serve their queries, and the version of both. Real servers use these indexes; each line says
 * which query it is for.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { LucidError, type SessionDocument } from '@lucid-sessions/contract';
import type { Db, IndexDescription } from 'mongodb';
import { isDuplicate } from './mongo-errors.ts';
import { fieldsOf, type SessionDoc } from './mongo-sessions.ts';

/** By name of the collection. `_id`, which every collection has, is not among them. */
export const mongoCollections: Readonly<Record<string, readonly IndexDescription[]>> = {
  /** `_id`: session id. getSession, replaceSession, findByCookie (by id). */
  sessions: [
    // listSessions, in its order; each filter has the order behind it, so that nothing is sorted in memory.
    { key: { listed: 1, createdAt: -1, _id: 1 }, name: 'listed' },
    // listSessions by status; countSessions reads this index alone.
    { key: { status: 1, createdAt: -1, _id: 1 }, name: 'by_status' },
    { key: { project: 1, createdAt: -1, _id: 1 }, name: 'by_project' },
    { key: { environment: 1, createdAt: -1, _id: 1 }, name: 'by_environment' },
    { key: { held: 1, createdAt: -1, _id: 1 }, name: 'held' },
    // listSessions by user, client, target or tag.
    { key: { words: 1, createdAt: -1, _id: 1 }, name: 'by_word' },
    // listSessions sorted upwards, and what they find is sorted by the server where it goes down.
    ...[
      'startedAt',
      'duration',
      'size',
      'name',
      'user',
      'client',
      'target',
      'projectPlace',
      'tag',
      'outcome',
      'replay',
    ].map((field) => ({ key: { listed: 1, [field]: 1, createdAt: -1, _id: 1 }, name: `sorted_${field}` }) as const),
    // findByCookie: whole names by equality, cut ones by an anchored prefix.
    { key: { names: 1, status: 1 }, name: 'by_name' },
    // findByToken. Sparse: sessions without a token have no field.
    { key: { routeToken: 1 }, name: 'by_token', unique: true, sparse: true },
  ],
  /** `_id`: session id. Head, lease and the change under way; listChains walks `_id`. */
  chains: [],
  // One row a place; listChunks, chainTotals and getChunk by session.
  chunks: [{ key: { session: 1, index: 1 }, name: 'by_place', unique: true }],
  // One record a sequence; getRecords and recordsCount by session.
  records: [{ key: { session: 1, sequence: 1 }, name: 'by_sequence', unique: true }],
  /** `_id`: session id. */
  wraps: [],
  /** `_id`: event id. listAudit in its order, behind each filter. */
  audit: [
    { key: { timestampUs: -1, _id: 1 }, name: 'by_time' },
    { key: { resourceId: 1, timestampUs: -1, _id: 1 }, name: 'by_resource' },
    { key: { userId: 1, timestampUs: -1, _id: 1 }, name: 'by_user' },
    { key: { eventType: 1, timestampUs: -1, _id: 1 }, name: 'by_type' },
    // The chain. Sparse: entries from before it have no place in it.
    { key: { sequence: 1 }, name: 'by_sequence', unique: true, sparse: true },
  ],
  /** `_id`: job id. */
  jobs: [
    // claim of what is due, nextRunUs, countByState.
    { key: { state: 1, runAtUs: 1, _id: 1 }, name: 'due' },
    // claim of what its runner left.
    { key: { state: 1, leaseUntilUs: 1, _id: 1 }, name: 'left' },
    // listFor, setPaused, revive, removeFor.
    { key: { session: 1, _id: 1 }, name: 'by_session' },
  ],
  /** `_id`: session id. listUnfinished. */
  journals: [{ key: { unfinished: 1, _id: 1 }, name: 'unfinished' }],
  facts: [
    { key: { session: 1, position: 1 }, name: 'by_position', unique: true },
    // A report that came twice is one.
    { key: { session: 1, digest: 1 }, name: 'by_digest', unique: true },
  ],
  receipts: [{ key: { session: 1, backend: 1 }, name: 'by_backend', unique: true }],
  /** `_id`: beginning of the span of time. */
  progress: [],
  sealed: [{ key: { session: 1, name: 1 }, name: 'by_name', unique: true }],
  /** `_id`: session id. */
  credentials: [{ key: { user: 1 }, name: 'by_user', unique: true }],
  agreed: [
    { key: { space: 1, key: 1 }, name: 'by_key', unique: true },
    // sweep.
    { key: { untilUs: 1 }, name: 'by_end' },
  ],
  entries: [
    // getEntry, putEntry, listEntries.
    { key: { kind: 1, id: 1 }, name: 'by_id', unique: true },
    { key: { kind: 1, owner: 1, id: 1 }, name: 'by_owner' },
    // sweepEntries.
    { key: { untilUs: 1 }, name: 'by_end' },
  ],
  /** `_id`: name of the lease. */
  leases: [{ key: { expiresUs: 1 }, name: 'by_end' }],
  /** `_id`: name of the count. */
  counts: [],
};

/** Migration i takes the database from version i to i + 1. Each may be cut off anywhere and begun again. */
const migrations: readonly ((database: Db) => Promise<void>)[] = [
  ensureIndexes,
  ensureIndexes,
  addListFields,
  addScopeWords,
];

/** Sessions of before lists were filtered by more than a status. Whoever changes one meanwhile writes the fields too. */
async function addListFields(database: Db): Promise<void> {
  const sessions = database.collection<SessionDoc>('sessions');
  for await (const { _id, version, document } of sessions.find({ words: { $exists: false } }))
    await sessions.updateOne({ _id, version }, { $set: fieldsOf(JSON.parse(document) as SessionDocument) });
}

/** What scopes are made of. */
async function addScopeWords(database: Db): Promise<void> {
  const sessions = database.collection<SessionDoc>('sessions');
  for await (const { _id, version, document } of sessions.find())
    await sessions.updateOne({ _id, version }, { $set: fieldsOf(JSON.parse(document) as SessionDocument) });
}

interface SchemaDoc {
  _id: 'schema';
  version: number;
  /** Who migrates, and until when (ms since 1970) nobody else does. */
  owner: string | null;
  untilMs: number;
}

const migrationMsMax = 600_000;
const lookEveryMs = 100;

/** A user without the right to make indexes is enough where they are all there. */
async function ensureIndexes(database: Db): Promise<void> {
  const collections = new Set(
    (await database.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name),
  );
  for (const [name, wanted] of Object.entries(mongoCollections)) {
    if (!collections.has(name)) await createCollection(database, name);
    const there = await database.collection(name).indexes();
    const missing = wanted.filter((index) => !there.some((known) => known.name === index.name));
    if (missing.length > 0) await database.collection(name).createIndexes([...missing]);
  }
}

const collectionThere = 48;

async function createCollection(database: Db, name: string): Promise<void> {
  await database.createCollection(name).catch((thrown: { code?: unknown }) => {
    if (thrown.code !== collectionThere) throw thrown;
  });
}

/** An index of one of our names that says something else would let through what must be unique. */
async function checkIndexes(database: Db): Promise<void> {
  for (const [name, wanted] of Object.entries(mongoCollections)) {
    const there = await database.collection(name).indexes();
    for (const index of wanted) {
      const known = there.find((candidate) => candidate.name === index.name);
      const same =
        known !== undefined &&
        JSON.stringify(known.key) === JSON.stringify(index.key) &&
        (known.unique ?? false) === (index.unique ?? false) &&
        (known.sparse ?? false) === (index.sparse ?? false);
      if (!same)
        throw new LucidError(
          'storage',
          `the index ${index.name} of the collection ${name} is not the one this program needs: drop it and start again`,
        );
    }
  }
}

/**
 * Brings the database to this program's version, once, whoever starts at the same time, and checks its indexes. A database of a
 * later version is refused: an older program must not write into it.
 */
export async function prepareSchema(database: Db): Promise<void> {
  const schema = database.collection<SchemaDoc>('schema');
  const owner = randomUUID();
  for (;;) {
    const known = await schema.findOne({ _id: 'schema' });
    const version = known?.version ?? 0;
    if (version > migrations.length)
      throw new LucidError(
        'storage',
        `the database has version ${version}, this program knows ${migrations.length}: use the newer program`,
      );
    if (version === migrations.length) break;
    if (known === null) await insertSchema(schema);
    else if (await takeSchema(schema, version, owner)) await migrate(database, version, owner);
    else await delay(lookEveryMs);
  }
  await ensureIndexes(database);
  await checkIndexes(database);
}

type Schemas = ReturnType<typeof schemasOf>;
const schemasOf = (database: Db) => database.collection<SchemaDoc>('schema');

async function insertSchema(schema: Schemas): Promise<void> {
  await schema.insertOne({ _id: 'schema', version: 0, owner: null, untilMs: 0 }).catch((thrown: unknown) => {
    if (!isDuplicate(thrown)) throw thrown;
  });
}

/** False while another process migrates. */
async function takeSchema(schema: Schemas, version: number, owner: string): Promise<boolean> {
  const nowMs = Date.now();
  const { matchedCount } = await schema.updateOne(
    { _id: 'schema', version, untilMs: { $lte: nowMs } },
    { $set: { owner, untilMs: nowMs + migrationMsMax } },
  );
  return matchedCount === 1;
}

async function migrate(database: Db, version: number, owner: string): Promise<void> {
  await migrations[version]!(database);
  const { matchedCount } = await schemasOf(database).updateOne(
    { _id: 'schema', version, owner },
    { $set: { version: version + 1, owner: null, untilMs: 0 } },
  );
  if (matchedCount === 0)
    throw new LucidError('unavailable', 'another process migrates the database; start again when it is done');
}
