import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { interleavedEncode, nsCodecPlane, planeEncode } from '@lucid-sessions/testkit';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  createPalette,
  decodeBitmap,
  decodeInterleaved,
  decodeNsCodec,
  decodePalette,
  decodePlanar,
  decodeRaw,
  drawBitmap,
  type PixelDepth,
  pixelDepth,
  toWord,
} from '../src/bitmap/index.ts';
import { blit, createPixelBuffer, type PixelBuffer } from '../src/index.ts';

const hex = (digits: string) => Uint8Array.from(Buffer.from(digits.replace(/\s+/g, ''), 'hex'));
const decodeError = (code: string) => (error: unknown) => error instanceof DecodeError && error.code === code;
const palette = createPalette();
palette.set(Uint32Array.from({ length: 256 }, (_, index) => 0xff000000 | (index * 0x010203)));

/** Native pixel values top-down: rows turned round twice. */
function words(picture: PixelBuffer): string[] {
  return [...picture.words].map((word) => word.toString(16));
}

/** Either a picture of the size asked for, or a DecodeError. */
function survives(width: number, height: number, decode: () => PixelBuffer): void {
  try {
    const picture = decode();
    assert.deepEqual([picture.width, picture.height], [width, height]);
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
  }
}

const size = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12 }));
/** Values with runs, as pictures have them. */
const runs = (count: number, max: number) =>
  fc
    .array(fc.tuple(fc.integer({ min: 0, max }), fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 20 })
    .map((parts) => {
      const values = parts.flatMap(([value, times]) => new Array<number>(times).fill(value));
      return Array.from({ length: count }, (_, index) => values[index % values.length]!);
    });

describe('colours', () => {
  test('white stays white and black black in every depth', () => {
    const white: [PixelDepth, number][] = [
      [15, 0x7fff],
      [16, 0xffff],
      [24, 0xffffff],
      [32, 0xffffff],
    ];
    for (const [depth, pixel] of white) {
      assert.equal(toWord(pixel, depth, palette), 0xffffffff);
      assert.equal(toWord(0, depth, palette), 0xff000000);
    }
    assert.equal(toWord(2, 8, palette), 0xff020406);
    assert.equal(toWord(0xf800, 16, palette), 0xff0000ff, 'red of 5-6-5');
    assert.equal(toWord(0x7c00, 15, palette), 0xff0000ff, 'red of 5-5-5');
    assert.equal(toWord(0x010203, 24, palette), 0xff030201);
  });

  test('only depths of RDP', () => {
    for (const depth of [8, 15, 16, 24, 32]) assert.equal(pixelDepth(depth), depth);
    assert.throws(() => pixelDepth(4), decodeError('unsupported'));
  });

  test('a palette update, short ones leave black', () => {
    const colors = decodePalette(hex('0000 02000000 010203 fffefd'));
    assert.deepEqual([colors[0], colors[1], colors[2]], [0xff030201, 0xfffdfeff, 0xff000000]);
    assert.throws(() => decodePalette(hex('0000 01010000')), decodeError('limit'));
    assert.throws(() => decodePalette(hex('0000 02000000 0102')), decodeError('truncated'));
  });
});

