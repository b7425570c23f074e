/** Two pipelines on the same stores: what both are asked at once happens once, and who was stopped too long changes nothing. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isLucidError, LucidError } from '@lucid-sessions/contract';
import {
  createPipelineService,
  MemoryCoordination,
  type PipelineLimits,
  type PipelineService,
} from '@lucid-sessions/pipeline';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { eventually } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { receiptOf, statistics, type World, world } from './world.ts';

/** Lets nothing through while it is closed: as for a process that was stopped. */
class Gate {
  calls = 0;
  /** The call before which it closes. */
  closesAt = Number.POSITIVE_INFINITY;
  #opened: Promise<void> = Promise.resolve();
  readonly closed: Promise<void>;
  #close: () => void = () => {};
  #open: () => void = () => {};
  isClosed = false;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  wait(method: string): Promise<void> {
    // Stopped before it has the lease it has begun nothing: what it does then is a call that came late.
    if (method !== 'acquire') this.calls += 1;
    if (this.calls === this.closesAt && !this.isClosed) {
      this.isClosed = true;
      this.#close();
      this.#opened = new Promise((resolve) => {
        this.#open = resolve;
      });
    }
    return this.#opened;
  }

  open(): void {
    this.closesAt = Number.POSITIVE_INFINITY;
    this.isClosed = false;
    this.#open();
  }
}

function gated<T extends object>(port: T, gate: Gate): T {
  return new Proxy(port, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function' || name === 'dispose') return value;
      return async (...args: unknown[]) => {
        await gate.wait(String(name));
        return value.apply(target, args);
      };
    },
  });
}

interface Pair {
  made: World;
  both: readonly [PipelineService, PipelineService];
  /** Of the first. */
  gate: Gate;
  journals: ReturnType<World['deps']>['journal'];
  /** Ends both, when what they run is over. */
  stop(): Promise<void>;
  dispose(): Promise<void>;
}

async function openPair(limits: Partial<PipelineLimits> = {}): Promise<Pair> {
  const made = await world(limits);
  const gate = new Gate();
  const coordination = new MemoryCoordination();
  const chosen = { cookieRoute: true, reconcileMs: 3_600_000, progressMs: 0, anchorPollMs: 0, ...limits };
  const deps = made.deps();
  const first = createPipelineService(
    {
      ...deps,
      coordination: gated(coordination, gate),
      storage: gated(deps.storage, gate),
      journal: gated(deps.journal, gate),
    },
    chosen,
  );
  const second = createPipelineService({ ...made.deps(), coordination }, chosen);
  // The world's own one does nothing: it would be a third.
  await made.stop();
  const { journal: journals } = made.deps();
  made.pipeline = second;
  let stopping: Promise<unknown> | null = null;
  const stop = async () => {
    stopping ??= Promise.all([first.dispose(), second.dispose()]);
    await stopping;
  };
  const dispose = async () => {
    gate.open();
    await Promise.all([stop(), journals.dispose()]);
    await made.dispose();
  };
  return { made, both: [first, second], gate, journals, stop, dispose };
}

async function pair(t: TestContext, limits: Partial<PipelineLimits> = {}): Promise<Pair> {
  const two = await openPair(limits);
  t.after(() => two.dispose());
  return two;
}

const request = (connectionId: string, name: string) => ({
  connectionId,
  route: { kind: 'cookie', name } as const,
  clientAddress: '10.0.0.1:5000',
  clientName: null,
  recorderId: 'recorder-1',
});

async function armed({ made }: Pair, sessionId: string): Promise<void> {
  await made.pipeline.create({ session: sampleSession(sessionId), routeTokenSha256: null });
  await made.pipeline.start({ sessionId });
}

const started = (sessionId: string, connectionId: string, atUs: number) => ({
  ...({ kind: 'started', sessionId, atUs, recorderId: 'recorder-1', connectionId } as const),
  ...{ clientAddress: '10.0.0.1:5000', targetAddress: '10.0.0.2:3389' },
});
const ended = (sessionId: string, atUs: number) =>
  ({
    ...({ kind: 'ended', sessionId, atUs, reason: 'client_disconnected', message: 'bye', failed: false } as const),
    statistics,
  }) as const;

