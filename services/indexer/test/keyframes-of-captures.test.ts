/** Keyframes of whole captures: each has to be the state that decoding from the beginning gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { createFfmpegH264Decoder } from '@lucid-sessions/node';
import { type Frame, frameFlags } from '@lucid-sessions/recording';
import { keyframeHead } from '@lucid-sessions/recording/session-index';
import { skipUnlessPeers } from '@lucid-sessions/testkit';
import { complete, indexesOf, Shelf } from './support/shelf.ts';

async function draw(decoder: SessionDecoder, frames: readonly Frame[]): Promise<void> {
  for (const { flags, body } of frames)
    await decoder.push({ fromServer: (flags & frameFlags.serverToClient) !== 0, bytes: body });
}

const withH264 = () => new SessionDecoder({ createH264Decoder: () => createFfmpegH264Decoder() });

for (const [capture, seconds, ...peers] of [
  ['gnome-type-gfx-default', 400],
  ['xorg-rfx-lan', 500],
  ['xorg-bpp32-nocomp', 120],
  // AVC420, and both views of AVC444v2; their streams begin anew with every turn of the loop.
  // The first's state holds what its login screen left in the bulk compressor: 3 MB have to be stored to pay for one.
  ['shadow-gfx-avc420', 130, 'ffmpeg'],
  ['shadow-default', 25, 'ffmpeg'],
] as const)
  test(`every keyframe of ${capture} is the state that decoding from the beginning gives`, async (t) => {
    if (peers.length > 0 && skipUnlessPeers(t, ...peers)) return;
    const shelf = await Shelf.of(capture, seconds);
    const indexes = indexesOf(shelf);
    t.after(() => indexes.dispose());
    const { keyframes, keyframeBytes, storedBytes, replay } = await complete(indexes, shelf);
    assert.deepEqual([replay.chunks, replay.lit, replay.ended], [shelf.shown, true, null]);
    assert.ok(keyframes.length >= 3, `${keyframes.length} keyframes`);
    // Those of the last one are so small that none has a base.
    assert.ok(capture === 'shadow-default' || keyframes.some(({ base }) => base !== 0));
    assert.ok(keyframeBytes <= storedBytes * 0.08, `${keyframeBytes} of ${storedBytes}`);
    // Paid from what is stored behind it: its own beginning could not.
    if (capture === 'shadow-gfx-avc420') assert.ok(keyframes[0]!.timeUs < 20e6, `the first at ${keyframes[0]!.timeUs}`);

    const straight = withH264();
    const left = [...keyframes];
    const resumed = withH264();
    t.after(() => {
      straight.close();
      resumed.close();
    });
    /** States that are whole only once the next frames, up to their time, were decoded. */
    let bare = 0;
    for (const [chunkIndex, frames] of shelf.frames.entries()) {
      let from = 0;
      for (; left[0]?.chunkIndex === chunkIndex; from = left.shift()!.frameIndex) {
        const keyframe = left[0];
        await draw(straight, frames.slice(from, keyframe.frameIndex));
        const state = await shelf.state(keyframe);
        const { timeUs } = keyframeHead(await shelf.plain(keyframe.number));
        resumed.restore(state);
        if (timeUs === (frames[keyframe.frameIndex - 1]?.timeUs ?? 0))
          assert.deepEqual(state.screen.pixels.data, straight.screen.pixels.data);
        else {
          bare += 1;
          const [one, other] = [straight, resumed].map((decoder) => decoder.snapshot('lean'));
          // Its picture may come in the next chunk.
          const behind = [...frames.slice(keyframe.frameIndex), ...(shelf.frames[chunkIndex + 1] ?? [])];
          const rest = behind.filter((frame) => frame.timeUs <= timeUs);
          await draw(straight, rest);
          await draw(resumed, rest);
          assert.deepEqual(resumed.screen.pixels.data, straight.screen.pixels.data);
          straight.restore(one!);
          resumed.restore(other!);
        }
      }
      await draw(straight, frames.slice(from));
      if (from > 0) await draw(resumed, frames.slice(from));
      if (from > 0) assert.deepEqual(resumed.screen.pixels.data, straight.screen.pixels.data);
    }
    assert.equal(left.length, 0);
    assert.equal(bare > 0, peers.length > 0);
    // A loop repeats what was compressed against its own past, such as pointers here.
    const graphics = [...straight.screen.unsupported].filter(([kind]) => kind.startsWith('gfx') || peers.length === 0);
    assert.deepEqual(graphics, []);
  });
