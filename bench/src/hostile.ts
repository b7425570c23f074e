/**
 * `node bench/src/main.ts hostile [--minutes 60] [--clients 20] [--quiet-minutes 3]`
 *
 * The whole product with real clients (xfreerdp to freerdp-shadow) at work, first alone, then beside clients and targets that break
 * the connect phase in every way (hostile-peers.ts), then alone again. Printed: round trips of a connection through the gateway in both halves, memory
 * over time, what was recorded of the real sessions, and what is kept of connections that never became one.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { eventually, freePort, type PeerClient, startShadow, startXfreerdp } from '@lucid-sessions/testkit';
import type { HostileCount, HostilePlan } from './hostile-peers.ts';
import { type Installation, startInstallation } from './installation.ts';
import type { ClientAnswer, ClientTask } from './relay-client.ts';

const pingsPerSecond = 20;
/** Round trips are asked for in pieces of this, so that memory is looked at in between. */
const pieceSeconds = 10;
const piecesAReport = 6;
const typeEveryMs = 2000;
const answerMsMax = 120_000;

interface Phase {
  latenciesUs: number[];
  rssMb: number[];
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '60' },
      clients: { type: 'string', default: '20' },
      'quiet-minutes': { type: 'string', default: '3' },
    },
  });
  const ends: (() => unknown)[] = [];
  try {
    await measure(Number(values.minutes), Number(values['quiet-minutes']), Number(values.clients), ends);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function measure(
  minutes: number,
  quietMinutes: number,
  clientsCount: number,
  ends: (() => unknown)[],
): Promise<void> {
  const shadow = await startShadow();
  ends.push(() => shadow.stop());
  const echo = await startChild<{ rdpPort: number }>('relay-target.ts', ends);
  const pinger = await startChild('relay-client.ts', ends);
  const hostile = await startChild<{ hostileTargets: number[] }>('hostile-peers.ts', ends);

  const targets = [shadow.port, echo.hello.rdpPort, ...hostile.hello.hostileTargets];
  const listeners = await Promise.all(targets.map(() => freePort()));
  const [shadowPort = 0, echoPort = 0, ...targetPorts] = listeners;
  const rules = targets.map((target, i) => `${listeners[i]}=127.0.0.1:${target};ignore_cert`);
  const gateway = await startInstallation({ RDP_LISTENERS: rules.join(',') }, ends);

  const people: PeerClient[] = [];
  ends.push(() => Promise.all(people.map((person) => person.stop())));
  for (let i = 0; i < clientsCount; i += 1)
    people.push(await startXfreerdp(`127.0.0.1:${shadowPort}`, '/bpp:16', '/w:640', '/h:480', '-decorations'));
  await ask(pinger.child, { kind: 'connect', port: echoPort, rdp: true, count: 1 });
  const working = new AbortController();
  ends.push(() => working.abort());
  const work = people.map((person, i) => atWork(person, i, working.signal));
  await eventually(
    'all sessions',
    async () => (await gateway.sessions('recording')).length === clientsCount + 1,
    120_000,
  );
  await sleep(20_000);

  const quiet = await phase(pinger.child, gateway.pid, quietMinutes);
  hostile.child.send({ tokenPort: gateway.rdpPort, goodPort: echoPort, targetPorts } satisfies HostilePlan);
  const attacked = await phase(pinger.child, gateway.pid, minutes);
  const counted = once(hostile.child, 'message');
  hostile.child.send('stop');
  const [{ made, began }] = (await counted) as [HostileCount];
  await sleep(10_000);
  const after = await phase(pinger.child, gateway.pid, quietMinutes);

  working.abort();
  await Promise.allSettled(work);
  await Promise.all(people.map((person) => person.closeClient()));
  await ask(pinger.child, { kind: 'close' });
  await tell(gateway, { quiet, attacked, after, made, began, real: clientsCount + 1 });
}

/** Types a line now and then, until told to stop. */
async function atWork(person: PeerClient, index: number, signal: AbortSignal): Promise<void> {
  await sleep(typeEveryMs * Math.random());
  for (let line = 0; !signal.aborted; line += 1) {
    await person.click(200, 100 + (index % 5) * 20).catch(() => {});
    if (line % 5 === 0) await person.type(`line ${line} of ${index}`).catch(() => {});
    await sleep(typeEveryMs, undefined, { signal }).catch(() => {});
  }
}

async function phase(pinger: ChildProcess, pid: number, minutes: number): Promise<Phase> {
  const result: Phase = { latenciesUs: [], rssMb: [] };
  const until = performance.now() + minutes * 60_000;
  while (performance.now() < until) {
    const count = pingsPerSecond * pieceSeconds;
    const task: ClientTask = { kind: 'ping', count, perSecond: pingsPerSecond, connections: 1 };
    result.latenciesUs.push(...(await ask(pinger, task)).latenciesUs);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    result.rssMb.push(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    if (result.rssMb.length % piecesAReport === 0) console.log(line('so far', result), `RSS ${result.rssMb.at(-1)} MB`);
  }
  return result;
}

interface Told {
  quiet: Phase;
  attacked: Phase;
  after: Phase;
  made: Record<string, number>;
  began: number;
  real: number;
}

async function tell(gateway: Installation, { quiet, attacked, after, made, began, real }: Told): Promise<void> {
  const both = { ...quiet, latenciesUs: [...quiet.latenciesUs, ...after.latenciesUs] };
  for (const [name, phase] of Object.entries({
    'quiet before': quiet,
    hostile: attacked,
    'quiet after': after,
    'quiet, both': both,
  }))
    console.log(line(name, phase));
  console.log(`p99 ratio to both ${(p(attacked, 0.99) / p(both, 0.99)).toFixed(2)}`);
  const tenth = Math.max(1, Math.floor(attacked.rssMb.length / 10));
  const median = (values: number[]): string => quantile(values, 0.5).toFixed(0);
  console.log(
    `memory (RSS, MB): quiet ${median(quiet.rssMb)}, first tenth ${median(attacked.rssMb.slice(0, tenth))}, last tenth ${median(attacked.rssMb.slice(-tenth))}, quiet after ${median(after.rssMb)}, max ${Math.max(...attacked.rssMb).toFixed(0)}`,
  );
  console.log(`hostile connections: ${JSON.stringify(made)}, of them began at a good target: ${began}`);
  await eventually(
    'every session sealed',
    async () => (await gateway.sessions('recording', 'stopped', 'processing')).length === 0,
    300_000,
  );
  const sessions = await gateway.sessions();
  const whole = sessions.filter(({ status }) => status === 'completed');
  const dropped = sessions.reduce((sum, { statistics }) => sum + statistics.dropped_frames, 0);
  let clean = 0;
  for (const { session_id } of whole) {
    const report = await gateway.call<{ findings: unknown[]; verdicts: { completeness: string } }>(
      'POST',
      `/sessions/${session_id}/verify`,
    );
    if (report.findings.length === 0 && report.verdicts.completeness === 'whole') clean += 1;
  }
  console.log(
    `real sessions: ${real}; sessions kept: ${sessions.length} (bound: ${real + began}), completed ${whole.length}, of them clean and whole ${clean}; frames dropped ${dropped}`,
  );
  const directories = readdirSync(join(gateway.dataDir, 'chunks'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  console.log(
    `chunk directories: ${directories.length}, spool directories left: ${readdirSync(join(gateway.dataDir, 'spool')).length}`,
  );
  const metrics = await (await fetch(`${gateway.url}/metrics`, { headers: gateway.headers })).text();
  for (const metric of metrics.split('\n')) if (/^[a-z_]*(probe|refus|connections)/.test(metric)) console.log(metric);
}

const p = (phase: Phase, share: number): number => quantile(phase.latenciesUs, share) / 1000;

const line = (name: string, phase: Phase): string =>
  `${name}: round trip p50 ${p(phase, 0.5).toFixed(2)} ms, p99 ${p(phase, 0.99).toFixed(2)} ms, max ${p(phase, 1).toFixed(1)} ms (${phase.latenciesUs.length} pings)`;

const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
};

async function startChild<T>(file: string, ends: (() => unknown)[]): Promise<{ child: ChildProcess; hello: T }> {
  const child = fork(join(import.meta.dirname, file));
  child.once('exit', (code) => console.log(`${file} has ended: ${code}`));
  ends.push(() => child.kill());
  const [hello] = (await once(child, 'message')) as [T];
  return { child, hello };
}

async function tooLate(what: string): Promise<never> {
  await sleep(answerMsMax, undefined, { ref: false });
  throw new Error(`no answer to ${what}`);
}

async function ask(child: ChildProcess, task: ClientTask): Promise<ClientAnswer> {
  const answered = once(child, 'message');
  child.send(task);
  const [answer] = (await Promise.race([answered, tooLate(task.kind)])) as [ClientAnswer & { error?: string }];
  if (answer.error !== undefined) throw new Error(answer.error);
  return answer;
}
