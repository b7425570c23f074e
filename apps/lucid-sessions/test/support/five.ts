/** The five services, each its own process on this machine, with one data directory. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { type ServiceName, serviceNames } from '../../src/server/environment.ts';
import { type RunningCli, startCli } from './cli.ts';
import { openPorts } from './ports.ts';
import { RawClient } from './raw-client.ts';

export interface FiveProcesses {
  environment: Record<string, string>;
  dataDir: string;
  api: RawClient;
  rdpPort: number;
  running: Record<ServiceName, RunningCli>;
  /** Stops one service in order and starts it again. */
  again(name: ServiceName): Promise<void>;
}

export interface FiveOptions {
  /** Environment of single processes. */
  own?: Partial<Record<ServiceName, Record<string, string>>>;
  /** Of an administrator; the one the installation made unless given. */
  token?: string;
  /** Of the services' doors. */
  scheme?: 'http' | 'https';
}

/** All at once: none may need another to be there before it. */
export async function startFive(
  t: TestContext,
  more: Record<string, string> = {},
  { own = {}, token, scheme = 'http' }: FiveOptions = {},
): Promise<FiveProcesses> {
  const dataDir = temporaryDirectory('five');
  const ports = await openPorts();
  const at = (port: string): string => `${scheme}://127.0.0.1:${port}`;
  const environment: Record<string, string> = {
    ...ports,
    LUCID_DATA_DIR: dataDir,
    SESSION_STORAGE_URL: at(ports.SESSION_STORAGE_PORT),
    CHUNK_PROCESSOR_URL: at(ports.CHUNK_PROCESSOR_PORT),
    SESSION_PIPELINE_URL: at(ports.SESSION_PIPELINE_PORT),
    SESSION_RECORDER_URL: at(ports.SESSION_RECORDER_PORT),
    LUCID_RATE_LIMIT_READ: '100000',
    RDP_REFUSAL_SECONDS: '0',
    ...more,
  };
  const start = (name: ServiceName) =>
    startCli(t, ['up', '--services', name], { ...environment, ...own[name] }, /^data /m);
  const started = await Promise.all(serviceNames.map(async (name) => [name, await start(name)] as const));
  const running = Object.fromEntries(started) as Record<ServiceName, RunningCli>;
  return {
    environment,
    dataDir,
    api: new RawClient({
      url: `http://127.0.0.1:${ports.SESSION_API_PORT}`,
      token: token ?? readFileSync(join(dataDir, 'secrets', 'admin-token'), 'utf8').trim(),
    }),
    rdpPort: Number(ports.RDP_LISTEN_PORT),
    running,
    async again(name) {
      await running[name].stop('SIGTERM');
      running[name] = await start(name);
    },
  };
}
