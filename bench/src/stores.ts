/**
 * `npm run bench stores [SESSIONS [CHUNKS [STORE …]]]`: the metadata of a long installation in each database, one after the other: lists, filters
 * orders, searches and last pages, then chunks of 100 sessions at once. `sqlite=PATH` asks a database that was filled before. Times in ms, `processor`:
 * of client and database together, which other work on the machine changes little; databases wait for this machine's disk.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noStatistics, sessionSorts } from '@lucid-sessions/contract';
import { MongoDatabase, MongoMetadataStore } from '@lucid-sessions/mongodb';
import { PostgresDatabase, parsePostgresUrl, postgresMetadataStore, prepareSchema } from '@lucid-sessions/postgres';
import { SqliteThread } from '@lucid-sessions/sqlite';
import type { ChainHead, MetadataStore } from '@lucid-sessions/storage';
import { sampleAudit, sampleChain, sampleSession, sealedLeafOf } from '@lucid-sessions/storage/suites';
import { MongoStandIn, PostgresServer } from '@lucid-sessions/testkit';
import { treeSeconds } from './processor-time.ts';

const outcomes = ['whole', 'whole', 'whole', 'whole', 'whole', 'recovered', 'gap', null] as const;
const { rdp_config: host } = sampleSession('any');
const statuses = ['completed', 'completed', 'completed', 'created', 'recording', 'failed', 'deleted'] as const;
const writersAtOnce = 64;
const asks = 300;
const askMsMax = 10_000;
const appendingSessions = 100;
const appendMs = 10_000;
const auditShare = 10;

interface Home {
  store: MetadataStore;
  /** It was there before. */
  filled?: boolean;
  /** After much was written at once. */
  settle(): Promise<void>;
  dispose(): Promise<void>;
}

const homes: Record<string, (path?: string) => Promise<Home>> = {
  async sqlite(path) {
    if (path !== undefined) {
      const store = await new SqliteThread().metadata(path);
      return { store, filled: true, settle: async () => {}, dispose: () => store.dispose() };
    }
    const folder = mkdtempSync(join(tmpdir(), 'lucid-stores-'));
    const store = await new SqliteThread().metadata(join(folder, 'metadata.db'));
    return {
      store,
      settle: async () => {},
      async dispose() {
        await store.dispose();
        rmSync(folder, { recursive: true });
      },
    };
  },
  async postgres() {
    const server = await PostgresServer.start({ settings: { shared_buffers: '512MB', max_wal_size: '4GB' } });
    const address = parsePostgresUrl(server.url());
    const database = new PostgresDatabase({ address, connectionsMax: 10 });
    await prepareSchema(database, { schema: address.schema, waitMs: 10_000 });
    const store = postgresMetadataStore(database);
    return {
      store,
      // What the server does by itself a minute later; from now on it waits for the disk.
      async settle() {
        await server.sql('VACUUM ANALYZE');
        await server.end();
        await server.begin({ fsync: 'on' });
      },
      async dispose() {
        await store.dispose();
        await server.stop();
      },
    };
  },
  /** A stand-in in memory that sorts without indexes: for figures of our own part alone, and only where it is named. */
  async mongodb() {
    const server = await MongoStandIn.start();
    const store = new MongoMetadataStore(await MongoDatabase.open(server.freshUrl()));
    return {
      store,
      settle: async () => {},
      async dispose() {
        await store.dispose();
        await server.stop();
      },
    };
  },
};
const measuredByDefault = ['sqlite', 'postgres'];

