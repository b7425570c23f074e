import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type CodecCommand, FreeRdpCodecs, interleavedEncode } from '@lucid-sessions/testkit';
import {
  type CompareOptions,
  type Comparison,
  compare,
  type Decode,
  Random,
} from '@lucid-sessions/testkit/differential';
import {
  band,
  type ClearCodecMessage,
  clearCodecMessage,
  type EncodedTile,
  encodeRfx,
  glyphHitFlag,
  glyphIndexFlag,
  progressiveMessage,
  rawPixels,
  region,
  residual,
  rlex,
  subcodec,
  subtract,
  type TileBands,
  tileBands,
  tileFirst,
  tileSimple,
  tileUpgrade,
  type VBar,
} from '@lucid-sessions/testkit/graphics-encoders';
import { createPalette, decodeBitmap, decodeNsCodec, decodePlanar } from '../src/bitmap/index.ts';
import { ClearCodecDecoder } from '../src/clearcodec/clear-codec-decoder.ts';
import { createPixelBuffer, type PixelBuffer } from '../src/index.ts';
import { ProgressiveDecoder } from '../src/progressive/progressive-decoder.ts';
import { RemoteFxDecoder } from '../src/rfx/remote-fx-decoder.ts';
import { randomOrders } from './support/bitmap-orders.ts';

const built = FreeRdpCodecs.build();
const required = process.env.REQUIRE_PEERS === '1';
const skip = 'missing' in built && !required ? `needs ${built.missing}: run .ci/install-peers` : false;
const freeRdp = built as FreeRdpCodecs;
const streamsCount = 1000;

const bytesOf = ({ data }: PixelBuffer): Uint8Array => new Uint8Array(data.buffer, 0, data.length);
const nothingRefused = { bothRefuse: 0, onlyOurs: 0, onlyTheirs: 0, crashed: 0 };

function allSame(streams: readonly CodecCommand[][], begin: () => Decode, options: CompareOptions): void {
  const { same, ...others } = compare(freeRdp, streams, begin, options);
  assert.deepEqual(others, nothingRefused);
  assert.ok(same >= streams.length, `${same} same`);
}

/** What is damaged may be refused by one and not by the other, but what both take is the same. */
function damagedSame(
  random: Random,
  streams: readonly CodecCommand[][],
  begin: () => Decode,
  options: CompareOptions,
): Comparison {
  const damaged = streams.map((stream) =>
    stream.map((command) => (random.often(2) ? { ...command, bytes: random.damaged(command.bytes) } : command)),
  );
  const result = compare(freeRdp, damaged, begin, options);
  assert.ok(result.same > 0 && result.bothRefuse > 0);
  return result;
}

interface Made {
  readonly width: number;
  readonly height: number;
  readonly c: number;
  readonly bytes: Uint8Array;
}

/** Pictures as FreeRDP encodes them. */
function encoded(
  operation: 'planarEncode' | 'nscEncode' | 'interleavedEncode',
  random: Random,
  choose: (random: Random) => { readonly c: number; readonly widthStep?: number },
): Made[] {
  const pictures = random.list(streamsCount, () => {
    const { c, widthStep = 1 } = choose(random);
    const picture = random.picture((1 + random.of(70 / widthStep)) * widthStep, 1 + random.of(50));
    return { c, picture };
  });
  const answers = freeRdp.run(
    pictures.map(({ c, picture }) => [
      { operation, a: picture.width, b: picture.height, c, bytes: bytesOf(picture) } as const,
    ]),
  );
  return pictures.flatMap(({ c, picture: { width, height } }, index) => {
    const answer = answers[index]![0];
    return answer && answer.status > 0 ? [{ width, height, c, bytes: answer.bytes }] : [];
  });
}

