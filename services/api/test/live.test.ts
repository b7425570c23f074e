import assert from 'node:assert/strict';
import { test } from 'node:test';
import { basePath, type LiveFrames, LucidError } from '@lucid-sessions/contract';
import { FrameWriter, frameKinds, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { eventually } from '@lucid-sessions/testkit';
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
}

/** A session without end. */
async function endless(limits: { viewersMax: number; viewersPerUserMax: number; stallMs: number }): Promise<LiveWorld> {
  const frames = framesOf(new Uint8Array(frameBytes));
  let asked = 0;
  const liveFrames = async ({ afterFrame }: { afterFrame: number }): Promise<LiveFrames> => {
    asked += 1;
    return { state: 'recording', chunkIndex: 0, firstFrame: afterFrame, framesCount: 1, frames };
  };
  const health = async () => ({ service: 'recorder', status: 'healthy', message: null, details: {} }) as const;
  const world = await apiWorld(
    {},
    {
      liveLimits: limits,
      recorder: {
        liveFrames,
        health,
        judgeTarget: async () => ({ open: true }),
        importCapture: async () => ({ session: null as never }),
      },
    },
  );
  const id = await world.record();
  return {
    world,
    asked: () => asked,
    watch: async (user) =>
      fetch(`${world.address}${basePath}/sessions/${id}/live`, {
        headers: { authorization: `Bearer ${await token(['admin'], { user_id: user })}` },
      }),
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
