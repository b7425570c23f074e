/** Signed erasure across crashes, and anchors that are asked again after they confirmed. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { type AnchorReceipt, type KeyWrap, LucidError } from '@lucid-sessions/contract';
import { type RecordBody, readRecordOf, recordBase, type Signer, signRecord } from '@lucid-sessions/evidence';
import { createPipelineServer, defaultLimits, readPipelineEnv } from '@lucid-sessions/pipeline';
import { receiptOf, type World, world } from './world.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const signer: Signer = {
  publicKey: {
    algorithm: 'ed25519',
    bytes: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })).slice(-32),
  },
  sign: (message) => new Uint8Array(sign(null, message, privateKey)),
};
const wrap: KeyWrap = { scheme: 'local', recipient: 'r', keyId: 'ab'.repeat(16), wrapped: new Uint8Array(60) };

function check(name: string, body: (made: World) => Promise<void>, limits = {}): void {
  test(name, async (t) => {
    const made = await world(limits);
    t.after(() => made.dispose());
    made.processor.signRecord = async ({ sessionId, kind, body: fields }) => ({
      record: await signRecord(signer, { ...fields, ...recordBase(kind, sessionId) } as unknown as RecordBody),
    });
    await body(made);
  });
}

async function recorded(made: World): Promise<void> {
  await made.admit('s1');
  await made.storage.putWraps({ sessionId: 's1', wraps: [wrap, wrap] });
  await made.record('s1');
  await made.until('s1', 'completed');
}

const order = { sessionId: 's1', actor: 'ada', reason: 'asked for' };
const eraseRecords = async (made: World) =>
  (await made.storage.getRecords({ sessionId: 's1', kind: 'erase' })).records.map(
    ({ record }) => readRecordOf('erase', record).body,
  );
const wrapsCount = async (made: World) => (await made.storage.getWraps({ sessionId: 's1' })).wraps.length;

async function until(what: string, made: World, holds: () => Promise<boolean>): Promise<void> {
  for (let left = 500; left > 0; left--) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${what} did not come: ${made.failures}`);
}

check('erasing signs, logs and destroys, once', async (made) => {
  await recorded(made);
  const logged = made.entries.length;
  const erased = await made.pipeline.erase(order);
  assert.deepEqual([erased.wrapsDestroyed, erased.logIndex], [2, logged]);
  assert.equal(await wrapsCount(made), 0);
  const again = await made.pipeline.erase({ ...order, actor: 'bob' });
  assert.deepEqual(again, { ...erased, wrapsDestroyed: 0 });
  const [record, ...more] = await eraseRecords(made);
  assert.equal(more.length, 0);
  assert.deepEqual(
    [record?.actor, record?.reason, record?.erased, record?.dek_id],
    ['ada', 'asked for', 'keys', wrap.keyId],
  );
  assert.equal(record?.merkle_root, (await made.storage.getSession({ sessionId: 's1' })).session?.merkle_root);
});

check('a session that may still be recorded, or never was, is not erased', async (made) => {
  await made.admit('s1');
  await assert.rejects(made.pipeline.erase(order), { code: 'LUCID_ERR_3004' });
  await assert.rejects(made.pipeline.erase({ ...order, sessionId: 'nobody' }), { code: 'LUCID_ERR_3001' });
  assert.deepEqual(await eraseRecords(made), []);
});

for (const step of ['signRecord', 'putRecord', 'append', 'putWraps'] as const)
  check(`a crash at ${step} leaves no keys without a logged record, and is carried on`, async (made) => {
    await recorded(made);
    const logged = made.entries.length;
    const crash = () => Promise.reject(new LucidError('unavailable', 'crash'));
    const deps = made.deps();
    const target = { signRecord: made.processor, putRecord: made.storage, append: deps.log, putWraps: made.storage }[
      step
    ] as unknown as Record<string, unknown>;
    await Promise.all([deps.queue.dispose(), deps.journal.dispose()]);
    const works = target[step];
    target[step] = crash;
    await assert.rejects(made.pipeline.erase(order), /crash/);
    assert.equal(await wrapsCount(made), 2);
    assert.equal(made.entries.length > logged, step === 'putWraps', 'logged before it is destroyed');
    target[step] = works;
    await made.restart();
    made.clock.us += 3_600_000_000;
    await until('the erasure', made, async () => (await wrapsCount(made)) === 0);
    assert.equal((await eraseRecords(made)).length, 1);
    assert.equal(made.entries.length, logged + 1);
  });

check('what was shredded and is deleted later gets a record of its own for the chunks', async (made) => {
  await recorded(made);
  await made.pipeline.erase(order);
  await made.pipeline.remove({ sessionId: 's1' });
  await until('the purge', made, async () => (await eraseRecords(made)).length === 2);
  assert.deepEqual(
    (await eraseRecords(made)).map(({ erased }) => erased),
    ['keys', 'keys_and_chunks'],
  );
});

/** An anchor whose chain is a variable. */
function chain(made: World): { state: AnchorReceipt['status'] | 'unknown' | 'down' | 'other_root'; submits: number } {
  const its = { state: 'confirmed', submits: 0 } as ReturnType<typeof chain>;
  const say = (merkleRoot: string): AnchorReceipt | null => {
    if (its.state === 'down') throw new LucidError('anchoring', 'not reachable', { status: 502 });
    if (its.state === 'other_root') throw new LucidError('anchoring', 'another root under our id', { status: 500 });
    return its.state === 'unknown' ? null : receiptOf('chain', its.state, merkleRoot);
  };
  made.anchors.push({
    backend: 'chain',
    submit: async ({ merkleRoot }) => {
      its.submits += 1;
      return say(merkleRoot) ?? receiptOf('chain', 'pending', merkleRoot);
    },
    check: async ({ merkleRoot }) => say(merkleRoot),
  });
  return its;
}

