/** Watching a session through the whole product while somebody works in it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { type Frame, frameFlags, readPayload, readPayloadHeader } from '@lucid-sessions/recording';
import { eventually } from '@lucid-sessions/testkit';
import { armSession, type Gateway, readRecording, sessionIn, startGateway } from './support/gateway.ts';

interface Watched {
  frames: Frame[];
  /** Number in the session of each frame. */
  numbers: number[];
  chunkIndexes: Set<number>;
  /** Settled when the stream has ended. */
  ended: Promise<void>;
}

/** Reads the live stream into `frames` until it ends. */
async function watch({ api }: Pick<Gateway, 'api'>, id: string, afterFrame: number, inputs = true): Promise<Watched> {
  const response = await api.send('GET', `/sessions/${id}/live?after_frame=${afterFrame}&inputs=${inputs}`);
  assert.equal(response.headers.get('content-type'), 'application/octet-stream');
  const watched = { frames: [] as Frame[], numbers: [] as number[], chunkIndexes: new Set<number>() };
  const read = async (): Promise<void> => {
    let pending = new Uint8Array(0);
    for await (const piece of response.body ?? []) {
      const bytes = Buffer.concat([pending, piece]);
      let at = 0;
      while (at + 8 <= bytes.length && at + 8 + bytes.readUInt32BE(at + 4) <= bytes.length) {
        const end = at + 8 + bytes.readUInt32BE(at + 4);
        const payload = new Uint8Array(bytes.subarray(at + 8, end));
        const { firstFrameNumber } = readPayloadHeader(payload);
        const frames = [...readPayload(payload)];
        if (frames.length > 0) watched.chunkIndexes.add(bytes.readUInt32BE(at));
        for (const [i, frame] of frames.entries()) {
          watched.frames.push(frame);
          watched.numbers.push(firstFrameNumber + i);
        }
        at = end;
      }
      pending = new Uint8Array(bytes.subarray(at));
    }
    assert.equal(pending.length, 0, 'the stream ends between two blocks');
  };
  return { ...watched, ended: read() };
}

async function worldOf(t: TestContext, environment: Record<string, string> = {}) {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, environment);
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const client = await connectClient({ port: gateway.rdpPort, routingToken });
  return { desktop, gateway, id, client };
}

/** Watches from behind what is stored, however much that is by then. */
const watchBehindStored = (gateway: Gateway, id: string): Promise<Watched> =>
  eventually('a place behind the stored chunks', async () => {
    const stored = (await chunksOf(gateway, id)).reduce((sum, { frame_count }) => sum + frame_count, 0);
    return watch(gateway, id, stored).catch((error: Error) => {
      if (/read their chunks first/.test(error.message)) return false as const;
      throw error;
    });
  });

const chunksOf = async ({ api }: Gateway, id: string): Promise<{ frame_count: number }[]> =>
  (await api.json<{ chunks: { frame_count: number }[] }>('GET', `/sessions/${id}/chunks?limit=1000`)).chunks;

const bodies = (frames: readonly Frame[]): string[] =>
  frames.map(({ kind, flags, channelId, timeUs, body }) =>
    [kind, flags, channelId, timeUs, Buffer.from(body).toString('hex')].join(' '),
  );

test('a live stream holds every frame of the session, in order, across chunks, until it ends', async (t) => {
  const { gateway, id, client } = await worldOf(t);
  await client.type('before anybody watched\n');
  await client.settled();
  const watched = await watchBehindStored(gateway, id);
  // A pause closes the chunk.
  await gateway.api.json('POST', `/sessions/${id}/pause`, {});
  await gateway.api.json('POST', `/sessions/${id}/resume`, {});
  await eventually('frames of a second chunk', async () => {
    await client.type('typed while somebody watches\n');
    return watched.chunkIndexes.size > 1;
  });
  await client.settled();
  await client.close();
  await watched.ended;
  await sessionIn(gateway, id, 'completed');
  const recorded = await readRecording(gateway, id);
  const first = watched.numbers[0] ?? -1;
  assert.deepEqual(watched.numbers, [...recorded.keys()].slice(first));
  assert.deepEqual(bodies(watched.frames), bodies(recorded.slice(first)));
});

