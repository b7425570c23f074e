/**
 * `node bench/src/main.ts session-cost [--seconds 60] [--work bitmaps,light,avc420,avc444] [--pyrdp PATH]`
 *
 * What one recorded session costs: seconds of processor in a minute of the same steady work (xfreerdp to freerdp-shadow, 1024 × 768,
 * a terminal that scrolls), by thread, everything on; beside PyRDP (`pip install pyrdp-mitm progressbar2==4.2.0`, `--pyrdp` names its
 * pyrdp-mitm) and haproxy (TCP alone) with the same clients, one after the other in one run. `light`: ten sessions that show a clock.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { eventually, freePort, type PeerServer, startShadow, startXfreerdp } from '@lucid-sessions/testkit';
import { startInstallation } from './installation.ts';
import { threadSeconds } from './processor-time.ts';

interface Work {
  flags: string[];
  clients: number;
  /** A terminal that scrolls, else the clock alone. */
  scrolls: boolean;
}

const works: Record<string, Work> = {
  bitmaps: { flags: ['/bpp:16'], clients: 1, scrolls: true },
  light: { flags: ['/bpp:16'], clients: 10, scrolls: false },
  avc420: { flags: ['/gfx:AVC420'], clients: 1, scrolls: true },
  avc444: { flags: ['/gfx:AVC444'], clients: 1, scrolls: true },
};

interface Relay {
  name: string;
  port: number;
  pid: number;
  /** Where it writes recordings. */
  directory: string | null;
  /** Resolves when what was recorded is stored and looked at. */
  settled: () => Promise<void>;
}

interface Cost {
  /** Processor seconds a session-minute, by thread. */
  threads: Map<string, number>;
  /** MB an hour of one session: written to disk on the way, and kept. */
  writtenMb: number;
  storedMb: number;
}

const settleMsMax = 300_000;
const warmUpMs = 10_000;
/** A relay is quiet when this much processor time or less was used in a second. */
const quietShare = 0.03;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '60' },
      work: { type: 'string', default: Object.keys(works).join(',') },
      pyrdp: { type: 'string', default: 'pyrdp-mitm' },
    },
  });
  console.log('processor seconds a session-minute; disk: MB an hour of one session');
  for (const name of values.work.split(',')) {
    const work = works[name];
    if (work === undefined) throw new Error(`no such work: ${name}; there are ${Object.keys(works).join(', ')}`);
    await compare(name, work, Number(values.seconds), values.pyrdp);
  }
}

async function compare(name: string, work: Work, seconds: number, pyrdp: string): Promise<void> {
  const costs = new Map<string, Cost>();
  for (const start of [startHaproxy, startLucid, (port: number, ends: Ends) => startPyrdp(pyrdp, port, ends)]) {
    const ends: Ends = [];
    try {
      const shadow = await startShadow();
      ends.push(() => shadow.stop());
      const relay = await start(shadow.port, ends);
      if (relay !== null) costs.set(relay.name, await measure(relay, shadow, work, seconds));
    } finally {
      for (const end of ends.reverse()) await end();
    }
  }
  const base = costs.get('pyrdp');
  for (const [relay, { threads, writtenMb, storedMb }] of costs) {
    const total = sum(threads);
    const ratio = base === undefined || relay === 'pyrdp' ? '' : `, ${(total / sum(base.threads)).toFixed(2)} of PyRDP`;
    const parts = [...threads].sort((a, b) => b[1] - a[1]).map(([thread, cpu]) => `${thread} ${cpu.toFixed(2)}`);
    console.log(
      `${name}, ${relay}: ${total.toFixed(2)}${ratio} (${parts.join(', ')}); written ${writtenMb.toFixed(1)}, stored ${storedMb.toFixed(1)} MB an hour`,
    );
  }
}

const sum = (threads: Map<string, number>): number => [...threads.values()].reduce((total, cpu) => total + cpu, 0);

async function measure(relay: Relay, shadow: PeerServer, work: Work, seconds: number): Promise<Cost> {
  const clients = [];
  const scroller = work.scrolls ? scroll(shadow) : null;
  try {
    const connect = () => startXfreerdp(`127.0.0.1:${relay.port}`, ...work.flags, '-decorations');
    // A first session on its own: code that is read and compiled once in a process's life is not what a session costs.
    const first = await connect();
    clients.push(first);
    await sleep(warmUpMs);
    await first.closeClient();
    await relay.settled();
    await quiet(relay);
    for (let i = 0; i < work.clients; i += 1) clients.push(await connect());
    await sleep(8000);
    const before = snapshot(relay);
    await sleep(seconds * 1000);
    for (const client of clients.slice(1)) await client.closeClient();
    scroller?.kill();
    // What the minute left to do behind it is part of what it costs.
    await relay.settled();
    await quiet(relay);
    const after = snapshot(relay);
    const minutes = (seconds / 60) * work.clients;
    const threads = new Map<string, number>();
    for (const [thread, cpu] of after.threads) {
      const used = (cpu - (before.threads.get(thread) ?? 0)) / minutes;
      if (used >= 0.005) threads.set(thread, used);
    }
    const anHour = (bytes: number): number => (bytes / 1e6 / minutes) * 60;
    return {
      threads,
      writtenMb: anHour(after.writtenBytes - before.writtenBytes),
      storedMb: anHour(after.storedBytes - before.storedBytes),
    };
  } finally {
    scroller?.kill();
    for (const client of clients) await client.stop();
  }
}