describe('pictures beside FreeRDP', { skip }, () => {
  assert.ok(skip !== false || !('missing' in built), 'REQUIRE_PEERS=1, but gcc or freerdp2-dev is missing');
  after(() => freeRdp.close());

  describe('planar', () => {
    const begin = (): Decode => {
      return ({ bytes, a = 0, b = 0, c = 0 }) => decodePlanar(bytes, a, b, { bottomUp: c === 1, alpha: true }).data;
    };
    const random = new Random(1);
    const streams = () =>
      encoded('planarEncode', random, () => ({ c: random.of(2) * 0x10 + random.of(2) * 0x20 })).map(
        ({ width, height, bytes }): CodecCommand[] => [
          { operation: 'planarDecode', a: width, b: height, c: random.of(2), bytes },
        ],
      );

    test('what FreeRDP encodes', () => {
      // Some of it, of the smallest sizes, it does not take itself.
      const { same, bothRefuse, ...others } = compare(freeRdp, streams(), begin);
      assert.deepEqual(others, { onlyOurs: 0, onlyTheirs: 0, crashed: 0 });
      assert.ok(same > streamsCount - 50 && bothRefuse < 50, `${same} same, ${bothRefuse} refused by both`);
    });
    test('with damage, and any colour loss and subsampling', () => {
      const all = streams();
      damagedSame(random, all, begin, {});
      const headers = all.map(([command]) => {
        const bytes = command!.bytes.slice();
        bytes[0] = (bytes[0]! & 0x30) | random.of(16);
        return [{ ...command!, bytes }];
      });
      assert.ok(compare(freeRdp, headers, begin).same > streamsCount / 4);
    });
  });

  describe('NSCodec', () => {
    const begin = (): Decode => {
      return ({ bytes, a = 0, b = 0, c = 0 }) => decodeNsCodec(bytes, a, b, { bottomUp: c === 1 }).data;
    };
    test('what FreeRDP encodes with any colour loss, with and without subsampling; with damage', () => {
      const random = new Random(2);
      const made = encoded('nscEncode', random, () => ({ c: 1 + random.of(7) + random.of(4) * 8 }));
      const streams = made.map(({ width, height, bytes }): CodecCommand[] => [
        { operation: 'nscDecode', a: width, b: height, c: random.of(2), bytes },
      ]);
      allSame(streams, begin, { alpha: false });
      damagedSame(random, streams, begin, { alpha: false });
    });
  });

  for (const depth of [8, 15, 16, 24] as const)
    describe(`interleaved RLE at ${depth} bpp`, () => {
      const palette = createPalette();
      for (let i = 0; i < 256; i += 1)
        palette[i] = (0xff000000 | (((i * 13) & 255) << 16) | (((i * 7) & 255) << 8) | i) >>> 0;
      const begin = (): Decode => {
        return ({ bytes, a = 0, b = 0 }) =>
          decodeBitmap({ bytes, width: a, height: b, depth, compressed: true }, palette).data;
      };
      // FreeRDP 2 widens the six bits of green otherwise than by repeating the high ones.
      const options = { alpha: false, tolerance: depth === 16 ? 4 : 0 };
      const command = (width: number, height: number, bytes: Uint8Array): CodecCommand[] => [
        { operation: 'interleavedDecode', a: width, b: height, c: depth, bytes },
      ];

      test('what encoders make, whole and damaged', () => {
        const random = new Random(depth);
        const made = depth === 8 ? [] : encoded('interleavedEncode', random, () => ({ c: depth, widthStep: 4 }));
        const own = random.list(depth === 8 ? streamsCount : 200, () => {
          const [width, height] = [1 + random.of(80), 1 + random.of(40)];
          const values = 2 ** depth;
          const pixels = random.list(width * height, () => (random.often(3) ? random.of(values) : random.of(4)));
          return command(width, height, interleavedEncode(pixels, width, depth === 8 ? 1 : depth === 24 ? 3 : 2));
        });
        const streams = [...made.map(({ width, height, bytes }) => command(width, height, bytes)), ...own];
        allSame(streams, begin, options);
        damagedSame(random, streams, begin, options);
      });

      test('orders at random that fill their bitmap', () => {
        const random = new Random(depth + 1);
        const streams = random.list(streamsCount, () => {
          const [width, height] = [1 + random.of(60), 1 + random.of(30)];
          return command(width, height, randomOrders(random, width * height, (depth + 1) >> 3));
        });
        allSame(streams, begin, options);
      });
    });

  const size = (random: Random) => [1 + random.of(100), 1 + random.of(80)] as const;

  describe('RemoteFX', () => {
    const begin = ([first]: readonly CodecCommand[] = []): Decode => {
      const decoder = new RemoteFxDecoder();
      const target = createPixelBuffer(first!.a!, first!.b!);
      return ({ bytes }) => {
        decoder.decode(bytes, target, 0, 0);
        return target.data;
      };
    };

    test('streams of FreeRDP’s encoder and of ours, RLGR1 and RLGR3, any quantization', () => {
      const random = new Random(3);
      const sessions = random.list(streamsCount, (index) => {
        const [width, height] = size(random);
        const mode = random.of(2);
        const pictures = random.list(1 + random.of(2), () => random.picture(width, height));
        return { width, height, mode, pictures, own: index % 2 === 0 };
      });
      const theirs = freeRdp.run(
        sessions.map(({ width, height, mode, pictures }) =>
          pictures.map((picture) => ({
            operation: 'rfxEncode',
            a: width,
            b: height,
            c: mode,
            bytes: bytesOf(picture),
          })),
        ),
      );
      const streams = sessions.map(({ width, height, mode, pictures, own }, number) =>
        pictures.map((picture, index): CodecCommand => {
          const options = { mode: mode ? 3 : 1, headers: index === 0, quants: random.list(10, () => 6 + random.of(4)) };
          const bytes = own
            ? encodeRfx(picture, options as Parameters<typeof encodeRfx>[1])
            : theirs[number]![index]!.bytes;
          return { operation: 'rfxDecode', a: width, b: height, bytes };
        }),
      );
      const { same, ...others } = compare(freeRdp, streams, begin, { alpha: false, tolerance: 1 });
      assert.deepEqual(others, nothingRefused);
      assert.ok(same >= streamsCount);
    });
  });

  describe('RemoteFX Progressive', () => {
    const begin = ([first]: readonly CodecCommand[]): Decode => {
      const decoder = new ProgressiveDecoder();
      const target = createPixelBuffer(first!.a!, first!.b!);
      return ({ bytes }) => {
        decoder.decode(bytes, target);
        decoder.endFrame();
        return target.data;
      };
    };

    test('first passes, upgrades and differences to what a tile last was, whole or not', () => {
      const random = new Random(4);
      const streams = random.list(streamsCount, () => progressiveSession(random));
      const { same, ...others } = compare(freeRdp, streams, begin, { alpha: false, tolerance: 1 });
      assert.deepEqual(others, nothingRefused);
      assert.ok(same >= streamsCount);
    });
  });

  describe('ClearCodec', () => {
    const begin = ([first]: readonly CodecCommand[]): Decode => {
      const decoder = new ClearCodecDecoder((bytes, width, height) => decodeNsCodec(bytes, width, height));
      const target = createPixelBuffer(first!.a!, first!.b!);
      return ({ bytes, a = 0, b = 0 }) => {
        decoder.decode(bytes, target, { left: 0, top: 0, width: a, height: b });
        return target.data;
      };
    };

    test('residuals, bands, subcodecs and glyphs, with all they remember; with damage', () => {
      const random = new Random(5);
      const parts = encoded('nscEncode', random, () => ({ c: 1 + random.of(7) }));
      const streams = random.list(streamsCount, () => clearCodecSession(random, parts));
      const { same, ...others } = compare(freeRdp, streams, begin, { alpha: false });
      assert.deepEqual(others, nothingRefused);
      assert.ok(same >= streamsCount);
      const damaged = streams.map((stream) =>
        stream.map((command) => (random.often(3) ? { ...command, bytes: random.damaged(command.bytes) } : command)),
      );
      assert.ok(compare(freeRdp, damaged, begin, { alpha: false }).same > streamsCount / 2);
    });
  });
});

