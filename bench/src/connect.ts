/**
 * `node bench/src/main.ts connect [--seconds 50] [--rounds 30] [--targets desktop,shadow] [--profile DIR]`
 *
 * How long it takes from TCP connect to the first picture, through the gateway against direct. In every round each case is measured once
 * in either way, turn by turn; client, gateway and target are processes of one machine. Wanted: at most 1.3 times as long.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type ClientOptions, connectClient } from '@lucid-sessions/desktop';
import { Protocol } from '@lucid-sessions/rdp';
import { startShadow, startShadowNla } from '@lucid-sessions/testkit';
import { type Installation, startInstallation } from './installation.ts';

type Security = 'tls' | 'nla';

interface Case {
  name: string;
  /** Of the client that comes through the gateway; directly it does what the target demands. */
  client: Security;
  target: Security;
  /** What its session is created with. */
  credentials?: object;
}

/** A case on a target, and what was measured. */
interface Way {
  each: Case;
  ports: Ports;
  times: ConnectTimes;
}

/** Port of a target by what it demands. */
type Ports = Record<Security, number>;
type Ends = (() => unknown)[];

export interface ConnectPlan {
  /** No round begins later, but for the first. */
  seconds: number;
  rounds: number;
  targets: readonly string[];
  /** Where V8's profiles of the gateway go. */
  profile?: string | undefined;
}

/** Times in ms, one of either for each round. */
export interface ConnectTimes {
  target: string;
  name: string;
  direct: number[];
  through: number[];
}

const account = { username: 'bench', password: 'Bench-pass1' };
const cases: readonly Case[] = [
  { name: 'TLS → TLS, straight', client: 'tls', target: 'tls' },
  {
    name: 'TLS → TLS, held (credentials of Client Info)',
    client: 'tls',
    target: 'tls',
    credentials: { provider: 'client' },
  },
  { name: 'TLS → NLA, injected', client: 'tls', target: 'nla', credentials: account },
  { name: 'NLA, issued → TLS', client: 'nla', target: 'tls' },
  { name: 'NLA, issued → NLA, injected', client: 'nla', target: 'nla', credentials: account },
];
const wantedRatio = 1.3;
/** Behind every measurement: what it left to do is not the next one's. */
const pauseMs = 100;
const pollMs = 20;
const sealedMsMax = 30_000;
const connectMsMax = 20_000;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '50' },
      rounds: { type: 'string', default: '30' },
      targets: { type: 'string', default: Object.keys(starters).join(',') },
      profile: { type: 'string' },
    },
  });
  const { seconds, rounds, targets, profile } = values;
  const plan = { seconds: Number(seconds), rounds: Number(rounds), targets: targets.split(','), profile };
  print(await measureConnects(plan));
}

