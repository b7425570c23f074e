import assert from 'node:assert/strict';
import { test } from 'node:test';
import { psnr } from '@lucid-sessions/testkit/capture-graphics';
import { gfxMessage, H264Encoder, pdu, rect, testPicture } from '@lucid-sessions/testkit/graphics-encoders';
import { DecodeError, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  avc420BitmapStream,
  avc444BitmapStream,
  ChromaVotes,
  createPixelBuffer,
  type GfxPdu,
  GraphicsPipeline,
  gfxCodecId,
  type H264Decoder,
  nalType,
  type PixelBuffer,
  picturesCount,
  readSequenceParameters,
  rgba,
  Screen,
  splitNals,
  type YuvFrame,
} from '../src/index.ts';
import { auxiliaryView, auxiliaryViewV2, mainView, toYuv444 } from './support/yuv-views.ts';

const red = rgba(255, 0, 0);
const black = rgba(0, 0, 0);

/** Stands for a decoder outside: an access unit is one byte, the index of the picture it gives. */
class ListedPictures implements H264Decoder {
  readonly frames: (YuvFrame | null | Error)[];
  readonly asked: number[] = [];
  readonly wait: boolean;
  closed = 0;

  constructor(frames: (YuvFrame | null | Error)[], wait = true) {
    this.frames = frames;
    this.wait = wait;
  }

  decode(accessUnit: Uint8Array): YuvFrame | null | Promise<YuvFrame | null> {
    this.asked.push(accessUnit[0]!);
    const frame = this.frames[accessUnit[0]!]!;
    if (frame instanceof Error) {
      if (!this.wait) throw frame;
      return Promise.reject(frame);
    }
    return this.wait ? new Promise((resolve) => setImmediate(() => resolve(frame))) : frame;
  }

  close(): void {
    this.closed += 1;
  }
}

function desktop(width: number, height: number, decoder: H264Decoder) {
  const screen = new Screen();
  const pipeline = new GraphicsPipeline({ screen, createH264Decoder: () => decoder });
  pipeline.process(
    gfxMessage(
      pdu('resetGraphics', { width, height, monitors: [], pad: new Uint8Array(320) }),
      pdu('createSurface', { surfaceId: 1, width, height, pixelFormat: 0x20 }),
      pdu('mapSurfaceToOutput', { surfaceId: 1, reserved: 0, outputOriginX: 0, outputOriginY: 0 }),
    ),
  );
  return { screen, pipeline };
}

function stream(index: number | null, ...regionRects: ReturnType<typeof rect>[]) {
  return {
    regionRects,
    quantQualityVals: regionRects.map(() => ({ qpVal: 20, qualityVal: 100 })),
    avc420EncodedBitstream: index === null ? new Uint8Array(0) : Uint8Array.of(index),
  };
}

function avc(codecId: number, bitmapData: Uint8Array, destRect = rect(0, 0, 16, 16)): GfxPdu {
  return pdu('wireToSurface1', { surfaceId: 1, codecId, pixelFormat: 0x20, destRect, bitmapData });
}

function avc420(index: number | null, ...regions: ReturnType<typeof rect>[]): GfxPdu {
  return avc(gfxCodecId.avc420, encode(avc420BitmapStream, stream(index, ...regions)));
}

function avc444(
  codecId: number,
  lc: number,
  first: ReturnType<typeof stream>,
  second: ReturnType<typeof stream> | null,
) {
  const value = { lc, avc420EncodedBitstream1: first, avc420EncodedBitstream2: second };
  return avc(codecId, encode(avc444BitmapStream, value));
}

function fill(word: number, area: ReturnType<typeof rect>): GfxPdu {
  return pdu('solidFill', { surfaceId: 1, fillPixel: { r: word & 0xff, g: 0, b: 0, xa: 255 }, fillRects: [area] });
}