test('somebody who comes late goes on behind the stored chunks, and older frames are not in the stream', async (t) => {
  const { gateway, id, client } = await worldOf(t, { LUCID_CHUNK_AGE_MS: '400' });
  await client.type('first\n');
  const stored = await eventually('two stored chunks', async () => {
    const chunks = await chunksOf(gateway, id);
    return chunks.length >= 2 && chunks;
  });
  await eventually('the first chunk to leave the spool', async () => {
    const refused = await gateway.api.send('GET', `/sessions/${id}/live?after_frame=0`).then(
      async (answer) => void (await answer.body?.cancel()),
      (error: unknown) => error,
    );
    return refused !== undefined && /read their chunks first/.test(String(refused));
  });
  const afterFrame = stored.reduce((sum, { frame_count }) => sum + frame_count, 0);
  const watched = await watchBehindStored(gateway, id);
  await client.type('second\n');
  await client.settled();
  await client.close();
  await watched.ended;
  await sessionIn(gateway, id, 'completed');
  const recorded = await readRecording(gateway, id);
  const first = watched.numbers[0] ?? -1;
  assert.ok(first >= afterFrame);
  assert.deepEqual(bodies(watched.frames), bodies(recorded.slice(first)));
});

test('who watches is written down once, and only who may play the recording may watch', async (t) => {
  const { gateway, id, client } = await worldOf(t);
  const watched = await watch(gateway, id, 0);
  await client.type('seen\n');
  await client.settled();
  const delaysMs: number[] = [];
  for (let i = 0; i < 20; i += 1) {
    const before = watched.frames.length;
    const startMs = performance.now();
    await client.type('k');
    while (watched.frames.length === before) await new Promise((resolve) => setImmediate(resolve));
    delaysMs.push(performance.now() - startMs);
    await client.settled();
  }
  delaysMs.sort((a, b) => a - b);
  t.diagnostic(`key to live frame: median ${delaysMs[10]?.toFixed(0)} ms, longest ${delaysMs.at(-1)?.toFixed(0)} ms`);
  await client.close();
  await watched.ended;
  const { events } = await gateway.api.json<{ events: { resource_id: string; success: boolean }[] }>(
    'GET',
    '/audit?event_type=playback_started',
  );
  assert.deepEqual(
    events.map(({ resource_id, success }) => [resource_id, success]),
    [[id, true]],
  );
  const answer = await fetch(`${gateway.lucid.addresses.api}/api/v1/sessions/${id}/live`);
  assert.equal(answer.status, 401);
  await answer.body?.cancel();
  await sessionIn(gateway, id, 'completed');
  await assert.rejects(
    gateway.api.send('GET', `/sessions/${id}/live`),
    /the session is completed: nothing of it happens now \(LUCID_ERR_3004\)/,
  );
});

test('whoever did not ask for what is typed gets its frames zeroed, lengths kept', async (t) => {
  const { gateway, id, client } = await worldOf(t);
  await client.type('swordfish\n');
  await client.settled();
  const watched = await watch(gateway, id, 0, false);
  await client.close();
  await watched.ended;
  await sessionIn(gateway, id, 'completed');
  const recorded = await readRecording(gateway, id);
  let blanked = 0;
  for (const [i, { flags, body }] of watched.frames.entries()) {
    const whole = recorded[watched.numbers[i]!]!;
    assert.equal(body.length, whole.body.length);
    if ((flags & frameFlags.inputs) === 0) {
      assert.equal(Buffer.from(whole.body).equals(body), true);
      continue;
    }
    blanked += 1;
    assert.ok((flags & frameFlags.blanked) !== 0 && body.every((byte) => byte === 0));
  }
  assert.ok(blanked >= 'swordfish'.length);
});