describe('raw bitmaps', () => {
  test('rows bottom-up and padded to four bytes, or not padded', () => {
    const padded = hex('010203 00 040506 00');
    const source = { width: 1, height: 2, depth: 24, compressed: false } as const;
    assert.deepEqual(words(decodeBitmap({ ...source, bytes: padded }, palette)), ['ff040506', 'ff010203']);
    const packed = hex('010203 040506');
    assert.deepEqual(words(decodeBitmap({ ...source, bytes: packed }, palette)), ['ff040506', 'ff010203']);
  });

  test('every depth', () => {
    const cases: [PixelDepth, string, string][] = [
      [8, '02', 'ff020406'],
      [15, 'ff7f', 'ffffffff'],
      [16, '00f8', 'ff0000ff'],
      [24, '030201', 'ff030201'],
      [32, '03020180', 'ff030201'],
    ];
    for (const [depth, digits, word] of cases) {
      const bytes = hex(digits);
      const layout = { stride: bytes.length, bottomUp: false };
      assert.deepEqual(words(decodeRaw(bytes, 1, 1, depth, palette, layout)), [word]);
    }
    const layout = { stride: 4, bottomUp: false, alpha: true };
    assert.deepEqual(words(decodeRaw(hex('03020180'), 1, 1, 32, palette, layout)), ['80030201']);
  });

  test('rows that lie on no whole words, also of a Node Buffer', () => {
    const bytes = Buffer.from('00 030201ff 060504ff'.replaceAll(' ', ''), 'hex').subarray(1);
    const source = { width: 1, height: 2, depth: 32, compressed: false } as const;
    assert.deepEqual(words(decodeBitmap({ ...source, bytes }, palette)), ['ff060504', 'ff030201']);
  });

  test('drawn where they belong as by way of a picture, or not at all', () => {
    const side = fc.integer({ min: 0, max: 9 });
    const drawn = { yes: 0, no: 0 };
    fc.assert(
      fc.property(
        side,
        side,
        side,
        side,
        fc.integer({ min: -2, max: 5 }),
        fc.boolean(),
        (width, height, left, top, more, passing) => {
          const bytes = Uint8Array.from({ length: Math.max(0, width * height * 4 + more) }, (_, at) => at * 7);
          const [one, other] = [createPixelBuffer(12, 12), createPixelBuffer(12, 12)];
          const source = { bytes, width, height, depth: 32, compressed: false, passing } as const;
          if (drawBitmap(source, one, left, top)) {
            drawn.yes += 1;
            blit(other, left, top, decodeBitmap(source, palette));
          } else drawn.no += 1;
          assert.deepEqual(one, other);
        },
      ),
    );
    assert.ok(drawn.yes > 0 && drawn.no > 0);
    const compressed = { bytes: new Uint8Array(16), width: 2, height: 2, depth: 32, compressed: true } as const;
    assert.equal(drawBitmap(compressed, createPixelBuffer(2, 2), 0, 0), false);
  });

  test('too few bytes', () => {
    const layout = { stride: 8, bottomUp: true };
    assert.throws(() => decodeRaw(new Uint8Array(15), 2, 2, 32, palette, layout), decodeError('truncated'));
    assert.throws(() => decodeRaw(new Uint8Array(15), 3, 1, 32, palette, layout), decodeError('truncated'));
    assert.equal(decodeRaw(new Uint8Array(0), 2, 0, 32, palette, layout).height, 0);
    const huge = { stride: 8192 * 4, bottomUp: true };
    assert.throws(() => decodeRaw(new Uint8Array(8), 8192, 8192, 32, palette, huge), decodeError('truncated'));
  });
});