for (const wait of [true, false]) {
  test(`AVC420 draws its regions, with a decoder that answers ${wait ? 'later' : 'at once'}`, async () => {
    const picture = testPicture(40, 24);
    const frame = mainView(toYuv444(picture, 48, 32), true);
    const { screen, pipeline } = desktop(40, 24, new ListedPictures([frame], wait));
    await pipeline.process(gfxMessage(avc420(0, rect(0, 0, 40, 8), rect(3, 8, 9, 999), rect(9, 9, 4, 4))));
    const shown = (x: number, y: number) => screen.pixels.words[y * 40 + x];
    assert.equal(shown(2, 8), black);
    assert.equal(shown(9, 20), black);
    assert.notEqual(shown(3, 23), black);
    await pipeline.process(gfxMessage(avc420(0, rect(0, 0, 40, 24))));
    assert.ok(psnr(screen.pixels, picture, [{ left: 30, top: 0, width: 10, height: 12 }]) > 25);
    assert.deepEqual([...screen.unsupported], []);
  });
}

test('YUV becomes RGB as in BT.709, full range', async () => {
  const size = 16 * 16;
  const plain = (y: number, u: number, v: number): YuvFrame => ({
    width: 16,
    height: 16,
    y: new Uint8Array(size).fill(y),
    u: new Uint8Array(size / 4).fill(u),
    v: new Uint8Array(size / 4).fill(v),
    strideY: 16,
    strideUv: 8,
  });
  const cases: [YuvFrame, number][] = [
    [plain(0, 128, 128), rgba(0, 0, 0)],
    [plain(255, 128, 128), rgba(255, 255, 255)],
    [plain(54, 99, 255), rgba(253, 0, 0)],
    [plain(128, 0, 128), rgba(128, 152, 0)],
    [plain(128, 128, 255), rgba(255, 68, 128)],
  ];
  const decoder = new ListedPictures(cases.map(([frame]) => frame));
  const { screen, pipeline } = desktop(16, 16, decoder);
  for (const [index, [, word]] of cases.entries()) {
    await pipeline.process(gfxMessage(avc420(index, rect(0, 0, 16, 16))));
    assert.equal(screen.pixels.words[5 * 16 + 5], word, `case ${index}`);
  }
});

for (const [name, codecId, auxiliary] of [
  ['AVC444', gfxCodecId.avc444, auxiliaryView],
  ['AVC444v2', gfxCodecId.avc444v2, auxiliaryViewV2],
] as const) {
  const picture = testPicture(60, 44);
  const yuv = toYuv444(picture, 64, 48);
  const all = rect(0, 0, 60, 44);

  test(`${name}: both views together give every pixel its own colour`, async () => {
    for (const filtered of [true, false]) {
      const decoder = new ListedPictures([mainView(yuv, filtered), auxiliary(yuv)]);
      const { screen, pipeline } = desktop(60, 44, decoder);
      await pipeline.process(gfxMessage(avc444(codecId, 0, stream(0, all), stream(1, all))));
      assert.deepEqual(decoder.asked, [0, 1]);
      assert.deepEqual([...screen.unsupported], []);
      // Of the first version unfiltered chroma is taken for an average: noise suffers.
      const quality = psnr(screen.pixels, picture, filtered ? [] : [{ left: 45, top: 0, width: 15, height: 22 }]);
      assert.ok(quality > (filtered ? 30 : 26), `${quality} dB`);
    }
  });

  test(`${name}: views come one by one as well`, async () => {
    const decoder = new ListedPictures([mainView(yuv, true), auxiliary(yuv)]);
    const { screen, pipeline } = desktop(60, 44, decoder);
    await pipeline.process(gfxMessage(avc444(codecId, 1, stream(0, all), null)));
    const luma = psnr(screen.pixels, picture);
    await pipeline.process(gfxMessage(avc444(codecId, 2, stream(1, all), null)));
    const both = psnr(screen.pixels, picture);
    assert.ok(luma < both && both > 30, `${luma} dB, then ${both} dB`);
    const whole = desktop(60, 44, decoder);
    await whole.pipeline.process(gfxMessage(avc444(codecId, 0, stream(0, all), stream(1, all))));
    assert.deepEqual(screen.pixels.data, whole.screen.pixels.data);
  });

  test(`${name}: a view changes its own regions only`, async () => {
    const decoder = new ListedPictures([mainView(yuv, true), auxiliary(yuv)]);
    const { screen, pipeline } = desktop(60, 44, decoder);
    await pipeline.process(
      gfxMessage(avc444(codecId, 0, stream(0, rect(4, 4, 20, 20)), stream(1, rect(6, 30, 10, 34)))),
    );
    assert.equal(screen.pixels.words[3 * 60 + 4], black);
    assert.equal(screen.pixels.words[20 * 60 + 4], black);
    assert.notEqual(screen.pixels.words[19 * 60 + 19], black);
    // The second region has chroma but grey luma.
    assert.notEqual(screen.pixels.words[30 * 60 + 6], black);
    assert.equal(screen.pixels.words[34 * 60 + 6], black);
  });
}

