/** Servers that go, come back, move, and connections that break: what was answered is kept, what was asked once is done once. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { isLucidError } from '@lucid-sessions/contract';
import { sampleChain, sampleSession, sealedLeafOf } from '@lucid-sessions/storage/suites';
import { eventually, freePort, PostgresServer } from '@lucid-sessions/testkit';
import {
  PostgresCoordination,
  PostgresDatabase,
  PostgresJobQueue,
  parsePostgresUrl,
  postgresMetadataStore,
  prepareSchema,
} from '../src/index.ts';
import { databaseAt, serverForTests } from './support.ts';

const server = await serverForTests();
const needs = server === null ? { skip: 'needs PostgreSQL: run .ci/install-postgres' } : {};
const home = server as PostgresServer;
const secret = /pass-of-the-test/;

const chunkRow = (sessionId: string, chunk: ReturnType<typeof sampleChain>[number]) => ({
  metadata: { ...chunk.metadata, sessionId, storedAtUs: 1, storagePath: 'p' },
  sealedLeaf: sealedLeafOf(chunk),
  rebuilt: false,
});

/** Ends connections of the stores, again and again, until it is told to stop. Answers how many it ended. */
function breaking(): () => Promise<number> {
  let going = true;
  let ended = 0;
  const work = (async () => {
    while (going) {
      const sql = `SELECT COUNT(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'lucid-sessions' AND random() < 0.5`;
      ended += Number(await home.sql(sql));
    }
  })();
  return async () => {
    going = false;
    await work;
    return ended;
  };
}

test('connections that break in the middle: what is asked once is done once and answered as done', needs, async () => {
  const url = home.url();
  const database = await databaseAt(url);
  const store = postgresMetadataStore(database);
  const queue = new PostgresJobQueue(database);
  const agreed = new PostgresCoordination(database);
  const stop = breaking();
  const writers = [...Array(8).keys()];
  const chain = sampleChain('chain', 25);
  await Promise.all(
    writers.map(async (who) => {
      const id = `session-${who}`;
      assert.equal(await store.insertSession(sampleSession(id), `token ${who}`), true);
      let head = { count: 0, leafHash: null as string | null, storedBytes: 0 };
      let version: number | null = null;
      for (const [at, chunk] of chain.entries()) {
        assert.equal(await store.replaceSession(sampleSession(id, { version: at + 2 }), at + 1), true);
        assert.equal(await store.appendChunk(chunkRow(id, chunk), head, null), true, `${id} ${at}`);
        head = await store.getHead(id);
        assert.deepEqual([head.count, head.leafHash], [at + 1, chunk.metadata.leafHash]);
        version = await agreed.put('space', { key: id, value: { at }, untilUs: 1e15, expected: version }, 0);
        assert.ok(version !== null);
        const job = { jobId: `${id}/${at}`, kind: 'k', sessionId: id, payload: {}, runAtUs: 0, retriesMax: 1 };
        assert.equal(await queue.enqueue(job), true);
        assert.equal(await store.putRecord(id, 'custody', new Uint8Array([at]), at), at + 1);
      }
    }),
  );
  assert.ok((await stop()) > 0);
  assert.deepEqual(await queue.countByState(), { waiting: writers.length * chain.length });
  assert.equal((await store.totals()).chunksCount, writers.length * chain.length);
  for (const each of [store, queue, agreed]) await each.dispose();
});

test(
  'a server that is cut off and comes back costs time, nothing else; sessions go on with the next chunk',
  needs,
  async () => {
    const store = postgresMetadataStore(await databaseAt(home.url(), { retryMsMax: 60_000 }));
    const chain = sampleChain('s1', 40);
    const appending = (async () => {
      let head = await store.getHead('s1');
      for (const chunk of chain) {
        assert.equal(await store.appendChunk(chunkRow('s1', chunk), head, null), true);
        head = await store.getHead('s1');
      }
    })();
    await eventually('the first chunks', async () => (await store.getHead('s1')).count > 5);
    await home.end('SIGQUIT');
    await home.begin();
    await appending;
    assert.equal((await store.getHead('s1')).count, chain.length);
    await store.dispose();
  },
);

test('a standby that is promoted is found by the same address', needs, async (t) => {
  const primary = await PostgresServer.start();
  t.after(() => primary.stop());
  const standby = await PostgresServer.follow(primary);
  t.after(() => standby.stop());
  const both = primary.url('lucid').replace(/@[^/]+/, `@127.0.0.1:${standby.port},127.0.0.1:${primary.port}`);
  const store = postgresMetadataStore(await databaseAt(both, { retryMsMax: 60_000 }));
  assert.equal(await store.insertSession(sampleSession('before'), null), true, 'the standby is asked first, and left');
  await eventually(
    'the standby to know it',
    async () =>
      (await standby.sql(`SELECT to_regclass('lucid.sessions')`)) !== '' &&
      (await standby.sql('SELECT count(*) FROM lucid.sessions')) === '1',
  );
  await primary.end('SIGQUIT');
  const inserted = store.insertSession(sampleSession('after'), null);
  await standby.promote();
  assert.equal(await inserted, true);
  assert.deepEqual(
    (await store.listSessions({ limit: 9, offset: 0 })).sessions.map(({ session_id }) => session_id).sort(),
    ['after', 'before'],
  );
  await store.dispose();
});

