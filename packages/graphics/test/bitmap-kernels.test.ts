import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { interleavedEncode, nsCodecPlane, planeEncode } from '@lucid-sessions/testkit';
import { Random } from '@lucid-sessions/testkit/differential';
import { DecodeError } from '@lucid-sessions/wire';
import { type BitmapEngine, bitmapEngine } from '../src/bitmap/engine.ts';
import {
  createPalette,
  decodeInterleaved,
  decodeNsCodec,
  decodePlanar,
  type InterleavedDepth,
} from '../src/bitmap/index.ts';
import { createPixelBuffer, type PixelBuffer } from '../src/index.ts';
import { randomOrders } from './support/bitmap-orders.ts';

const engine = bitmapEngine();

const bytesOf = ({ data }: PixelBuffer): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.length);

interface Outcomes {
  drawn: number;
  refused: number;
}

/** The kernels draw what the decoder in JavaScript draws, and leave to it what that refuses. */
function same(
  fast: (engine: BitmapEngine) => PixelBuffer | null,
  plain: () => PixelBuffer,
  outcomes: Outcomes,
  what: string,
): void {
  let expected: PixelBuffer | null = null;
  try {
    expected = plain();
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
  }
  let drawn: PixelBuffer | null = null;
  try {
    drawn = fast(engine!);
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
  }
  outcomes[drawn ? 'drawn' : 'refused'] += 1;
  assert.equal(drawn === null, expected === null, what);
  if (drawn && expected) assert.ok(Buffer.compare(bytesOf(drawn), bytesOf(expected)) === 0, what);
}

/** Sizes round the sixteen samples of a vector, and larger. */
const side = (random: Random, least = 1): number => least + random.of(random.often(4) ? 130 : 36);

const channel = (picture: PixelBuffer, index: number): Uint8Array =>
  Uint8Array.from({ length: picture.words.length }, (_, at) => picture.data[at * 4 + index]!);

/** Run lengths of planes, or the planes. */
const planarStream = (random: Random, width: number, height: number): Uint8Array => {
  const header = random.of(0x40);
  const picture = random.picture(width, height);
  const isHalf = (header & 0x08) !== 0;
  const [chromaWidth, chromaHeight] = isHalf ? [(width + 1) >> 1, (height + 1) >> 1] : [width, height];
  const chroma = random.picture(chromaWidth, chromaHeight);
  const encode = (plane: Uint8Array, planeWidth: number): Uint8Array =>
    header & 0x10 ? Uint8Array.from(planeEncode(plane, planeWidth)) : plane;
  const planes = [
    ...(header & 0x20 ? [] : [encode(channel(random.picture(width, height), 1), width)]),
    encode(channel(picture, 0), width),
    encode(channel(chroma, 1), chromaWidth),
    encode(channel(chroma, 2), chromaWidth),
  ];
  return Buffer.concat([Uint8Array.of(header), ...planes]);
};

const nsCodecStream = (random: Random, width: number, height: number): Uint8Array => {
  const isHalf = random.often(2);
  const lumaStride = isHalf ? (width + 7) & ~7 : width;
  const chromaStride = isHalf ? lumaStride >> 1 : width;
  const chromaHeight = isHalf ? (height + 1) >> 1 : height;
  const plane = (planeWidth: number, planeHeight: number): Uint8Array => {
    const samples = random.often(2)
      ? channel(random.picture(planeWidth, planeHeight), 1)
      : random.data(planeWidth * planeHeight);
    return random.often(4) ? samples : nsCodecPlane(samples);
  };
  const planes = [
    plane(lumaStride, height),
    plane(chromaStride, chromaHeight),
    plane(chromaStride, chromaHeight),
    random.often(2) ? plane(width, height) : new Uint8Array(0),
  ];
  const head = Buffer.alloc(20);
  planes.forEach(({ length }, index) => {
    head.writeUInt32LE(length, index * 4);
  });
  head.set([random.of(8), isHalf ? 1 : 0], 16);
  return Buffer.concat([head, ...planes]);
};