/** `count` pieces of work, so many of them at once. */
async function each(count: number, atOnce: number, work: (at: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const chain = sampleChain('sample', 1)[0]!;

function rowOf(sessionId: string, index: number) {
  const leafHash = index.toString(16).padStart(64, '0');
  const metadata = {
    ...chain.metadata,
    sessionId,
    index,
    leafHash,
    storedAtUs: 9,
    storagePath: `${sessionId}/${index}.lsc`,
  };
  return { metadata, sealedLeaf: sealedLeafOf(chain), rebuilt: false };
}

const headOf = (index: number): ChainHead => ({
  count: index,
  leafHash: index === 0 ? null : (index - 1).toString(16).padStart(64, '0'),
  storedBytes: 0,
});

const append = async (store: MetadataStore, sessionId: string, index: number) => {
  if (!(await store.appendChunk(rowOf(sessionId, index), headOf(index), null)))
    throw new Error(`chunk ${index} of ${sessionId} was refused`);
};

const idOf = (at: number) => `session-${String(at).padStart(8, '0')}`;

async function fill(store: MetadataStore, sessions: number, chunks: number): Promise<void> {
  const perSession = Math.ceil(chunks / sessions);
  await each(sessions, writersAtOnce, async (at) => {
    const session = sampleSession(idOf(at), {
      created_at: new Date(1_700_000_000_000 + at * 1000).toISOString(),
      status: statuses[at % statuses.length]!,
      name: `Work of ${at % 997} on host ${at % 89}`,
      metadata: {
        project: `p${at % 50}`,
        environment: at % 3 === 0 ? 'production' : 'test',
        owner: `user${at % 211}`,
        tags: [`tag${at % 13}`],
      },
      started_at: new Date(1_700_000_000_000 + at * 1000 + 500).toISOString(),
      client_user: `CORP\\person${at % 307}`,
      client_name: `pc${at % 1009}`,
      client_address: `10.0.${at % 251}.${at % 241}`,
      rdp_config: { ...host, host: `host${at % 89}.example` },
      statistics: { ...noStatistics, duration_seconds: (at * 7919) % 30_000, size_bytes: (at * 104_729) % 1e9 },
      outcome: outcomes[at % outcomes.length]!,
    });
    await store.insertSession(session, null);
    for (let index = 0; index < perSession; index += 1) await append(store, idOf(at), index);
    if (at % auditShare === 0)
      await store.putAudit([
        { event: sampleAudit(`event-${at}`, { timestampUs: at, resourceId: idOf(at) }), row: null },
      ]);
  });
}

async function times(what: string, ask: (at: number) => Promise<unknown>): Promise<string> {
  const taken: number[] = [];
  const until = performance.now() + askMsMax;
  const used = treeSeconds(process.pid);
  for (let at = 0; at < asks && performance.now() < until; at += 1) {
    const from = performance.now();
    await ask(at);
    taken.push(performance.now() - from);
  }
  const processorMs = (1000 * (treeSeconds(process.pid) - used)) / taken.length;
  taken.sort((a, b) => a - b);
  const at = (share: number) => taken[Math.floor(share * taken.length)]!.toFixed(1).padStart(7);
  return `  ${what.padEnd(44)} median ${at(0.5)}  p99 ${at(0.99)}  processor ${processorMs.toFixed(1).padStart(6)}`;
}

async function appendRate(store: MetadataStore, first: string): Promise<string> {
  let stored = 0;
  const taken: number[] = [];
  const until = performance.now() + appendMs;
  await each(appendingSessions, appendingSessions, async (at) => {
    for (let index = 0; performance.now() < until; index += 1) {
      const from = performance.now();
      await append(store, `${first}-${at}`, index);
      taken.push(performance.now() - from);
      stored += 1;
    }
  });
  taken.sort((a, b) => a - b);
  const p99 = taken[Math.floor(0.99 * taken.length)]!.toFixed(1);
  return `  appendChunk, ${appendingSessions} sessions at once: ${Math.round((stored / appendMs) * 1000)} a second, p99 ${p99}`;
}

export async function run(args: string[]): Promise<void> {
  const [sessions = 100_000, chunks = 1_000_000] = args.slice(0, 2).map(Number);
  const names = args.length > 2 ? args.slice(2) : measuredByDefault;
  for (const name of names) {
    const [kind = '', path] = name.split('=');
    const home = await homes[kind]!(path);
    const say = (line: string) => process.stdout.write(`${line}\n`);
    try {
      const { store } = home;
      const from = performance.now();
      if (!home.filled) await fill(store, sessions, chunks);
      say(
        `${name}: ${sessions} sessions, ${chunks} chunks, filled in ${Math.round((performance.now() - from) / 1000)} s`,
      );
      await home.settle();
      const page = { limit: 50, offset: 0 };
      say(await times('nothing (ping)', () => store.ping()));
      say(await times('list, first page', () => store.listSessions(page)));
      say(await times('list, page in the middle', () => store.listSessions({ ...page, offset: sessions / 2 })));
      const { total } = await store.listSessions(page);
      say(await times('list, last page', () => store.listSessions({ ...page, offset: total - 50 })));
      say(await times('list of a status', () => store.listSessions({ ...page, status: 'failed' })));
      say(
        await times('list of a project, last page', () => store.listSessions({ ...page, project: 'p7', offset: 1000 })),
      );
      say(
        await times('list of an environment and status', () =>
          store.listSessions({ ...page, environment: 'test', status: 'completed' }),
        ),
      );
      say(await times('search, few found', (at) => store.listSessions({ ...page, search: idOf(at * 300).slice(2) })));
      say(await times('search, many found', () => store.listSessions({ ...page, search: 'work of 1' })));
      say(await times('search, in every one', () => store.listSessions({ ...page, search: 'work' })));
      say(await times('search, two letters', () => store.listSessions({ ...page, search: '42' })));
      say(await times('search, nothing found', () => store.listSessions({ ...page, search: 'nothing like it' })));
      say(
        await times('search in a project, by name', () =>
          store.listSessions({ ...page, search: 'host 8', project: 'p7', sort: 'name' }),
        ),
      );
      say(await times('list of a user', (at) => store.listSessions({ ...page, user: `person${at % 307}` })));
      say(
        await times('list of a user, by size', (at) =>
          store.listSessions({ ...page, user: `corp\\person${at % 307}`, sort: 'size' }),
        ),
      );
      say(await times('list of a client', (at) => store.listSessions({ ...page, client: `pc${at}` })));
      say(await times('list of a target', (at) => store.listSessions({ ...page, target: `host${at % 89}.example` })));
      say(
        await times('list of a tag, last page', (at) =>
          store.listSessions({ ...page, tag: `tag${at % 13}`, offset: 6500 }),
        ),
      );
      const day = { from: new Date(1_700_050_000_000).toISOString(), to: new Date(1_700_060_000_000).toISOString() };
      say(await times('list of some hours', () => store.listSessions({ ...page, ...day })));
      say(
        await times('list of incomplete ones, by length', () =>
          store.listSessions({ ...page, outcome: 'gap', sort: 'duration' }),
        ),
      );
      say(
        await times('list of long and large ones', () =>
          store.listSessions({ ...page, durationMin: 29_000, sizeMin: 9e8 }),
        ),
      );
      for (const sort of sessionSorts)
        for (const descending of [false, true]) {
          const order = { sort, descending };
          say(
            await times(`by ${sort}, ${descending ? 'down' : 'up'}, pages up to the middle`, (at) =>
              store.listSessions({ ...page, ...order, offset: (at % 10) * (sessions / 20) }),
            ),
          );
        }
      say(await times('get session', (at) => store.getSession(idOf(at * 7))));
      say(await times('find by cookie', () => store.findByCookie('nobody')));
      say(
        await times('chunks of a session', (at) =>
          store.listChunks({ sessionId: idOf(at * 7), limit: 100, offset: 0 }),
        ),
      );
      say(await times('counts by status', () => store.countSessions()));
      say(await times('totals', () => store.totals()));
      say(await times('audit, first page', () => store.listAudit(page)));
      say(await appendRate(store, name));
    } finally {
      await home.dispose();
    }
  }
}