test('what the main view of AVC444v2 holds is told by the stream, from views as compression leaves them', async () => {
  const picture = colouredText(192, 96);
  const yuv = toYuv444(picture, 192, 96);
  const all = rect(0, 0, 192, 96);
  for (const [filtered, noise] of [
    [true, 0],
    [false, 0],
    [true, 3],
    [false, 3],
  ] as const) {
    const views = [mainView(yuv, filtered), auxiliaryViewV2(yuv)].map((view, seed) => noisy(view, noise, seed + 1));
    const { screen, pipeline } = desktop(192, 96, new ListedPictures(views));
    await pipeline.process(gfxMessage(avc444(gfxCodecId.avc444v2, 0, stream(0, all), stream(1, all))));
    assert.deepEqual(pipeline.mainChroma, [filtered ? 'average' : 'own']);
    const quality = psnr(screen.pixels, picture);
    assert.ok(quality > (filtered ? 28 : 36), `${filtered ? 'averages' : 'own'}, noise ${noise}: ${quality} dB`);
  }
});

test('votes on the chroma of main views are kept in states', () => {
  const yuv = toYuv444(colouredText(192, 96), 192, 96);
  const main = mainView(yuv, true);
  for (let y = 0; y < 96; y += 2)
    for (let x = 0; x < 192; x += 2)
      for (const plane of ['u', 'v'] as const) yuv[plane][y * 192 + x] = main[plane][(y * 96) / 2 + x / 2]!;
  const votes = new ChromaVotes();
  assert.equal(votes.chosen, 'own');
  votes.count({ ...yuv, stride: 192 }, { left: 1, top: 1, width: 190, height: 94 });
  const copy = new ChromaVotes();
  copy.restore(structuredClone(votes.snapshot()));
  assert.equal(copy.chosen, 'average');
  assert.deepEqual(copy.snapshot(), votes.snapshot());
});

/** Letters' worth of strokes in strong colours on grounds of others. */
function colouredText(width: number, height: number): PixelBuffer {
  const picture = createPixelBuffer(width, height);
  const colors = [rgba(255, 255, 255), rgba(200, 30, 30), rgba(20, 60, 220), rgba(0, 0, 0), rgba(20, 160, 60)];
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      const ground = colors[(Math.floor(x / 48) + Math.floor(y / 24)) % 5]!;
      const stroke = (x * 7 + y * 3) % 11 < 3 && (x >> 1) % 5 < 3;
      picture.words[y * width + x] = stroke ? colors[(Math.floor(x / 16) + 2) % 5]! : ground;
    }
  return picture;
}

function noisy(frame: YuvFrame, most: number, seed: number): YuvFrame {
  let state = seed;
  const changed = (plane: Uint8Array): Uint8Array =>
    plane.map((value) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.max(0, Math.min(255, value + ((state >>> 16) % (2 * most + 1)) - most));
    });
  return { ...frame, y: changed(frame.y), u: changed(frame.u), v: changed(frame.v) };
}

