/** Padded bitmaps cut to their rectangles: a client that takes the rectangle's width for the rows' sees what all others see. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeBitmap, type PixelDepth } from '@lucid-sessions/graphics';
import {
  type BitmapData,
  BitmapFlag,
  bitmapUpdate,
  fastPathOutput,
  mcsPdu,
  PduType2,
  readShareControlPdus,
  shareDataPdu,
  slowPathUpdate,
  UpdateType,
  wrapShareData,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { interleaved, planar } from '@lucid-sessions/screens';
import { decode, encode, joinBytes, Reader, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { mcsBytesOf } from '../src/rewrite.ts';
import { channels, dataOf, pdusOf, RunningRelay } from './support/running-relay.ts';

const side = 320;
const palette = new Uint32Array(256);
type Form = 'raw' | 'compressed' | 'with header';
type Way = 'fast' | 'fast, several' | 'fragments' | 'slow' | 'slow, several';

interface Spec {
  left: number;
  top: number;
  width: number;
  height: number;
  padX: number;
  padY: number;
  depth: 15 | 16 | 24 | 32;
  form: Form;
  seed: number;
}

const spec: fc.Arbitrary<Spec> = fc.record({
  left: fc.nat(side + 20),
  top: fc.nat(side + 20),
  width: fc.integer({ min: 1, max: 150 }),
  height: fc.integer({ min: 1, max: 90 }),
  padX: fc.nat(5),
  padY: fc.constantFrom(0, 0, 1, 3),
  depth: fc.constantFrom(16, 24, 32, 15),
  form: fc.constantFrom('raw', 'compressed', 'with header'),
  seed: fc.nat(),
});

/** Some runs, some noise. */
function pixelsOf(count: number, seed: number): Uint32Array {
  let state = seed;
  return new Uint32Array(count).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 30) % 2 === 0 ? 0x3366cc : state >>> 8;
  });
}

function rawOf(pixels: Uint32Array, width: number, depth: number): Uint8Array {
  const writer = new Writer();
  for (let row = 0; row < pixels.length; row += width) {
    for (const pixel of pixels.subarray(row, row + width)) {
      writer.u16le(pixel & 0xffff);
      if (depth >= 24) writer.u8(pixel >> 16);
      if (depth === 32) writer.u8(0);
    }
    writer.zeros(-(width * ((depth + 7) >> 3)) & 3);
  }
  return writer.bytes();
}

function bitmapOf({ left, top, width, height, padX, padY, depth, form, seed }: Spec): BitmapData {
  const pixels = pixelsOf((width + padX) * (height + padY), seed);
  const compressed = (): Uint8Array =>
    depth === 32 ? planar(pixels, width + padX) : interleaved(pixels, width + padX, depth);
  const data = form === 'raw' ? rawOf(pixels, width + padX, depth) : compressed();
  return {
    ...{ destLeft: left, destTop: top, destRight: left + width - 1, destBottom: top + height - 1 },
    ...{ width: width + padX, height: height + padY, bitsPerPixel: depth },
    flags: { raw: 0, compressed: BitmapFlag.compression | BitmapFlag.noCompressionHdr, 'with header': 1 }[form],
    data: form === 'with header' ? joinBytes([new Uint8Array(8), data]) : data,
  };
}

/** [MS-RDPBCGR] 2.2.9.1.1.3.1.2.2: the rectangle crops the bitmap. `byPlace`: rows are believed to be as wide as the rectangle. */
function draw(desktop: Uint32Array, bitmap: BitmapData, byPlace: boolean): void {
  const { width, height, destLeft, destTop, destRight, destBottom, flags, data } = bitmap;
  const compressed = (flags & BitmapFlag.compression) !== 0;
  const bytes = compressed && (flags & BitmapFlag.noCompressionHdr) === 0 ? data.subarray(8) : data;
  const depth = bitmap.bitsPerPixel as PixelDepth;
  const { words } = decodeBitmap({ bytes, width, height, depth, compressed }, palette);
  const place = { width: destRight - destLeft + 1, height: destBottom - destTop + 1 };
  for (let y = 0; y < place.height; y += 1)
    for (let x = 0; x < place.width; x += 1) {
      // As it came: the last row first.
      const at = (place.height - 1 - y) * place.width + x;
      const from = byPlace ? (height - 1 - Math.floor(at / width)) * width + (at % width) : y * width + x;
      if (destLeft + x < side && destTop + y < side) desktop[(destTop + y) * side + destLeft + x] = words[from]!;
    }
}

const typed = (bitmaps: readonly BitmapData[]): Uint8Array =>
  joinBytes([Uint8Array.of(UpdateType.bitmap, 0), encode(bitmapUpdate, { rectangles: [...bitmaps] })]);

