import assert from 'node:assert/strict';
import { test } from 'node:test';
import { basePath, type LiveFrames, LucidError } from '@lucid-sessions/contract';
import { FrameWriter, frameKinds, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { eventually } from '@lucid-sessions/testkit';
import { goodPassword, TestBrowser } from './people-world.ts';
import { type ApiWorld, apiWorld, token } from './world.ts';

/** More in a few answers than sockets hold between them. */
const frameBytes = 1_000_000;

function framesOf(body: Uint8Array): Uint8Array {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  writer.append(frameKinds.pdu, 1, 0, 0, body);
  return writer.payload({ firstFrameNumber: 0, openedUs: 0 }).subarray(PAYLOAD_HEADER_BYTES);
}

interface LiveWorld {
  world: ApiWorld;
  /** Answers given to viewers so far. */
  asked(): number;
  watch(user: string): Promise<Response>;
  watchAs(headers: Record<string, string>): Promise<Response>;
  clock: { aheadUs: number };
}

/** A session without end. */
async function endless(limits: { viewersMax: number; viewersPerUserMax: number; stallMs: number }): Promise<LiveWorld> {
  const frames = framesOf(new Uint8Array(frameBytes));
  let asked = 0;
  const clock = { aheadUs: 0 };
  const liveFrames = async ({ afterFrame }: { afterFrame: number }): Promise<LiveFrames> => {
    asked += 1;
    return { state: 'recording', chunkIndex: 0, firstFrame: afterFrame, framesCount: 1, frames };
  };
  const health = async () => ({ service: 'recorder', status: 'healthy', message: null, details: {} }) as const;
  const world = await apiWorld(
    {},
    {
      liveLimits: limits,
      nowUs: () => Date.now() * 1000 + clock.aheadUs,
      recorder: {
        liveFrames,
        health,
        judgeTarget: async () => ({ open: true }),
        checkTarget: async () => ({ message: 'no', address: null, certificate: null }),
        importCapture: async () => ({ session: null as never }),
      },
    },
  );
  const id = await world.record();
  const watchAs = (headers: Record<string, string>) =>
    fetch(`${world.address}${basePath}/sessions/${id}/live`, { headers });
  return {
    ...{ world, watchAs, clock },
    asked: () => asked,
    watch: async (user) => watchAs({ authorization: `Bearer ${await token(['admin'], { user_id: user })}` }),
  };
}

const refusal = async (answer: Response): Promise<unknown> => {
  const { error } = (await answer.json()) as { error: { code: string; details: unknown } };
  return [answer.status, error.code, error.details];
};

test('a viewer who takes nothing is cut off and gives up the place; until then nobody is asked for more', async (t) => {
  const { world, asked, watch } = await endless({ viewersMax: 9, viewersPerUserMax: 1, stallMs: 300 });
  t.after(() => world.dispose());
  const stalled = await watch('ada');
  assert.equal(stalled.status, 200);
  const second = await eventually('the place of the stalled viewer', async () => {
    const answer = await watch('ada');
    if (answer.status === 200) return answer;
    await answer.body?.cancel();
    return false;
  });
  // What the sockets between hold is all that was read ahead.
  assert.ok(asked() < 60, `${asked()} answers for two viewers who read nothing`);
  await assert.rejects(stalled.arrayBuffer(), 'the stream of the first is broken off');
  await second.body?.cancel();
});

test('places are counted for each user and for all, refused with the limits, and given back', async (t) => {
  const limits = { viewersMax: 3, viewersPerUserMax: 2, stallMs: 60_000 };
  const { world, watch } = await endless(limits);
  t.after(() => world.dispose());
  const refused = [
    503,
    new LucidError('unavailable', '').code,
    { viewers_max: limits.viewersMax, viewers_per_user_max: limits.viewersPerUserMax },
  ];
  const mine = [await watch('ada'), await watch('ada')];
  assert.deepEqual(await refusal(await watch('ada')), refused);
  const other = await watch('bob');
  assert.equal(other.status, 200);
  assert.deepEqual(await refusal(await watch('eve')), refused);
  for (const answer of mine) await answer.body?.cancel();
  const again = await eventually('a place that was given back', async () => {
    const answer = await watch('eve');
    if (answer.status === 200) return answer;
    await answer.body?.cancel();
    return false;
  });
  await again.body?.cancel();
  await other.body?.cancel();
});

test('a live view ends with what lets its viewer in', async (t) => {
  const { world, watchAs, clock } = await endless({ viewersMax: 9, viewersPerUserMax: 9, stallMs: 60_000 });
  t.after(() => world.dispose());
  const params = { user_id: 'vera' };
  await world.call('createUser', { body: { user_id: 'vera', roles: ['session_manager'] } });
  const { token: invite } = (await world.call('inviteUser', { params, body: {} })).body;
  const browser = new TestBrowser(world);
  await browser.call('redeemInvite', { body: { token: invite, password: goodPassword } });
  const made = await browser.call('createToken', { body: { name: 'ci', days: 1 } });
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const views = [await watchAs({ cookie }), await watchAs({ authorization: `Bearer ${made.body.token}` })];
  assert.deepEqual(
    views.map(({ status }) => status),
    [200, 200],
  );
  const readers = views.map(({ body }) => body!.getReader());
  for (const reader of readers) {
    clock.aheadUs += 5_000_000;
    for (let left = 20; left > 0; left--) assert.equal((await reader.read()).done, false);
  }
  await world.call('updateUser', { params, body: { disabled: true } });
  clock.aheadUs += 5_000_000;
  for (const reader of readers) for (let left = 1000; !(await reader.read()).done; left--) assert.ok(left > 0);
});
