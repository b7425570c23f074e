/** An H.264 stream put aside at any picture and taken up by another decoder: every later picture is the same. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import {
  avc420BitmapStream,
  GraphicsPipeline,
  type GraphicsPipelineSnapshot,
  gfxCodecId,
  Screen,
  type ScreenSnapshot,
} from '@lucid-sessions/rdp/graphics';
import { gfxMessage, H264Encoder, pdu, rect } from '@lucid-sessions/testkit/graphics-encoders';
import { encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { createFfmpegH264Decoder } from '../src/index.ts';

const installed = spawnSync('ffmpeg', ['-version']).status === 0;
const needsFfmpeg = { skip: installed ? false : 'ffmpeg is not installed: run .ci/install-peers' };

const pictureTimeoutMs = 5000;

interface Desktop {
  screen: Screen;
  pipeline: GraphicsPipeline;
}

function emptyDesktop(): Desktop {
  const screen = new Screen();
  return {
    screen,
    pipeline: new GraphicsPipeline({ screen, createH264Decoder: () => createFfmpegH264Decoder({ pictureTimeoutMs }) }),
  };
}

function open(width: number, height: number): Desktop {
  const desktop = emptyDesktop();
  void desktop.pipeline.process(
    gfxMessage(
      pdu('resetGraphics', { width, height, monitors: [], pad: new Uint8Array(320) }),
      pdu('createSurface', { surfaceId: 1, width, height, pixelFormat: 0x20 }),
      pdu('mapSurfaceToOutput', { surfaceId: 1, reserved: 0, outputOriginX: 0, outputOriginY: 0 }),
    ),
  );
  return desktop;
}

function message(width: number, height: number, unit: Uint8Array): Uint8Array {
  const area = rect(0, 0, width, height);
  const stream = {
    regionRects: [area],
    quantQualityVals: [{ qpVal: 20, qualityVal: 100 }],
    avc420EncodedBitstream: unit,
  };
  return gfxMessage(
    pdu('wireToSurface1', {
      surfaceId: 1,
      codecId: gfxCodecId.avc420,
      pixelFormat: 0x20,
      destRect: area,
      bitmapData: encode(avc420BitmapStream, stream),
    }),
  );
}

interface State {
  pipeline: GraphicsPipelineSnapshot;
  screen: ScreenSnapshot;
}

/** Draws `units`, and again from every `every`-th picture on with a decoder that knows nothing of what came before. */
async function assertResumes(width: number, height: number, units: readonly Uint8Array[], every: number) {
  const straight = open(width, height);
  const pictures: Uint8ClampedArray[] = [];
  const states = new Map<number, State>();
  const resumed: { from: number; desktop: Desktop }[] = [];
  try {
    for (const [i, unit] of units.entries()) {
      await straight.pipeline.process(message(width, height, unit));
      pictures.push(straight.screen.pixels.data.slice());
      if (i % every !== 0) continue;
      const pipeline = straight.pipeline.snapshot();
      assert.ok(pipeline, `a state after picture ${i}`);
      states.set(i, structuredClone({ pipeline, screen: straight.screen.snapshot() }));
    }
    assert.deepEqual([...straight.screen.unsupported], []);
    for (const [from, { pipeline, screen }] of states) {
      const desktop = emptyDesktop();
      resumed.push({ from, desktop });
      desktop.screen.restore(screen);
      desktop.pipeline.restore(pipeline);
      for (let i = from + 1; i < units.length; i += 1) {
        await desktop.pipeline.process(message(width, height, units[i]!));
        assert.deepEqual(desktop.screen.pixels.data, pictures[i], `picture ${i}, gone on from ${from}`);
        // Put aside again on the way, it is the state the straight one had there.
        const state = states.get(i);
        if (state) assert.deepEqual(desktop.pipeline.snapshot(), state.pipeline);
      }
      desktop.pipeline.close();
    }
  } finally {
    straight.pipeline.close();
    for (const { desktop } of resumed) desktop.pipeline.close();
  }
}

const choices = fc.array(
  fc.record({
    idr: fc.nat(19).map((value) => value === 0),
    reference: fc.nat(5).map((value) => value > 0),
    copied: fc.nat(16),
    changes: fc.array(fc.record({ block: fc.nat(99), value: fc.nat(255) }), { maxLength: 2 }),
    operations: fc.array(fc.record({ code: fc.constantFrom(1, 2, 3, 3, 4, 6), which: fc.nat(16) }), { maxLength: 2 }),
  }),
  { minLength: 25, maxLength: 40 },
);
const formats = fc.record({
  widthInMbs: fc.integer({ min: 1, max: 3 }),
  heightInMbs: fc.integer({ min: 2, max: 3 }),
  frameNumBits: fc.constantFrom(4, 5, 16),
  pictureOrderType: fc.constantFrom(0, 2),
  references: fc.integer({ min: 1, max: 5 }),
  slices: fc.integer({ min: 1, max: 2 }),
});

test('whatever is referred to, marked and dropped, a stream goes on from any picture', needsFfmpeg, async () => {
  await fc.assert(
    fc.asyncProperty(formats, choices, async (format, pictures) => {
      const encoder = new H264Encoder(format);
      const units = pictures.map((choice, i) => {
        // Long-term references have to be allowed before there can be any.
        const allowed = i % 10 === 1 ? [{ code: 4, which: format.references }] : [];
        return encoder.encode({
          ...choice,
          idr: i === 0 || choice.idr,
          operations: [...allowed, ...choice.operations],
        });
      });
      await assertResumes(format.widthInMbs * 16, format.heightInMbs * 16, units, 9);
    }),
    { numRuns: 8, endOnFailure: true },
  );
});