test('messages behind an H.264 picture wait their turn', async () => {
  const frame = mainView(toYuv444(testPicture(16, 16), 16, 16), true);
  const { screen, pipeline } = desktop(16, 16, new ListedPictures([frame]));
  const end = pdu('endFrame', { frameId: 1 });
  const begin = pdu('startFrame', { frameId: 1, timestamp: 0 });
  const first = pipeline.process(gfxMessage(begin, avc420(0, rect(0, 0, 16, 16)), fill(red, rect(0, 0, 2, 2)), end));
  const second = pipeline.process(gfxMessage(begin, fill(0, rect(1, 1, 2, 2)), end));
  assert.ok(first instanceof Promise && second instanceof Promise);
  assert.equal(screen.framesCount, 0);
  await second;
  assert.equal(screen.framesCount, 2);
  assert.equal(screen.pixels.words[0], red);
  assert.equal(screen.pixels.words[17], black);
  assert.notEqual(screen.pixels.words[3 * 16 + 3], black);
  await first;
  // Nothing waits any more: back to answers at once.
  assert.equal(pipeline.process(gfxMessage(fill(red, rect(0, 0, 1, 1)))), undefined);
});

test('too many waiting messages are refused', async () => {
  const frame = mainView(toYuv444(testPicture(16, 16), 16, 16), true);
  const { pipeline } = desktop(16, 16, new ListedPictures([frame]));
  const waiting: (void | Promise<void>)[] = [];
  const message = gfxMessage(avc420(0, rect(0, 0, 16, 16)));
  for (let i = 0; i < 256; i += 1) waiting.push(pipeline.process(message));
  assert.throws(() => pipeline.process(message), { name: 'DecodeError', code: 'limit' });
  await Promise.all(waiting);
});

for (const wait of [true, false]) {
  test(`a decoder that fails ${wait ? 'later' : 'at once'}: bad bytes are counted, all else is thrown after the message`, async () => {
    const failure = new Error('the decoder is gone');
    const decoder = new ListedPictures([new DecodeError('invalid', 'bad slice'), failure, null], wait);
    const { screen, pipeline } = desktop(16, 16, decoder);
    await pipeline.process(gfxMessage(avc420(0, rect(0, 0, 16, 16)), fill(red, rect(0, 0, 1, 1))));
    assert.deepEqual([...screen.unsupported], [['gfx.wireToSurface1.invalid', 1]]);
    assert.equal(screen.pixels.words[0], red);
    const done = async () => pipeline.process(gfxMessage(avc420(1, rect(0, 0, 16, 16)), fill(red, rect(1, 0, 2, 1))));
    await assert.rejects(done, failure);
    assert.equal(screen.pixels.words[1], red);
    // Access units without a picture, and messages without an access unit, draw nothing.
    await pipeline.process(gfxMessage(avc420(2, rect(0, 0, 16, 16)), avc420(null, rect(0, 0, 16, 16))));
    await pipeline.process(gfxMessage(avc444(gfxCodecId.avc444, 0, stream(2, rect(0, 0, 9, 9)), stream(null))));
    assert.equal(screen.pixels.words[5], black);
    assert.equal(screen.unsupported.size, 1);
  });
}

test('a picture that is no whole number of macroblocks is refused', async () => {
  const frame = { ...mainView(toYuv444(testPicture(16, 16), 16, 16), true), width: 15 };
  const { screen, pipeline } = desktop(16, 16, new ListedPictures([frame]));
  await pipeline.process(gfxMessage(avc420(0, rect(0, 0, 16, 16))));
  assert.deepEqual([...screen.unsupported], [['gfx.wireToSurface1.invalid', 1]]);
});