test('of ten connections that both find and admit at once one has the session', async (t) => {
  const two = await pair(t);
  await armed(two, 's1');
  const ids = [...Array(10).keys()].map((n) => `c${n}`);
  const found = await Promise.all(ids.map((id, n) => two.both[n % 2]!.find(request(id, 's1'))));
  assert.ok(found.every((finding) => finding.found));
  // What one found the other admits.
  const admissions = await Promise.all(ids.map((id, n) => two.both[(n + 1) % 2]!.admit({ connectionId: id })));
  const [winner, ...others] = ids.filter((_, n) => admissions[n]!.admitted);
  assert.equal(others.length, 0);
  assert.equal((await two.journals.get('s1'))?.connectionId, winner);
  assert.ok((await two.both[0].admit({ connectionId: winner! })).admitted, 'asked again it is the same');
  assert.equal(two.made.calls.filter((call) => call === 'open s1').length, 1);
});

test('the same connection that asks both is admitted once, and opened once', async (t) => {
  const two = await pair(t);
  await armed(two, 's1');
  await Promise.all(two.both.map((pipeline) => pipeline.find(request('c', 's1'))));
  const admissions = await Promise.all(two.both.map((pipeline) => pipeline.admit({ connectionId: 'c' })));
  assert.ok(admissions.every(({ admitted }) => admitted));
  assert.equal(two.made.calls.filter((call) => call === 'open s1').length, 1);
  await Promise.all(two.both.map((pipeline) => pipeline.report(started('s1', 'c', two.made.clock.us))));
  assert.equal((await two.made.storage.getSession({ sessionId: 's1' })).session?.connections, 1);
});

test('capacity is counted over both, and every place of it is had', async (t) => {
  const two = await pair(t, { concurrentSessionsMax: 5 });
  const names = [...Array(12).keys()].map((n) => `s${n}`);
  for (const name of names) await armed(two, name);
  await Promise.all(names.map((name, n) => two.both[n % 2]!.find(request(`c-${name}`, name))));
  const admissions = await Promise.all(names.map((name, n) => two.both[n % 2]!.admit({ connectionId: `c-${name}` })));
  const admitted = names.filter((_, n) => admissions[n]!.admitted);
  assert.equal(admitted.length, 5);
  assert.ok(admissions.every((answer) => answer.admitted || answer.code === 'at_capacity'));
  for (const pipeline of two.both) assert.equal((await pipeline.health()).details.connectedSessions, 5);
  const refused = await two.both[0].find(request('late', names.find((name) => !admitted.includes(name))!));
  assert.deepEqual([refused.found, 'code' in refused && refused.code], [false, 'at_capacity']);
  // One that ends at the other leaves its place.
  await two.both[0].report(started(admitted[0]!, `c-${admitted[0]}`, two.made.clock.us));
  await two.both[1].report(ended(admitted[0]!, two.made.clock.us + 1));
  assert.equal((await two.both[0].find(request('late', names.find((name) => !admitted.includes(name))!))).found, true);
});

test('two who decide at once through both: one word counts, and both tell it', async (t) => {
  const two = await pair(t, { approval: true });
  await armed(two, 's1');
  await two.both[0].find(request('c', 's1'));
  assert.deepEqual(await two.both[1].approval({ connectionId: 'c', user: 'ann' }), { state: 'waiting' });
  assert.equal((await two.both[0].approvals()).waiting.length, 1);
  const decide = (n: 0 | 1) =>
    two.both[n].decideApproval({ sessionId: 's1', connectionId: 'c', approve: n === 0, by: `p${n}`, reason: '' });
  const decided = await Promise.allSettled([decide(0), decide(1)]);
  assert.equal(decided.filter(({ status }) => status === 'fulfilled').length, 1);
  const answers = await Promise.all(two.both.map((p) => p.approval({ connectionId: 'c', user: 'ann' })));
  assert.deepEqual(answers[0], answers[1]);
  assert.notEqual(answers[0]?.state, 'waiting');
});

test('a browser token lets one connection in, whichever pipeline it asks', async (t) => {
  const two = await pair(t);
  await armed(two, 's1');
  const { token } = await two.both[0].issueBrowserToken({ sessionId: 's1', userId: 'u' });
  const ask = (connectionId: string, n: 0 | 1) =>
    two.both[n].find({ ...request(connectionId, 's1'), route: { kind: 'browser', token } });
  const found = await Promise.all([ask('a', 0), ask('b', 1), ask('c', 0), ask('d', 1)]);
  assert.equal(found.filter((finding) => finding.found).length, 1);
});

