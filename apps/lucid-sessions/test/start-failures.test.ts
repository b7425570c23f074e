/** `up` that can't start: ends soon, with one line that names the variable, and leaves nothing behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { KeyDirectory, KeyLock } from '@lucid-sessions/keys';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { makeSelfSigned } from '../../../services/recorder/src/front-door/self-signed.ts';
import { environmentWithout, startCli } from './support/cli.ts';
import { openPorts, type PortVariable, portVariables } from './support/ports.ts';

const program = join(import.meta.dirname, '../bin/lucid-sessions.js');
const endMsMax = 60_000;
const nobody = 65_534;

interface Place {
  /** A directory of the test's own. */
  directory: string;
  /** LUCID_DATA_DIR, not there yet. */
  dataDir: string;
  ports: Record<PortVariable, string>;
  t: TestContext;
}

interface Case {
  name: string;
  /** Makes what is wrong and answers the variables that meet it. */
  arrange: (place: Place) => Promise<Record<string, string>> | Record<string, string>;
  /** The whole of what is said. */
  says: RegExp;
  /** As a user without rights. */
  asNobody?: boolean;
}

async function ended(args: string[], environment: Record<string, string>, asNobody: boolean) {
  const child = spawn(process.execPath, [program, 'up', ...args], {
    env: {
      ...environmentWithout('LUCID_', 'RDP_', 'SESSION_', 'CHUNK_'),
      ...environment,
      // Nobody can't write the coverage of a test run, and would say so.
      ...(asNobody ? { NODE_V8_COVERAGE: '' } : {}),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: endMsMax,
    killSignal: 'SIGKILL',
    ...(asNobody ? { uid: nobody, gid: nobody } : {}),
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part: Buffer) => {
      said += part.toString();
    });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

async function occupy(t: TestContext, port: string): Promise<void> {
  const server = createServer().listen(Number(port), '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
}

async function assertFree(ports: Iterable<string>, but: string | undefined): Promise<void> {
  for (const port of ports) {
    if (port === but) continue;
    const server = createServer().listen(Number(port), '127.0.0.1');
    await once(server, 'listening');
    await new Promise((resolve) => server.close(resolve));
  }
}

const file = (directory: string, name: string, text = 'a file'): string => {
  const path = join(directory, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};

/** A database as a later program leaves it. */
function laterDatabase(path: string): void {
  const database = new DatabaseSync(path);
  database.exec('CREATE TABLE later (id INTEGER); PRAGMA user_version = 9999;');
  database.close();
}

async function tlsFiles(directory: string, name: string, fromDays: number, toDays: number) {
  const day = 86_400_000;
  const now = Date.now();
  const { certificate, key } = await makeSelfSigned(
    'gateway.example',
    new Date(now + fromDays * day),
    new Date(now + toDays * day),
  );
  return {
    RDP_TLS_CERT: file(directory, `${name}.crt`, certificate),
    RDP_TLS_KEY: file(directory, `${name}.key`, key),
  };
}

const taken = (variable: PortVariable): Case => ({
  name: `${variable} is taken`,
  arrange: async ({ t, ports }) => {
    await occupy(t, ports[variable]);
    return {};
  },
  says: new RegExp(`^${variable} names port \\d+ of 127\\.0\\.0\\.1, which another program uses: .+\\n$`),
});

interface ValueCase {
  environment: Record<string, string>;
  says: RegExp;
}

const value = (variable: string, text: string, says: RegExp, more: Record<string, string> = {}): ValueCase => ({
  environment: { ...more, [variable]: text },
  says,
});

const cases: Case[] = [
  {
    name: 'the spool key is none',
    arrange: ({ dataDir }) => {
      mkdirSync(join(dataDir, 'keys'), { recursive: true, mode: 0o700 });
      writeFileSync(join(dataDir, 'keys', 'spool.key'), 'short', { mode: 0o600 });
      return {};
    },
    says: /^LUCID_DATA_DIR names \S+, which can't be used: the spool key \S+ must be 32 bytes, it has 5: .+\n$/,
  },
  ...portVariables.map(taken),
  {
    name: 'a listener rule’s port is taken',
    arrange: async ({ t, ports }) => {
      await occupy(t, ports.RDP_LISTEN_PORT);
      return { RDP_LISTENERS: `${ports.RDP_LISTEN_PORT}=desk.example:3389`, RDP_LISTEN_PORT: '0' };
    },
    says: /^RDP_LISTENERS names port \d+ of 127\.0\.0\.1, which another program uses: .+\n$/,
  },
  {
    name: 'two services have one port',
    arrange: ({ ports }) => ({ SESSION_API_PORT: ports.SESSION_STORAGE_PORT }),
    says: /^SESSION_API_PORT names port \d+ of 127\.0\.0\.1, as SESSION_STORAGE_PORT does: .+\n$/,
  },
  {
    name: 'the data directory is a file',
    arrange: ({ directory }) => ({ LUCID_DATA_DIR: file(directory, 'plain') }),
    says: /^LUCID_DATA_DIR names \S+plain, which can't be used: .+\n$/,
  },
  {
    name: 'the data directory is below a file',
    arrange: ({ directory }) => ({ LUCID_DATA_DIR: join(file(directory, 'plain'), 'data') }),
    says: /^LUCID_DATA_DIR names \S+, which can't be used: a part of the path is a file.+\n$/,
  },
  {
    name: 'the data directory can’t be made',
    arrange: () => ({ LUCID_DATA_DIR: '/proc/lucid/data' }),
    says: /^LUCID_DATA_DIR names \/proc\/lucid\/data, which can't be written: .+\n$/,
  },
  {
    name: 'the data directory is another user’s',
    arrange: ({ directory }) => {
      mkdirSync(join(directory, 'foreign'), { mode: 0o700 });
      chmodSync(directory, 0o755);
      return { LUCID_DATA_DIR: join(directory, 'foreign') };
    },
    says: /^LUCID_DATA_DIR names \S+foreign, which can't be used: this user may not: .+\n$/,
    asNobody: true,
  },
  {
    name: 'a directory in it is another user’s',
    arrange: ({ directory }) => {
      chmodSync(directory, 0o755);
      mkdirSync(join(directory, 'shared'));
      chmodSync(join(directory, 'shared'), 0o777);
      mkdirSync(join(directory, 'shared', 'spool'), { mode: 0o700 });
      return { LUCID_DATA_DIR: join(directory, 'shared') };
    },
    says: /^LUCID_DATA_DIR names \S+spool, which can't be used: this user may not: .+\n$/,
    asNobody: true,
  },
  {
    name: 'chunks go into a file',
    arrange: ({ directory }) => ({ CHUNK_STORAGE_PATH: file(directory, 'chunks') }),
    says: /^CHUNK_STORAGE_PATH names \S+chunks, which can't be used: .+\n$/,
  },
  {
    name: 'the database is a directory',
    arrange: ({ directory }) => ({ SESSION_METADATA_DB: `sqlite:${directory}` }),
    says: /^SESSION_METADATA_DB names \S+, which can't be used: it is a directory, not a file\n$/,
  },
  {
    name: 'the database is none',
    arrange: ({ directory }) => ({ SESSION_METADATA_DB: `sqlite:${file(directory, 'meta.db', 'x'.repeat(5000))}` }),
    says: /^SESSION_METADATA_DB names \S+meta\.db, which can't be opened: it is no SQLite database, or damaged.+\n$/,
  },
  {
    name: 'the database is a later program’s',
    arrange: ({ directory }) => {
      laterDatabase(join(directory, 'meta.db'));
      return { SESSION_METADATA_DB: `sqlite:${join(directory, 'meta.db')}` };
    },
    says: /^SESSION_METADATA_DB names \S+meta\.db, which can't be opened: the database has version 9999, .+ newer program\n$/,
  },
  ...['pipeline-jobs.db', 'pipeline-journal.db'].map(
    (name): Case => ({
      name: `${name} is a later program’s`,
      arrange: ({ dataDir }) => {
        mkdirSync(dataDir, { mode: 0o700 });
        laterDatabase(join(dataDir, name));
        return {};
      },
      says: new RegExp(`^LUCID_DATA_DIR names \\S+${name}, which can't be opened: .+ newer program\\n$`),
    }),
  ),
  {
    name: 'the log is none',
    arrange: ({ dataDir }) => {
      mkdirSync(join(dataDir, 'log'), { recursive: true, mode: 0o700 });
      file(join(dataDir, 'log'), 'head.sqlite', 'x'.repeat(5000));
      return {};
    },
    says: /^LUCID_DATA_DIR names \S+log, which can't be opened: .+\n$/,
  },
  {
    name: 'keys are being rotated',
    arrange: async ({ t, dataDir }) => {
      await KeyDirectory.open(join(dataDir, 'keys'));
      const lock = KeyLock.take(join(dataDir, 'keys'));
      t.after(() => lock.release());
      return {};
    },
    says: /^LUCID_DATA_DIR names \S+, which can't be used: keys are being rotated here; .+\n$/,
  },
  {
    name: 'a key is no key',
    arrange: async ({ dataDir }) => {
      await KeyDirectory.open(join(dataDir, 'keys'));
      file(join(dataDir, 'keys'), 'identity.pem', 'nothing');
      return {};
    },
    says: /^LUCID_DATA_DIR names \S+, which can't be used: \S+identity\.pem is not a private key in PEM\n$/,
  },
  {
    name: 'others can read a secret',
    arrange: ({ dataDir }) => {
      mkdirSync(join(dataDir, 'secrets'), { recursive: true, mode: 0o700 });
      chmodSync(file(join(dataDir, 'secrets'), 'service', 's'.repeat(40)), 0o644);
      return {};
    },
    says: /^LUCID_DATA_DIR names \S+, which can't be used: \S+service can be read by others: run chmod 600 .+\n$/,
  },
  {
    name: 'the certificate is not there',
    arrange: async ({ directory }) => ({
      ...(await tlsFiles(directory, 'tls', -1, 1)),
      RDP_TLS_CERT: join(directory, 'absent.crt'),
    }),
    says: /^RDP_TLS_CERT names \S+absent\.crt, which can't be read \(ENOENT\)\n$/,
  },
  {
    name: 'the certificate is none',
    arrange: async ({ directory }) => ({
      ...(await tlsFiles(directory, 'tls', -1, 1)),
      RDP_TLS_CERT: file(directory, 'no.crt'),
    }),
    says: /^RDP_TLS_CERT names \S+no\.crt, which holds no certificate in PEM form\n$/,
  },
  {
    name: 'the private key is none',
    arrange: async ({ directory }) => ({
      ...(await tlsFiles(directory, 'tls', -1, 1)),
      RDP_TLS_KEY: file(directory, 'no.key'),
    }),
    says: /^RDP_TLS_KEY names \S+no\.key, which holds no private key in PEM form without a passphrase\n$/,
  },
  {
    name: 'certificate and key are no pair',
    arrange: async ({ directory }) => ({
      ...(await tlsFiles(directory, 'tls', -1, 1)),
      RDP_TLS_KEY: (await tlsFiles(directory, 'other', -1, 1)).RDP_TLS_KEY,
    }),
    says: /^RDP_TLS_KEY names \S+other\.key, which is not the key of the certificate in \S+tls\.crt\n$/,
  },
  {
    name: 'the certificate has expired',
    arrange: ({ directory }) => tlsFiles(directory, 'old', -20, -10),
    says: /^RDP_TLS_CERT names \S+old\.crt, a certificate that expired on \d{4}-\d\d-\d\d\n$/,
  },
  {
    name: 'the certificate is not valid yet',
    arrange: ({ directory }) => tlsFiles(directory, 'new', 10, 20),
    says: /^RDP_TLS_CERT names \S+new\.crt, a certificate that begins on \d{4}-\d\d-\d\d\n$/,
  },
];

const values: ValueCase[] = [
  ...(
    [
      ['RDP_LISTEN_HOST', 'RDP_LISTEN_PORT'],
      ['LUCID_BIND_HOST', 'SESSION_STORAGE_PORT'],
      ['LUCID_API_HOST', 'SESSION_API_PORT'],
    ] as const
  ).map(([host, port]) =>
    value(
      host,
      '203.0.113.7',
      new RegExp(`^${host} names 203\\.0\\.113\\.7, which is no address of this machine\\n$`),
      {
        [port]: '18087',
      },
    ),
  ),
  value('RDP_TLS_CERT', '/tmp/alone.crt', /^RDP_TLS_KEY and RDP_TLS_CERT must be given together\n$/),
  value('SESSION_API_PORT', '99999', /^SESSION_API_PORT must be a whole number from 0 to 65535, .+\n$/),
  value('SESSION_STORAGE_PORT', '-1', /^SESSION_STORAGE_PORT must be a whole number .+\n$/),
  value('RDP_LISTENERS', 'everything', /^RDP_LISTENERS must be at most .+\n$/),
  value('LUCID_KEYFRAMES_AHEAD_PERCENT', '101', /^LUCID_KEYFRAMES_AHEAD_PERCENT must be a whole number .+\n$/),
  value('CHUNK_SIZE_MB', '65', /^CHUNK_SIZE_MB must be a whole number from 1 to 64, .+\n$/),
  value('LUCID_VERIFY_ON_PUT', 'perhaps', /^LUCID_VERIFY_ON_PUT must be true or false\n$/),
  value('LUCID_LOG_ORIGIN', 'two words', /^LUCID_LOG_ORIGIN must be 1 to 255 characters .+\n$/),
  value('LUCID_SERVICE_SECRET', 'short', /^LUCID_SERVICE_SECRET must be set to a secret .+\n$/),
  value(
    'LUCID_SERVICE_TLS_CERT',
    '/tmp/a',
    /^LUCID_SERVICE_TLS_CERT must be given together with \S+_KEY and \S+_CA\n$/,
  ),
  value(
    'LUCID_SERVICE_SECRET_FILE',
    '/',
    /^LUCID_SERVICE_SECRET_FILE names \/, which can't be read: it is a directory.+\n$/,
  ),
  value('KRB5_CONFIG', '/nowhere', /^KRB5_CONFIG must name a krb5\.conf.+\/nowhere: there is no such place\n$/, {
    LUCID_KERBEROS: 'prefer',
  }),
  value('LUCID_KEYS_PATH', '/nowhere', /^LUCID_KEYS_PATH names \/nowhere, where .+ is missing, .+\n$/),
  value(
    'SESSION_METADATA_DB',
    'mongodb://',
    /^SESSION_METADATA_DB names .+ address or options are not valid: must be .+\n$/,
  ),
  value(
    'SESSION_METADATA_DB',
    'mongodb://h/x?secret=hunter2',
    /^SESSION_METADATA_DB names .+ address or options are not valid: the driver knows no secret\n$/,
  ),
  value('LUCID_JWT_SECRET', 'short', /^LUCID_JWT_SECRET must have at least 32 characters\n$/),
  value('LUCID_JWT_PUBLIC_KEY', 'no key', /^LUCID_JWT_PUBLIC_KEY must be a public key in PEM form\n$/),
  value('LUCID_JWT_JWKS_URL', 'ftp://x', /^LUCID_JWT_JWKS_URL must be .+\n$/),
  value(
    'LUCID_RECIPIENTS',
    `age1${'q'.repeat(58)}`,
    /^LUCID_RECIPIENTS holds age1q+, which is no age recipient: .+\n$/,
  ),
  value('LUCID_WITNESSES', 'nobody', /^LUCID_WITNESSES must be .+\n$/),
  value('LUCID_VAULT_URL', 'http://127.0.0.1:8200', /^LUCID_VAULT_TOKEN_FILE must name .+\n$/),
  value('LUCID_TSA_URL', 'http://127.0.0.1:1', /^LUCID_TSA_CERTIFICATE must name .+\n$/),
  value('LUCID_TSA_CERTIFICATE', '/nowhere/tsa.pem', /^LUCID_TSA_CERTIFICATE names \/nowhere\/tsa\.pem, which .+\n$/, {
    LUCID_TSA_URL: 'http://127.0.0.1:1',
  }),
  value('LUCID_RENEWAL_DAYS', '300', /^LUCID_RENEWAL_DAYS needs LUCID_TSA_URL: .+\n$/),
  value('LUCID_EVM_KEY_FILE', '/nowhere/key', /^LUCID_EVM_KEY_FILE names \/nowhere\/key, which .+\n$/, {
    LUCID_EVM_RPC_URL: 'http://127.0.0.1:1',
    LUCID_EVM_CONTRACT: `0x${'1'.repeat(40)}`,
  }),
  value(
    'BLOCKCHAIN_ANCHORING_TOKEN_FILE',
    '/nowhere/token',
    /^BLOCKCHAIN_ANCHORING_TOKEN_FILE names \/nowhere\/token, which .+\n$/,
    { BLOCKCHAIN_ANCHORING_URL: 'http://127.0.0.1:1' },
  ),
];

test('up that can’t start says which variable, and leaves nothing', { timeout: 900_000 }, async (t) => {
  for (const { name, arrange, says, asNobody = false } of cases)
    await t.test(name, async (t) => {
      if (asNobody && process.getuid?.() !== 0) return t.skip('only root can try what another user may not');
      const directory = temporaryDirectory('start');
      const { RDP_LISTEN_HOST, ...ports } = await openPorts();
      const dataDir = join(directory, 'data');
      const changes = await arrange({ directory, dataDir, ports, t });
      const before = filesUnder(directory);
      const environment = { RDP_LISTEN_HOST, ...ports, LUCID_DATA_DIR: dataDir, ...changes };
      const { code, said } = await ended([], environment, asNobody);
      assert.match(said, says);
      assert.equal(code, 2);
      if (!existsSync(join(dataDir, 'keys'))) assert.deepEqual(filesUnder(directory), before);
      const other = portVariables.find((variable) => says.source.startsWith(`^${variable} names port`));
      await assertFree(Object.values(ports), other === undefined ? changes.RDP_LISTENERS?.split('=')[0] : ports[other]);
    });
});

const filesUnder = (directory: string): string[] => (readdirSync(directory, { recursive: true }) as string[]).sort();

test('up says which value is wrong', { timeout: 300_000, concurrency: 4 }, async (t) => {
  const directory = temporaryDirectory('start');
  const { RDP_LISTEN_HOST } = await openPorts();
  const usual = { RDP_LISTEN_HOST, LUCID_DATA_DIR: join(directory, 'data') };
  const anyPort = Object.fromEntries(portVariables.map((variable) => [variable, '0']));
  await Promise.all(
    values.map(({ environment, says }) =>
      t.test(Object.entries(environment).at(-1)?.join('=') ?? '', async () => {
        const { code, said } = await ended([], { ...usual, ...anyPort, ...environment }, false);
        assert.match(said, says);
        assert.equal(code, 2);
        assert.ok(!existsSync(usual.LUCID_DATA_DIR));
      }),
    ),
  );
});

test('up tells of variables that nothing reads, before what is missing without them, and of no value', async () => {
  const directory = temporaryDirectory('start');
  const misspelt = { LUCID_JWT_SECRT: 'hunter2-hunter2', MAX_CONCURENT_SESSIONS: '7', LUCID_SPEED: 'hunter2' };
  const { code, said } = await ended(
    [],
    { ...misspelt, LUCID_DATA_DIR: join(directory, 'data'), LUCID_LOG_FORMAT: 'json', CHUNK_SIZE_MB: '65' },
    false,
  );
  const lines = said.trimEnd().split('\n');
  const failure = lines.pop() ?? '';
  assert.deepEqual(
    lines.map((line) => (({ level, msg }: Record<string, string>) => `${level} ${msg}`)(JSON.parse(line))),
    [
      'warn nothing reads the variable LUCID_JWT_SECRT: is LUCID_JWT_SECRET meant?',
      'warn nothing reads the variable LUCID_SPEED',
      'warn nothing reads the variable MAX_CONCURENT_SESSIONS: is MAX_CONCURRENT_SESSIONS meant?',
    ],
  );
  assert.match(failure, /^CHUNK_SIZE_MB must be/);
  assert.equal(code, 2);
  assert.ok(!said.includes('hunter2'));
});

test('a data directory another process works in is refused, and that one goes on', { timeout: 120_000 }, async (t) => {
  const directory = temporaryDirectory('start');
  const first = { ...(await openPorts()), LUCID_DATA_DIR: join(directory, 'data') };
  const server = await startCli(t, ['up'], first, /^token /m);
  for (const service of ['storage', 'pipeline', 'recorder']) {
    const { code, said } = await ended(['--services', service], { ...first, ...(await openPorts()) }, false);
    assert.equal(code, 2);
    const refusal = `^LUCID_DATA_DIR names \\S+data, where the ${service} of another process runs: .+\\n$`;
    assert.match(said, new RegExp(refusal));
  }
  const health = await fetch(`http://127.0.0.1:${first.SESSION_API_PORT}/health`);
  assert.equal(health.status, 200);
  assert.equal(await server.stop('SIGTERM'), 0, server.stderr());
});