/** Pictures of one surface, each tile whole, in passes, or as a difference to what was sent of it before. */
function progressiveSession(random: Random): CodecCommand[] {
  const [width, height] = [1 + random.of(80), 1 + random.of(66)];
  const quants = random.list(10, () => 6 + random.of(3));
  const [coarse, middle] = [4, 2].map((least) => random.list(10, () => least + random.of(2))) as [number[], number[]];
  const whole = new Array<number>(10).fill(0);
  const rectangles = [{ left: 0, top: 0, width, height }];
  const sent = new Map<string, TileBands>();
  const commands: CodecCommand[] = [];
  for (let pictures = 1 + random.of(2); pictures > 0; pictures -= 1) {
    const picture = random.picture(width, height);
    const passes: EncodedTile[][] = [[], [], []];
    for (let y = 0; y * 64 < height; y += 1)
      for (let x = 0; x * 64 < width; x += 1) {
        const key = `${x},${y}`;
        const bands = tileBands(picture, x, y, quants, true);
        const before = sent.get(key);
        const difference = before !== undefined && random.often(2);
        const told = difference ? subtract(bands, before) : bands;
        sent.set(key, bands);
        if (random.often(3)) passes[0]!.push(tileSimple(x, y, told, difference));
        else {
          passes[0]!.push(tileFirst(x, y, told, 0, coarse, difference));
          passes[1]!.push(tileUpgrade(x, y, told, 1, coarse, middle));
          passes[2]!.push(tileUpgrade(x, y, told, 0xff, middle, whole));
        }
      }
    for (const tiles of passes) {
      if (tiles.length === 0) continue;
      const one = region({ rectangles, quants, progressiveQuants: [coarse, middle], reduceExtrapolate: true, tiles });
      commands.push({ operation: 'progressiveDecode', a: width, b: height, bytes: progressiveMessage([one]) });
    }
  }
  return commands;
}