test('tries of a credential that come at once through both are no more than one after the other', async (t) => {
  const two = await pair(t);
  await armed(two, 's1');
  const { user } = (await two.both[0].issueCredential({ sessionId: 's1' })).credential;
  const ids = [...Array(12).keys()].map((n) => `c${n}`);
  const accounts = await Promise.all(
    ids.map((connectionId, n) => two.both[n % 2]!.logonAccount({ connectionId, user })),
  );
  const let_in = ids.filter((_, n) => accounts[n]!.account !== null);
  assert.equal(let_in.length, 3);
  const wrong = (connectionId: string, n: number) =>
    two.both[n % 2]!.logonTried({ connectionId, user, clientAddress: 'x', outcome: 'wrong' });
  // Each is told to both.
  await Promise.all(let_in.flatMap((id) => [wrong(id, 0), wrong(id, 1)]));
  assert.equal((await two.journals.findCredential(user))?.wrongTries, 3);
  assert.equal((await two.both[1].logonAccount({ connectionId: 'x', user })).account?.standing, 'burnt');
});

test('two runners make each manifest once, and one that is stopped is taken over', async (t) => {
  const two = await pair(t, { jobLeaseMs: 1000 });
  const names = [...Array(6).keys()].map((n) => `s${n}`);
  for (const name of names) {
    await two.made.admit(name);
    await two.made.record(name);
  }
  await Promise.all(two.both.map((pipeline) => pipeline.run()));
  for (const name of names) await two.made.until(name, 'completed');
  const finished = two.made.calls.filter((call) => call.startsWith('finish'));
  assert.deepEqual(finished.map((call) => call.split(' ')[1]).sort(), names);
});

test('a runner that comes back after its lease does not give up what another has done since', async (t) => {
  const two = await pair(t, { jobLeaseMs: 1000, retriesMax: 0 });
  const { made } = two;
  const stopped = Promise.withResolvers<void>();
  const isAsked = Promise.withResolvers<void>();
  let asked = 0;
  made.anchors.push({
    backend: 'chain',
    async submit({ merkleRoot }) {
      asked += 1;
      if (asked > 1) return receiptOf('chain', 'confirmed', merkleRoot);
      isAsked.resolve();
      await stopped.promise;
      throw new LucidError('anchoring', 'another root under our id', { status: 500 });
    },
    check: async () => null,
  });
  await made.admit('s1');
  await made.record('s1');
  await Promise.all(two.both.map((pipeline) => pipeline.run()));
  await isAsked.promise;
  made.clock.us += 1_000_000;
  const { queue } = made.deps();
  await eventually('another to be done with it', async () =>
    (await queue.listFor('s1')).some(({ kind, state }) => kind === 'anchor' && state === 'done'),
  );
  await queue.dispose();
  stopped.resolve();
  await two.stop();
  const receipts = (await two.journals.listReceipts('s1')).map(({ status }) => status);
  assert.deepEqual([receipts, asked], [['confirmed'], 2]);
});

test('a recorder that one was told of is found through the other, is missed when it is quiet, and no other one is asked', async (t) => {
  const two = await pair(t);
  const { made, both } = two;
  const here = (recorderId: string) => ({
    ...{ recorderId, url: `http://${recorderId}:8084`, sessions: 1, sessionsMax: 10, draining: false },
  });
  await both[0].recorderHere(here('recorder-1'));
  await both[1].recorderHere(here('recorder-2'));
  await made.admit('s1');
  await made.start('s1');
  for (const pipeline of both) {
    assert.deepEqual(await pipeline.recorderOf({ sessionId: 's1' }), { recorder: here('recorder-1') });
    assert.equal((await pipeline.recorders()).recorders.length, 2);
  }
  const comes = (connectionId: string) =>
    both[1].find({
      ...{ connectionId, route: { kind: 'cookie', name: 's1' }, clientName: null },
      ...{ clientAddress: '192.0.2.1:50000', recorderId: 'recorder-2' },
    });
  const elsewhere = await comes('c2');
  assert.ok(!elsewhere.found && elsewhere.code === 'in_use');
  assert.deepEqual(elsewhere.heldBy, here('recorder-1'));
  made.clock.us += 9_999_999;
  await both[0].recorderHere({ ...here('recorder-2'), draining: true });
  assert.equal((await both[1].health()).status, 'healthy');
  made.clock.us += 1;
  for (const pipeline of both) {
    assert.deepEqual((await pipeline.recorders()).recorders, [{ ...here('recorder-2'), draining: true }]);
    assert.deepEqual(await pipeline.recorderOf({ sessionId: 's1' }), { recorder: null });
    assert.match((await pipeline.health()).message ?? '', /recorder-1/);
    const [recording] = (await pipeline.status({ sessionId: 's1' })).status!.stages;
    assert.equal(recording?.status, 'error');
    assert.match(recording?.lastError ?? '', /recorder-1/);
    await assert.rejects(pipeline.pause({ sessionId: 's1' }), /recorder-1 has not been heard of/);
  }
  const quiet = await comes('c3');
  assert.ok(!quiet.found && quiet.code === 'in_use' && quiet.heldBy === undefined);
  // It does not answer: that is no proof that it lost the session.
  made.recorder.alive.delete('s1');
  made.clock.us += 60_000_000;
  await both[0].recorderHere(here('recorder-2'));
  await both[1].reconcile();
  assert.equal((await two.journals.get('s1'))?.connected, true);
  await both[1].recorderHere(here('recorder-1'));
  assert.equal((await both[0].health()).status, 'healthy');
  await both[0].pause({ sessionId: 's1' });
});

