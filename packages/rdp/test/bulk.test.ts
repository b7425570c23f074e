import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  mppcEncode,
  NcrushEncoder,
  type Token,
  tokens,
  zgfxMultipart,
  zgfxSegment,
  zgfxSingle,
} from '@lucid-sessions/testkit/bulk-encoders';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { canonicalCodes } from '../src/bulk/huffman.ts';
import {
  BulkDecompressor,
  MppcDecompressor,
  NcrushDecompressor,
  packetAtFront,
  packetCompressed,
  packetFlushed,
  XcrushDecompressor,
  ZgfxDecompressor,
} from '../src/bulk/index.ts';
import { literalLengths, matchLengths } from '../src/bulk/ncrush-tables.ts';

const ascii = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const hex = (digits: string) => Uint8Array.from(Buffer.from(digits.replace(/\s+/g, ''), 'hex'));
const decodeError = (code: string) => (error: unknown) => error instanceof DecodeError && error.code === code;

const bells = 'for.whom.the.bell.tolls,.the.bell.tolls.for.thee!';
const bellTokens: Token[] = [
  ...ascii('for.whom.the.bell.tolls,'),
  { distance: 16, length: 15 },
  ...ascii('.'),
  { distance: 40, length: 4 },
  { distance: 19, length: 3 },
  ...ascii('e!'),
];

/** Streams of messages that repeat themselves and each other, the way updates do. */
const messages = fc.array(
  fc
    .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 40 })), {
      minLength: 1,
      maxLength: 12,
    })
    .map((parts) =>
      Uint8Array.from(
        parts.flatMap(([bytes, times]) =>
          Array(times)
            .fill([...bytes])
            .flat(),
        ),
      ),
    ),
  { minLength: 1, maxLength: 12 },
);

