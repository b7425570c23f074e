/** The pipeline dies at every step of `admit`, and of what mends that: nothing is admitted twice, nothing is left for ever. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Route } from '@lucid-sessions/contract';
import { tokenSha256 } from '@lucid-sessions/pipeline';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { type World, world } from './world.ts';

const token = 'secret token';
const routes: Record<string, Route> = {
  'a listener': { kind: 'listener', target: 'desk' },
  'an .rdp file': { kind: 'token', token },
};
const never = Number.POSITIVE_INFINITY;
const graceUs = 31_000_000;

/** Admits one connection, and dies after so many calls. True: it died. */
async function admitUntil(made: World, route: Route, calls: number): Promise<boolean> {
  const request = { connectionId: 'first', clientAddress: '10.0.0.1:5000', clientName: null, recorderId: 'recorder-1' };
  assert.ok((await made.pipeline.find({ ...request, route })).found);
  made.fuse.left = calls;
  const admission = await made.pipeline.admit({ connectionId: 'first' });
  const died = made.fuse.left <= 0;
  assert.equal(admission.admitted || died, true, 'only a crash refuses it');
  return died;
}

/** A new process looks at what is left, and dies after so many calls. */
async function mendUntil(made: World, calls: number): Promise<boolean> {
  await made.restart();
  made.clock.us += graceUs;
  made.fuse.left = calls;
  await made.service.reconcile();
  const died = made.fuse.left <= 0;
  made.fuse.left = never;
  return died;
}

async function assertNothingLeft(made: World, route: Route): Promise<void> {
  const { sessions } = await made.storage.listSessions({ limit: 100, offset: 0 });
  const ofListeners = sessions.filter(({ created_by }) => created_by === null);
  for (const { session_id: id } of ofListeners) {
    const { session } = await made.storage.getSession({ sessionId: id });
    assert.ok(session?.status === 'deleted' || session?.status === 'failed', `${id} is ${session?.status}`);
  }
  for (const call of made.calls) {
    const { session } = await made.storage.getSession({ sessionId: call.split(' ')[1] ?? '' });
    assert.ok(session, `${call}: of a session that is not there`);
  }
  const unfinished = made.deps();
  assert.deepEqual(await unfinished.journal.listUnfinished(), []);
  await unfinished.journal.dispose();
  await unfinished.queue.dispose();
  if (route.kind !== 'token') return;
  const again = await made.connect(route);
  assert.ok(again.admitted, `the same .rdp file: ${JSON.stringify(again)}`);
  assert.equal((await made.storage.getRecords({ sessionId: 's1', kind: 'open' })).records.length, 1);
  await made.record('s1');
  await made.until('s1', 'completed');
}

async function tryOnce(
  route: Route,
  admitCalls: number,
  mendCalls: number,
): Promise<{ died: boolean; again: boolean }> {
  const made = await world();
  try {
    await made.pipeline.create({
      session: sampleSession('s1', { created_by: 'alice' }),
      routeTokenSha256: tokenSha256(token),
    });
    const died = await admitUntil(made, route, admitCalls);
    const again = await mendUntil(made, mendCalls);
    if (again) await mendUntil(made, never);
    await assertNothingLeft(made, route);
    return { died, again };
  } finally {
    await made.dispose();
  }
}

for (const [name, route] of Object.entries(routes)) {
  test(`${name}: a crash at every step of admit leaves nothing behind`, async () => {
    let steps = 0;
    while ((await tryOnce(route, steps, never)).died) steps += 1;
    assert.ok(steps >= 10, `${steps} steps`);
  });

  test(`${name}: so does one at every step of what takes an admission back`, async () => {
    let steps = 0;
    while ((await tryOnce(route, never, steps)).again) steps += 1;
    assert.ok(steps >= 10, `${steps} steps`);
  });
}
