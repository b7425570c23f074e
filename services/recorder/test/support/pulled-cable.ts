/**
 * Run in a network namespace of its own (`unshare -n`): a gateway, and four sessions over a cable to another namespace, which is then
 * pulled. Prints one JSON line: for each session how it ended and after how many seconds.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { eventually } from '@lucid-sessions/testkit';
import { startGateway, ticketFor } from '../gateway-kit.ts';

const [role, ...rest] = process.argv.slice(2);
const here = '10.211.0.1';
const there = '10.211.0.2';

const ip = (...args: string[]): void => void execFileSync('ip', args);

/** The far end: clients that connect to the gateway, and a target. */
async function far(port: string, desktopPort: string): Promise<void> {
  await startDesktop({ host: there, port: Number(desktopPort), now: () => new Date(0) });
  for (const cookie of ['silent-client', 'busy-client']) {
    const client = await connectClient({ host: here, port: Number(port), cookie, timeoutMs: 30_000 });
    await client.nextUpdates(1);
  }
  process.stdout.write('ready\n');
}

async function near(): Promise<void> {
  ip('link', 'set', 'lo', 'up');
  const holder = spawn('unshare', ['-n', 'sleep', '600'], { stdio: 'ignore' });
  process.on('exit', () => holder.kill('SIGKILL'));
  const inside = (...command: string[]): string[] => ['-t', String(holder.pid), '-n', ...command];
  await eventually('the other namespace', () => {
    try {
      const other = execFileSync('readlink', [`/proc/${holder.pid}/ns/net`]).toString();
      return other !== execFileSync('readlink', ['/proc/self/ns/net']).toString();
    } catch {
      return false;
    }
  });
  ip('link', 'add', 'cable0', 'type', 'veth', 'peer', 'name', 'cable1');
  ip('link', 'set', 'cable1', 'netns', String(holder.pid));
  ip('addr', 'add', `${here}/24`, 'dev', 'cable0');
  ip('link', 'set', 'cable0', 'up');
  for (const command of [`addr add ${there}/24 dev cable1`, 'link set cable1 up', 'link set lo up'])
    execFileSync('nsenter', inside('ip', ...command.split(' ')));

  const ends: (() => unknown)[] = [];
  const busy = await startDesktop();
  const quiet = await startDesktop({ now: () => new Date(0) });
  const farDesktopPort = 33_890;
  const gateway = await startGateway({ after: (end: () => unknown) => void ends.push(end) } as unknown as TestContext, {
    admit: (route) => {
      const sessionId = route.kind === 'cookie' ? route.name : '';
      const port = { 'silent-client': quiet.port, 'busy-client': busy.port }[sessionId] ?? farDesktopPort;
      const ticket = ticketFor(port, { sessionId });
      const host = port === farDesktopPort ? there : '127.0.0.1';
      return { admitted: true, ticket: { ...ticket, target: { ...ticket.target, host } } };
    },
    config: { listeners: [{ host: '0.0.0.0', port: 0, target: null }] },
  });
  const child = spawn(
    'nsenter',
    inside(process.execPath, import.meta.filename, 'far', String(gateway.port), String(farDesktopPort)),
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  process.on('exit', () => child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await connectClient({ port: gateway.port, cookie: 'silent-target' });
  const typist = await connectClient({ port: gateway.port, cookie: 'busy-target' });
  await typist.nextUpdates(1);
  setInterval(() => typist.move(Math.round(Math.random() * 500), 100), 500);
  await eventually('four sessions', () => gateway.reports.filter(({ kind }) => kind === 'started').length === 4);
  await typist.settled();

  execFileSync('nsenter', inside('ip', 'link', 'set', 'cable1', 'down'));
  const pulledMs = performance.now();
  const found: Record<string, { reason: string; seconds: number }> = {};
  await eventually(
    'four ends',
    () => {
      for (const report of gateway.reports)
        if (report.kind === 'ended')
          found[report.sessionId] ??= { reason: report.reason, seconds: (performance.now() - pulledMs) / 1000 };
      return Object.keys(found).length === 4;
    },
    180_000,
  ).catch(() => {});
  process.stdout.write(`${JSON.stringify(found)}\n`);
  process.exit();
}

if (role === 'far') await far(rest[0] ?? '', rest[1] ?? '');
else await near();