test('the spool of a recorder that is gone is recovered by the one that has its copy, as it said', async (t) => {
  const { made, both } = await pair(t);
  const gone = { recorderId: 'recorder-1', url: 'http://one:8084', sessions: 1, sessionsMax: 10, draining: false };
  const asks = (by: string, n: 0 | 1) => both[n].takeOverSpool({ recorderId: 'recorder-1', by, quietSeconds: 1 });
  await both[0].recorderHere({ ...gone, copiedTo: 'recorder-2' });
  await both[1].recorderHere({ ...gone, copiedTo: 'recorder-3' });
  assert.deepEqual(await asks('recorder-3', 0), { granted: false }, 'it is here');
  made.clock.us += 10_000_000;
  assert.deepEqual(await asks('recorder-2', 0), { granted: false }, 'its copy is an old one');
  assert.deepEqual(await asks('recorder-3', 1), { granted: true });
  assert.deepEqual(await asks('recorder-2', 1), { granted: false });
});

test('who takes the name of a recorder that is here is turned away: its sessions are not asked for elsewhere', async (t) => {
  const { made, both } = await pair(t);
  const own = { recorderId: 'recorder-1', url: 'http://one:8084', sessions: 1, sessionsMax: 10, draining: false };
  const other = { ...own, url: 'http://two:8084' };
  await both[0].recorderHere(own);
  await made.admit('s1');
  await assert.rejects(both[1].recorderHere(other), (error) => isLucidError(error, 'conflict'));
  assert.deepEqual(await both[1].recorderOf({ sessionId: 's1' }), { recorder: own });
  // It came up again on another machine.
  made.clock.us += 10_000_000;
  await both[1].recorderHere(other);
  assert.deepEqual(await both[0].recorderOf({ sessionId: 's1' }), { recorder: other });
  await assert.rejects(both[0].recorderHere(own), /recorder-1 is here already, at http:\/\/two:8084/);
});

/** What is true of a session. */
const truthOf = async ({ made, journals }: Pair, sessionId: string) => ({
  journal: await journals.get(sessionId),
  session: (await made.storage.getSession({ sessionId })).session,
  facts: await journals.listFacts(sessionId),
});

interface Scene {
  name: string;
  prepare(two: Pair): Promise<void>;
  /** Of the pipeline that is stopped in it. */
  act(pipeline: PipelineService, two: Pair): Promise<unknown>;
  /** What the other one does when the first one's lease is over. */
  takeOver(pipeline: PipelineService, two: Pair): Promise<unknown>;
}

const admitAt = async (pipeline: PipelineService) => {
  await pipeline.find(request('c', 's1'));
  return pipeline.admit({ connectionId: 'c' });
};
const recorded = async (two: Pair) => {
  await two.made.admit('s1');
  await two.made.start('s1');
  await two.made.putChunk('s1', 0);
  two.made.recorder.alive.delete('s1');
};

const scenes: Scene[] = [
  {
    name: 'admits',
    prepare: (two) => armed(two, 's1'),
    act: admitAt,
    takeOver: async (pipeline, { made }) => {
      assert.ok((await admitAt(pipeline)).admitted);
      await pipeline.report(started('s1', 'c', made.clock.us));
    },
  },
  {
    name: 'takes the end of a session',
    prepare: recorded,
    act: (pipeline, { made }) => pipeline.report(ended('s1', made.clock.us)),
    takeOver: async (pipeline, { made }) => {
      await pipeline.report(ended('s1', made.clock.us - 11_000_000));
      await pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
      await pipeline.run();
      await made.until('s1', 'completed');
    },
  },
  {
    name: 'takes a lost connection',
    prepare: recorded,
    act: (pipeline, { made }) =>
      pipeline.report({ kind: 'lost', sessionId: 's1', atUs: made.clock.us, untilUs: made.clock.us + 9, message: 'x' }),
    takeOver: async (pipeline, { made }) => {
      await pipeline.report(ended('s1', made.clock.us));
    },
  },
  {
    name: 'begins a session again',
    prepare: async ({ made }) => {
      await made.admit('s1');
      await made.pipeline.report(ended('s1', made.clock.us));
    },
    act: (pipeline) => pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 0 }),
    takeOver: async (pipeline, { made }) => {
      await pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 0 });
      await pipeline.find(request('c2', 's1'));
      assert.ok((await pipeline.admit({ connectionId: 'c2' })).admitted);
      await pipeline.report(started('s1', 'c2', made.clock.us));
    },
  },
];

