/** The whole product in a process of its own, for benches. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, freePort } from '@lucid-sessions/testkit';

const root = join(import.meta.dirname, '../..');

export interface Session {
  session_id: string;
  status: string;
  end_reason: string | null;
  end_message: string | null;
  statistics: { frame_count: number; dropped_frames: number; size_bytes: number };
}

export interface Installation {
  pid: number;
  dataDir: string;
  rdpPort: number;
  url: string;
  headers: Record<string, string>;
  sessions(...statuses: string[]): Promise<Session[]>;
  /** `body`: of a POST. */
  call<T>(method: string, path: string, body?: object): Promise<T>;
}

/** A running installation of its own in a fresh directory; `ends` gets what takes it down again. */
export async function startInstallation(
  environment: Record<string, string>,
  ends: (() => unknown)[],
): Promise<Installation> {
  const dataDir = await mkdtemp(join(tmpdir(), 'lucid-bench-'));
  const [storage = 0, processor = 0, api = 0, pipeline = 0, recorder = 0, rdpPort = 0] = await Promise.all(
    Array.from({ length: 6 }, () => freePort()),
  );
  const child = spawn(process.execPath, [join(root, 'apps/lucid-sessions/src/main.ts'), 'up'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      LUCID_DATA_DIR: dataDir,
      SESSION_STORAGE_PORT: String(storage),
      CHUNK_PROCESSOR_PORT: String(processor),
      SESSION_API_PORT: String(api),
      SESSION_PIPELINE_PORT: String(pipeline),
      SESSION_RECORDER_PORT: String(recorder),
      RDP_LISTEN_PORT: String(rdpPort),
      RDP_LISTEN_HOST: '127.0.0.1',
      MAX_CONCURRENT_SESSIONS: '200',
      LUCID_RATE_LIMIT_READ: '1000000',
      LUCID_RATE_LIMIT_BULK: '1000000',
      ...environment,
    },
  });
  ends.push(() => rmSync(dataDir, { recursive: true, force: true }));
  ends.push(async () => {
    if (child.exitCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  child.once('exit', (code, signal) => console.log(`the gateway has ended: ${code ?? signal}`));
  const url = `http://127.0.0.1:${api}/api/v1`;
  await eventually('the gateway', async () => (await fetch(`${url}/health`).catch(() => null))?.ok, 240_000);
  const token = (await readFile(join(dataDir, 'secrets', 'admin-token'), 'utf8')).trim();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const call = async <T>(method: string, path: string, body: object = {}): Promise<T> => {
    const sent = method === 'POST' ? { body: JSON.stringify(body) } : {};
    const answer = await fetch(url + path, { method, headers, ...sent });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  };
  const page = async (offset: number): Promise<Session[]> => {
    const { sessions } = await call<{ sessions: Session[] }>('GET', `/sessions?limit=100&offset=${offset}`);
    return sessions.length < 100 ? sessions : [...sessions, ...(await page(offset + 100))];
  };
  return {
    pid: child.pid ?? 0,
    dataDir,
    rdpPort,
    url,
    headers,
    call,
    sessions: async (...statuses) =>
      (await page(0)).filter(({ status }) => statuses.length === 0 || statuses.includes(status)),
  };
}