/** Any bytes with any flags may only give bytes or a DecodeError. */
function survives(decompress: (bytes: Uint8Array, flags: number) => Uint8Array): void {
  const input = fc.tuple(fc.uint8Array({ maxLength: 600 }), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(input, ([bytes, flags]) => {
      try {
        assert.ok(decompress(bytes, flags).length <= Math.max(65536, bytes.length));
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
}

describe('MPPC, [MS-RDPBCGR] 3.1.8', () => {
  for (const [name, historyBytes, type] of [
    ['RDP 4.0', 8192, 0],
    ['RDP 5.0', 65536, 1],
  ] as const) {
    test(`${name} decodes the example of 3.1.8.2.3`, () => {
      const encoded = mppcEncode(bellTokens, type === 1);
      const decompressor = new MppcDecompressor(historyBytes);
      assert.equal(text(decompressor.decompress(encoded, packetCompressed | packetAtFront)), bells);
    });

    test(`${name} keeps its history over messages`, () => {
      fc.assert(
        fc.property(messages, (stream) => {
          const decompressor = new MppcDecompressor(historyBytes);
          let history = new Uint8Array(0);
          for (const message of stream) {
            const fits = history.length + message.length <= historyBytes;
            const before = fits ? history : new Uint8Array(0);
            const encoded = mppcEncode(tokens(message, before, 3, type === 1 ? 65535 : 8191), type === 1);
            const flags = packetCompressed | type | (fits ? 0 : packetAtFront);
            assert.deepEqual(decompressor.decompress(encoded, flags), message);
            history = Uint8Array.of(...before, ...message);
          }
        }),
        { numRuns: 60 },
      );
    });
  }

  test('the encodings of 3.1.8.4.1 and 3.1.8.4.2, bit by bit', () => {
    const cases: [boolean, Token, string][] = [
      [false, 0x56, '01010110'],
      [false, 0xe7, '101100111'],
      [false, { distance: 3, length: 15 }, '1111000011 110111'],
      [false, { distance: 128, length: 120 }, '111001000000 111110111000'],
      [false, { distance: 1024, length: 4097 }, '1100001011000000 111111111110000000000001'],
      [true, { distance: 3, length: 3 }, '11111000011 0'],
      [true, { distance: 2367, length: 7 }, '111011111111111 1011'],
      [true, { distance: 2368, length: 8 }, '1100000000000000000 110000'],
    ];
    for (const [large, token, bits] of cases) {
      const digits = bits.replace(' ', '');
      const bytes = Uint8Array.from(digits.padEnd(Math.ceil(digits.length / 8) * 8, '0').match(/.{8}/g)!, (byte) =>
        Number.parseInt(byte, 2),
      );
      const decompressor = new MppcDecompressor(large ? 65536 : 8192);
      // Something to refer to.
      const before: Token[] = [1, { distance: 1, length: 3000 }];
      decompressor.decompress(mppcEncode(before, large), packetCompressed);
      const output = decompressor.decompress(bytes, packetCompressed);
      assert.equal(output.length, typeof token === 'number' ? 1 : token.length, bits);
      if (typeof token === 'number') assert.equal(output[0], token);
      assert.deepEqual(mppcEncode([token], large), bytes);
    }
  });

  test('a replicating copy reads what it writes', () => {
    const encoded = mppcEncode([...ascii('Xcd'), { distance: 2, length: 4 }, ...ascii('YZ')], true);
    assert.equal(text(new MppcDecompressor(65536).decompress(encoded, packetCompressed)), 'XcdcdcdYZ');
  });

  test('at front goes back to the start, flushed forgets', () => {
    const decompressor = new MppcDecompressor(8192);
    decompressor.decompress(mppcEncode([...ascii('abcdef')], false), packetCompressed);
    const copy = mppcEncode([{ distance: 8192 - 3, length: 3 }], false);
    assert.equal(text(decompressor.decompress(copy, packetCompressed | packetAtFront)), 'def');
    const flushed = decompressor.decompress(copy, packetCompressed | packetFlushed);
    assert.deepEqual(flushed, new Uint8Array(3));
    const plain = ascii('plain');
    assert.equal(decompressor.decompress(plain, packetFlushed), plain);
  });

  test('a match over the end of the history is refused: no compressor makes one', () => {
    const match = mppcEncode([{ distance: 2, length: 3 }], false);
    assert.throws(() => new MppcDecompressor(8192).decompress(match, packetCompressed), decodeError('invalid'));
  });

  test('the end of the history is the end', () => {
    const full = new MppcDecompressor(8192);
    full.decompress(mppcEncode([65, { distance: 1, length: 8191 }], false), packetCompressed);
    assert.throws(() => full.decompress(mppcEncode([65], false), packetCompressed), decodeError('limit'));
    assert.throws(
      () => full.decompress(mppcEncode([{ distance: 1, length: 3 }], false), packetCompressed),
      decodeError('limit'),
    );
  });

  test('codes that end too early or are not defined', () => {
    const small = new MppcDecompressor(8192);
    assert.throws(() => small.decompress(hex('ff'), packetCompressed), decodeError('truncated'));
    assert.throws(() => small.decompress(hex('f0 3f ff ff'), packetCompressed), decodeError('invalid'));
  });
});

describe('NCRUSH, [MS-RDPEGDI] 3.1.8.1', () => {
  test('the canonical codes are those of tables 2 and 5', () => {
    const literals = canonicalCodes(literalLengths);
    const listed: [number, number][] = [
      [0, 0x0004],
      [1, 0x0024],
      [131, 0x02a7],
      [171, 0x07ff],
      [178, 0x03ff],
      [256, 0x17ff],
      [257, 0x0fff],
      [263, 0x0034],
      [292, 0x0065],
    ];
    for (const [index, code] of listed) assert.equal(literals[index], code, `literal ${index}`);
    assert.equal(literals.length, 293);
    assert.deepEqual(canonicalCodes(matchLengths).slice(0, 8), [1, 0, 2, 9, 6, 5, 13, 11]);
    assert.equal(canonicalCodes(matchLengths)[31], 0x1ff);
  });

  test('messages with history, offset cache and slide-back', () => {
    fc.assert(
      fc.property(messages, (stream) => {
        const decompressor = new NcrushDecompressor();
        const encoder = new NcrushEncoder();
        let history = new Uint8Array(0);
        for (const message of stream) {
          const encoded = encoder.encode(tokens(message, history, 3, 16000));
          assert.deepEqual(decompressor.decompress(encoded, packetCompressed | 2), message);
          history = Uint8Array.of(...history, ...message);
        }
        const slid = history.length > 32768 ? history.slice(-32768) : undefined;
        if (!slid) return;
        const encoded = encoder.encode(tokens(slid.slice(0, 500), slid, 3, 16000));
        assert.deepEqual(decompressor.decompress(encoded, packetCompressed | packetAtFront | 2), slid.slice(0, 500));
      }),
      { numRuns: 60 },
    );
  });

  test('slides back by half', () => {
    const decompressor = new NcrushDecompressor();
    const encoder = new NcrushEncoder();
    const first = Uint8Array.from({ length: 40000 }, (_, index) => (index * index) >> 5);
    decompressor.decompress(encoder.encode([...first]), packetCompressed | 2);
    const again: Token[] = [{ distance: 32768, length: 700 }];
    const output = decompressor.decompress(encoder.encode(again), packetCompressed | packetAtFront | 2);
    assert.deepEqual(output, first.slice(40000 - 32768, 40000 - 32768 + 700));
  });

  test('refuses what is not defined, cut short or too long', () => {
    const decompressor = new NcrushDecompressor();
    assert.throws(() => decompressor.decompress(hex('ff ff'), packetCompressed | 2), decodeError('invalid'));
    assert.throws(() => decompressor.decompress(hex(''), packetCompressed | 2), decodeError('truncated'));
    const encoder = new NcrushEncoder();
    const long: Token[] = [7, ...Array.from({ length: 5 }, () => ({ distance: 1, length: 16000 }))];
    assert.throws(() => decompressor.decompress(encoder.encode(long), packetCompressed | 2), decodeError('limit'));
    const flushed = decompressor.decompress(new NcrushEncoder().encode([1, 2, 3]), packetCompressed | packetFlushed);
    assert.deepEqual(flushed, Uint8Array.of(1, 2, 3));
    const unencoded = ascii('as it is');
    assert.equal(decompressor.decompress(unencoded, 2), unencoded);
    const literals = new NcrushEncoder().encode(new Array(65537).fill(1));
    assert.throws(() => decompressor.decompress(literals, packetCompressed | packetFlushed | 2), decodeError('limit'));
  });

  test('a length class above the tables is refused', () => {
    // Copy-offset code 0x0024-like literal 'a' is not needed: cached offset 0 (0x18, 5 bits), then class 31 (0x1ff, 9 bits).
    const bits = 0x18 | (0x1ff << 5);
    const bytes = Uint8Array.of(bits & 0xff, bits >> 8, 0, 0);
    assert.throws(() => new NcrushDecompressor().decompress(bytes, packetCompressed), decodeError('invalid'));
  });
});

describe('XCRUSH, [MS-RDPEGDI] 3.1.8.2', () => {
  const first = hex('16 80 61 62 63 64 65 66 67 68 69 6a');
  // 4.7 shows the second packet after level 2: PACKET_COMPRESSED is taken out of Level2ComprFlags for level 1 alone.
  const second = hex('11 01 02 00 09 00 05 00 03 00 00 00 04 00 0e 00 00 00 00 00 6b 6c 6d 6e 6f 75');

  test('decodes the example of 4.7', () => {
    const decompressor = new XcrushDecompressor();
    assert.equal(text(decompressor.decompress(first, packetCompressed | 3)), 'abcdefghij');
    assert.equal(text(decompressor.decompress(second, packetCompressed | 3)), 'klmnodefghijklabcdu');
  });

  test('chains the RDP 5.0 decompressor before', () => {
    const inner = mppcEncode([...second.slice(2)], true);
    const decompressor = new XcrushDecompressor();
    decompressor.decompress(first, packetCompressed | 3);
    assert.equal(text(decompressor.decompress(Uint8Array.of(0x11, 0x61, ...inner), 0x23)), 'klmnodefghijklabcdu');
  });

  test('going to the front resets the offset, not the history; a flush zeroes it; snapshots hold what was written', () => {
    const literals = (text: string, flags: number) => Uint8Array.of(0x02 | flags, 0, ...ascii(text));
    const match = (length: number, from: number, flags = 0) =>
      Uint8Array.of(0x01 | flags, 0, 1, 0, length, 0, 0, 0, from, 0, 0, 0);
    const decompressor = new XcrushDecompressor();
    decompressor.decompress(literals('0123456789', 0), packetCompressed | 3);
    assert.equal(text(decompressor.decompress(literals('ab', 4), packetCompressed | 3)), 'ab');
    const copy = new XcrushDecompressor();
    copy.restore(structuredClone(decompressor.snapshot()));
    for (const one of [decompressor, copy]) {
      assert.equal(text(one.decompress(match(4, 6), packetCompressed | 3)), '6789');
      assert.equal(text(one.decompress(match(6, 1, 4), packetCompressed | 3)), 'b67896', 'from the front');
      assert.equal(text(one.decompress(match(2, 8), packetCompressed | packetFlushed | 3)), '\0\0');
      assert.equal(text(one.decompress(match(3, 1, 4), packetCompressed | 3)), '\0\0\0', 'flushed whole');
    }
  });

  test('level 2 is undone where either level says that it is there', () => {
    const inner = mppcEncode([...ascii('inner')], true);
    for (const level1 of [0x02, 0x12])
      assert.equal(text(new XcrushDecompressor().decompress(Uint8Array.of(level1, 0x61, ...inner), 0x23)), 'inner');
  });

  test('without level 1 the data passes and leaves no history', () => {
    const decompressor = new XcrushDecompressor();
    assert.equal(text(decompressor.decompress(Uint8Array.of(0, 0, ...ascii('as is')), 0x23)), 'as is');
    const inner = mppcEncode([...ascii('inner')], true);
    assert.equal(text(decompressor.decompress(Uint8Array.of(0x10, 0x61, ...inner), 0x23)), 'inner');
    const plain = ascii('plain');
    assert.equal(decompressor.decompress(plain, 3), plain);
    assert.equal(decompressor.decompress(plain, packetFlushed | 3), plain);
  });

  test('refuses matches outside, backwards, too many or too long', () => {
    const decompressor = new XcrushDecompressor();
    const match = (length: number, output: number, history: number) => {
      const bytes = new Uint8Array(12);
      const view = new DataView(bytes.buffer);
      bytes.set([0x01, 0x00, 1, 0]);
      view.setUint16(4, length, true);
      view.setUint16(6, output, true);
      view.setUint32(8, history, true);
      return bytes;
    };
    assert.throws(() => decompressor.decompress(match(4, 0, 1_999_999), 0x23), decodeError('invalid'));
    assert.throws(() => decompressor.decompress(match(4, 1, 0), 0x23), decodeError('truncated'));
    assert.throws(() => decompressor.decompress(match(4, 0, 0).subarray(0, 10), 0x23), decodeError('truncated'));
    const twice = Uint8Array.of(1, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2, 0, 0, 0, 0, 0);
    assert.throws(() => decompressor.decompress(twice, 0x23), decodeError('invalid'));
    const many = Uint8Array.of(1, 0, 2, 0, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0);
    assert.throws(() => decompressor.decompress(many, 0x23), decodeError('limit'));
  });
});

describe('ZGFX, [MS-RDPEGFX] 3.1.9.1', () => {
  test('a lean snapshot leaves the past out while nothing refers to it, and a match behind it is refused', () => {
    const plain = (...bytes: number[]) => zgfxSingle(Uint8Array.of(0x04, ...bytes));
    const decompressor = new ZgfxDecompressor();
    decompressor.decompress(plain(1, 2, 3));
    const lean = decompressor.snapshot('lean');
    assert.deepEqual([lean.history.length, lean.heldBytes, decompressor.used], [0, 0, false]);

    const resumed = new ZgfxDecompressor();
    resumed.restore(lean);
    resumed.decompress(plain(4, 5, 6));
    const back = (distance: number) => zgfxSingle(zgfxSegment([{ distance, length: 3 }]));
    assert.deepEqual([...resumed.decompress(back(3))], [4, 5, 6]);
    assert.throws(() => resumed.decompress(back(9)), DecodeError);
    // What goes on from a lean state stays one, until its own past is long enough.
    const again = new ZgfxDecompressor();
    again.restore(resumed.snapshot());
    assert.throws(() => again.decompress(back(9)), DecodeError);

    decompressor.decompress(plain(4, 5, 6));
    assert.deepEqual([...decompressor.decompress(back(6))], [1, 2, 3]);
    assert.equal(decompressor.used, true);
    assert.equal(decompressor.snapshot('lean').history.length, 9);
  });

  test('decodes the examples of 3.1.9.1.2.5', () => {
    const segment = zgfxSegment([0x49, { distance: 1, length: 9 }]);
    // 0 01001001 10001 00001 110 001 and seven unused bits.
    assert.deepEqual(segment, hex('24 24 c4 38 80 07'));
    assert.deepEqual(new ZgfxDecompressor().decompress(zgfxSingle(segment)), new Uint8Array(10).fill(0x49));
  });

  test('every literal, its short code where it has one', () => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    assert.deepEqual(new ZgfxDecompressor().decompress(zgfxSingle(zgfxSegment([...all]))), all);
  });

  test('unencoded runs end on whole bytes and join the history', () => {
    const run = ascii('as it is');
    const output = new ZgfxDecompressor().decompress(
      zgfxSingle(zgfxSegment([0x41, run, 0x42, { distance: 9, length: 8 }])),
    );
    assert.equal(text(output), 'Aas it isBas it is');
  });

  test('messages over one history, single and in parts, encoded or not', () => {
    fc.assert(
      fc.property(messages, fc.integer({ min: 0, max: 2 }), (stream, mode) => {
        const decompressor = new ZgfxDecompressor();
        let history = new Uint8Array(0);
        stream.forEach((message, index) => {
          const plain = Uint8Array.of(0x04, ...message);
          const encoded = zgfxSegment(tokens(message, history, 3, 65535));
          const half = message.length >> 1;
          const parts = [Uint8Array.of(0x04, ...message.slice(0, half)), Uint8Array.of(0x04, ...message.slice(half))];
          const inputs = [zgfxSingle(plain), zgfxSingle(encoded), zgfxMultipart(parts, message.length)];
          assert.deepEqual(decompressor.decompress(inputs[(index + mode) % 3]!), message);
          history = Uint8Array.of(...history, ...message);
        });
      }),
      { numRuns: 60 },
    );
  });

  test('distances over the whole ring, round its end', () => {
    const decompressor = new ZgfxDecompressor();
    const block = (seed: number) => Uint8Array.from({ length: 62500 }, (_, index) => (index * seed) >> 3);
    for (let seed = 1; seed <= 41; seed += 1) decompressor.decompress(Uint8Array.of(0xe0, 0x04, ...block(seed)));
    // 41 blocks are 2,562,500 bytes: the ring holds blocks 2 to 41.
    for (const distance of [31, 159, 671, 1695, 5791, 22175, 54943, 317087, 1365663, 2414239, 2500000]) {
      const output = decompressor.decompress(zgfxSingle(zgfxSegment([{ distance, length: 5 }])));
      assert.equal(output.length, 5, String(distance));
    }
    const output = decompressor.decompress(zgfxSingle(zgfxSegment([{ distance: 2500000, length: 2000 }])));
    assert.deepEqual(output, block(2).slice(55, 2055));
  });

  test('refuses bad headers, sizes and codes', () => {
    const decompressor = new ZgfxDecompressor();
    const bad: [string, string][] = [
      ['', 'truncated'],
      ['e2', 'invalid'],
      ['e0 03 00', 'unsupported'],
      ['e0 24', 'truncated'],
      ['e1 01 00 05 00 00 00 02 00 00 00 04 41', 'invalid'],
      ['e1 02 00 01 00 00 00 02 00 00 00 04 41 02 00 00 00 04 41', 'invalid'],
      ['e1 00 00 ff ff ff ff', 'limit'],
      ['e1 01 00 05 00 00 00 ff 00 00 00 04 41', 'truncated'],
      // 10000… begins no token, and a match of distance 1 at the very end has no length.
      ['e0 24 80 00 00', 'invalid'],
      ['e0 24 88 40 06', 'truncated'],
    ];
    for (const [digits, code] of bad)
      assert.throws(() => decompressor.decompress(hex(digits)), decodeError(code), digits);
    const long = zgfxSegment([1, { distance: 1, length: 65535 }]);
    assert.throws(() => decompressor.decompress(zgfxSingle(long)), decodeError('limit'));
    const far = zgfxSegment([{ distance: 2500001, length: 3 }]);
    assert.throws(() => decompressor.decompress(zgfxSingle(far)), decodeError('invalid'));
    const literals = zgfxSegment(new Array(65536).fill(1));
    assert.throws(() => decompressor.decompress(zgfxSingle(literals)), decodeError('limit'));
    const run = zgfxSegment([1, { distance: 1, length: 65000 }, new Uint8Array(1000)]);
    assert.throws(() => decompressor.decompress(zgfxSingle(run)), decodeError('limit'));
  });

  test('any bytes', () => {
    const decompressor = new ZgfxDecompressor();
    fc.assert(
      fc.property(fc.constantFrom([0xe0], [0xe0, 0x24], [0xe1]), fc.uint8Array({ maxLength: 400 }), (head, tail) => {
        try {
          assert.ok(decompressor.decompress(Uint8Array.of(...head, ...tail)).length <= 65535 * 80);
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('a restored snapshot goes on as the original', () => {
    const original = new ZgfxDecompressor();
    original.decompress(Uint8Array.of(0xe0, 0x04, ...ascii(bells)));
    const copy = new ZgfxDecompressor();
    copy.restore(original.snapshot());
    const next = zgfxSingle(zgfxSegment([{ distance: 49, length: 49 }]));
    assert.equal(text(copy.decompress(next)), bells);
  });
});

describe('BulkDecompressor', () => {
  test('picks the engine by type and keeps one history each', () => {
    const bulk = new BulkDecompressor();
    const large = mppcEncode(bellTokens, true);
    const small = mppcEncode(bellTokens, false);
    assert.equal(text(bulk.decompress(large, packetCompressed | packetAtFront | 1)), bells);
    assert.equal(text(bulk.decompress(small, packetCompressed | packetAtFront)), bells);
    assert.equal(text(bulk.decompress(new NcrushEncoder().encode(bellTokens), packetCompressed | 2)), bells);
    assert.equal(text(bulk.decompress(hex('16 80 61 62 63'), packetCompressed | 3)), 'abc');
    const again = mppcEncode([{ distance: 49, length: 49 }], true);
    assert.equal(text(bulk.decompress(again, packetCompressed | 1)), bells);
    assert.throws(() => bulk.decompress(large, packetCompressed | 4), decodeError('unsupported'));
  });

  test('data that is not compressed comes back itself and starts no engine', () => {
    const bulk = new BulkDecompressor();
    const bytes = ascii('plain');
    assert.equal(bulk.decompress(bytes, 1), bytes);
    assert.deepEqual(bulk.snapshot(), { mppc8K: null, mppc64K: null, ncrush: null, xcrush: null });
  });

  test('a restored snapshot goes on as the original, with every engine', () => {
    const bulk = new BulkDecompressor();
    const encoder = new NcrushEncoder();
    bulk.decompress(mppcEncode(bellTokens, true), 0x21);
    bulk.decompress(mppcEncode(bellTokens, false), 0x20);
    bulk.decompress(encoder.encode(bellTokens), 0x22);
    bulk.decompress(Uint8Array.of(0x02, 0x00, ...ascii(bells)), 0x23);
    const copy = new BulkDecompressor();
    copy.decompress(mppcEncode([1, 2, 3], true), 0x21);
    copy.restore(structuredClone(bulk.snapshot()));
    const repeat: Token[] = [{ distance: 49, length: 49 }];
    const match = hex('01 00 01 00 31 00 00 00 00 00 00 00');
    for (const target of [bulk, copy]) {
      assert.equal(text(target.decompress(mppcEncode(repeat, true), 0x21)), bells);
      assert.equal(text(target.decompress(mppcEncode(repeat, false), 0x20)), bells);
      assert.equal(text(target.decompress(match, 0x23)), bells);
    }
    const ncrushRepeat = encoder.encode([{ distance: 16, length: 20 }]);
    assert.deepEqual(copy.decompress(ncrushRepeat, 0x22), bulk.decompress(ncrushRepeat, 0x22));
    copy.restore(new BulkDecompressor().snapshot());
    assert.deepEqual(copy.snapshot(), new BulkDecompressor().snapshot());
  });

  test('any bytes with any flags', () => {
    const bulk = new BulkDecompressor();
    survives((bytes, flags) => bulk.decompress(bytes, flags));
  });

  test('mutated streams', () => {
    const streams = [
      mppcEncode(bellTokens, true),
      mppcEncode(bellTokens, false),
      new NcrushEncoder().encode(bellTokens),
    ];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, at, change) => {
        const bytes = streams[which]!.slice();
        bytes[at % bytes.length]! ^= change;
        const type = [1, 0, 2][which]!;
        try {
          assert.ok(new BulkDecompressor().decompress(bytes, packetCompressed | type).length <= 65536);
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
