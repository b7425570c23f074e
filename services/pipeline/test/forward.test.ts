/** Audit events on their way to a sink that fails, by pipelines that die: each comes at least once, in the chain's order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditEvent, type AuditRow, chainedEventOf } from '@lucid-sessions/contract';
import { makeAuditRow } from '@lucid-sessions/evidence';
import fc from 'fast-check';
import type { Context } from '../src/context.ts';
import { type EventSink, forwardHandler, forwardJobOf } from '../src/forward.ts';
import type { Job } from '../src/ports.ts';

const eventOf = (eventId: string, timestampUs: number): AuditEvent => ({
  ...{ eventId, timestampUs, eventType: 'session_deleted', userId: null, resourceId: null, ipAddress: null },
  ...{ userAgent: null, success: true, errorMessage: null, details: {} },
});

/** Storage's chain as its suite has it. */
class Chain {
  readonly rows: AuditRow[] = [];
  #last: ReturnType<typeof makeAuditRow> | null = null;

  add(event: AuditEvent): void {
    this.#last = makeAuditRow(this.#last, chainedEventOf(event));
    const { sequence, text } = this.#last;
    this.rows.push({ ...event, sequence, text });
  }
  async auditHead() {
    const last = this.rows.at(-1);
    return { head: last === undefined ? null : { sequence: last.sequence, rowSha256: '', chain: '' } };
  }
  async auditRows({ from, limit }: { from: number; limit: number }) {
    return { rows: this.rows.filter(({ sequence }) => sequence >= from).slice(0, limit), unchained: 0 };
  }
}

class World {
  readonly chain = new Chain();
  readonly got: string[] = [];
  readonly failures: unknown[] = [];
  failing = 0;
  nowUs = 1_700_000_000_000_000;
  #job: Job | null = null;
  readonly sink: EventSink = {
    name: 'test',
    send: async (events, onSent) => {
      for (const [at, { eventId }] of events.entries()) {
        if (this.failing > 0) {
          this.failing -= 1;
          throw new Error('away');
        }
        this.got.push(eventId);
        onSent(at + 1);
      }
    },
    dispose: async () => {},
  };

  add(id: string, lateMs = 0): void {
    this.chain.add(eventOf(id, this.nowUs - lateMs * 1000));
  }

  /** One run of the job; `dies`: what it would have kept is lost. */
  async run(dies = false): Promise<number> {
    const made = { state: 'running', retries: 0, lastError: null } as const;
    this.#job ??= { ...forwardJobOf(this.sink, this.nowUs), ...made };
    const onError = (_: string, thrown: unknown) => this.failures.push(thrown);
    const deps = { storage: this.chain, nowUs: () => this.nowUs, random: () => 0.5, onError };
    const context = { deps } as unknown as Context;
    const handler = forwardHandler(context, [this.sink], { sent() {}, failed() {}, waiting() {} });
    // What a store gives back.
    const outcome = await handler.run(JSON.parse(JSON.stringify(this.#job)) as Job);
    assert.ok(!('done' in outcome));
    if (!dies) this.#job = { ...this.#job, payload: outcome.payload! };
    this.nowUs += Math.max(1, outcome.againMs) * 1000;
    return outcome.againMs;
  }
}

const of = <K extends string, T>(kind: K, count: fc.Arbitrary<T>) => fc.record({ kind: fc.constant(kind), count });
const step = fc.oneof(
  of('add', fc.integer({ min: 1, max: 120 })),
  of('late', fc.integer({ min: 1, max: 3_600_000 })),
  of('fail', fc.integer({ min: 1, max: 4 })),
  of('die', fc.constant(0)),
  of('run', fc.constant(0)),
);

test('every event comes at least once and first in its order; without failures once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const world = new World();
      await world.run();
      let count = 0;
      for (const { kind, count: number } of steps) {
        for (let left = kind === 'add' ? number : kind === 'late' ? 1 : 0; left > 0; left -= 1) {
          count += 1;
          world.add(`e${count}`, kind === 'late' ? number : 0);
        }
        if (kind === 'fail') world.failing += number;
        if (kind === 'die' || kind === 'run') await world.run(kind === 'die');
      }
      world.failing = 0;
      for (let runs = 0; runs < 2 + count / 50; runs += 1) await world.run();
      const all = world.chain.rows.map(({ eventId }) => eventId);
      assert.deepEqual([...new Set(world.got)], all);
      if (steps.every(({ kind }) => kind !== 'fail' && kind !== 'die')) assert.deepEqual(world.got, all);
    }),
    { numRuns: 300 },
  );
});

test('what was before it was configured is not sent; a row of failures is told once, and waits grow', async () => {
  const world = new World();
  for (let at = 0; at < 120; at += 1) world.add(`old ${at}`, 10);
  await world.run();
  world.add('new');
  world.failing = 5;
  const waits: number[] = [];
  for (let runs = 0; runs < 5; runs += 1) waits.push(await world.run());
  assert.equal(world.failures.length, 1);
  assert.ok(waits.at(-1)! > waits[0]!, waits.join());
  await world.run();
  await world.run();
  assert.deepEqual(world.got, ['new']);
});

test('what came between the configuration and the first run is sent, and a spoiled row holds up no other', async () => {
  const world = new World();
  world.add('old', 10);
  world.add('first');
  world.add('spoiled');
  world.add('last');
  world.chain.rows[2] = { ...world.chain.rows[2]!, text: 'x' };
  await world.run();
  assert.deepEqual(world.got, ['first', 'last']);
  assert.match(String(world.failures[0]), /row 2 of the audit log can't be read/);
});