/** A terminal with ten new lines a second. */
export function scroll({ display = ':0' }: PeerServer): ChildProcess {
  const script = 'i=0; while :; do i=$((i+1)); echo "$i $(printf %070d $((i * 7919)))"; sleep 0.1; done';
  return spawn('xterm', ['-geometry', '100x40+10+200', '-e', 'sh', '-c', script], {
    env: { ...process.env, DISPLAY: display },
    stdio: 'ignore',
  });
}

interface Snapshot {
  threads: Map<string, number>;
  writtenBytes: number;
  storedBytes: number;
}

function snapshot({ pid, directory }: Relay): Snapshot {
  const threads = threadSeconds(pid);
  const io = readFileSync(`/proc/${pid}/io`, 'utf8');
  const writtenBytes = Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0);
  return { threads, writtenBytes, storedBytes: directory === null ? 0 : bytesBelow(directory) };
}

async function quiet(relay: Relay): Promise<void> {
  const used = (): number => sum(snapshot(relay).threads);
  let last = used();
  await eventually(
    `${relay.name} is quiet`,
    async () => {
      await sleep(1000);
      const now = used();
      const calm = now - last <= quietShare;
      last = now;
      return calm;
    },
    settleMsMax,
  );
}

type Ends = (() => unknown)[];

async function startLucid(target: number, ends: Ends): Promise<Relay> {
  const port = await freePort();
  const installation = await startInstallation({ RDP_LISTENERS: `${port}=127.0.0.1:${target};ignore_cert` }, ends);
  const settled = async (): Promise<void> => {
    const unfinished = ['recording', 'starting', 'stopped', 'processing'];
    await eventually(
      'sessions sealed',
      async () => (await installation.sessions(...unfinished)).length === 0,
      settleMsMax,
    );
    await sleep(3000);
  };
  return { name: 'lucid', port, pid: installation.pid, directory: installation.dataDir, settled };
}

async function startHaproxy(target: number, ends: Ends): Promise<Relay | null> {
  const program = ['haproxy', '/usr/sbin/haproxy'].find((name) => spawnSync(name, ['-v']).status === 0);
  if (program === undefined) return null;
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'lucid-haproxy-'));
  ends.push(() => rmSync(directory, { recursive: true, force: true }));
  const timeouts = ['connect', 'client', 'server'].map((what) => `timeout ${what} 60s`).join('\n  ');
  const ways = `frontend in\n  bind 127.0.0.1:${port}\n  default_backend out\nbackend out\n  server target 127.0.0.1:${target}\n`;
  writeFileSync(join(directory, 'haproxy.cfg'), `global\n  nbthread 1\ndefaults\n  mode tcp\n  ${timeouts}\n${ways}`);
  const child = spawn(program, ['-db', '-f', join(directory, 'haproxy.cfg')], { stdio: 'ignore' });
  ends.push(() => stopped(child));
  await sleep(1000);
  return { name: 'haproxy', port, pid: child.pid ?? 0, directory: null, settled: async () => {} };
}

async function startPyrdp(program: string, target: number, ends: Ends): Promise<Relay | null> {
  if (spawnSync(program, ['--help'], { stdio: 'ignore' }).status !== 0) {
    console.log('(no pyrdp-mitm: pip install pyrdp-mitm progressbar2==4.2.0, and --pyrdp PATH)');
    return null;
  }
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'lucid-pyrdp-'));
  ends.push(() => rmSync(directory, { recursive: true, force: true }));
  const child = spawn(program, ['-a', '127.0.0.1', '-l', String(port), '-o', directory, `127.0.0.1:${target}`], {
    stdio: 'ignore',
    cwd: directory,
    env: { ...process.env, HOME: directory },
  });
  ends.push(() => stopped(child));
  await sleep(4000);
  return { name: 'pyrdp', port, pid: child.pid ?? 0, directory, settled: () => sleep(2000) };
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Bytes of all files below. */
function bytesBelow(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  return bytes;
}
