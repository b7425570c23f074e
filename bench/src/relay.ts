/**
 * `node bench/src/main.ts relay [--rounds 3] [--seconds 3] [--pings 10000] [--connections 1,10,100] [--profile DIR] [--replica] [--beside DIR]`
 *
 * What the recorder costs the people behind it: bulk throughput and round trips through it, recording on (encrypted spool,
 * durable, chunks read back), against haproxy relaying TLS to TLS and against no relay at all. Ends, relays and peers share
 * the machine; every round measures all of them in turn, so the ratios hold where absolute figures drift. `--beside`: a checkout
 * whose recorder is measured in the same rounds, to tell what a change is worth.
 */
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { makeCertificate } from '@lucid-sessions/desktop';
import type { ClientAnswer, ClientTask } from './relay-client.ts';

interface Way {
  name: string;
  port: number;
  rdp: boolean;
  pid: number | null;
}

const here = (file: string): string => new URL(file, import.meta.url).pathname;

function startChild(
  file: string,
  args: string[],
  execArgv: string[] = [],
  path = here(file),
): Promise<{ child: ChildProcess; hello: Record<string, number> }> {
  const child = fork(path, args, { execArgv: [...process.execArgv, ...execArgv] });
  return new Promise((resolve, reject) => {
    child.once('message', (hello) => resolve({ child, hello: hello as Record<string, number> }));
    child.once('exit', (code) => reject(new Error(`${file} exited with ${code}`)));
  });
}

function ask<T>(child: ChildProcess, message: ClientTask | 'statistics'): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (answer) => {
      if ((answer as { error?: string }).error !== undefined) reject(new Error((answer as { error: string }).error));
      else resolve(answer as T);
    });
    child.send(message);
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Retried: between finding a free port and listening on it somebody else may take it. */
async function startHaproxy(targetPort: number): ReturnType<typeof tryHaproxy> {
  for (let attempt = 1; ; attempt += 1) {
    const started = await tryHaproxy(targetPort);
    if (started === null || started.child.exitCode === null) return started;
    if (attempt === 5) throw new Error('haproxy does not start');
  }
}

