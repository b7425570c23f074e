/**
 * An installation of many machines on this one: two of every service, each a process with a data directory of its own, on a
 * real PostgreSQL, Redis and S3 server. Each may be killed, paused and started again.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePorts, PostgresServer, RedisServer, SeaweedFs, Victim } from '@lucid-sessions/testkit';
import { makeToken } from '../../src/commands/token.ts';
import type { ServiceName } from '../../src/server/environment.ts';
import { runCli } from './cli.ts';
import { shortWaits } from './house.ts';
import { Link } from './link.ts';
import { RawClient } from './raw-client.ts';

const host = join(import.meta.dirname, 'crash-host.ts');

/** Of each service; in the order in which they need each other. */
export const clusterNames = {
  storage: ['storage-1', 'storage-2'],
  processor: ['processor-1', 'processor-2'],
  pipeline: ['pipeline-1', 'pipeline-2'],
  recorder: ['recorder-1', 'recorder-2'],
  api: ['api-1', 'api-2'],
} as const satisfies Record<ServiceName, readonly string[]>;

const portVariables = {
  storage: 'SESSION_STORAGE_PORT',
  processor: 'CHUNK_PROCESSOR_PORT',
  pipeline: 'SESSION_PIPELINE_PORT',
  recorder: 'SESSION_RECORDER_PORT',
  api: 'SESSION_API_PORT',
} as const satisfies Record<ServiceName, string>;

const urlVariables = {
  storage: 'SESSION_STORAGE_URL',
  processor: 'CHUNK_PROCESSOR_URL',
  pipeline: 'SESSION_PIPELINE_URL',
} as const;

/** Who asks a server, or another service, by itself; its network to it can be cut. */
export const linkedServices = {
  postgres: ['storage', 'pipeline'],
  s3: ['storage', 'pipeline', 'api'],
  storage: ['processor', 'pipeline', 'api'],
  processor: ['recorder', 'pipeline', 'api'],
  pipeline: ['recorder', 'api'],
} as const satisfies Record<string, readonly ServiceName[]>;
export type LinkedServer = keyof typeof linkedServices;

export interface ClusterRecorder {
  name: string;
  rdpPort: number;
}

export interface Cluster {
  victims: Map<string, Victim>;
  victim(name: string): Victim;
  recorders: readonly ClusterRecorder[];
  /** All ways of a process to a server, or to the processes of a service. */
  links(name: string, server: LinkedServer): readonly Link[];
  apis: readonly RawClient[];
  /** The first of `apis`. */
  api: RawClient;
  apiUrls: readonly string[];
  /** Of an administrator. */
  tokenFile: string;
  postgres: PostgresServer;
  redis: RedisServer;
  s3: SeaweedFs;
  stop(): Promise<void>;
}