const fast = (data: Uint8Array, fragmentation = 0, updateCode = 1): Uint8Array =>
  encode(fastPathOutput, { flags: 0, reserved: 0, updates: [{ updateCode, fragmentation, compression: 0, data }] });

const share = (bitmaps: readonly BitmapData[]): Uint8Array =>
  wrapShareData(0x103ea, 1002, PduType2.update, slowPathUpdate, {
    updateType: UpdateType.bitmap,
    data: typed(bitmaps).subarray(2),
  });

function fragments(data: Uint8Array, partBytes: number): Uint8Array[] {
  const pdus: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += partBytes) {
    const isLast = at + partBytes >= data.length;
    pdus.push(fast(data.subarray(at, at + partBytes), at === 0 ? (isLast ? 0 : 2) : isLast ? 1 : 3));
  }
  return pdus;
}

function sent(bitmaps: readonly BitmapData[], way: Way): Uint8Array[] {
  switch (way) {
    case 'fast':
      return bitmaps.flatMap((each) => fragments(typed([each]), 0x7000));
    case 'fast, several': {
      const updates = [
        { updateCode: 3, data: new Uint8Array(0) },
        ...bitmaps.map((each) => ({ updateCode: 1, data: typed([each]) })),
      ];
      const output = {
        flags: 0,
        reserved: 0,
        updates: updates.map((each) => ({ ...each, fragmentation: 0, compression: 0 })),
      };
      const isShort = updates.reduce((sum, { data }) => sum + data.length + 3, 3) < 0x7fff;
      return isShort ? [encode(fastPathOutput, output)] : sent(bitmaps, 'fragments');
    }
    case 'fragments':
      return fragments(typed(bitmaps), 5000);
    default: {
      const shares = bitmaps.map((each) => share([each]));
      const isShort = shares.reduce((sum, { length }) => sum + length, 0) < 0x7000;
      if (way === 'slow, several' && isShort) return [dataOf('server', channels.io, joinBytes(shares))];
      return shares.flatMap((each, i) =>
        each.length < 0x7000 ? [dataOf('server', channels.io, each)] : fragments(typed([bitmaps[i]!]), 5000),
      );
    }
  }
}

/** What a client finds in what was delivered to it, whatever the way. */
function received(stream: Uint8Array): BitmapData[] {
  let parts: Uint8Array[] = [];
  const found: BitmapData[] = [];
  const read = (data: Uint8Array): void => {
    found.push(...decode(bitmapUpdate, data).rectangles);
  };
  for (const pdu of pdusOf(stream)) {
    if (pdu[0] === 3) {
      const { data } = decode(mcsPdu, mcsBytesOf(pdu)) as { data: Uint8Array };
      for (const { body } of readShareControlPdus(new Reader(data)))
        read(decode(slowPathUpdate, decode(shareDataPdu, body).data).data);
      continue;
    }
    for (const { updateCode, fragmentation, data } of decode(fastPathOutput, pdu).updates) {
      if (updateCode !== 1) continue;
      parts.push(data);
      if (fragmentation > 1) continue;
      read(joinBytes(parts).subarray(2));
      parts = [];
    }
  }
  return found;
}

function screen(bitmaps: readonly BitmapData[], byPlace: boolean): Uint32Array {
  const desktop = new Uint32Array(side * side);
  for (const bitmap of bitmaps) draw(desktop, bitmap, byPlace);
  return desktop;
}

const running = (): RunningRelay => {
  const relay = new RunningRelay({ recutBitmaps: true }).activated();
  relay.frames();
  return relay;
};

/** Both streams, from what is recorded. */
function checkRecorded(relay: RunningRelay, given: Uint8Array, delivered: Uint8Array): void {
  const frames = relay.frames();
  const without = (flag: number): Buffer =>
    Buffer.concat(frames.filter(({ flags }) => (flags & flag) === 0).map(({ bytes }) => bytes));
  assert.deepEqual(without(frameFlags.deliveredOnly), Buffer.from(given), 'as received');
  assert.deepEqual(without(frameFlags.receivedOnly), Buffer.from(delivered), 'as delivered');
}

const padded = (changes: Partial<Spec> = {}): BitmapData =>
  bitmapOf({
    left: 4,
    top: 4,
    width: 9,
    height: 5,
    padX: 3,
    padY: 0,
    depth: 32,
    form: 'compressed',
    seed: 1,
    ...changes,
  });
const facts = (relay: RunningRelay): number =>
  relay.events.filter((event) => event.kind === 'downgrade' && event.what.startsWith('bitmaps that the server pads'))
    .length;