async function tryHaproxy(
  targetPort: number,
): Promise<{ child: ChildProcess; port: number; directory: string } | null> {
  const program = ['haproxy', '/usr/sbin/haproxy'].find((name) => spawnSync(name, ['-v']).status === 0);
  if (program === undefined) return null;
  const directory = mkdtempSync(join(tmpdir(), 'lucid-haproxy-'));
  const port = await freePort();
  const { key, cert } = await makeCertificate('haproxy');
  writeFileSync(join(directory, 'tls.pem'), `${cert}\n${key}\n`);
  writeFileSync(
    join(directory, 'haproxy.cfg'),
    `global
  nbthread 2
  maxconn 4000
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${port} ssl crt ${join(directory, 'tls.pem')}
  default_backend out
backend out
  server target 127.0.0.1:${targetPort} ssl verify none
`,
  );
  const child = spawn(program, ['-db', '-f', join(directory, 'haproxy.cfg')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (let i = 0; i < 100; i += 1) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (up) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { child, port, directory };
}

/** Resident memory and CPU seconds of a process. */
function usage(pid: number): { rssMb: number; peakMb: number; cpuSeconds: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return { rssMb: field('VmRSS'), peakMb: field('VmHWM'), cpuSeconds: (Number(stat[11]) + Number(stat[12])) / 100 };
}

const sorted = (values: number[]): number[] => values.toSorted((a, b) => a - b);
const quantile = (values: number[], at: number): number =>
  sorted(values)[Math.min(values.length - 1, Math.floor(values.length * at))] ?? 0;
const median = (values: number[]): number => quantile(values, 0.5);

type Figures = Record<string, number[]>;

interface Plan {
  rounds: number;
  seconds: number;
  pings: number;
  connections: number[];
}

async function measure(
  client: ChildProcess,
  way: Way,
  plan: Plan,
  figures: Figures,
  /** Of a recorder that copies its spool. */
  copying: ChildProcess | null,
): Promise<void> {
  const add = (name: string, value: number): void => {
    const key = `${way.name} ${name}`;
    figures[key] = [...(figures[key] ?? []), value];
  };
  for (const count of plan.connections) {
    await ask(client, { kind: 'connect', port: way.port, rdp: way.rdp, count });
    if (count === 1) {
      await ask<ClientAnswer>(client, { kind: 'ping', count: 500, perSecond: 0, connections: 1 });
      const { latenciesUs } = await ask<ClientAnswer>(client, {
        kind: 'ping',
        count: plan.pings,
        perSecond: 0,
        connections: 1,
      });
      add('rtt1 p50 µs', median(latenciesUs));
      add('rtt1 p99 µs', quantile(latenciesUs, 0.99));
    }
    if (count === 10) {
      const task = { kind: 'ping', count: Math.max(100, plan.seconds * 100), perSecond: 100, connections: 10 } as const;
      const { latenciesUs } = await ask<ClientAnswer>(client, task);
      add('rtt10 p50 µs', median(latenciesUs));
      add('rtt10 p99 µs', quantile(latenciesUs, 0.99));
    }
    const before = way.pid === null ? 0 : usage(way.pid).cpuSeconds;
    if (copying !== null) await ask(copying, 'statistics');
    const { bytes, seconds } = await ask<ClientAnswer>(client, { kind: 'bulk', seconds: plan.seconds });
    if (copying !== null) {
      const { behindMs } = await ask<{ behindMs: number[] }>(copying, 'statistics');
      add(`bulk${count} copy behind, p50 ms`, median(behindMs));
      add(`bulk${count} copy behind, max ms`, quantile(behindMs, 1));
    }
    add(`bulk${count} MB/s`, bytes / seconds / 1e6);
    if (way.pid !== null) add(`bulk${count} cpu-s per GB`, ((usage(way.pid).cpuSeconds - before) / bytes) * 1e9);
    await ask(client, { kind: 'close' });
  }
}

function print(figures: Figures, names: string[]): void {
  const keys = Object.keys(figures).filter((key) => /^(haproxy|beside|recorder) /.test(key));
  const measures = [...new Set(keys.map((key) => key.slice(key.indexOf(' ') + 1)))];
  const compared = ['haproxy', 'beside'].filter((name) => names.includes(name));
  console.log(
    `${'median of rounds'.padEnd(24)}${names.map((name) => name.padStart(12)).join('')}${compared.map((name) => `of ${name}`.padStart(12)).join('')}`,
  );
  for (const name of measures) {
    const values = names.map((way) => figures[`${way} ${name}`]);
    const cells = values.map((value) =>
      (value === undefined ? '-' : median(value).toFixed(name.includes('per GB') ? 2 : 0)).padStart(12),
    );
    // Per round, so that a slow moment of the machine hits both sides of a ratio.
    const recorder = figures[`recorder ${name}`] ?? [];
    const ratios = compared.map((other) => {
      const each = recorder.flatMap((value, i) =>
        (figures[`${other} ${name}`]?.[i] ?? 0) > 0 ? [value / figures[`${other} ${name}`]![i]!] : [],
      );
      return (each.length > 0 ? median(each).toFixed(2) : '-').padStart(12);
    });
    console.log(`${name.padEnd(24)}${cells.join('')}${ratios.join('')}`);
  }
}

/** A hundred sessions at once: what one idle session costs, and how soon frames are durable while all of them draw a little. */
async function manySessions(client: ChildProcess, gateway: ChildProcess, port: number, count: number): Promise<void> {
  const pid = gateway.pid ?? 0;
  const idle = usage(pid);
  await ask(client, { kind: 'connect', port, rdp: true, count });
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const connected = usage(pid);
  const before = usage(pid).cpuSeconds;
  const seconds = 5;
  await ask<ClientAnswer>(client, { kind: 'ping', count: seconds * 20, perSecond: 20, connections: count });
  const busy = usage(pid);
  const { durableMs } = await ask<{ durableMs: number[] }>(gateway, 'statistics');
  console.log(`\n${count} recorded sessions`);
  console.log(
    `  memory per idle session   ${((connected.rssMb - idle.rssMb) / count).toFixed(2)} MB (${connected.rssMb.toFixed(0)} MB in all)`,
  );
  console.log(`  CPU at 20 round trips/s   ${(((busy.cpuSeconds - before) / seconds) * 100).toFixed(0)} % of one core`);
  console.log(
    `  frame to durable          p50 ${median(durableMs).toFixed(1)} ms, p99 ${quantile(durableMs, 0.99).toFixed(1)} ms, max ${quantile(durableMs, 1).toFixed(1)} ms`,
  );
  await ask(client, { kind: 'close' });
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      pings: { type: 'string', default: '10000' },
      connections: { type: 'string', default: '1,10,100' },
      sessions: { type: 'string', default: '100' },
      only: { type: 'string', default: '' },
      profile: { type: 'string' },
      replica: { type: 'boolean', default: false },
      beside: { type: 'string' },
    },
  });
  const plan: Plan = {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    pings: Number(values.pings),
    connections: values.connections.split(',').map(Number),
  };
  const target = await startChild('./relay-target.ts', []);
  const { rdpPort = 0, tlsPort = 0 } = target.hello;
  const profiling = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`];
  const gateway = await startChild('./relay-gateway.ts', [`${rdpPort}`, values.replica ? 'replica' : ''], profiling);
  const other =
    values.beside === undefined
      ? null
      : await startChild('', [`${rdpPort}`], [], resolve(values.beside, 'bench/src/relay-gateway.ts'));
  const client = await startChild('./relay-client.ts', []);
  const haproxy = await startHaproxy(tlsPort);
  const ways: Way[] = [
    { name: 'direct', port: tlsPort, rdp: false, pid: null },
    ...(haproxy === null ? [] : [{ name: 'haproxy', port: haproxy.port, rdp: false, pid: haproxy.child.pid ?? null }]),
    ...(other === null
      ? []
      : [{ name: 'beside', port: other.hello.port ?? 0, rdp: true, pid: other.child.pid ?? null }]),
    { name: 'recorder', port: gateway.hello.port ?? 0, rdp: true, pid: gateway.child.pid ?? null },
  ].filter(({ name }) => values.only === '' || values.only.split(',').includes(name));
  const figures: Figures = {};
  try {
    if (Number(values.sessions) > 0)
      await manySessions(client.child, gateway.child, gateway.hello.port ?? 0, Number(values.sessions));
    for (let round = 0; round < plan.rounds; round += 1)
      for (const way of round % 2 === 0 ? ways : ways.toReversed())
        await measure(
          client.child,
          way,
          plan,
          figures,
          values.replica && way.name === 'recorder' ? gateway.child : null,
        );
    console.log('');
    print(
      figures,
      ways.map(({ name }) => name),
    );
    console.log(
      `\npeak memory: recorder ${usage(gateway.child.pid ?? 0).peakMb.toFixed(0)} MB${haproxy === null ? '' : `, haproxy ${usage(haproxy.child.pid ?? 0).peakMb.toFixed(0)} MB`}`,
    );
  } finally {
    for (const { child } of [target, gateway, client, ...(other === null ? [] : [other])]) child.disconnect();
    haproxy?.child.kill();
    if (haproxy !== null) rmSync(haproxy.directory, { recursive: true, force: true });
    await new Promise((resolve) => gateway.child.once('exit', resolve));
  }
}