describe('bitmaps with and without kernels', { skip: engine === null && 'no WebAssembly SIMD' }, () => {
  test('planar', () => {
    const random = new Random(11);
    const outcomes = { drawn: 0, refused: 0 };
    for (let index = 0; index < 700; index += 1) {
      const [width, height] = [side(random), side(random)];
      const whole = random.often(12) ? random.bytes(random.of(400)) : planarStream(random, width, height);
      const bytes = random.often(3) ? random.damaged(whole) : whole;
      const options = { bottomUp: random.often(2), alpha: random.often(2) };
      same(
        (one) => one.planar(bytes, width, height, options),
        () => decodePlanar(bytes, width, height, options, null),
        outcomes,
        `${index}: ${width}x${height}`,
      );
    }
    assert.ok(outcomes.drawn > 300 && outcomes.refused > 50, JSON.stringify(outcomes));
  });

  test('NSCodec', () => {
    const random = new Random(12);
    const outcomes = { drawn: 0, refused: 0 };
    for (let index = 0; index < 700; index += 1) {
      const [width, height] = [side(random), side(random)];
      const whole = nsCodecStream(random, width, height);
      const bytes = random.often(3) ? random.damaged(whole) : whole;
      const options = { bottomUp: random.often(2), alpha: random.often(2) };
      same(
        (one) => one.nsCodec(bytes, width, height, options),
        () => decodeNsCodec(bytes, width, height, options, null),
        outcomes,
        `${index}: ${width}x${height}`,
      );
    }
    assert.ok(outcomes.drawn > 300 && outcomes.refused > 50, JSON.stringify(outcomes));
  });

  for (const depth of [8, 15, 16, 24] as const satisfies readonly InterleavedDepth[])
    test(`interleaved RLE at ${depth} bpp`, () => {
      const random = new Random(depth);
      const outcomes = { drawn: 0, refused: 0 };
      const palette = createPalette();
      palette.forEach((_, index) => {
        palette[index] = random.color();
      });
      const pixelBytes = ((depth + 1) >> 3) as 1 | 2 | 3;
      for (let index = 0; index < 800; index += 1) {
        const [width, height] = [side(random, 4), side(random)];
        const pixels = (): number[] => {
          const colors = random.list(1 + random.of(6), () => random.of(2 ** depth));
          return random.list(width * height, () => (random.often(9) ? random.of(2 ** depth) : random.one(colors)));
        };
        const whole = random.often(3)
          ? Uint8Array.from(interleavedEncode(pixels(), width, pixelBytes))
          : randomOrders(random, width * height, pixelBytes);
        const bytes = random.often(3) ? random.damaged(whole) : whole;
        same(
          (one) => one.interleaved(bytes, width, height, depth, palette),
          () => decodeInterleaved(bytes, width, height, depth, palette, null),
          outcomes,
          `${index}: ${width}x${height}, ${Buffer.from(bytes.subarray(0, 60)).toString('hex')}`,
        );
      }
      assert.ok(outcomes.drawn > 400 && outcomes.refused > 50, JSON.stringify(outcomes));
    });

  test('what the kernels do not take is drawn without them', () => {
    const palette = createPalette();
    const narrow = interleavedEncode([1, 2, 3, 4, 5, 6], 3, 2);
    assert.equal(engine!.interleaved(Uint8Array.from(narrow), 3, 2, 16, palette), null);
    assert.equal(decodeInterleaved(Uint8Array.from(narrow), 3, 2, 16, palette).width, 3);
    const [width, height] = [2048, 1025];
    const whole = new Uint8Array(1 + width * height * 3).fill(7);
    whole[0] = 0x20;
    assert.equal(engine!.planar(whole, width, height, { bottomUp: false }), null);
    assert.equal(decodePlanar(whole, width, height, { bottomUp: false }).words[5], 0xff070707);
    assert.equal(engine!.planar(new Uint8Array(0), 4, 4, { bottomUp: false }), null);
    assert.throws(() => decodePlanar(new Uint8Array(0), 4, 4, { bottomUp: false }), DecodeError);
    const empty = decodePlanar(Uint8Array.of(0x30), 0, 0, { bottomUp: false });
    assert.deepEqual(empty.data, createPixelBuffer(0, 0).data);
  });
});