function clearCodecSession(random: Random, parts: readonly Made[]): CodecCommand[] {
  const [width, height] = [1 + random.of(70), 1 + random.of(52)];
  const glyphs: number[] = [];
  /** Heights and short lengths of the columns remembered, by index. */
  const heights: number[] = [];
  const shorts: number[] = [];
  return random.list(1 + random.of(6), (sequence): CodecCommand => {
    const message: { -readonly [K in keyof ClearCodecMessage]: ClearCodecMessage[K] } = { sequence };
    const isGlyph = random.often(3) && width * height <= 1024;
    if (isGlyph && glyphs.length > 0 && random.often(2)) {
      message.flags = glyphIndexFlag | glyphHitFlag;
      message.glyphIndex = random.one(glyphs);
      return { operation: 'clearDecode', a: width, b: height, bytes: clearCodecMessage(message) };
    }
    if (isGlyph) {
      message.flags = glyphIndexFlag;
      message.glyphIndex = random.of(4000);
      glyphs.push(message.glyphIndex);
    }
    if (!random.often(3)) message.residual = residual(random.picture(width, height).words);
    if (random.often(2))
      message.bands = random.list(1 + random.of(2), () => randomBand(random, width, height, heights, shorts));
    if (random.often(3))
      message.subcodecs = random.list(1 + random.of(2), () => randomPart(random, width, height, parts));
    return { operation: 'clearDecode', a: width, b: height, bytes: clearCodecMessage(message) };
  });
}

function randomBand(random: Random, width: number, height: number, heights: number[], shorts: number[]): Uint8Array {
  const bandHeight = 1 + random.of(Math.min(height, 52));
  const columns = 1 + random.of(width);
  const vBars = random.list(columns, (): VBar => {
    const known = heights.flatMap((one, index) => (one === bandHeight ? [index] : []));
    const kind = random.of(3);
    if (kind === 0 && known.length > 0) return { kind: 'hit', index: random.one(known) };
    heights.push(bandHeight);
    if (kind === 1 && shorts.length > 0) {
      const index = random.of(shorts.length);
      const room = bandHeight - shorts[index]!;
      if (room >= 0) return { kind: 'shortHit', index, yOn: random.of(room + 1) };
    }
    const yOn = random.of(bandHeight + 1);
    const words = random.list(random.of(bandHeight - yOn + 1), () => random.color());
    shorts.push(words.length);
    return { kind: 'shortMiss', yOn, words };
  });
  const [xStart, yStart] = [random.of(width - columns + 1), random.of(height - bandHeight + 1)];
  return band({ xStart, yStart, height: bandHeight, background: random.color(), vBars });
}

function randomPart(random: Random, width: number, height: number, parts: readonly Made[]): Uint8Array {
  const nsCodec = random.often(3) ? random.one(parts) : null;
  if (nsCodec && nsCodec.width <= width && nsCodec.height <= height) {
    const place = { width: nsCodec.width, height: nsCodec.height };
    const [x, y] = [random.of(width - place.width + 1), random.of(height - place.height + 1)];
    return subcodec({ x, y, ...place }, 1, nsCodec.bytes);
  }
  const place = { width: 1 + random.of(width), height: 1 + random.of(height) };
  const at = { x: random.of(width - place.width + 1), y: random.of(height - place.height + 1) };
  const pixels = place.width * place.height;
  if (random.often(2)) return subcodec({ ...at, ...place }, 0, rawPixels(random.list(pixels, () => random.color())));
  const palette = random.list(1 + random.of(20), () => random.color());
  const stopBits = Math.max(1, Math.ceil(Math.log2(palette.length)));
  const runs: { start: number; run: number; stop: number }[] = [];
  for (let left = pixels; left > 0; ) {
    const stop = random.of(palette.length);
    const suite = Math.min(stop, left - 1, random.of(2 ** (8 - stopBits)));
    const run = random.of(Math.min(left - suite, 600));
    runs.push({ start: stop - suite, run, stop });
    left -= suite + 1 + run;
  }
  return subcodec({ ...at, ...place }, 2, rlex(palette, runs));
}