for (const scene of scenes)
  test(`a pipeline that ${scene.name}, is stopped anywhere in it and comes back too late changes nothing`, async (t) => {
    for (let stop = 1, isOver = false; !isOver; stop++) {
      await t.test(`before its call ${stop}`, async (t) => {
        const two = await pair(t);
        await scene.prepare(two);
        two.gate.calls = 0;
        two.gate.closesAt = stop;
        const acting = scene.act(two.both[0], two).then(
          () => {},
          () => {},
        );
        await Promise.race([acting, two.gate.closed]);
        isOver = !two.gate.isClosed;
        if (isOver) return;
        two.made.clock.us += 11_000_000;
        await scene.takeOver(two.both[1], two);
        const before = await truthOf(two, 's1');
        two.gate.open();
        await acting;
        assert.deepEqual(await truthOf(two, 's1'), before);
      });
    }
  });

test('whatever both are told in whatever order, a session has one connection and comes to its end', async () => {
  type Step = readonly [
    pipeline: 0 | 1,
    what: 'admit' | 'started' | 'lost' | 'ended' | 'attempted' | 'stop' | 'look',
    id: 0 | 1,
  ];
  const step: fc.Arbitrary<Step> = fc.tuple(
    fc.constantFrom(0 as const, 1 as const),
    fc.constantFrom('admit', 'started', 'lost', 'ended', 'attempted', 'stop', 'look'),
    fc.constantFrom(0 as const, 1 as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 6 }), async (rounds) => {
      const two = await openPair();
      const { made } = two;
      await armed(two, 's1');
      const admitted = new Set<string>();
      const run = async ([n, what, id]: Step) => {
        const pipeline = two.both[n];
        const connectionId = `c${id}`;
        const atUs = made.clock.us;
        if (what === 'admit') {
          await pipeline.find(request(connectionId, 's1'));
          if ((await pipeline.admit({ connectionId })).admitted) admitted.add(connectionId);
        } else if (what === 'started' && admitted.has(connectionId))
          await pipeline.report(started('s1', connectionId, atUs));
        else if (what === 'lost')
          await pipeline.report({ kind: 'lost', sessionId: 's1', atUs, untilUs: atUs + 9, message: '' });
        else if (what === 'ended') await pipeline.report(ended('s1', atUs));
        else if (what === 'attempted')
          await pipeline.attempted({
            ...{ connectionId, sessionId: 's1', atUs, clientAddress: 'x', clientName: null, count: 1 },
            ...{ outcome: 'refused', reason: 'logon_cancelled', message: 'gone' },
          });
        else if (what === 'stop') await pipeline.stop({ sessionId: 's1', reason: '' });
        else if (what === 'look') await pipeline.reconcile();
      };
      for (const round of rounds) {
        made.clock.us += 1_000_000;
        await Promise.allSettled(round.map(run));
        const journal = await two.journals.get('s1');
        const connected = Number((await two.both[1].health()).details.connectedSessions);
        assert.equal(connected, journal?.connected === true ? 1 : 0);
        if (journal?.connected) assert.ok(admitted.has(journal.connectionId ?? ''));
      }
      // Its recorder has nothing of it: the one looks, the other looks, and it is over or waits again.
      made.clock.us += 3_600_000_000;
      for (const pipeline of [...two.both, ...two.both]) {
        await pipeline.reconcile();
        made.clock.us += 3_600_000_000;
      }
      const { session } = await made.storage.getSession({ sessionId: 's1' });
      const journal = await two.journals.get('s1');
      assert.equal(journal?.connected ?? false, false);
      assert.ok(
        ['created', 'starting', 'stopping', 'stopped', 'error'].includes(session!.pipeline_state),
        session!.pipeline_state,
      );
      await two.dispose();
    }),
    { numRuns: 20 },
  );
});