test('a client that draws by the rectangle shows what a right one shows, whatever comes in whatever way', () => {
  const relay = running();
  const ways = fc.constantFrom<Way>('fast', 'fast, several', 'fragments', 'slow', 'slow, several');
  fc.assert(
    fc.property(
      fc.array(spec, { minLength: 1, maxLength: 4 }),
      ways,
      fc.integer({ min: 1, max: 40_000 }),
      (specs, way, piece) => {
        const bitmaps = specs.map(bitmapOf);
        const given = joinBytes(sent(bitmaps, way));
        const delivered = relay.send('server', given, Math.max(piece, given.length >> 8));
        const shown = received(delivered);
        assert.deepEqual(screen(shown, true), screen(bitmaps, false));
        assert.deepEqual(screen(shown, false), screen(bitmaps, false));
        checkRecorded(relay, given, delivered);
      },
    ),
    { numRuns: 150 },
  );
  assert.equal(facts(relay), 1, 'a fact, once');
});

test('without it such a client shows something else, and so do all where nothing is asked', () => {
  const bitmaps = [padded()];
  assert.notDeepEqual(screen(bitmaps, true), screen(bitmaps, false));
  const relay = new RunningRelay().activated();
  for (const way of ['fast', 'slow', 'fragments'] as const) {
    const given = joinBytes(sent(bitmaps, way));
    assert.deepEqual(relay.send('server', given), Buffer.from(given));
  }
});

test('what is not padded passes as it came, as a view', () => {
  const relay = running();
  for (const way of ['fast', 'fast, several', 'slow', 'slow, several'] as const) {
    const given = joinBytes(sent([padded({ padX: 0 }), padded({ padX: 0, width: 8 })], way));
    const { forward } = relay.relay.step('server', given, 9_000_000);
    assert.ok(
      forward.every((view) => view.buffer === given.buffer),
      way,
    );
    assert.deepEqual(Buffer.concat(forward), Buffer.from(given));
    checkRecorded(relay, given, given);
  }
  assert.equal(facts(relay), 0);
});

test('what can not be decoded stays, beside what can; too much is left alone', () => {
  const relay = running();
  const broken: BitmapData = { ...padded({ form: 'raw' }), data: new Uint8Array(3) };
  const indexed: BitmapData = { ...padded({ form: 'raw' }), bitsPerPixel: 8 };
  const delivered = received(relay.send('server', fast(typed([broken, padded(), indexed]))));
  assert.deepEqual([delivered[0], delivered[2]], [broken, indexed]);
  assert.equal(delivered[1]?.width, 9);
  const huge: BitmapData = { ...padded(), width: 0xffff, height: 0xffff };
  const nowhere: BitmapData = { ...padded(), destLeft: 9, destRight: 3 };
  const many = Array.from({ length: 300 }, () => ({ ...padded(), width: 64, height: 64 }));
  const long = { ...padded(), data: new Uint8Array(40_000), bitsPerPixel: 8 };
  for (const bitmaps of [[padded(), huge], many, [padded(), long]]) {
    const given = joinBytes(fragments(typed(bitmaps), 8000));
    assert.deepEqual(relay.send('server', given), Buffer.from(given));
  }
  assert.deepEqual(received(relay.send('server', fast(typed([nowhere])))), []);
  const cutOff = fast(typed([padded()]).subarray(0, 40));
  assert.deepEqual(relay.send('server', cutOff), Buffer.from(cutOff));
});

test('an update in fragments that does not end goes on as it came, before what comes next', () => {
  const relay = running();
  const [first, ...rest] = fragments(typed([padded({ width: 90, height: 60, form: 'raw' })]), 8000);
  const nexts = Array.from({ length: 40 }, () => fast(new Uint8Array(8000), 3));
  const synchronize = fast(new Uint8Array(0), 0, 3);
  const others = {
    'another fast-path update': synchronize,
    'a padded bitmap': fast(typed([padded()])),
    'something slow': dataOf('server', channels.io, share([padded({ padX: 0 })])),
    'nothing that can be read': Uint8Array.of(0, 5, 3, 9, 9),
    'too much': joinBytes(nexts),
  };
  for (const [what, other] of Object.entries(others)) {
    assert.equal(relay.send('server', first!).length, 0, what);
    const delivered = relay.send('server', other);
    assert.deepEqual(delivered.subarray(0, first!.length), Buffer.from(first!), what);
    if (what !== 'a padded bitmap') assert.deepEqual(delivered.subarray(first!.length), Buffer.from(other), what);
    checkRecorded(relay, joinBytes([first!, other]), delivered);
  }
  assert.equal(relay.send('server', first!).length, 0);
  assert.deepEqual(relay.send('server', first!), Buffer.from(first!), 'begun anew');
  assert.ok(relay.send('server', joinBytes(rest)).length > 0);
  assert.deepEqual(relay.send('server', synchronize), Buffer.from(synchronize));
});

test('what the gateway paints itself is cut too', () => {
  const relay = running();
  const body = typed([padded()]).subarray(2);
  assert.deepEqual(
    received(joinBytes(relay.relay.paint([body], 9_000_000))).map(({ width }) => width),
    [9],
  );
});