export async function measureConnects(plan: ConnectPlan): Promise<ConnectTimes[]> {
  for (const target of plan.targets)
    if (!(target in starters))
      throw new Error(`no such target: ${target}; there are ${Object.keys(starters).join(', ')}`);
  const ends: Ends = [];
  try {
    const environment = {
      LUCID_RECONNECT_SECONDS: '0',
      LUCID_RATE_LIMIT_CREATE: '100000',
      LUCID_RATE_LIMIT_UPDATE: '100000',
      ...(plan.profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${plan.profile}` }),
    };
    const gateway = await startInstallation(environment, ends);
    const ways: Way[] = [];
    for (const target of plan.targets) {
      const ports = await starters[target]!(ends);
      for (const each of cases) ways.push({ each, ports, times: { target, name: each.name, direct: [], through: [] } });
    }
    await measureRounds(gateway, ways, plan);
    return ways.map(({ times }) => times);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function measureRounds(gateway: Installation, ways: readonly Way[], plan: ConnectPlan): Promise<void> {
  // Code that is read and compiled once in a process's life is not what a connection costs.
  for (const { ports, each } of ways) await measurePair(gateway, ports, each, false);
  const untilMs = performance.now() + plan.seconds * 1000;
  for (let round = 0; round < plan.rounds && (round === 0 || performance.now() < untilMs); round += 1)
    for (const { ports, each, times } of ways) {
      const { direct, through } = await measurePair(gateway, ports, each, round % 2 === 1);
      times.direct.push(direct);
      times.through.push(through);
    }
}

async function measurePair(
  gateway: Installation,
  ports: Ports,
  each: Case,
  throughFirst: boolean,
): Promise<{ direct: number; through: number }> {
  const early = throughFirst ? await measureThrough(gateway, ports, each) : null;
  const direct = await measure(ports[each.target], loggingOn(each.target, account));
  await sleep(pauseMs);
  return { direct, through: early ?? (await measureThrough(gateway, ports, each)) };
}

/** From before TCP to the first update that paints. */
async function measure(port: number, options: Partial<ClientOptions>): Promise<number> {
  const startMs = performance.now();
  const client = await connectClient({ port, timeoutMs: connectMsMax, ...options });
  await client.pictured;
  const tookMs = performance.now() - startMs;
  await client.close();
  return tookMs;
}

const loggingOn = (security: Security, logon: typeof account): Partial<ClientOptions> =>
  security === 'nla'
    ? { requestedProtocols: Protocol.ssl | Protocol.hybrid, logon }
    : { userName: account.username, password: account.password };

/** The session is made before and sealed behind; neither counts. */
async function measureThrough(gateway: Installation, ports: Ports, each: Case): Promise<number> {
  const { session_id: id } = await gateway.call<{ session_id: string }>('POST', '/sessions', {
    name: each.name,
    rdp_config: { host: '127.0.0.1', port: ports[each.target], ignore_cert: true },
    ...(each.credentials === undefined ? {} : { target_credentials: each.credentials }),
  });
  await gateway.call('POST', `/sessions/${id}/start`);
  const options =
    each.client === 'nla'
      ? loggingOn('nla', await gateway.call<typeof account>('POST', `/sessions/${id}/credential`))
      : { ...loggingOn('tls', account), routingToken: await routingTokenOf(gateway, id) };
  await sleep(pauseMs);
  const tookMs = await measure(gateway.rdpPort, options);
  await sealed(gateway, id);
  await sleep(pauseMs);
  return tookMs;
}

async function routingTokenOf({ url, headers }: Installation, id: string): Promise<string> {
  const file = await (await fetch(`${url}/sessions/${id}/rdp-file`, { headers })).text();
  const token = /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(file)?.[1];
  if (token === undefined) throw new Error('an .rdp file without a routing token');
  return token;
}

async function sealed(gateway: Installation, id: string): Promise<void> {
  const untilMs = performance.now() + sealedMsMax;
  while (performance.now() < untilMs) {
    const { status } = await gateway.call<{ status: string }>('GET', `/sessions/${id}`);
    if (status === 'completed') return;
    await sleep(pollMs);
  }
  throw new Error(`session ${id} was not sealed in time`);
}

const starters: Record<string, (ends: Ends) => Promise<Ports>> = { desktop: startDesktops, shadow: startShadows };

async function startDesktops(ends: Ends): Promise<Ports> {
  const file = new URL('./connect-target.ts', import.meta.url).pathname;
  const child = fork(file, [account.username, account.password]);
  ends.push(() => child.disconnect());
  const [ports] = (await once(child, 'message')) as [Ports];
  return ports;
}

async function startShadows(ends: Ends): Promise<Ports> {
  const tls = await startShadow();
  ends.push(() => tls.stop());
  const nla = await startShadowNla({ userName: account.username, password: account.password });
  ends.push(() => nla.stop());
  return { tls: tls.port, nla: nla.port };
}

function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN;
}

const method = `ms from TCP connect to the first picture, p50 / p95. Through the gateway everything is on: the session is found, its target dialled, its
recording opened durably (keys, signed record, log). Sessions and credentials are made before, and sealed behind. Ratio: median of the rounds' own
ratios; added: of their differences.
`;

function print(all: readonly ConnectTimes[]): void {
  console.log(method);
  console.log('| target | client → target | rounds | direct | through | added | ratio | wanted |');
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const { target, name, direct, through } of all) {
    const ratio = quantile(
      through.map((ms, i) => ms / direct[i]!),
      0.5,
    );
    const added = quantile(
      through.map((ms, i) => ms - direct[i]!),
      0.5,
    );
    const verdict = `≤ ${wantedRatio}, ${ratio <= wantedRatio ? 'met' : 'not met'}`;
    const cells = [
      target,
      name,
      direct.length,
      pair(direct),
      pair(through),
      added.toFixed(0),
      ratio.toFixed(2),
      verdict,
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

const pair = (values: readonly number[]): string =>
  `${quantile(values, 0.5).toFixed(0)} / ${quantile(values, 0.95).toFixed(0)}`;
