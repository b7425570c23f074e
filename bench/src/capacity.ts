/**
 * `node bench/src/main.ts capacity [--embedded] [--work typing,office,video,idle] [--sessions 300] [--step 20] [--seconds 20] [--keyframes 0] [--on]`
 *
 * How many sessions of real captured traffic, each at its own pace, an installation on this machine carries: three recorders and two of everything else
 * on PostgreSQL, Redis and S3, or one process. `--step` sessions more come every `--seconds`, until the p99 of frame to durable passes 100 ms, that of
 * a relayed byte 20 ms, or there are `--sessions`; with `--on` also past that. Ends, databases and product share the machine; processor time is told apart.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type ChunkMetadata, rpcClient } from '@lucid-sessions/contract';
import type { EndsAnswer, EndsTask } from './capacity-ends.ts';
import { type Ends, type Installation, startDistributed, startEmbedded } from './capacity-installation.ts';
import { works, worksNamed } from './capacity-work.ts';
import { childrenOf, threadSeconds, treeSeconds } from './processor-time.ts';

const durableMsMax = 100;
const waitMsMax = 20;
/** A step is measured when its sessions are up and what came with them is drawn. */
const settleSeconds = 5;
const chunksPage = 1000;
const lookEveryMs = 1000;
const unfinished = ['recording', 'paused', 'stopped', 'processing'];

export interface Begun {
  id: string;
  work: string;
}

export interface Step {
  sessions: number;
  durableMs: number;
  waitMs: { p50: number; p99: number };
  lagMs: number;
  megabytesPerSecond: number;
  /** Cores, by part. */
  cores: Map<string, number>;
  endsCores: number;
  /** What broke off since the beginning. */
  broken: number;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      embedded: { type: 'boolean', default: false },
      work: { type: 'string', default: '' },
      sessions: { type: 'string', default: '300' },
      step: { type: 'string', default: '20' },
      seconds: { type: 'string', default: '20' },
      keyframes: { type: 'string', default: '0' },
      on: { type: 'boolean', default: false },
    },
  });
  const names = worksNamed(values.work);
  const [sessionsMax, step, seconds] = [values.sessions, values.step, values.seconds].map(Number) as [
    number,
    number,
    number,
  ];
  const ends: Ends = [];
  // What was started ends with this process.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  try {
    const more = { LUCID_KEYFRAMES_AHEAD_PERCENT: values.keyframes };
    const installation = await (values.embedded ? startEmbedded : startDistributed)(more, ends);
    const child = fork(join(import.meta.dirname, 'capacity-ends.ts'));
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    ends.push(() => child.disconnect());
    const steps = Math.ceil(sessionsMax / step);
    const bench = new Bench(installation, child, port, steps * (seconds + settleSeconds + step) + 60);
    console.log(
      `${values.embedded ? 'one process' : 'three recorders, two of everything else'}; ${names.join(', ')}; load ${loadavg()[0]?.toFixed(1)}`,
    );
    console.log('sessions  durable p99   relayed p50 / p99   ends late p99   MB/s   product, databases, ends: cores');
    const done: Step[] = [];
    while (bench.begun.length < sessionsMax) {
      const more = Math.min(step, sessionsMax - bench.begun.length);
      for (let i = 0; i < more; i += 1) await bench.start(names[bench.begun.length % names.length]!);
      await sleep(settleSeconds * 1000);
      const now = await bench.measure(seconds);
      printStep(now);
      done.push(now);
      if (!values.on && !isWithin(now)) break;
    }
    printSessions(done);
    await bench.stop();
    await printRecordings(installation, bench.begun);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

export class Bench {
  readonly #installation: Installation;
  readonly #ends: ChildProcess;
  readonly #targetPort: number;
  /** How much of each capture is needed. */
  readonly #seconds: number;
  readonly begun: Begun[] = [];

  constructor(installation: Installation, ends: ChildProcess, targetPort: number, seconds: number) {
    this.#installation = installation;
    this.#ends = ends;
    this.#targetPort = targetPort;
    this.#seconds = seconds;
  }