/** `more`: environment of all of them. */
export async function startCluster(more: Record<string, string> = {}): Promise<Cluster> {
  const root = mkdtempSync(join(tmpdir(), 'lucid-cluster-'));
  const stops: (() => Promise<unknown>)[] = [async () => rmSync(root, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (let next = stops.pop(); next !== undefined; next = stops.pop()) await next();
  };
  try {
    const postgres = await PostgresServer.start({ settings: { max_connections: '300' } });
    stops.push(() => postgres.stop());
    const redis = await RedisServer.start({ args: ['--maxmemory-policy', 'noeviction'] });
    stops.push(() => redis.stop());
    const s3 = await SeaweedFs.start();
    stops.push(() => s3.stop());
    const bucket = await makeBucket(s3);

    const keys = join(root, 'keys');
    const made = await runCli(['keys', 'init', keys], { LUCID_LOG_ORIGIN: 'log.example/cluster' });
    if (made.code !== 0) throw new Error(made.stderr);
    const names = Object.entries(clusterNames) as [ServiceName, readonly [string, string]][];
    const ports = new Map<string, number>();
    for (const name of names.flatMap(([, each]) => each)) ports.set(name, (await freePorts(1))[0]!);
    const urlsOf = (service: ServiceName): string =>
      clusterNames[service].map((name) => `http://127.0.0.1:${ports.get(name)}`).join(',');
    const [first, second] = await freePorts(2);
    const recorders = clusterNames.recorder.map((name, at) => ({ name, rdpPort: [first!, second!][at]! }));
    const databaseUrl = postgres.url('lucid');
    const environment: Record<string, string> = {
      ...shortWaits,
      NODE_COMPILE_CACHE: join(tmpdir(), 'lucid-crash-compile-cache'),
      LUCID_KEYS_PATH: keys,
      LUCID_SERVICE_SECRET_FILE: join(keys, 'service-secret'),
      LUCID_JWT_SECRET_FILE: join(keys, 'jwt-secret'),
      CHUNK_STORAGE_PATH: `s3://${bucket}/recordings`,
      LUCID_LOG_PATH: `s3://${bucket}/log`,
      LUCID_LOG_ORIGIN: 'log.example/cluster',
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      SESSION_STORAGE_URL: urlsOf('storage'),
      CHUNK_PROCESSOR_URL: urlsOf('processor'),
      SESSION_PIPELINE_URL: urlsOf('pipeline'),
      SESSION_RECORDER_URL: urlsOf('recorder'),
      LUCID_FAILOVER_MS: '3000',
      RDP_LISTEN_HOST: '127.0.0.1',
      RDP_REFUSAL_SECONDS: '0',
      ...more,
    };
    const links = new Map<string, Link[]>();
    const linkOf = async (name: string, server: LinkedServer, port: number): Promise<number> => {
      const link = await Link.to(port);
      stops.push(() => link.stop());
      const key = `${name} ${server}`;
      links.set(key, [...(links.get(key) ?? []), link]);
      return link.port;
    };
    const linkedUrls = async (
      name: string,
      of: ServiceName,
      target: keyof typeof urlVariables,
    ): Promise<Record<string, string>> => {
      if (!(linkedServices[target] as readonly ServiceName[]).includes(of)) return {};
      const urls: string[] = [];
      for (const each of clusterNames[target])
        urls.push(`http://127.0.0.1:${await linkOf(name, target, ports.get(each)!)}`);
      return { [urlVariables[target]]: urls.join(',') };
    };
    const s3Port = Number(new URL(s3.endpoint).port);
    const victims = new Map<string, Victim>();
    for (const [service, each] of names)
      for (const name of each) {
        const rdpPort = recorders.find((recorder) => recorder.name === name)?.rdpPort;
        const own = {
          CRASH_SERVICES: service,
          LUCID_DATA_DIR: join(root, name),
          LUCID_RECORDER_ID: name,
          [portVariables[service]]: `${ports.get(name)}`,
          ...(rdpPort === undefined ? {} : { RDP_LISTEN_PORT: `${rdpPort}` }),
          SESSION_METADATA_DB: databaseUrl.replace(
            `:${postgres.port}/`,
            `:${await linkOf(name, 'postgres', postgres.port)}/`,
          ),
          ...(await linkedUrls(name, service, 'storage')),
          ...(await linkedUrls(name, service, 'processor')),
          ...(await linkedUrls(name, service, 'pipeline')),
          LUCID_S3_ENDPOINT: `http://127.0.0.1:${await linkOf(name, 's3', s3Port)}`,
        };
        victims.set(name, new Victim({ name, args: [host], environment: { ...environment, ...own } }));
      }
    stops.push(() => Promise.all([...victims.values()].map((victim) => victim.kill())));
    await Promise.all([...victims.values()].map((victim) => victim.start()));
    const token = await makeToken(readFileSync(join(keys, 'jwt-secret'), 'utf8').trim(), {
      userId: 'ada',
      roles: ['admin'],
      lifetimeS: 24 * 3600,
    });
    const tokenFile = join(root, 'token');
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
    const apiUrls = clusterNames.api.map((name) => `http://127.0.0.1:${ports.get(name)}`);
    const apis = apiUrls.map((url) => new RawClient({ url, token }));
    return {
      victims,
      victim(name) {
        const victim = victims.get(name);
        if (victim === undefined) throw new RangeError(`there is no process ${name}`);
        return victim;
      },
      recorders,
      links(name, server) {
        const found = links.get(`${name} ${server}`);
        if (found === undefined) throw new RangeError(`there is no link of ${name} to ${server}`);
        return found;
      },
      apis,
      api: apis[0]!,
      apiUrls,
      tokenFile,
      postgres,
      redis,
      s3,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function makeBucket({ endpoint, accessKeyId, secretAccessKey }: SeaweedFs): Promise<string> {
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  await client.send(new CreateBucketCommand({ Bucket: 'lucid-cluster' }));
  client.destroy();
  return 'lucid-cluster';
}
