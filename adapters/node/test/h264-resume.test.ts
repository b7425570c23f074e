/** An H.264 stream whose state is saved at any picture and restored into another decoder: every later picture is the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  avc420BitmapStream,
  type GfxPdu,
  GraphicsPipeline,
  type GraphicsPipelineSnapshot,
  gfxCodecId,
  type H264Decoder,
  type Rectangle,
  Screen,
  type ScreenSnapshot,
  type YuvFrame,
} from '@lucid-sessions/graphics';
import { skipUnlessPeers } from '@lucid-sessions/testkit';
import { gfxMessage, H264Encoder, pdu, rect } from '@lucid-sessions/testkit/graphics-encoders';
import { encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { createFfmpegH264Decoder } from '../src/index.ts';

const pictureTimeoutMs = 5000;

interface Desktop {
  screen: Screen;
  pipeline: GraphicsPipeline;
}

function emptyDesktop(): Desktop {
  const screen = new Screen();
  const createH264Decoder = () => onlyWanted(createFfmpegH264Decoder({ pictureTimeoutMs }));
  return { screen, pipeline: new GraphicsPipeline({ screen, createH264Decoder }) };
}

/** A decoder that takes its caller at their word: where no samples are wanted there are none. */
function onlyWanted(decoder: H264Decoder): H264Decoder {
  return {
    decode: (unit) => decoder.decode(unit),
    decodeRun: (units, wanted, take) =>
      decoder.decodeRun!(units, wanted, (index, frame) => take(index, frame && blotted(frame, wanted(index)))),
    close: () => decoder.close(),
  };
}

function blotted(frame: YuvFrame, wanted: Rectangle | null): YuvFrame {
  const plane = (source: Uint8Array, stride: number, shift: number): Uint8Array => {
    const samples = new Uint8Array(source.length).fill(99);
    if (wanted === null) return samples;
    const left = wanted.left >> shift;
    const right = Math.min(stride, (wanted.left + wanted.width + shift) >> shift);
    const bottom = Math.min(source.length / stride, (wanted.top + wanted.height + shift) >> shift);
    for (let row = wanted.top >> shift; row < bottom; row += 1)
      samples.set(source.subarray(row * stride + left, row * stride + right), row * stride + left);
    return samples;
  };
  const { strideY, strideUv } = frame;
  return { ...frame, y: plane(frame.y, strideY, 0), u: plane(frame.u, strideUv, 1), v: plane(frame.v, strideUv, 1) };
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

type Regions = ReturnType<typeof rect>[];

function picture(unit: Uint8Array, regionRects: Regions): GfxPdu {
  const quantQualityVals = regionRects.map(() => ({ qpVal: 20, qualityVal: 100 }));
  return pdu('wireToSurface1', {
    surfaceId: 1,
    codecId: gfxCodecId.avc420,
    pixelFormat: 0x20,
    destRect: rect(0, 0, 1, 1),
    bitmapData: encode(avc420BitmapStream, { regionRects, quantQualityVals, avc420EncodedBitstream: unit }),
  });
}

const message = (width: number, height: number, unit: Uint8Array): Uint8Array =>
  gfxMessage(picture(unit, [rect(0, 0, width, height)]));

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
        // Saved again on the way, it is the state the uninterrupted stream had there.
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

test('whatever is referred to, marked and dropped, a stream goes on from any picture', async (t) => {
  if (skipUnlessPeers(t, 'ffmpeg')) return;
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

const side = 48;
const regionList = fc.array(
  fc
    .tuple(fc.nat(side - 1), fc.nat(side - 1), fc.integer({ min: 1, max: side }), fc.integer({ min: 1, max: side }))
    .map(([left, top, width, height]) => rect(left, top, Math.min(side, left + width), Math.min(side, top + height))),
  { minLength: 1, maxLength: 3 },
);
/** What a server sends, and whether somebody looks at the screen behind it. */
const steps = fc.array(
  fc.record({
    what: fc.constantFrom('picture', 'picture', 'picture', 'picture', 'startFrame', 'endFrame', 'solidFill', 'copy'),
    idr: fc.nat(19).map((value) => value === 0),
    changes: fc.array(fc.record({ block: fc.nat(8), value: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
    regions: regionList,
    looks: fc.nat(7).map((value) => value === 0),
  }),
  { minLength: 60, maxLength: 120 },
);

test('pictures decoded together leave the screen that pictures decoded one by one leave', async (t) => {
  if (skipUnlessPeers(t, 'ffmpeg')) return;
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 3 }), async (sent, references) => {
      const format = { widthInMbs: 3, heightInMbs: 3, frameNumBits: 4, pictureOrderType: 2, references, slices: 1 };
      const encoder = new H264Encoder(format);
      const [straight, later] = [open(side, side), open(side, side)];
      let first = true;
      const commandOf = ({ what, idr, changes, regions }: (typeof sent)[number]): GfxPdu => {
        if (what === 'startFrame') return pdu('startFrame', { timestamp: 0, frameId: 1 });
        if (what === 'endFrame') return pdu('endFrame', { frameId: 1 });
        const fillPixel = { b: 1, g: changes[0]!.value, r: 3, xa: 255 };
        if (what === 'solidFill') return pdu('solidFill', { surfaceId: 1, fillPixel, fillRects: regions });
        const destPts = [{ x: 5, y: 9 }];
        if (what === 'copy')
          return pdu('surfaceToSurface', { surfaceIdSrc: 1, surfaceIdDest: 1, rectSrc: regions[0]!, destPts });
        const unit = encoder.encode({ idr: first || idr, reference: true, copied: 0, changes, operations: [] });
        first = false;
        return picture(unit, regions);
      };
      try {
        for (const [at, step] of sent.entries()) {
          const bytes = gfxMessage(commandOf(step));
          await straight.pipeline.process(bytes);
          await later.pipeline.process(bytes, true);
          if (!step.looks && at < sent.length - 1) continue;
          await later.pipeline.settle();
          assert.deepEqual(later.screen.pixels.data, straight.screen.pixels.data, `behind step ${at}`);
          assert.deepEqual(later.pipeline.snapshot(), straight.pipeline.snapshot());
        }
        assert.equal(later.screen.framesCount, straight.screen.framesCount);
        assert.deepEqual([...later.screen.unsupported], []);
      } finally {
        straight.pipeline.close();
        later.pipeline.close();
      }
    }),
    { numRuns: 12, endOnFailure: true },
  );
});

test('a stream changes its size in the middle of a run', async (t) => {
  if (skipUnlessPeers(t, 'ffmpeg')) return;
  const units = [2, 3].flatMap((widthInMbs) => {
    const format = { heightInMbs: 2, frameNumBits: 4, pictureOrderType: 2, references: 1, slices: 1 };
    const encoder = new H264Encoder({ ...format, widthInMbs });
    return [true, false, false].map((idr) =>
      encoder.encode({ idr, reference: true, copied: 0, changes: [], operations: [] }),
    );
  });
  const decoder = createFfmpegH264Decoder({ pictureTimeoutMs });
  const widths: (number | undefined)[] = [];
  try {
    await decoder.decodeRun!(
      units,
      () => null,
      (index, frame) => {
        widths[index] = frame?.width;
      },
    );
  } finally {
    decoder.close();
  }
  assert.deepEqual(widths, [32, 32, 32, 48, 48, 48]);
});