describe('interleaved RLE, [MS-RDPBCGR] 3.1.9', () => {
  const one = (digits: string, width: number, height: number, depth: 8 | 15 | 16 | 24 = 8) => {
    const identity = Uint32Array.from({ length: 256 }, (_, index) => index);
    return [...decodeInterleaved(hex(digits), width, height, depth, depth === 8 ? identity : palette).words];
  };

  test('background runs: black, then what is above; the second in a row begins with foreground', () => {
    // Rows come bottom-up: the last row of the picture is the first of the stream.
    assert.deepEqual(one('04 04', 4, 2), [0, 0, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(one('02 02', 4, 1), [0, 0, 0xff, 0]);
    assert.deepEqual(one('64 07 02 02', 4, 2), [7, 7, 0xf8, 7, 7, 7, 7, 7]);
    // At the end of the first row the insertion is forgotten.
    assert.deepEqual(one('04 01 01 02', 4, 2).slice(0, 2), [0, 0xff]);
  });

  test('foreground runs in every form', () => {
    assert.deepEqual(one('22', 2, 1), [0xff, 0xff]);
    assert.deepEqual(one('c2 0a', 2, 1), [10, 10]);
    assert.deepEqual(one('f6 0200 0b', 2, 1), [11, 11]);
    assert.deepEqual(one('f1 0200', 2, 1), [0xff, 0xff]);
    assert.deepEqual(one('62 01 c2 03', 2, 2), [2, 2, 1, 1]);
    assert.deepEqual(one('20 00', 32, 1), new Array(32).fill(0xff));
    assert.deepEqual(one('c0 00 05', 16, 1), new Array(16).fill(5));
  });

  test('foreground-background images in every form', () => {
    assert.deepEqual(one('41 05', 8, 1), [255, 0, 255, 0, 0, 0, 0, 0]);
    assert.deepEqual(one('40 02 05', 3, 1), [255, 0, 255]);
    assert.deepEqual(one('d1 09 03', 8, 1), [9, 9, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(one('d0 01 09 01', 2, 1), [9, 0]);
    assert.deepEqual(one('f2 0300 02', 3, 1), [0, 255, 0]);
    assert.deepEqual(one('f7 0300 08 04', 3, 1), [0, 0, 8]);
    assert.deepEqual(one('6a 01 f2 0a00 ff 02', 10, 2).slice(0, 10), [254, 254, 254, 254, 254, 254, 254, 254, 1, 254]);
    assert.deepEqual(one('f9', 8, 1), [255, 255, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(one('fa', 8, 1), [255, 0, 255, 0, 0, 0, 0, 0]);
  });

  test('colour runs, colour images, dithered runs, black and white', () => {
    assert.deepEqual(one('63 21', 3, 1), [0x21, 0x21, 0x21]);
    assert.deepEqual(one('f3 0300 22', 3, 1), [0x22, 0x22, 0x22]);
    assert.deepEqual(one('83 01 02 03', 3, 1), [1, 2, 3]);
    assert.deepEqual(one('f4 0200 04 05', 2, 1), [4, 5]);
    assert.deepEqual(one('e2 01 02', 4, 1), [1, 2, 1, 2]);
    assert.deepEqual(one('f8 0200 03 04', 4, 1), [3, 4, 3, 4]);
    assert.deepEqual(one('fd fe', 2, 1), [255, 0]);
    assert.deepEqual(one('fd', 1, 1, 15), [0xffffffff]);
    assert.deepEqual(one('fd', 1, 1, 16), [0xffffffff]);
    assert.deepEqual(one('61 030201', 1, 1, 24), [0xff030201]);
  });

  test('a stream that ends early or says too much is refused', () => {
    assert.throws(() => one('61 01', 3, 1), decodeError('truncated'));
    for (const digits of ['64 01', '04', 'e2 01 02', '83 01 02 03', 'f9'])
      assert.throws(() => one(digits, 2, 1), decodeError('invalid'), digits);
    for (const digits of ['a1', 'f5 0100', 'fb', 'fc', 'ff', 'b1'])
      assert.throws(() => one(digits, 2, 1), decodeError('invalid'), digits);
    for (const digits of ['61', '41', '82 01', 'f0 01', 'c1', '20'])
      assert.throws(() => one(digits, 2, 4), decodeError('truncated'), digits);
  });

  test('what is encoded is decoded, in every depth', () => {
    const depths = [8, 15, 16, 24] as const;
    const picture = size.chain(([width, height]) =>
      fc.tuple(fc.constant(width), fc.constant(height), fc.constantFrom(...depths), runs(width * height, 0x7fff)),
    );
    fc.assert(
      fc.property(picture, ([width, height, depth, values]) => {
        const pixels = depth === 8 ? values.map((value) => value & 0xff) : values;
        const bytes = interleavedEncode(pixels, width, depth === 8 ? 1 : depth === 24 ? 3 : 2);
        const decoded = decodeInterleaved(bytes, width, height, depth, palette);
        const expected = pixels.map((value) => toWord(value, depth, palette));
        for (let row = 0; row < height; row += 1)
          assert.deepEqual(
            [...decoded.words.subarray(row * width, (row + 1) * width)],
            expected.slice((height - 1 - row) * width, (height - row) * width),
          );
      }),
      { numRuns: 200 },
    );
  });

  test('any bytes', () => {
    fc.assert(
      fc.property(
        size,
        fc.constantFrom(8, 15, 16, 24),
        fc.uint8Array({ maxLength: 300 }),
        ([width, height], depth, bytes) =>
          survives(width, height, () => decodeInterleaved(bytes, width, height, depth as 8, palette)),
      ),
      { numRuns: 2000 },
    );
  });
});

describe('planar, [MS-RDPEGDI] 3.1.9', () => {
  const bottomUp = { bottomUp: true };
  const topDown = { bottomUp: false };

  test('decodes the plane of 3.1.9.2.3', () => {
    const plane = '13ff 20fefd 60017df5c29a38 6001678ba378af';
    const picture = decodePlanar(hex(`30 ${plane} ${plane} ${plane}`), 6, 3, topDown);
    const expected = [255, 255, 255, 255, 254, 253, 254, 192, 132, 96, 75, 25, 253, 140, 62, 14, 135, 193];
    assert.deepEqual(
      [...picture.words],
      expected.map((value) => (0xff000000 | (value * 0x010101)) >>> 0),
    );
  });

  test('long runs, 3.1.9.2.2', () => {
    const plane = '1f41 f2 52';
    const picture = decodePlanar(hex(`30 ${plane} ${plane} ${plane}`), 100, 1, topDown);
    assert.deepEqual([...picture.words], new Array(100).fill(0xff414141));
  });

  test('raw planes in the order alpha, red, green, blue; rows as asked', () => {
    const bytes = hex('00 8081 0102 0304 0506 00');
    assert.deepEqual(words(decodePlanar(bytes, 1, 2, topDown)), ['ff050301', 'ff060402']);
    assert.deepEqual(words(decodePlanar(bytes, 1, 2, bottomUp)), ['ff060402', 'ff050301']);
    assert.deepEqual(words(decodePlanar(bytes, 1, 2, { ...topDown, alpha: true })), ['80050301', '81060402']);
    assert.deepEqual(words(decodePlanar(hex('20 01 02 03'), 1, 1, { ...topDown, alpha: true })), ['ff030201']);
  });

  test('colour loss and chroma subsampling', () => {
    // Luma 100, orange chroma 10 << 1 and green chroma 20 << 1 of level 2; red and blue are exchanged (3.1.9.1.2).
    const picture = decodePlanar(hex('22 64 0a 14'), 1, 1, topDown);
    assert.deepEqual([...picture.data], [100 - 40 - 20, 140, 100 - 40 + 20, 255]);
    const planes = '808182838485868788 646464646464646464 00000a00 00000000';
    const halved = decodePlanar(hex(`0a ${planes}`), 3, 3, { ...topDown, alpha: true });
    // 3 × 3 pixels have 2 × 2 chroma values: the third colours the lower left corner.
    assert.equal(halved.data[(2 * 3 + 0) * 4], 100 - 20);
    assert.equal(halved.data[(2 * 3 + 2) * 4], 100);
    assert.equal(halved.data[3], 0x80);
  });

  test('what is encoded is decoded', () => {
    const picture = size.chain(([width, height]) =>
      fc.tuple(
        fc.constant(width),
        fc.constant(height),
        fc.array(runs(width * height, 255), { minLength: 4, maxLength: 4 }),
      ),
    );
    fc.assert(
      fc.property(picture, ([width, height, planes]) => {
        const bytes = [0x10, ...planes.flatMap((plane) => planeEncode(Uint8Array.from(plane), width))];
        const decoded = decodePlanar(Uint8Array.from(bytes), width, height, { ...topDown, alpha: true });
        const [alpha, red, green, blue] = planes;
        const expected = alpha!.flatMap((value, index) => [red![index]!, green![index]!, blue![index]!, value]);
        assert.deepEqual([...decoded.data], expected);
      }),
      { numRuns: 200 },
    );
  });

  test('what is cut short, leaves its row or contradicts itself', () => {
    assert.throws(() => decodePlanar(hex(''), 1, 1, topDown), decodeError('truncated'));
    assert.throws(() => decodePlanar(hex('20 01 02'), 1, 1, topDown), decodeError('truncated'));
    assert.throws(() => decodePlanar(hex('30 20 01'), 4, 1, topDown), decodeError('truncated'));
    assert.throws(() => decodePlanar(hex('30 10'), 4, 1, topDown), decodeError('truncated'));
    assert.throws(() => decodePlanar(hex('30 15 01 10 01 10 01'), 4, 1, topDown), decodeError('invalid'));
    assert.throws(() => decodePlanar(hex('28 01 02 03'), 1, 1, topDown), decodeError('invalid'));
    assert.throws(() => decodePlanar(hex('30 11'), 8192, 8193, topDown), decodeError('limit'));
  });

  test('any bytes', () => {
    fc.assert(
      fc.property(size, fc.uint8Array({ maxLength: 400 }), fc.boolean(), ([width, height], bytes, alpha) =>
        survives(width, height, () => decodePlanar(bytes, width, height, { bottomUp: alpha, alpha })),
      ),
      { numRuns: 2000 },
    );
  });
});

describe('NSCodec, [MS-RDPNSC]', () => {
  const compressed =
    '71000000070000000b0000000700000003010000636301646400636302646400636300646401636301646401636301646400' +
    '63630064640163630064640c63630064640c63630064640c63630064640c6364640463646363006464036364640363630064' +
    '6363006464036563646401636464006564640663646400636300646404646565652222222222222237371936373706373737' +
    '37ffff90ffffffff';
  const final =
    'ff3f0fffff3f0fffff3f0fffff4010ffff4010ffff3f0fffff3f0fffff3f0fffff3f0fffff4010ffff4010ffff3f0fffff3f' +
    '0fffff4010ffff4010ffff3f0fffff3f0fffff3f0fffff4010ffff4010ffff4010ffff3f0fffff3f0fffff3f0fffff4010ff' +
    'ff4010ffff3f0fffff3f0fffff4010ffff4010ffff3f0fffff3f0fffff4010ffff4010ffff4010ffff4010ffff4010ffff40' +
    '10ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff3f0fffff3f0fffff4010ffff4010ffff4010ff' +
    'ff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff3f0fffff3f0fffff40' +
    '10ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ff' +
    'ff3f0fffff3f0fffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff40' +
    '10ffff4010ffff4010ffff3f0fffff4010ffff4010ffff4010ffff4010ffff4010ffff3c14ffff3b13ffff4010ffff3f0fff' +
    'ff3f0fffff4010ffff4010ffff4010ffff4010ffff3f0fffff4010ffff4010ffff4010ffff4010ffff4010ffff3b13ffff3b' +
    '13ffff4010ffff3f0fffff3f0fffff4010ffff4010ffff4010ffff4010ffff4111ffff3f0fffff4010ffff4010ffff4010ff' +
    'ff3f0fffff4010ffff4010ffff4111ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff3f0fffff40' +
    '10ffff4010ffff3f0fffff3f0fffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4010ffff4111ffff4111ff';

  test('decodes the example of 4', () => {
    const picture = decodeNsCodec(hex(compressed), 15, 10, { alpha: true });
    const bytes = hex(final);
    for (let pixel = 0; pixel < 150; pixel += 1) {
      const [red, green, blue, alpha] = picture.data.subarray(pixel * 4);
      assert.deepEqual([blue, green, red, alpha], [...bytes.subarray(pixel * 4, pixel * 4 + 4)], `pixel ${pixel}`);
    }
  });

  test('rows bottom-up where asked', () => {
    const topDown = decodeNsCodec(hex(compressed), 15, 10);
    const bottomUp = decodeNsCodec(hex(compressed), 15, 10, { bottomUp: true });
    assert.deepEqual(topDown.words.subarray(0, 15), bottomUp.words.subarray(135, 150));
  });

  const stream = (planes: readonly Uint8Array[], level: number, subsampled: number) => {
    const bytes = new Uint8Array(20 + planes.reduce((sum, plane) => sum + plane.length, 0));
    const view = new DataView(bytes.buffer);
    let at = 20;
    planes.forEach((plane, index) => {
      view.setUint32(index * 4, plane.length, true);
      bytes.set(plane, at);
      at += plane.length;
    });
    bytes[16] = level;
    bytes[17] = subsampled;
    return bytes;
  };

  test('planes raw and in segments', () => {
    const picture = size.chain(([width, height]) =>
      fc.tuple(
        fc.constant(width),
        fc.constant(height),
        fc.array(runs(width * height, 255), { minLength: 4, maxLength: 4 }),
      ),
    );
    fc.assert(
      fc.property(picture, ([width, height, planes]) => {
        const [luma, orange, green, alpha] = planes.map((plane) => Uint8Array.from(plane));
        const bytes = stream([luma!, orange!, green!, alpha!].map(nsCodecPlane), 1, 0);
        const decoded = decodeNsCodec(bytes, width, height, { alpha: true });
        for (let pixel = 0; pixel < width * height; pixel += 1) {
          const co = (orange![pixel]! << 24) >> 24;
          const cg = (green![pixel]! << 24) >> 24;
          const clamp = (value: number) => Math.max(0, Math.min(255, value));
          const y = luma![pixel]!;
          const expected = [clamp(y + co - cg), clamp(y + cg), clamp(y - co - cg), alpha![pixel]!];
          assert.deepEqual([...decoded.data.subarray(pixel * 4, pixel * 4 + 4)], expected);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('a run of more than 256 pixels', () => {
    const plane = new Uint8Array(600).fill(9);
    const picture = decodeNsCodec(stream([plane, plane, plane].map(nsCodecPlane), 1, 0), 600, 1);
    assert.deepEqual([...picture.data.subarray(0, 4)], [9, 18, 0, 255]);
  });

  test('what is cut short, too long or out of range', () => {
    const plane = (digits: string) => hex(digits);
    const good = plane('01010101 01');
    assert.throws(() => decodeNsCodec(hex('00'), 5, 1), decodeError('truncated'));
    assert.throws(() => decodeNsCodec(stream([good, good, good], 0, 0), 5, 1), decodeError('invalid'));
    assert.throws(() => decodeNsCodec(stream([good, good, good], 8, 0), 5, 1), decodeError('invalid'));
    assert.throws(() => decodeNsCodec(stream([good, good, good], 1, 0), 4, 1), decodeError('invalid'));
    assert.throws(() => decodeNsCodec(stream([plane('01'), good, good], 1, 0), 2, 1), decodeError('invalid'));
    assert.throws(() => decodeNsCodec(stream([plane('0101'), good, good], 1, 0), 9, 1), decodeError('truncated'));
    assert.throws(() => decodeNsCodec(stream([plane('01'), good, good], 1, 0), 9, 1), decodeError('truncated'));
    assert.throws(() => decodeNsCodec(stream([plane('010109 0000'), good, good], 1, 0), 9, 1), decodeError('invalid'));
    assert.throws(
      () => decodeNsCodec(stream([plane('010101 0000'), good, good], 1, 0), 9, 1),
      decodeError('truncated'),
    );
  });

  test('any bytes', () => {
    const head = fc.tuple(
      fc.integer({ min: 0, max: 90 }),
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 0, max: 1 }),
    );
    fc.assert(
      fc.property(
        size,
        head,
        fc.uint8Array({ maxLength: 300 }),
        ([width, height], [length, level, subsampled], bytes) => {
          const planes = [0, 1, 2].map((index) => bytes.subarray(index * length, (index + 1) * length));
          survives(width, height, () => decodeNsCodec(stream(planes, level, subsampled), width, height));
        },
      ),
      { numRuns: 2000 },
    );
  });
});
