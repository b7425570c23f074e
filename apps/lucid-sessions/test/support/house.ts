/** The product as one process or as several that can be killed one by one, on one data directory and fixed ports. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PortName, type Ports, rpcClient } from '@lucid-sessions/contract';
import { readSecretFile } from '@lucid-sessions/kit';
import { freePorts, Victim } from '@lucid-sessions/testkit';
import { loadAdminToken } from '../../src/server/admin-token.ts';
import { dataDirectory } from '../../src/server/environment.ts';
import { RawClient } from './raw-client.ts';

const host = join(import.meta.dirname, 'crash-host.ts');

export interface HouseOptions {
  /** Services of each process, by its name: `{ all: 'storage,processor,pipeline,recorder,api' }`. */
  processes: Record<string, string>;
  environment?: Record<string, string>;
  /** One that is there, and stays; a fresh one otherwise. */
  dataDir?: string;
  /** Environment of single processes. */
  own?: Record<string, Record<string, string>>;
  /** Module of the spool's disk. */
  spoolDisk?: string;
  /** Module of the disk under storage. */
  chunkDisk?: string;
  /** Module every thread loads first, with `--import`. */
  preload?: string;
}

export interface House {
  dataDir: string;
  environment: Record<string, string>;
  victims: Map<string, Victim>;
  victim(name: string): Victim;
  api: RawClient;
  /** A service's port, as the other services reach it. */
  service<P extends PortName>(name: P): Ports[P];
  rdpPort: number;
  stop(): Promise<void>;
}

export const oneProcess = { all: 'storage,processor,pipeline,recorder,api' } as const;
export const severalProcesses = {
  storage: 'storage',
  processor: 'processor',
  recorder: 'recorder',
  rest: 'pipeline,api',
} as const;

const urlVariables = {
  storage: 'SESSION_STORAGE_URL',
  processor: 'CHUNK_PROCESSOR_URL',
  pipeline: 'SESSION_PIPELINE_URL',
  recorder: 'SESSION_RECORDER_URL',
} as const satisfies Record<PortName, string>;

/** Waits that suit a test: leases and graces of a second or two instead of half a minute. */
export const shortWaits = {
  LUCID_LEASE_MS: '1000',
  LUCID_RECONCILE_MS: '300',
  LUCID_RECORDER_GRACE_MS: '20000',
  LUCID_CHUNK_AGE_MS: '400',
  LUCID_RATE_LIMIT_CREATE: '100000',
  LUCID_RATE_LIMIT_READ: '1000000',
  LUCID_RATE_LIMIT_BULK: '100000',
  LUCID_RATE_LIMIT_UPDATE: '100000',
  LUCID_RATE_LIMIT_CHUNKS: '1000000',
  LUCID_RATE_LIMIT_PIPELINE: '100000',
  LUCID_RATE_LIMIT_DELETE: '100000',
  COMPRESSION_LEVEL: '1',
  MAX_CONCURRENT_SESSIONS: '20',
} as const;

export async function startHouse(options: HouseOptions): Promise<House> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'lucid-crash-'));
  const [pipeline, recorder, processor, storage, api, rdp] = await freePorts(6);
  const url = (port: number | undefined) => `http://127.0.0.1:${port}`;
  const environment: Record<string, string> = {
    ...shortWaits,
    NODE_COMPILE_CACHE: join(tmpdir(), 'lucid-crash-compile-cache'),
    LUCID_DATA_DIR: dataDir,
    SESSION_PIPELINE_PORT: `${pipeline}`,
    SESSION_RECORDER_PORT: `${recorder}`,
    CHUNK_PROCESSOR_PORT: `${processor}`,
    SESSION_STORAGE_PORT: `${storage}`,
    SESSION_API_PORT: `${api}`,
    SESSION_PIPELINE_URL: url(pipeline),
    SESSION_RECORDER_URL: url(recorder),
    CHUNK_PROCESSOR_URL: url(processor),
    SESSION_STORAGE_URL: url(storage),
    RDP_LISTEN_PORT: `${rdp}`,
    RDP_LISTEN_HOST: '127.0.0.1',
    RDP_REFUSAL_SECONDS: '0',
    ...(options.spoolDisk === undefined ? {} : { CRASH_SPOOL_DISK: options.spoolDisk }),
    ...(options.chunkDisk === undefined ? {} : { CRASH_CHUNK_DISK: options.chunkDisk }),
    ...options.environment,
  };
  const victims = new Map(
    Object.entries(options.processes).map(([name, services]) => {
      const own = { ...environment, CRASH_SERVICES: services, ...options.own?.[name] };
      const args = options.preload === undefined ? [host] : ['--import', options.preload, host];
      return [name, new Victim({ name, args, environment: own })];
    }),
  );
  const stop = async (): Promise<void> => {
    await Promise.all([...victims.values()].map((victim) => victim.kill()));
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    await Promise.all([...victims.values()].map((victim) => victim.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  const serviceToken = environment.LUCID_SERVICE_SECRET ?? readSecretFile(dataDirectory(environment).serviceSecret);
  const admin = await loadAdminToken(dataDirectory(environment), environment);
  return {
    dataDir,
    environment,
    victims,
    victim(name) {
      const victim = victims.get(name);
      if (victim === undefined) throw new RangeError(`there is no process ${name}`);
      return victim;
    },
    service: (name) => rpcClient(name, environment[urlVariables[name]] ?? '', { token: serviceToken }),
    api: new RawClient({ url: url(api), token: admin?.token ?? '' }),
    rdpPort: rdp ?? 0,
    stop,
  };
}
