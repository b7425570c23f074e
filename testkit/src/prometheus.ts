/** A real Prometheus (Debian's) that scrapes and evaluates each second. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, peerPath } from './peers.ts';
import { freePort } from './ports.ts';
import { endChild, endsWithUs } from './server-child.ts';

export interface Prometheus {
  /** Of its HTTP API, `/query?query=…`; the answer's `data`. */
  ask<T>(path: string): Promise<T>;
  stop(): Promise<void>;
}

/** `targets`: `host:port` of what has `/metrics`. */
export async function startPrometheus(options: { targets: readonly string[]; rules: string }): Promise<Prometheus> {
  const home = mkdtempSync(join(tmpdir(), 'lucid-prometheus-'));
  const port = await freePort();
  const config = join(home, 'prometheus.yml');
  const text = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [options.rules],
    scrape_configs: [{ job_name: 'lucid', static_configs: [{ targets: options.targets }] }],
  };
  // JSON is YAML.
  writeFileSync(config, JSON.stringify(text), { mode: 0o600 });
  const where = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${home}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const child = endsWithUs(spawn('prometheus', where, { env: { PATH: peerPath() }, stdio: 'ignore' }));
  const url = `http://127.0.0.1:${port}`;
  const ask = async <T>(path: string): Promise<T> => {
    const answer = (await (await fetch(`${url}/api/v1${path}`)).json()) as { status: string; error?: string; data: T };
    if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  };
  const isReady = () =>
    fetch(`${url}/-/ready`)
      .then(({ ok }) => ok)
      .catch(() => false);
  await eventually('prometheus is ready', isReady);
  return {
    ask,
    async stop() {
      await endChild(child);
      rmSync(home, { recursive: true, force: true });
    },
  };
}