const anchoringOf = async (made: World) => (await made.pipeline.anchor({ sessionId: 's1' })).anchoring[0];
const untilState = (made: World, state: string) =>
  until(state, made, async () => (await anchoringOf(made))?.state === state);
const eventsOf = async (made: World, eventType: string) =>
  (await made.storage.listAudit({ eventType, limit: 10, offset: 0 })).total;
const hourUs = 3_600_000_000;

check('a confirmed anchor is asked after an hour, a day, a week, and every week', async (made) => {
  chain(made);
  await recorded(made);
  await untilState(made, 'confirmed');
  for (const hours of [1, 24, 168, 168, 168]) {
    const next = (await anchoringOf(made))?.nextCheckUs ?? 0;
    assert.equal(next - made.clock.us, hours * hourUs);
    made.clock.us = next;
    await until('the next check', made, async () => {
      const planned = (await anchoringOf(made))?.nextCheckUs ?? 0;
      return planned > made.clock.us;
    });
  }
  assert.equal(await eventsOf(made, 'anchor_reorged'), 0);
});

for (const [what, state] of [
  ['waits again', 'pending'],
  ['was forgotten', 'unknown'],
  ['is under another root', 'other_root'],
] as const)
  check(`an anchoring that ${what} is reorged, said once, and confirmed anew`, async (made) => {
    const its = chain(made);
    await recorded(made);
    await untilState(made, 'confirmed');
    const submits = its.submits;
    its.state = state;
    made.clock.us += hourUs;
    await untilState(made, 'reorged');
    const { receipts } = await made.pipeline.anchor({ sessionId: 's1' });
    assert.equal(receipts[0]?.status, 'reorged');
    const { status } = await made.pipeline.status({ sessionId: 's1' });
    assert.equal(status?.stages.find(({ stageName }) => stageName === 'anchoring_chain')?.status, 'error');
    made.clock.us += hourUs;
    if (state === 'unknown') await until('another submission', made, async () => its.submits > submits);
    its.state = 'confirmed';
    made.clock.us += hourUs;
    await until('confirmation', made, async () => {
      made.clock.us += hourUs;
      return (await anchoringOf(made))?.state === 'confirmed';
    });
    assert.deepEqual([await eventsOf(made, 'anchor_reorged'), await eventsOf(made, 'anchor_restored')], [1, 1]);
  });