  async start(work: string): Promise<void> {
    const { apiUrl, token, rdpPorts } = this.#installation;
    const call = async (method: string, path: string, body?: object): Promise<Response> => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const sent = body === undefined ? {} : { body: JSON.stringify(body) };
      const answer = await fetch(apiUrl + path, { method, headers, ...sent });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer;
    };
    const target = { host: '127.0.0.1', port: this.#targetPort, ignore_cert: true };
    const made = await call('POST', '/sessions', { name: work, rdp_config: target });
    const { session_id: id } = (await made.json()) as { session_id: string };
    await call('POST', `/sessions/${id}/start`, {});
    const file = await (await call('GET', `/sessions/${id}/rdp-file`)).text();
    const routingToken = /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(file)?.[1] ?? '';
    const port = rdpPorts[this.begun.length % rdpPorts.length]!;
    await this.#ask({ kind: 'start', port, routingToken, work, seconds: this.#seconds });
    this.begun.push({ id, work });
  }

  async measure(seconds: number): Promise<Step> {
    await this.#ask({ kind: 'look' });
    const before = this.#processorTime();
    const fromMs = performance.now();
    const durable: number[] = [];
    for (let next = fromMs + lookEveryMs; next <= fromMs + seconds * 1000; next += lookEveryMs) {
      await sleep(Math.max(0, next - performance.now()));
      durable.push(await this.#durableMs());
    }
    const tookSeconds = (performance.now() - fromMs) / 1000;
    const after = this.#processorTime();
    const { waitMs, lagMs, bytes, broken } = await this.#ask({ kind: 'look' });
    const cores = new Map<string, number>();
    for (const [part, used] of after.parts) cores.set(part, (used - (before.parts.get(part) ?? 0)) / tookSeconds);
    return {
      sessions: this.begun.length,
      durableMs: Math.max(...durable),
      waitMs: { p50: quantile(waitMs, 0.5), p99: quantile(waitMs, 0.99) },
      lagMs: quantile(lagMs, 0.99),
      megabytesPerSecond: bytes / tookSeconds / 1e6,
      cores,
      endsCores: (after.ends - before.ends) / tookSeconds,
      broken,
    };
  }

  async stop(): Promise<void> {
    await this.#ask({ kind: 'stop' });
    const { apiUrl, token } = this.#installation;
    for (const { id } of this.begun)
      for (;;) {
        const answer = await fetch(`${apiUrl}/sessions/${id}`, { headers: { authorization: `Bearer ${token}` } });
        const { status } = (await answer.json()) as { status: string };
        if (!unfinished.includes(status)) break;
        await sleep(lookEveryMs);
      }
  }

  /** The worst recorder's p99 over its last few thousand batches, ms. */
  async #durableMs(): Promise<number> {
    const each = await Promise.all(
      this.#installation.recorderUrls.map(async (url) => {
        const text = await (await fetch(`${url}/metrics`)).text();
        return Number(/^lucid_recorder_durable_ms_p99 (\S+)$/m.exec(text)?.[1] ?? 0);
      }),
    );
    return Math.max(...each);
  }

  #processorTime(): { parts: Map<string, number>; ends: number } {
    const parts = new Map<string, number>();
    const add = (part: string, cpu: number): void => void parts.set(part, (parts.get(part) ?? 0) + cpu);
    const product = new Set(this.#installation.parts.map(({ pid }) => pid));
    for (const { service, pid } of this.#installation.parts)
      for (const [thread, cpu] of threadSeconds(pid)) add(partOf(service, thread), cpu);
    const own = childrenOf(process.pid).filter((pid) => !product.has(pid) && pid !== this.#ends.pid);
    for (const pid of own) add('databases', treeSeconds(pid));
    return { parts, ends: treeSeconds(this.#ends.pid ?? 0) };
  }

  #ask(task: EndsTask): Promise<EndsAnswer> {
    return new Promise((resolve, reject) => {
      this.#ends.once('message', (answer: EndsAnswer) => {
        if (answer.error === undefined) resolve(answer);
        else reject(new Error(answer.error));
      });
      this.#ends.send(task);
    });
  }
}

const partNames: readonly (readonly [string, string])[] = [
  ['lucid-spool', 'spool'],
  ['lucid-replica', 'replica'],
  ['lucid-chunks', 'sealing'],
  ['lucid-index', 'index and keyframes'],
  ['children that ended', 'index and keyframes'],
  ['lucid-sqlite', 'databases'],
  ['lucid-log-head', 'databases'],
];

/** Of one process's thread: what it does where its name says so, else whose it is. */
function partOf(service: string, thread: string): string {
  const named = partNames.find(([begins]) => thread.startsWith(begins))?.[1];
  if (named !== undefined) return named;
  const isMain = thread === 'node' || thread.endsWith('MainThread');
  if (service === 'all') return isMain ? 'relay and services' : 'V8 and libuv';
  if (service === 'recorder') return isMain ? 'relay' : 'recorder: V8 and libuv';
  return service === 'processor' ? 'sealing' : service;
}