test('a server that stays away is told as such, after a bounded time', needs, async () => {
  const other = await PostgresServer.start();
  const store = postgresMetadataStore(await databaseAt(other.url(), { retryMsMax: 300 }));
  await other.stop();
  await assert.rejects(store.ping(), (thrown: unknown) => {
    assert.ok(isLucidError(thrown, 'unavailable'));
    assert.doesNotMatch(inspect(thrown, { depth: 9, showHidden: true }), secret);
    return true;
  });
  await store.dispose();
});

test(
  'a start waits for a server that starts beside it, and is refused at once by one that will not have it',
  needs,
  async (t) => {
    const opening = async (url: string, waitMs = 60_000) => {
      const address = parsePostgresUrl(url);
      const database = new PostgresDatabase({ address });
      t.after(() => database.close());
      return prepareSchema(database, { schema: address.schema, waitMs });
    };
    const refused = (url: string, message: RegExp, waitMs?: number) =>
      assert.rejects(opening(url, waitMs), (thrown: unknown) => {
        assert.ok(isLucidError(thrown, 'storage'), String(thrown));
        assert.match(thrown.message, message);
        assert.doesNotMatch(inspect(thrown, { depth: 9, showHidden: true }), secret);
        return true;
      });
    const url = home.url();
    await refused(url.replace(home.password, 'wrong'), /refuses this user with this password/);
    await refused(url.replace(`:${home.password}`, ''), /wants a password/);
    await refused(url.replace('/lucid?', '/nowhere?'), /has no such database/);
    await refused(`${url}&sslmode=require`, /has no TLS/);
    await refused(url.replace(String(home.port), String(await freePort())), /nothing listens there/, 0);
    await home.sql(`CREATE ROLE reader LOGIN PASSWORD 'reader-pass-of-the-test'`);
    await refused(
      url.replace(/lucid:[^@]+@/, 'reader:reader-pass-of-the-test@').replace(/\?.*/, ''),
      /may not make or use/,
    );
    await home.sql('CREATE DATABASE narrow ENCODING LATIN1 TEMPLATE template0');
    await refused(url.replace('/lucid?', '/narrow?'), /encoding is LATIN1/);
    await home.end();
    const waiting = opening(url);
    await home.begin();
    assert.deepEqual(await waiting, [
      'PostgreSQL runs with fsync or full_page_writes off: a power cut may lose or spoil what was stored',
    ]);
  },
);