check('an anchor that is down says nothing about what it confirmed', async (made) => {
  const its = chain(made);
  await recorded(made);
  await untilState(made, 'confirmed');
  its.state = 'down';
  made.clock.us += hourUs;
  await until('the attempt', made, async () => made.failures.some((line) => line.includes('not reachable')));
  assert.equal((await anchoringOf(made))?.state, 'confirmed');
});

check('a failed anchoring is handed in again, then said, then tried once more when asked', async (made) => {
  const its = chain(made);
  its.state = 'failed';
  await recorded(made);
  await until('giving up', made, async () => (await anchoringOf(made))?.nextCheckUs === null);
  assert.equal((await anchoringOf(made))?.state, 'failed');
  its.state = 'confirmed';
  await made.pipeline.control({ sessionId: 's1', action: 'resume' });
  await untilState(made, 'confirmed');
});

check('a final anchor is not asked again, and none is shown before there is a root', async (made) => {
  made.anchors.push({
    backend: 'stamp',
    isFinal: true,
    submit: async ({ merkleRoot }) => receiptOf('stamp', 'confirmed', merkleRoot),
    check: async () => assert.fail('asked again'),
  });
  await made.admit('s1');
  assert.deepEqual((await made.pipeline.anchor({ sessionId: 's1' })).anchoring, [
    { backend: 'stamp', state: 'none', nextCheckUs: null, detail: null },
  ]);
  await made.record('s1');
  await made.until('s1', 'completed');
  await untilState(made, 'confirmed');
  assert.equal((await anchoringOf(made))?.nextCheckUs, null);
});

check('the log is served at the pipeline’s own door, and nothing else of its directory', async (made) => {
  const serviceSecret = 'test secret of the services, 32 or more';
  const asked: string[] = [];
  const readLogFile = async (path: string) => {
    asked.push(path);
    return path === 'checkpoint' || path === 'tile/0/000' ? new TextEncoder().encode(path) : null;
  };
  const config = { host: '127.0.0.1', port: 0, serviceSecret, limits: defaultLimits };
  const server = createPipelineServer(config, { ...made.deps(), readLogFile });
  const { address } = await server.start();
  const get = async (path: string) => {
    const answer = await fetch(`${address}/log/${path}`);
    return [answer.status, await answer.text(), answer.headers.get('cache-control')];
  };
  assert.deepEqual(await get('checkpoint'), [200, 'checkpoint', 'no-cache']);
  assert.deepEqual(await get('tile/0/000'), [200, 'tile/0/000', 'public, max-age=31536000, immutable']);
  assert.deepEqual((await get('tile/0/001'))[0], 404);
  asked.length = 0;
  const bad = [
    'head.sqlite',
    '..%2fkeys',
    'tile/0/1',
    'tile/64/000',
    'tile/0/000.p/256',
    'tile/0/000.p/0',
    'tile/entries/x/000',
  ];
  for (const path of bad) assert.deepEqual((await get(path)).slice(0, 1), [404], path);
  assert.deepEqual(asked, [], 'nothing is read for a path that is none of the log');
  for (const path of ['tile/63/x001/x234/067', 'tile/entries/000.p/255']) await get(path);
  assert.deepEqual(asked, ['tile/63/x001/x234/067', 'tile/entries/000.p/255']);
  await server.dispose();
});

test('the waits of rechecks are read from the environment', () => {
  const secret = { LUCID_SERVICE_SECRET: 'test secret of the services, 32 or more' };
  const read = (text: string) => readPipelineEnv({ ...secret, LUCID_ANCHOR_RECHECKS: text }).limits.anchorRechecksMs;
  assert.deepEqual(read('1s, 2m,3h,1d'), [1_000, 120_000, 10_800_000, 86_400_000]);
  assert.deepEqual(read(''), [3_600_000, 86_400_000, 604_800_000]);
  for (const text of ['1', '0h', '1w', '1h,,2h', Array(21).fill('1h').join(',')])
    assert.throws(() => read(text), /LUCID_ANCHOR_RECHECKS must be waits/);
});
