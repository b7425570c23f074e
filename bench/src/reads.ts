/**
 * `node bench/src/main.ts reads [--rate 1000] [--seconds 30] [--recording 20] [--kept 2000]`
 *
 * So many mixed reads of the API a second (lists with filters and orders, searches, sessions, chunks, events), each due at its time whether those
 * before it were answered or not, while sessions of real captured traffic record in the same process; first without, then with the reads. `--kept`
 * sessions are made before. Times from when a read was due, ms. Clients, targets and product share the machine.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Bench, printRecordings, quantile, type Step, total } from './capacity.ts';
import { type Ends, type Installation, startEmbedded } from './capacity-installation.ts';
import { works } from './capacity-work.ts';

const connectionsMax = 64;
const madeAtOnce = 8;
const settleSeconds = 5;
const tickMs = 5;

interface Read {
  kind: string;
  path: string;
}

/** The same order in each run; the mix of ten reads. */
function readAt(at: number, kept: number, recording: readonly string[]): Read {
  const turn = Math.floor(at / 10);
  const id = recording[turn % recording.length]!;
  const person = `person${turn % 97}`;
  const mix: readonly (() => Read)[] = [
    () => ({ kind: 'list, first page', path: '/sessions' }),
    () => ({ kind: 'list, a page', path: `/sessions?limit=25&offset=${(turn * 25) % kept}` }),
    () => ({ kind: 'list of a user', path: `/sessions?user=${person}` }),
    () => ({ kind: 'list, sorted', path: `/sessions?sort=${['name', 'size', 'duration', 'user'][turn % 4]}` }),
    () => ({ kind: 'search', path: `/sessions?search=work+${turn % kept}` }),
    () => ({ kind: 'session', path: `/sessions/kept-${turn % kept}` }),
    () => ({ kind: 'session', path: `/sessions/${id}` }),
    () => ({ kind: 'chunks', path: `/sessions/${id}/chunks` }),
    () => ({ kind: 'events', path: `/sessions/${id}/events` }),
    () => ({ kind: 'list of a project', path: `/sessions?project=p${turn % 7}&status=created` }),
  ];
  return mix[at % mix.length]!();
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rate: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '30' },
      recording: { type: 'string', default: '20' },
      kept: { type: 'string', default: '2000' },
    },
  });
  const [rate = 0, seconds = 0, recording = 0, kept = 0] = [
    values.rate,
    values.seconds,
    values.recording,
    values.kept,
  ].map(Number);
  const ends: Ends = [];
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  try {
    const installation = await startEmbedded({ LUCID_KEYFRAMES_AHEAD_PERCENT: '0' }, ends);
    await make(installation, kept);
    const child = fork(join(import.meta.dirname, 'capacity-ends.ts'));
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    ends.push(() => child.disconnect());
    const bench = new Bench(installation, child, port, 2 * seconds + 60 + 2 * recording);
    const names = Object.keys(works);
    for (let at = 0; at < recording; at += 1) await bench.start(names[at % names.length]!);
    await sleep(settleSeconds * 1000);
    console.log(`${recording} sessions record, ${kept} are kept; load ${loadavg()[0]?.toFixed(1)}`);
    const before = await bench.measure(seconds);
    printStep('without reads', before);
    const ids = bench.begun.map(({ id }) => id);
    const readers = new Readers(installation, (at) => readAt(at, kept, ids));
    const [step] = await Promise.all([bench.measure(seconds), readers.read(rate, seconds)]);
    printStep('with reads', step);
    const answered = readers.print();
    // Its databases are threads of the one process.
    const used = [step, before].map(({ cores }) => total(cores) + (cores.get('databases') ?? 0)) as [number, number];
    console.log(
      `processor of the product: ${(((used[0] - used[1]) * seconds * 1000) / answered).toFixed(2)} ms a read`,
    );
    console.log(`load ${loadavg()[0]?.toFixed(1)}`);
    await bench.stop();
    await printRecordings(installation, bench.begun);
    const { apiUrl, token } = installation;
    let lost = 0;
    for (const id of ids) {
      const answer = await fetch(`${apiUrl}/sessions/${id}`, { headers: { authorization: `Bearer ${token}` } });
      lost += ((await answer.json()) as { statistics: { dropped_frames: number } }).statistics.dropped_frames;
    }
    console.log(`frames lost: ${lost}`);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

function printStep(what: string, { durableMs, waitMs, broken }: Step): void {
  console.log(
    `${what}: frame to durable p99 ${durableMs.toFixed(1)}, relayed byte p50 ${waitMs.p50.toFixed(2)}, p99 ${waitMs.p99.toFixed(1)}; ${broken} sessions broke off`,
  );
}

async function make({ apiUrl, token }: Installation, count: number): Promise<void> {
  let next = 0;
  const maker = async (): Promise<void> => {
    while (next < count) {
      const at = next++;
      const answer = await fetch(`${apiUrl}/sessions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          session_id: `kept-${at}`,
          name: `Work ${at} of a day`,
          rdp_config: { host: `host${at % 89}.example`, username: `person${at % 97}` },
          metadata: { project: `p${at % 7}`, owner: `owner${at % 31}`, tags: [`tag${at % 13}`] },
        }),
      });
      if (!answer.ok) throw new Error(`POST /sessions: ${answer.status} ${await answer.text()}`);
      await answer.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: madeAtOnce }, maker));
}

class Readers {
  readonly #installation: Installation;
  readonly #readAt: (at: number) => Read;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
  readonly #taken = new Map<string, number[]>();
  readonly #refused = new Map<string, number>();
  #tookMs = 0;

  constructor(installation: Installation, readOf: (at: number) => Read) {
    this.#installation = installation;
    this.#readAt = readOf;
  }

  /** Resolves when the last is answered. */
  async read(rate: number, seconds: number): Promise<void> {
    const fromMs = performance.now();
    const answers: Promise<void>[] = [];
    for (let at = 0; at < rate * seconds; ) {
      const due = ((performance.now() - fromMs) / 1000) * rate;
      for (; at < Math.min(due, rate * seconds); at += 1)
        answers.push(this.#ask(this.#readAt(at), fromMs + (at * 1000) / rate));
      await sleep(tickMs);
    }
    await Promise.all(answers);
    this.#tookMs = performance.now() - fromMs;
    this.#agent.destroy();
  }

  #ask({ kind, path }: Read, dueMs: number): Promise<void> {
    const { apiUrl, token } = this.#installation;
    return new Promise((resolve, reject) => {
      get(apiUrl + path, { agent: this.#agent, headers: { authorization: `Bearer ${token}` } }, (answer) => {
        answer.resume().on('end', () => {
          const status = answer.statusCode ?? 0;
          if (status === 200) this.#note(kind, performance.now() - dueMs);
          else this.#refused.set(`${kind}: ${status}`, (this.#refused.get(`${kind}: ${status}`) ?? 0) + 1);
          resolve();
        });
      }).on('error', reject);
    });
  }

  #note(kind: string, ms: number): void {
    const known = this.#taken.get(kind);
    if (known === undefined) this.#taken.set(kind, [ms]);
    else known.push(ms);
  }

  /** How many were answered. */
  print(): number {
    const all = [...this.#taken.values()].flat();
    const line = (what: string, taken: readonly number[]): void => {
      const [p50, p99] = [0.5, 0.99].map((at) => quantile(taken, at).toFixed(1).padStart(7));
      console.log(`  ${what.padEnd(20)}${String(taken.length).padStart(7)}  p50 ${p50}  p99 ${p99}`);
    };
    console.log(`reads answered: ${Math.round((all.length / this.#tookMs) * 1000)} a second`);
    line('all', all);
    for (const [kind, taken] of this.#taken) line(kind, taken);
    for (const [what, count] of this.#refused) console.log(`  refused: ${what}, ${count} times`);
    return all.length;
  }
}
