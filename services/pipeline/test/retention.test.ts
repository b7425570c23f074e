/** When a recording's time is over, and that a wrong clock does not end it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retentionDaysMax } from '@lucid-sessions/contract';
import type { JobQueue } from '@lucid-sessions/pipeline';
import { type World, world } from './world.ts';

const hourUs = 3_600_000_000;
const dayUs = 24 * hourUs;

const check = (what: string, work: (world: World) => Promise<void>) =>
  test(what, async () => {
    const made = await world();
    try {
      await made.admit('s1');
      await made.record('s1');
      await made.until('s1', 'completed');
      await work(made);
    } finally {
      await made.dispose();
    }
  });

async function keepFor(made: World, days: number | null): Promise<void> {
  const session = (await made.storage.getSession({ sessionId: 's1' })).session!;
  const { replaced } = await made.storage.replaceSession({
    session: {
      ...session,
      version: session.version + 1,
      storage_config: { ...session.storage_config, retention_days: days },
    },
    expectedVersion: session.version,
  });
  assert.ok(replaced);
}

/** Time passes, and the retention is looked at. Answers the session's status then. */
async function after(made: World, us: number): Promise<string | undefined> {
  made.clock.us += us;
  await made.restart();
  const { queue, journal } = made.deps();
  await journal.dispose();
  try {
    return await looked(made, queue);
  } finally {
    await queue.dispose();
  }
}

async function looked(made: World, queue: JobQueue): Promise<string | undefined> {
  for (let left = 500; left > 0; left--) {
    const { session } = await made.storage.getSession({ sessionId: 's1' });
    const job = (await queue.listFor('s1')).find(({ kind }) => kind === 'retention');
    if (session?.status === 'deleted' || (job?.state === 'waiting' && job.runAtUs > made.clock.us))
      return session?.status;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('the retention was not looked at');
}

check('a recording expires when its days are over, also when they were changed meanwhile', async (made) => {
  assert.equal(await after(made, dayUs), 'completed');
  await keepFor(made, 3);
  assert.equal(await after(made, dayUs), 'completed');
  assert.equal(await after(made, dayUs), 'completed', 'what is due is looked at twice');
  assert.equal(await after(made, hourUs), 'deleted');
  for (let left = 500; left > 0; left--) {
    const { records } = await made.storage.getRecords({ sessionId: 's1', kind: 'erase' });
    if (/"reason":"retention_expired"/.test(new TextDecoder().decode(records[0]?.record))) break;
    assert.ok(left > 1, 'the erase record says why');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const [event] = (await made.storage.listAudit({ eventType: 'retention_expired', limit: 5, offset: 0 })).events;
  assert.deepEqual([event?.resourceId, event?.details.retention_days, event?.success], ['s1', 3, true]);
});

check('without a limit it is kept, whatever time it is', async (made) => {
  await keepFor(made, null);
  for (const us of [dayUs, 365 * dayUs, 200 * 365 * dayUs]) assert.equal(await after(made, us), 'completed');
  await keepFor(made, 1);
  assert.equal(await after(made, dayUs), 'completed');
  assert.equal(await after(made, hourUs), 'deleted');
});

check('a hundred years are a hundred years', async (made) => {
  await keepFor(made, retentionDaysMax);
  assert.equal(await after(made, retentionDaysMax * dayUs - dayUs), 'completed');
  assert.equal(await after(made, 2 * dayUs), 'completed');
  assert.equal(await after(made, hourUs), 'deleted');
});

check('a clock that was years ahead for a moment ends nothing, and is forgotten', async (made) => {
  await keepFor(made, 30);
  const years = 70 * 365 * dayUs;
  assert.equal(await after(made, years), 'completed');
  assert.equal(await after(made, -years), 'completed', 'looked at again although the wait lay far ahead');
  assert.equal(await after(made, 29 * dayUs), 'completed');
  assert.equal(await after(made, 2 * dayUs), 'completed');
  assert.equal(await after(made, hourUs), 'deleted');
});

check('a clock that is set back keeps recordings longer, never shorter', async (made) => {
  await keepFor(made, 1);
  assert.equal(await after(made, -10 * dayUs), 'completed');
  assert.equal(await after(made, 11 * dayUs), 'completed');
});

check('a listener says what its targets may negotiate, else the installation does', async (made) => {
  await made.restart({ leaveIn: ['udp'], bulkCompression: false, channels: { drives: false, clipboard: 'out' } });
  for (const [given, leaveIn, bulkCompression] of [
    [{}, ['udp'], false],
    [{ leaveIn: [], bulkCompression: true }, [], true],
    [{ leaveIn: ['graphics', 'bitmap_cache'], channels: { drives: true } }, ['graphics', 'bitmap_cache'], false],
  ] as const) {
    const admission = await made.connect({ kind: 'listener', target: 'desk', ...given });
    assert.ok(admission.admitted);
    assert.deepEqual(admission.ticket.target.leaveIn, leaveIn);
    assert.equal(admission.ticket.target.bulkCompression, bulkCompression);
    const drives = 'channels' in given;
    assert.deepEqual(admission.ticket.target.channels, { drives, clipboard: 'out' }, 'rule by rule');
    const { session } = await made.storage.getSession({ sessionId: admission.ticket.sessionId });
    assert.deepEqual(session?.rdp_config.leave_in, (given as { leaveIn?: string[] }).leaveIn);
  }
});

check('a listener says how long its sessions are kept, else the installation does', async (made) => {
  await made.restart({ retentionDaysDefault: 60 });
  for (const [given, kept] of [
    [{}, 60],
    [{ retentionDays: 7 }, 7],
    [{ retentionDays: null }, null],
  ] as const) {
    const route = { kind: 'listener', target: 'desk', ...given } as const;
    const admission = await made.connect(route);
    assert.ok(admission.admitted);
    const { session } = await made.storage.getSession({ sessionId: admission.ticket.sessionId });
    assert.equal(session?.storage_config.retention_days, kept);
  }
});
