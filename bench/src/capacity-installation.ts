/**
 * Installations of the capacity bench: three recorders and two of everything else, each a process with a directory of its own, on a real
 * PostgreSQL, Redis and S3 server; or all in one process.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { eventually, freePort, freePorts, PostgresServer, RedisServer, SeaweedFs } from '@lucid-sessions/testkit';

export type Ends = (() => unknown)[];

export interface Part {
  /** Of a service, or `all`. */
  service: string;
  pid: number;
}

export interface Installation {
  parts: readonly Part[];
  /** Public doors, and internal ones, of the recorders. */
  rdpPorts: readonly number[];
  recorderUrls: readonly string[];
  storageUrl: string;
  serviceSecret: string;
  apiUrl: string;
  token: string;
}

const main = join(import.meta.dirname, '../../apps/lucid-sessions/src/main.ts');
const readyMsMax = 240_000;

const portVariables = {
  storage: 'SESSION_STORAGE_PORT',
  processor: 'CHUNK_PROCESSOR_PORT',
  pipeline: 'SESSION_PIPELINE_PORT',
  recorder: 'SESSION_RECORDER_PORT',
  api: 'SESSION_API_PORT',
} as const;
const urlVariables = {
  storage: 'SESSION_STORAGE_URL',
  processor: 'CHUNK_PROCESSOR_URL',
  pipeline: 'SESSION_PIPELINE_URL',
  recorder: 'SESSION_RECORDER_URL',
} as const;
type Service = keyof typeof portVariables;

const serviceSecret = 'a secret of this benchmark alone';

const common = {
  LUCID_SERVICE_SECRET: serviceSecret,
  RDP_LISTEN_HOST: '127.0.0.1',
  MAX_CONCURRENT_SESSIONS: '2000',
  LUCID_RECONNECT_SECONDS: '0',
  LUCID_RATE_LIMIT_CREATE: '1000000',
  LUCID_RATE_LIMIT_READ: '1000000',
  LUCID_RATE_LIMIT_BULK: '1000000',
  NODE_COMPILE_CACHE: join(tmpdir(), 'lucid-bench-compile-cache'),
};

function startService(services: string, environment: Record<string, string>, ends: Ends): ChildProcess {
  const child = spawn(process.execPath, [main, 'up', ...(services === 'all' ? [] : ['--services', services])], {
    stdio: ['ignore', 'ignore', process.env.BENCH_LOGS === undefined ? 'ignore' : 'inherit'],
    env: { ...process.env, ...common, ...environment },
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  ends.push(
    () =>
      new Promise<void>((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once('exit', () => resolve());
        child.kill('SIGTERM');
      }),
  );
  child.once('exit', (code, signal) => {
    if (code !== 0) console.log(`${services} ended: ${code ?? signal}`);
  });
  return child;
}

const ready = (url: string, name: string): Promise<unknown> =>
  eventually(name, async () => (await fetch(`${url}/readyz`).catch(() => null))?.ok, readyMsMax);

function token(environment: Record<string, string>, directory: string): string {
  const path = join(directory, 'bench-token');
  const words = ['token', '--user', 'bench', '--role', 'admin', '--lifetime', '24h', '--out', path];
  execFileSync(process.execPath, [main, ...words], { env: { ...process.env, ...environment }, stdio: 'ignore' });
  return readFileSync(path, 'utf8').trim();
}

export async function startEmbedded(more: Record<string, string>, ends: Ends): Promise<Installation> {
  const dataDir = mkdtempSync(join(tmpdir(), 'lucid-capacity-'));
  ends.push(() => rmSync(dataDir, { recursive: true, force: true }));
  const ports = Object.fromEntries(
    await Promise.all(Object.values(portVariables).map(async (name) => [name, String(await freePort())])),
  ) as Record<string, string>;
  const rdpPort = await freePort();
  const environment = { ...ports, ...more, LUCID_DATA_DIR: dataDir, RDP_LISTEN_PORT: String(rdpPort) };
  const child = startService('all', environment, ends);
  const at = (service: Service): string => `http://127.0.0.1:${ports[portVariables[service]]}`;
  await ready(at('api'), 'the installation');
  return {
    parts: [{ service: 'all', pid: child.pid ?? 0 }],
    rdpPorts: [rdpPort],
    recorderUrls: [at('recorder')],
    storageUrl: at('storage'),
    serviceSecret,
    apiUrl: `${at('api')}/api/v1`,
    token: token({ LUCID_DATA_DIR: dataDir }, dataDir),
  };
}

export async function startDistributed(more: Record<string, string>, ends: Ends): Promise<Installation> {
  const root = mkdtempSync(join(tmpdir(), 'lucid-capacity-'));
  ends.push(() => rmSync(root, { recursive: true, force: true }));
  const postgres = await PostgresServer.start({ durable: true, settings: { max_connections: '300' } });
  ends.push(() => postgres.stop());
  const redis = await RedisServer.start({ args: ['--maxmemory-policy', 'noeviction'] });
  ends.push(() => redis.stop());
  const s3 = await SeaweedFs.start();
  ends.push(() => s3.stop());
  const bucket = 'lucid-capacity';
  await makeBucket(s3, bucket);

  const keys = join(root, 'keys');
  const origin = { LUCID_LOG_ORIGIN: 'log.example/capacity' };
  execFileSync(process.execPath, [main, 'keys', 'init', keys], { env: { ...process.env, ...origin }, stdio: 'ignore' });
  const counts: Record<Service, number> = { storage: 2, processor: 2, pipeline: 2, recorder: 3, api: 2 };
  const services = Object.keys(counts) as Service[];
  const ports = {} as Record<Service, number[]>;
  for (const service of services) ports[service] = await freePorts(counts[service]);
  const urls = (service: Service): string[] => ports[service].map((port) => `http://127.0.0.1:${port}`);
  const environment: Record<string, string> = {
    ...origin,
    LUCID_KEYS_PATH: keys,
    LUCID_JWT_SECRET_FILE: join(keys, 'jwt-secret'),
    CHUNK_STORAGE_PATH: `s3://${bucket}/recordings`,
    LUCID_LOG_PATH: `s3://${bucket}/log`,
    LUCID_S3_ENDPOINT: s3.endpoint,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    SESSION_METADATA_DB: postgres.url('lucid'),
    REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    ...Object.fromEntries(
      Object.entries(urlVariables).map(([service, variable]) => [variable, urls(service as Service).join(',')]),
    ),
    ...more,
  };
  const rdpPorts = await freePorts(counts.recorder);
  const parts = services.flatMap((service) =>
    ports[service].map((port, at): Part => {
      const name = `${service}-${at + 1}`;
      const own = {
        LUCID_DATA_DIR: join(root, name),
        LUCID_RECORDER_ID: name,
        [portVariables[service]]: String(port),
        ...(service === 'recorder' ? { RDP_LISTEN_PORT: String(rdpPorts[at]) } : {}),
      };
      return { service, pid: startService(service, { ...environment, ...own }, ends).pid ?? 0 };
    }),
  );
  await Promise.all(services.flatMap((service) => urls(service).map((url) => ready(url, `${service} at ${url}`))));
  return {
    parts,
    rdpPorts,
    recorderUrls: urls('recorder'),
    storageUrl: urls('storage')[0]!,
    serviceSecret,
    apiUrl: `${urls('api')[0]}/api/v1`,
    token: token({ LUCID_DATA_DIR: root, LUCID_JWT_SECRET_FILE: join(keys, 'jwt-secret') }, root),
  };
}

async function makeBucket({ endpoint, accessKeyId, secretAccessKey }: SeaweedFs, bucket: string): Promise<void> {
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
}
