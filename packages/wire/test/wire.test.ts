import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Codec, DecodeError, decode, encode, giveBack, Reader, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';

type Step = {
  [K in keyof Writer & keyof Reader]?: unknown;
};

/** Every fixed-width number: how it is written and read, its width in bytes and a value that shows its byte order. */
const numbers: { kind: keyof Step & string; bytes: number[]; value: number | bigint }[] = [
  { kind: 'u8', bytes: [0x12], value: 0x12 },
  { kind: 'u16le', bytes: [0x34, 0x12], value: 0x1234 },
  { kind: 'u16be', bytes: [0x12, 0x34], value: 0x1234 },
  { kind: 'i16le', bytes: [0xfe, 0xff], value: -2 },
  { kind: 'u32le', bytes: [0x78, 0x56, 0x34, 0xf2], value: 0xf2345678 },
  { kind: 'u32be', bytes: [0xf2, 0x34, 0x56, 0x78], value: 0xf2345678 },
  { kind: 'i32le', bytes: [0xfd, 0xff, 0xff, 0xff], value: -3 },
  { kind: 'u64le', bytes: [1, 0, 0, 0, 0, 0, 0, 0x80], value: 0x8000000000000001n },
  { kind: 'u64be', bytes: [0x80, 0, 0, 0, 0, 0, 0, 1], value: 0x8000000000000001n },
];

type NumberReader = Record<string, () => number | bigint>;
type NumberWriter = Record<string, (value: number | bigint) => Writer>;

describe('reader and writer', () => {
  for (const { kind, bytes, value } of numbers) {
    test(`${kind} reads what it writes, in the order of its bytes`, () => {
      const writer = new Writer(1);
      (writer as unknown as NumberWriter)[kind]?.(value);
      assert.deepEqual([...writer.bytes()], bytes);
      const reader = new Reader(Uint8Array.from(bytes));
      assert.equal((reader as unknown as NumberReader)[kind]?.(), value);
      assert.equal(reader.remaining, 0);
    });

    test(`${kind} of too few bytes is truncated and does not move`, () => {
      const reader = new Reader(Uint8Array.from(bytes.slice(1)));
      assert.throws(() => (reader as unknown as NumberReader)[kind]?.(), { name: 'DecodeError', code: 'truncated' });
      assert.equal(reader.offset, 0);
    });

    test(`${kind} refuses a value that does not fit`, () => {
      const tooLarge = typeof value === 'bigint' ? 1n << 64n : 2 ** 32;
      assert.throws(() => (new Writer() as unknown as NumberWriter)[kind]?.(tooLarge), RangeError);
      const fraction = typeof value === 'bigint' ? -1n : 0.5;
      assert.throws(() => (new Writer() as unknown as NumberWriter)[kind]?.(fraction), RangeError);
    });
  }

  test('text, slices and padding', () => {
    const writer = new Writer(2).latin1('é').utf16le('ü').utf8('€').zeros(2).slice(Uint8Array.of(9));
    const bytes = writer.bytes();
    assert.deepEqual([...bytes], [0xe9, 0xfc, 0, 0xe2, 0x82, 0xac, 0, 0, 9]);
    const reader = new Reader(bytes);
    assert.equal(reader.latin1(1), 'é');
    assert.equal(reader.utf16le(2), 'ü');
    assert.equal(reader.peekU8(1), 0x82);
    assert.equal(reader.utf8(3), '€');
    reader.skip(2);
    assert.deepEqual([...reader.copy(1)], [9]);
    reader.expectEnd('text');
    assert.throws(() => new Writer().latin1('€'), RangeError);
  });

  test('a slice shares memory, a copy does not', () => {
    const bytes = Uint8Array.of(1, 2);
    const slice = new Reader(bytes).slice(1);
    const copy = new Reader(bytes).copy(1);
    bytes[0] = 7;
    assert.deepEqual([slice[0], copy[0]], [7, 1]);
  });

  test('a sub-reader sees its window alone and errors name the outer position', () => {
    const reader = new Reader(Uint8Array.of(1, 2, 3, 4), 1);
    const sub = reader.sub(2);
    assert.deepEqual([...sub.rest()], [2, 3]);
    assert.throws(
      () => sub.u8(),
      (error) => error instanceof DecodeError && error.code === 'truncated' && error.offset === 3,
    );
    assert.equal(reader.u8(), 4);
    assert.throws(() => new Reader(Uint8Array.of(1), 2), RangeError);
  });

  test('ill-formed UTF-8, bytes left over and 64-bit counts above 2^53 are typed', () => {
    assert.throws(() => new Reader(Uint8Array.of(0xff)).utf8(1), { code: 'invalid' });
    assert.throws(() => new Reader(Uint8Array.of(0xff)).utf8(2), { code: 'truncated' });
    assert.throws(() => new Reader(Uint8Array.of(1)).expectEnd(), { code: 'invalid' });
    assert.equal(new Reader(new Writer().u64be(5n).bytes()).u64beNumber(), 5);
    assert.throws(() => new Reader(new Writer().u64be(1n << 60n).bytes()).u64beNumber(), { code: 'limit' });
  });

  test('lengths known late are patched in', () => {
    const writer = new Writer().zeros(12);
    writer.patchU16be(0, 1);
    writer.patchU16le(2, 2);
    writer.patchU32le(4, 3);
    writer.patchU32be(8, 4);
    assert.deepEqual([...writer.bytes()], [0, 1, 2, 0, 3, 0, 0, 0, 0, 0, 0, 4]);
    assert.throws(() => writer.patchU16be(0, 65536), RangeError);
  });

  test('no read leaves its window, whatever is asked', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(fc.nat(50), { maxLength: 20 }), (bytes, lengths) => {
        const reader = new Reader(bytes);
        for (const length of lengths) {
          const before = reader.remaining;
          if (length <= before) assert.equal(reader.slice(length).length, length);
          else assert.throws(() => reader.slice(length), { code: 'truncated' });
          assert.equal(reader.remaining, length <= before ? before - length : before);
        }
      }),
    );
  });
});

test('decode wants the whole input, encode gives it back', () => {
  const pair: Codec<{ a: number; b: number }> = {
    name: 'pair',
    encode: ({ a, b }, writer) => void writer.u8(a).u16be(b),
    decode: (reader) => ({ a: reader.u8(), b: reader.u16be() }),
  };
  fc.assert(
    fc.property(fc.nat(255), fc.nat(65535), (a, b) => assert.deepEqual(decode(pair, encode(pair, { a, b })), { a, b })),
  );
  assert.throws(() => decode(pair, Uint8Array.of(1, 2, 3, 4)), /follow the pair/);
});

test('memory that is given back is gone, and memory that others share is left', () => {
  const own = new Uint8Array(1000).fill(1);
  giveBack(own);
  assert.equal(own.length, 0);
  const part = new Uint8Array(1000).fill(1).subarray(10);
  const shared = new Uint8Array(new SharedArrayBuffer(1000)).fill(1);
  for (const bytes of [part, shared]) {
    giveBack(bytes);
    assert.equal(bytes.at(-1), 1);
  }
});