export const quantile = (values: readonly number[], at: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))] ?? 0;

export const total = (cores: Map<string, number>): number =>
  [...cores].reduce((sum, [part, used]) => (part === 'databases' ? sum : sum + used), 0);

function printStep({ sessions, durableMs, waitMs, lagMs, megabytesPerSecond, cores, endsCores, broken }: Step): void {
  const used = [total(cores), cores.get('databases') ?? 0, endsCores].map((each) => each.toFixed(2)).join(', ');
  console.log(
    `${String(sessions).padStart(8)}${`${durableMs.toFixed(1)} ms`.padStart(13)}${`${waitMs.p50.toFixed(2)} / ${waitMs.p99.toFixed(1)} ms`.padStart(20)}${`${lagMs.toFixed(1)} ms`.padStart(16)}${megabytesPerSecond.toFixed(2).padStart(7)}   ${used}${broken === 0 ? '' : `; ${broken} sessions broke off`}`,
  );
}

const isWithin = ({ durableMs, waitMs, broken }: Step): boolean =>
  durableMs <= durableMsMax && waitMs.p99 <= waitMsMax && broken === 0;

function printSessions(steps: readonly Step[]): void {
  const best = steps.findLast(isWithin);
  const told = best ?? steps.at(-1);
  if (told === undefined) return;
  const { sessions, cores } = told;
  const all = total(cores);
  const more = best === steps.at(-1) ? ' (no more were asked for)' : '';
  console.log(
    best === undefined
      ? '\nno step was within the bounds; of the last one:'
      : `\n${sessions} sessions within the bounds${more}`,
  );
  console.log(
    `${(sessions / all).toFixed(0)} sessions a core of the product's, ${(sessions / (all + (cores.get('databases') ?? 0))).toFixed(0)} with the databases'`,
  );
  console.log('processor seconds a session-minute, by part:');
  for (const [part, used] of [...cores].sort((a, b) => b[1] - a[1]))
    if (used > 0) console.log(`  ${part.padEnd(24)}${((used * 60) / sessions).toFixed(3).padStart(8)}`);
}

/** What was stored of each kind of work, the first screens told apart, and how soon chunks were. */
export async function printRecordings(installation: Installation, begun: readonly Begun[]): Promise<void> {
  const storage = rpcClient('storage', installation.storageUrl, { token: installation.serviceSecret });
  const lineMs: number[] = [];
  const sums = new Map<string, { seconds: number; payload: number; stored: number; first: number; sessions: number }>();
  for (const { id, work } of begun) {
    const { chunks } = await storage.listChunks({ sessionId: id, limit: chunksPage, offset: 0 });
    for (const { storedAtUs, closedUs } of chunks) lineMs.push((storedAtUs - closedUs) / 1000);
    const [first, ...rest] = chunks;
    if (first === undefined) continue;
    const sum = sums.get(work) ?? { seconds: 0, payload: 0, stored: 0, first: 0, sessions: 0 };
    const bytes = (of: (chunk: ChunkMetadata) => number): number => rest.reduce((all, chunk) => all + of(chunk), 0);
    sums.set(work, {
      seconds: sum.seconds + bytes(({ openedUs, closedUs }) => (closedUs - openedUs) / 1e6),
      payload: sum.payload + bytes(({ payloadBytes }) => payloadBytes),
      stored: sum.stored + bytes(({ fileBytes }) => fileBytes),
      first: sum.first + first.fileBytes,
      sessions: sum.sessions + 1,
    });
  }
  console.log(
    `\nchunk closed to durable: p50 ${quantile(lineMs, 0.5).toFixed(0)}, p99 ${quantile(lineMs, 0.99).toFixed(0)} ms (${lineMs.length} chunks)`,
  );
  console.log('behind the first chunk, MB a session-hour: relayed, stored; first chunk, MB');
  for (const [work, { seconds, payload, stored, first, sessions }] of sums) {
    const anHour = (bytes: number): string => (seconds === 0 ? '-' : (((bytes / seconds) * 3600) / 1e6).toFixed(1));
    console.log(
      `  ${work.padEnd(16)}${(works[work]?.kind ?? '').padEnd(8)}${anHour(payload).padStart(9)}${anHour(stored).padStart(9)}${(first / sessions / 1e6).toFixed(2).padStart(8)}`,
    );
  }
}
