import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mppcEncode, NcrushEncoder, type Token, XcrushEncoder } from '@lucid-sessions/testkit/bulk-encoders';
import { Random } from '@lucid-sessions/testkit/differential';
import { DecodeError } from '@lucid-sessions/wire';
import { bulkEngine } from '../src/bulk/engine.ts';
import {
  MppcDecompressor,
  NcrushDecompressor,
  packetAtFront,
  packetCompressed,
  packetFlushed,
  XcrushDecompressor,
} from '../src/bulk/index.ts';
import { largeSlots, smallSlots } from '../src/bulk/kernel-memory.ts';

interface Decompressor {
  decompress(data: Uint8Array, flags: number): Uint8Array;
  snapshot(): unknown;
}

type Engine = ReturnType<typeof bulkEngine>;

interface Kind {
  readonly name: string;
  readonly historyBytes: number;
  readonly begin: (engine: Engine) => Decompressor;
  readonly encoder: () => (tokens: readonly Token[]) => Uint8Array;
}

const mppc = (historyBytes: 8192 | 65536): Kind => ({
  name: `MPPC ${historyBytes >> 10}K`,
  historyBytes,
  begin: (engine) => new MppcDecompressor(historyBytes, engine),
  encoder: () => (tokens) => mppcEncode(tokens, historyBytes === 65536),
});
const kinds: readonly Kind[] = [
  mppc(8192),
  mppc(65536),
  {
    name: 'NCRUSH',
    historyBytes: 65536,
    begin: (engine) => new NcrushDecompressor(engine),
    encoder: () => {
      const encoder = new NcrushEncoder();
      return (tokens) => encoder.encode(tokens);
    },
  },
  {
    name: 'XCRUSH',
    historyBytes: 65536,
    begin: (engine) => new XcrushDecompressor(engine),
    encoder: () => {
      const encoder = new XcrushEncoder();
      return (tokens) => encoder.encode(tokens);
    },
  },
];

/** Matches of every distance and length: runs, long ones, ones over the history's end, and into what an earlier round left. */
function randomTokens(random: Random, historyBytes: number): Token[] {
  const lengthMax = random.often(6) ? historyBytes >> 1 : 60;
  return random.list(random.of(50), () =>
    random.often(2)
      ? random.of(256)
      : {
          distance: 1 + random.of(random.often(2) ? 20 : historyBytes - 1),
          length: 3 + random.of(random.often(3) ? lengthMax : 18),
        },
  );
}

function outcome(decompressor: Decompressor, data: Uint8Array, flags: number): Uint8Array | string {
  try {
    return decompressor.decompress(data, flags);
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return `${error.code}: ${error.message}`;
  }
}

const randomFlags = (random: Random): number =>
  packetCompressed | (random.often(8) ? packetAtFront : 0) | (random.often(20) ? packetFlushed : 0);

describe('bulk decompression with and without kernels', {
  skip: bulkEngine() === null && 'no WebAssembly SIMD',
}, () => {
  for (const { name, historyBytes, begin, encoder } of kinds)
    test(`${name}: the same bytes, errors and histories, whatever comes`, () => {
      const random = new Random(historyBytes + name.length);
      const seen = { bytes: 0, errors: new Set<string>() };
      for (let stream = 0; stream < 300; stream += 1) {
        const [fast, plain] = [begin(bulkEngine()), begin(null)];
        const encode = encoder();
        for (let left = 1 + random.of(12); left > 0; left -= 1) {
          const whole = random.often(12) ? random.bytes(random.of(300)) : encode(randomTokens(random, historyBytes));
          const data = random.often(4) ? random.damaged(whole) : whole;
          const flags = randomFlags(random);
          const [ours, expected] = [outcome(fast, data, flags), outcome(plain, data, flags)];
          assert.deepEqual(ours, expected, `stream ${stream}`);
          if (typeof ours === 'string') seen.errors.add(ours.split(':')[0]!);
          else seen.bytes += ours.length;
        }
        assert.deepEqual(fast.snapshot(), plain.snapshot(), `stream ${stream}`);
      }
      assert.ok(seen.bytes > 100_000);
      for (const code of ['invalid', 'limit', 'truncated']) assert.ok(seen.errors.has(code), code);
    });

  test('more decompressors than there is room for take turns', () => {
    const random = new Random(7);
    // A quarter of them have a large history.
    const count = Math.max(smallSlots.count, 4 * largeSlots.count) + 20;
    const pairs = random.list(count, (index) => {
      const { begin, encoder, historyBytes } = kinds[index % kinds.length]!;
      return { fast: begin(bulkEngine()), plain: begin(null), encode: encoder(), historyBytes };
    });
    for (let turn = 0; turn < 600; turn += 1) {
      const { fast, plain, encode, historyBytes } = random.one(pairs);
      const data = encode(randomTokens(random, historyBytes));
      assert.deepEqual(outcome(fast, data, packetCompressed), outcome(plain, data, packetCompressed));
    }
    for (const { fast, plain } of pairs) assert.deepEqual(fast.snapshot(), plain.snapshot());
  });

  test('RDP 6.1 grows its history as far as a match reaches, and no further than its two megabytes', () => {
    const match = (length: number, from: number) => {
      const bytes = new Uint8Array(12);
      bytes.set([0x01, 0x00, 1, 0]);
      const view = new DataView(bytes.buffer);
      view.setUint16(4, length, true);
      view.setUint32(8, from, true);
      return bytes;
    };
    const decompressor = new XcrushDecompressor();
    assert.deepEqual(decompressor.decompress(match(5, 1_999_995), packetCompressed), new Uint8Array(5));
    assert.throws(() => decompressor.decompress(match(5, 1_999_996), packetCompressed), DecodeError);
    const long = Uint8Array.of(0x02, 0x00, ...random64K());
    for (let count = 0; count < 30; count += 1)
      assert.deepEqual(decompressor.decompress(long, packetCompressed), long.subarray(2));
    assert.deepEqual(decompressor.decompress(match(9, 1_500_000), packetCompressed).length, 9);
  });

  test('a payload longer than any PDU is taken without the kernels', () => {
    const data = new Uint8Array(0x10001).fill(0x41);
    for (const { begin } of kinds) {
      const [fast, plain] = [begin(bulkEngine()), begin(null)];
      assert.deepEqual(outcome(fast, data, packetCompressed), outcome(plain, data, packetCompressed));
    }
  });
});

function random64K(): Uint8Array {
  return new Random(3).bytes(65_000);
}
