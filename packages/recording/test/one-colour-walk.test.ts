/** A session that was worked on behind a black screen is drawn without a fault: how long it showed nothing is told. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { captureFrames, readCapture } from '@lucid-sessions/testkit';
import { Writer } from '@lucid-sessions/wire';
import { type Frame, frameFlags, frameKinds } from '../src/index.ts';
import { ReplayWalk, replayStateOf } from '../src/replay/index.ts';

const captures = join(import.meta.dirname, '../../../testkit/captures');
const side = { width: 1024, height: 768 };
/** MEGA_MEGA_COLOR_RUN, [MS-RDPBCGR] 2.2.9.1.1.3.1.2.4. */
const COLOUR_RUN = 0xf3;
const RUN_MAX = 0xffff;

/** Fast-path bitmap update of 16 bpp: the whole screen in one colour. */
function painted(colour: number, timeUs: number): Frame {
  const runs = new Writer();
  for (let left = side.width * side.height; left > 0; left -= RUN_MAX)
    runs.u8(COLOUR_RUN).u16le(Math.min(left, RUN_MAX)).u16le(colour);
  const data = runs.bytes();
  const place = new Writer()
    .u16le(0)
    .u16le(0)
    .u16le(side.width - 1)
    .u16le(side.height - 1);
  const head = place.u16le(side.width).u16le(side.height).u16le(16).u16le(0x401).u16le(data.length).slice(data);
  const update = new Writer().u16le(1).u16le(1).slice(head.bytes()).bytes();
  const body = new Writer().u8(1).u16le(update.length).slice(update).bytes();
  const pdu = new Writer()
    .u8(0)
    .u16be(0x8000 | (body.length + 3))
    .slice(body)
    .bytes();
  return {
    kind: frameKinds.pdu,
    flags: frameFlags.serverToClient | frameFlags.fastPath,
    channelId: 0,
    timeUs,
    body: pdu,
  };
}

async function walked(frames: readonly Frame[]) {
  const walk = new ReplayWalk(() => assert.fail('there is no H.264 in it'));
  await walk.chunk(frames);
  const tally = await walk.end();
  walk.close();
  return tally;
}

test('a screen lit once and black for the rest is drawn, and says for how long it showed nothing', async () => {
  const capture = readCapture(join(captures, 'xorg-bpp16-nocomp.rdpcap.gz'));
  const frames = captureFrames(capture).map((frame) => ({ ...frame, channelId: 0 })) as Frame[];
  const honest = await walked(frames);
  assert.equal(replayStateOf(honest), 'drawn');
  assert.deepEqual([honest.oneColour.seconds, honest.oneColour.longest], [0, null]);
  const begins = Math.ceil(frames.at(-1)!.timeUs / 1e6);
  const second = (at: number): number => (begins + at) * 1e6 + 100_000;
  const black = Array.from({ length: 20 }, (_, at) => painted(0, second(at)));
  // Somebody types where nothing is drawn any more; then nobody is there.
  const typed = [20, 21].map(
    (at): Frame => ({
      kind: frameKinds.pdu,
      flags: frameFlags.inputs,
      channelId: 0,
      timeUs: second(at),
      body: new Uint8Array(4),
    }),
  );
  const later = painted(0x1234, second(100));
  const dark = await walked([...frames, ...black, ...typed, later]);
  assert.equal(replayStateOf(dark), 'drawn');
  assert.deepEqual(dark.notDrawn, honest.notDrawn);
  assert.deepEqual(dark.oneColour.longest, { fromUs: begins * 1e6, untilUs: (begins + 100) * 1e6, seconds: 22 });
  assert.equal(dark.oneColour.seconds, 22);
});