test('without a decoder AVC frames are counted by codec', () => {
  const screen = new Screen(16, 16);
  const pipeline = new GraphicsPipeline({ screen });
  pipeline.process(gfxMessage(pdu('createSurface', { surfaceId: 1, width: 16, height: 16, pixelFormat: 0x20 })));
  const done = pipeline.process(
    gfxMessage(
      avc420(0, rect(0, 0, 1, 1)),
      avc444(gfxCodecId.avc444, 1, stream(0), null),
      avc444(gfxCodecId.avc444v2, 1, stream(0), null),
    ),
  );
  assert.equal(done, undefined);
  assert.deepEqual(
    [...screen.unsupported],
    [
      ['gfx.codec.avc420.noDecoder', 1],
      ['gfx.codec.avc444.noDecoder', 1],
      ['gfx.codec.avc444v2.noDecoder', 1],
    ],
  );
});

test('decoders end with their surface and with the pipeline; there are never too many', async () => {
  const frame = mainView(toYuv444(testPicture(16, 16), 16, 16), true);
  const made: ListedPictures[] = [];
  const screen = new Screen(16, 16);
  const pipeline = new GraphicsPipeline({
    screen,
    createH264Decoder: () => {
      made.push(new ListedPictures([frame], false));
      return made.at(-1)!;
    },
  });
  for (let surfaceId = 1; surfaceId <= 17; surfaceId += 1) {
    const command = { ...avc420(0, rect(0, 0, 16, 16)) } as Extract<GfxPdu, { kind: 'wireToSurface1' }>;
    const body = { ...command.body, surfaceId };
    const done = pipeline.process(
      gfxMessage(
        pdu('createSurface', { surfaceId, width: 16, height: 16, pixelFormat: 0x20 }),
        { ...command, body },
        { ...command, body },
      ),
    );
    await done;
  }
  assert.equal(made.length, 16);
  assert.equal(screen.unsupported.get('gfx.wireToSurface1.limit'), 2);
  pipeline.process(gfxMessage(pdu('deleteSurface', { surfaceId: 3 })));
  assert.deepEqual(
    made.map((decoder) => decoder.closed),
    made.map((_, i) => (i === 2 ? 1 : 0)),
  );
  pipeline.close();
  assert.ok(made.every((decoder) => decoder.closed === 1));
});

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replaceAll(' ', '').match(/../g)!, (byte) => Number.parseInt(byte, 16));
}

test('access units are split into NAL units, and pictures counted', () => {
  const nals = splitNals(hex('00000001 6701 000001 6802 0000 00000001 65 88aa 000001 41 40 000001 41 80 0000'));
  assert.deepEqual(nals.map(nalType), [7, 8, 5, 1, 1]);
  assert.deepEqual(nals[2], hex('65 88aa'));
  assert.equal(picturesCount(nals), 2);
  assert.deepEqual(splitNals(hex('0102030405')), []);
  assert.deepEqual(splitNals(new Uint8Array(0)), []);
  assert.equal(nalType(new Uint8Array(0)), 0);
});

test('sequence parameters say how large pictures are coded', () => {
  // As freerdp-shadow's x264 wrote them for 1024 × 768.
  const high = readSequenceParameters(hex('67640020acb2008 00c3420000003002000000791e30649'.replaceAll(' ', '')));
  assert.partialDeepStrictEqual(high, {
    profileIdc: 100,
    constraintFlags: 0,
    levelIdc: 32,
    codedWidth: 1024,
    codedHeight: 768,
  });
  // Baseline, 640 × 480: profile 66, no scaling matrix, picture order count type 2.
  const baseline = readSequenceParameters(hex('6742c01eda0280f684'));
  assert.equal(baseline.profileIdc, 66);
  assert.partialDeepStrictEqual([baseline.codedWidth, baseline.codedHeight], [640, 480]);
  assert.throws(() => readSequenceParameters(hex('6742')), { code: 'truncated' });
  // High 4:2:2.
  assert.throws(() => readSequenceParameters(hex('677a0020b7')), { code: 'unsupported' });
});