test(
  'tables are made once by ten that start together; indexes are made again, later versions refused',
  needs,
  async (t) => {
    const url = home.url('together');
    const address = parsePostgresUrl(url);
    const databases = [...Array(10)].map(() => new PostgresDatabase({ address, connectionsMax: 1 }));
    t.after(() => Promise.all(databases.map((database) => database.close())));
    const prepare = (database: PostgresDatabase) => prepareSchema(database, { schema: address.schema, waitMs: 30_000 });
    await Promise.all(databases.map(prepare));
    assert.equal(await home.sql('SELECT count(*), max(version) > 0 FROM together.lucid_schema'), '1|t');
    const names = `SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'together' AND indexname !~ '_pkey$'`;
    const indexes = await home.sql(names);
    for (const name of ['list_by_created', 'list_by_search']) assert.ok(indexes.split(' ').includes(name), indexes);
    await home.sql('DROP INDEX together.list_by_created, together.list_by_search');
    await prepare(databases[0]!);
    assert.equal(await home.sql(names), indexes);
    await home.sql(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'together.jobs_due'::regclass`);
    await assert.rejects(prepare(databases[0]!), /index jobs_due is not valid/);
    await home.sql('DROP INDEX together.jobs_due; UPDATE together.lucid_schema SET version = 99');
    await assert.rejects(prepare(databases[0]!), /version 99, this program knows \d+: use the newer program/);
  },
);

test('certificates are judged as sslmode says', needs, async (t) => {
  const other = await PostgresServer.start();
  t.after(() => other.stop());
  const certificate = (name: string, subject: string) => {
    const [key, path] = [join(other.home, `${name}.key`), join(other.home, `${name}.pem`)];
    const how = [
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=db',
      '-addext',
      `subjectAltName=${subject}`,
    ];
    execFileSync('openssl', ['req', '-x509', ...how, '-keyout', key, '-out', path], { stdio: 'ignore' });
    other.file(`${name}.key`, readFileSync(key, 'utf8'));
    return readFileSync(path, 'utf8');
  };
  const ca = certificate('own', 'IP:127.0.0.1');
  const strange = certificate('strange', 'DNS:elsewhere');
  const serve = async (name: string) => {
    await other.end();
    await other.begin({
      ssl: 'on',
      ssl_cert_file: join(other.home, `${name}.pem`),
      ssl_key_file: join(other.home, `${name}.key`),
    });
  };
  const open = async (sslmode: string, given: string | null) => {
    const database = await databaseAt(`${other.url('tls')}&sslmode=${sslmode}`, { ca: given });
    const [row] = await database.rows('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    await database.close();
    return row?.ssl;
  };
  await serve('own');
  assert.equal(await open('disable', null), false);
  assert.equal(await open('require', null), true, 'whoever it is');
  assert.equal(await open('verify-full', ca), true);
  await assert.rejects(open('verify-full', null), /no authority vouches|no known authority/);
  await assert.rejects(
    open('require', strange),
    /authority|certificate|connection failed/,
    'as verify-ca, since there is an authority',
  );
  await serve('strange');
  assert.equal(await open('verify-ca', strange), true);
  await assert.rejects(open('verify-full', strange), /for another name/);
});

test(
  'a statement that waits too long for a lock is given up, told as such, and the next one works',
  needs,
  async () => {
    const url = home.url('locked');
    const store = postgresMetadataStore(await databaseAt(url));
    const holder = await databaseAt(url, { connectionsMax: 1 });
    await holder.transaction(async (session) => {
      await session.run('LOCK TABLE sessions');
      await assert.rejects(
        store.getSession('s1'),
        (thrown: unknown) => isLucidError(thrown, 'unavailable') && /in time/.test(thrown.message),
      );
    });
    assert.equal(await store.getSession('s1'), null);
    await holder.close();
    await store.dispose();
  },
);

test('at most 10,000 calls wait; errors of PostgreSQL keep its text and values to themselves', needs, async () => {
  const database = await databaseAt(home.url());
  const calls = await Promise.allSettled([...Array(10_001)].map(() => database.rows('SELECT 1')));
  const refused = calls.filter((call) => call.status === 'rejected' && /too many calls/.test(call.reason.message));
  assert.equal(refused.length, 1);
  await assert.rejects(database.rows(`SELECT 'hidden words'::bigint`), (thrown: unknown) => {
    assert.ok(isLucidError(thrown, 'storage'));
    assert.equal(thrown.details.sqlstate, '22P02');
    assert.doesNotMatch(inspect(thrown, { depth: 9, showHidden: true }), /hidden words/);
    return true;
  });
  await assert.rejects(database.rows('SELECT 9007199254740993::bigint'), /too large/);
  await database.close();
  await assert.rejects(database.rows('SELECT 1'), { code: 'LUCID_ERR_3007' });
});

test(
  'lists count what is there, whoever changes states at once, also in tables of before there was a count',
  needs,
  async () => {
    const url = home.url('counted');
    const store = postgresMetadataStore(await databaseAt(url));
    const states = ['created', 'recording', 'failed'] as const;
    const ids = [...Array(12).keys()].map((at) => `s${at}`);
    for (const id of ids) await store.insertSession(sampleSession(id), null);
    await Promise.all(
      ids.map(async (id, who) => {
        for (let version = 1; version < 15; version += 1) {
          const next = sampleSession(id, { version: version + 1, status: states[(who + version) % 3]! });
          assert.equal(await store.replaceSession(next, version), true);
        }
      }),
    );
    const counted = await store.countSessions();
    assert.equal(
      Object.values(counted).reduce((sum, each) => sum + each, 0),
      ids.length,
    );
    for (const status of states)
      assert.equal(
        await home.sql(`SELECT count(*) FROM counted.sessions WHERE status = '${status}'`),
        String(counted[status] ?? 0),
      );
    assert.equal((await store.listSessions({ limit: 5, offset: 0, project: 'p1' })).total, ids.length);
    await store.dispose();
    await home.sql(
      'DROP TABLE counted.session_list; DROP TABLE counted.session_counts; DROP FUNCTION counted.count_sessions CASCADE; DROP TABLE counted.entries; DROP TABLE counted.progress; ALTER TABLE counted.jobs DROP COLUMN claim; ALTER TABLE counted.audit DROP COLUMN sequence; UPDATE counted.lucid_schema SET version = 1',
    );
    const again = postgresMetadataStore(await databaseAt(url));
    assert.deepEqual(await again.countSessions(), counted);
    await again.dispose();
  },
);

test('what is text for JSON and none for PostgreSQL is kept all the same', needs, async () => {
  const store = postgresMetadataStore(await databaseAt(home.url()));
  const odd = sampleSession('odd', { name: 'a\u0000b \ud800 "\\', metadata: { project: 'p\u0000', tags: ['\u0000'] } });
  await store.insertSession(odd, null);
  assert.deepEqual(await store.getSession('odd'), odd);
  assert.equal((await store.listSessions({ limit: 5, offset: 0, project: 'p\u0000', search: 'A\u0000B' })).total, 1);
  await store.dispose();
});