test('random parameter sets give a size or a DecodeError', () => {
  fc.assert(
    fc.property(fc.constantFrom(66, 77, 100, 110), fc.uint8Array({ maxLength: 80 }), (profile, bytes) => {
      try {
        const { codedWidth, codedHeight } = readSequenceParameters(Uint8Array.of(0x67, profile, ...bytes));
        assert.ok(codedWidth * codedHeight <= 256 * 131_072 && codedWidth % 16 === 0 && codedHeight % 16 === 0);
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

/** Gives a picture of one value for every access unit, and fails where it is told to. */
class PatientDecoder implements H264Decoder {
  asked: Uint8Array[] = [];
  failsAt = -1;

  decode(accessUnit: Uint8Array): YuvFrame {
    this.asked.push(accessUnit);
    if (this.asked.length === this.failsAt) throw new DecodeError('invalid', 'no picture');
    const y = new Uint8Array(32 * 32).fill(this.asked.length);
    const chroma = new Uint8Array(16 * 16).fill(128);
    return { width: 32, height: 32, y, u: chroma, v: chroma, strideY: 32, strideUv: 16 };
  }

  close(): void {}
}

const streamFormat = {
  widthInMbs: 2,
  heightInMbs: 2,
  frameNumBits: 4,
  pictureOrderType: 2,
  references: 3,
  slices: 1,
};

/** Sends pictures of one encoder, IDR pictures where `true`. */
function avcSender(decoder: H264Decoder) {
  const { pipeline } = desktop(32, 32, decoder);
  const encoder = new H264Encoder(streamFormat);
  const send = async (...idrs: boolean[]): Promise<void> => {
    for (const idr of idrs) {
      const unit = encoder.encode({ idr, reference: true, copied: 0, changes: [], operations: [] });
      const whole = { ...stream(0, rect(0, 0, 32, 32)), avc420EncodedBitstream: unit };
      await pipeline.process(gfxMessage(avc(gfxCodecId.avc420, encode(avc420BitmapStream, whole), rect(0, 0, 32, 32))));
    }
  };
  const skip = (): void => void encoder.encode({ idr: false, reference: true, copied: 0, changes: [], operations: [] });
  return { pipeline, send, skip };
}

test('the state of a stream can be saved from its first IDR picture on, however late that is, and not after something missing', async () => {
  const decoder = new PatientDecoder();
  const { pipeline, send, skip } = avcSender(decoder);
  await send(true, ...Array.from({ length: 40 }, () => false));
  const state = pipeline.snapshot();
  assert.equal(state?.codecs.avc[0]?.[1].stream.references.short.length, 3);
  skip();
  await send(false);
  assert.equal(pipeline.snapshot(), null, 'a picture is missing');
  await send(false, true);
  assert.ok(pipeline.snapshot());
  decoder.failsAt = decoder.asked.length + 1;
  await send(false);
  assert.equal(pipeline.snapshot(), null, 'a picture was not decoded');
  await send(true);
  assert.ok(pipeline.snapshot());

  // A decoder that goes on is given the three pictures first; from there on, its numbers.
  const second = new PatientDecoder();
  const resumed = desktop(32, 32, second);
  resumed.pipeline.restore(state);
  assert.deepEqual(resumed.pipeline.snapshot(), state);
  assert.equal(second.asked.length, 0);
  const [unit] = decoder.asked.slice(41);
  const whole = { ...stream(0, rect(0, 0, 32, 32)), avc420EncodedBitstream: unit! };
  await resumed.pipeline.process(gfxMessage(avc(gfxCodecId.avc420, encode(avc420BitmapStream, whole))));
  assert.equal(second.asked.length, 4);
  const types = second.asked.map((bytes) => splitNals(bytes).map(nalType));
  assert.deepEqual(types, [[7, 8, 8, 5], [1], [1], [1]]);
});

test('a stream that begins without an IDR picture, or in a way that is not followed, has no state', async () => {
  const { pipeline, send } = avcSender(new PatientDecoder());
  await send(true);
  assert.ok(pipeline.snapshot());
  const other = desktop(16, 16, new ListedPictures([mainView(toYuv444(testPicture(16, 16), 16, 16), true)]));
  await other.pipeline.process(gfxMessage(avc420(0, rect(0, 0, 16, 16))));
  assert.equal(other.pipeline.snapshot(), null);
});
