import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ZgfxDecompressor } from '@lucid-sessions/rdp/bulk';
import { captureGraphics } from '@lucid-sessions/testkit/capture-graphics';
import { pdu, rect } from '@lucid-sessions/testkit/graphics-encoders';
import { DecodeError, decode, encode, Reader } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { avc420BitmapStream, avc444BitmapStream, type GfxPdu, gfxPdu } from '../src/index.ts';

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

/** Every command with bytes written after [MS-RDPEGFX] 2.2.2. */
const vectors: [GfxPdu, string][] = [
  [
    pdu('wireToSurface1', {
      surfaceId: 1,
      codecId: 8,
      pixelFormat: 0x20,
      destRect: rect(1, 2, 3, 4),
      bitmapData: Uint8Array.of(7, 9),
    }),
    '0100 0000 1b000000 0100 0800 20 0100 0200 0300 0400 02000000 0709',
  ],
  [
    pdu('wireToSurface2', {
      surfaceId: 2,
      codecId: 9,
      codecContextId: 5,
      pixelFormat: 0x21,
      bitmapData: Uint8Array.of(1),
    }),
    '0200 0000 16000000 0200 0900 05000000 21 01000000 01',
  ],
  [pdu('deleteEncodingContext', { surfaceId: 3, codecContextId: 6 }), '0300 0000 0e000000 0300 06000000'],
  [
    pdu('solidFill', { surfaceId: 4, fillPixel: { b: 1, g: 2, r: 3, xa: 4 }, fillRects: [rect(5, 6, 7, 8)] }),
    '0400 0000 18000000 0400 01020304 0100 0500 0600 0700 0800',
  ],
  [
    pdu('surfaceToSurface', {
      surfaceIdSrc: 1,
      surfaceIdDest: 2,
      rectSrc: rect(1, 1, 2, 2),
      destPts: [{ x: 9, y: 8 }],
    }),
    '0500 0000 1a000000 0100 0200 0100 0100 0200 0200 0100 0900 0800',
  ],
  [
    pdu('surfaceToCache', { surfaceId: 1, cacheKey: 0x1122334455667788n, cacheSlot: 3, rectSrc: rect(0, 0, 2, 2) }),
    '0600 0000 1c000000 0100 8877665544332211 0300 0000 0000 0200 0200',
  ],
  [
    pdu('cacheToSurface', { cacheSlot: 3, surfaceId: 1, destPts: [{ x: 1, y: 2 }] }),
    '0700 0000 12000000 0300 0100 0100 0100 0200',
  ],
  [pdu('evictCacheEntry', { cacheSlot: 3 }), '0800 0000 0a000000 0300'],
  [
    pdu('createSurface', { surfaceId: 1, width: 64, height: 32, pixelFormat: 0x20 }),
    '0900 0000 0f000000 0100 4000 2000 20',
  ],
  [pdu('deleteSurface', { surfaceId: 1 }), '0a00 0000 0a000000 0100'],
  [pdu('startFrame', { timestamp: 5, frameId: 6 }), '0b00 0000 10000000 05000000 06000000'],
  [pdu('endFrame', { frameId: 6 }), '0c00 0000 0c000000 06000000'],
  [
    pdu('frameAcknowledge', { queueDepth: 0, frameId: 6, totalFramesDecoded: 7 }),
    '0d00 0000 14000000 00000000 06000000 07000000',
  ],
  [
    pdu('resetGraphics', {
      width: 800,
      height: 600,
      monitors: [{ left: -1, top: 0, right: 799, bottom: 599, flags: 1 }],
      pad: new Uint8Array(300),
    }),
    `0e00 0000 54010000 20030000 58020000 01000000 ffffffff 00000000 1f030000 57020000 01000000 ${'00'.repeat(300)}`,
  ],
  [
    pdu('mapSurfaceToOutput', { surfaceId: 1, reserved: 0, outputOriginX: 2, outputOriginY: 3 }),
    '0f00 0000 14000000 0100 0000 02000000 03000000',
  ],
  [
    pdu('cacheImportOffer', { cacheEntries: [{ cacheKey: 1n, bitmapLength: 2 }] }),
    '1000 0000 16000000 0100 0100000000000000 02000000',
  ],
  [pdu('cacheImportReply', { cacheSlots: [4, 5] }), '1100 0000 0e000000 0200 0400 0500'],
  [
    pdu('capsAdvertise', { capsSets: [{ version: 0x000a0002, capsData: hex('20000000') }] }),
    '1200 0000 16000000 0100 02000a00 04000000 20000000',
  ],
  [
    pdu('capsConfirm', { capsSet: { version: 0x000a0100, capsData: new Uint8Array(16) } }),
    `1300 0000 20000000 00010a00 10000000 ${'00'.repeat(16)}`,
  ],
  [
    pdu('mapSurfaceToWindow', { surfaceId: 1, windowId: 2n, mappedWidth: 3, mappedHeight: 4 }),
    '1500 0000 1a000000 0100 0200000000000000 03000000 04000000',
  ],
  [
    pdu('qoeFrameAcknowledge', { frameId: 1, timestamp: 2, timeDiffSE: 3, timeDiffEDR: 4 }),
    '1600 0000 14000000 01000000 02000000 0300 0400',
  ],
  [
    pdu('mapSurfaceToScaledOutput', {
      surfaceId: 1,
      reserved: 0,
      outputOriginX: 2,
      outputOriginY: 3,
      targetWidth: 4,
      targetHeight: 5,
    }),
    '1700 0000 1c000000 0100 0000 02000000 03000000 04000000 05000000',
  ],
  [
    pdu('mapSurfaceToScaledWindow', {
      surfaceId: 1,
      windowId: 2n,
      mappedWidth: 3,
      mappedHeight: 4,
      targetWidth: 5,
      targetHeight: 6,
    }),
    '1800 0000 22000000 0100 0200000000000000 03000000 04000000 05000000 06000000',
  ],
  [{ kind: 'unknown', cmdId: 0x99, flags: 7, body: Uint8Array.of(1, 2) }, '9900 0700 0a000000 0102'],
  [{ ...pdu('endFrame', { frameId: 1 }), flags: 2, trailing: Uint8Array.of(9) }, '0c00 0200 0d000000 01000000 09'],
];

for (const [value, text] of vectors) {
  test(`${value.kind} is read and written as specified`, () => {
    const bytes = hex(text);
    assert.deepEqual(encode(gfxPdu, value), bytes);
    assert.deepEqual(decode(gfxPdu, bytes), value);
    for (let length = 0; length < bytes.length; length += 1)
      assert.throws(() => gfxPdu.decode(new Reader(bytes.subarray(0, length))), { name: 'DecodeError' });
  });
}

test('a command cannot be shorter than its header', () => {
  assert.throws(() => decode(gfxPdu, hex('0c00 0000 07000000 01000000')), { code: 'invalid' });
});

for (const name of ['gnome-type-gfx-default', 'shadow-gfx-avc420', 'shadow-default']) {
  test(`every command of ${name} survives decoding and encoding`, () => {
    const zgfx = new ZgfxDecompressor();
    let count = 0;
    for (const event of captureGraphics(name)) {
      if (event.kind !== 'gfx') continue;
      const message = zgfx.decompress(event.data);
      const reader = new Reader(message);
      while (reader.remaining > 0) {
        const at = reader.offset;
        const value = gfxPdu.decode(reader);
        assert.notEqual(value.kind, 'unknown');
        assert.deepEqual(encode(gfxPdu, value), Uint8Array.from(message.subarray(at, reader.offset)));
        count += 1;
      }
    }
    assert.ok(count > 20);
  });
}

test('AVC streams are read and written as specified', () => {
  const stream = {
    regionRects: [rect(0, 0, 16, 16)],
    quantQualityVals: [{ qpVal: 22, qualityVal: 100 }],
    avc420EncodedBitstream: Uint8Array.of(0, 0, 1, 9),
  };
  const bytes = hex('01000000 0000 0000 1000 1000 16 64 00000109');
  assert.deepEqual(encode(avc420BitmapStream, stream), bytes);
  assert.deepEqual(decode(avc420BitmapStream, bytes), stream);
  assert.throws(() => encode(avc420BitmapStream, { ...stream, quantQualityVals: [] }), RangeError);
  for (const [lc, second] of [
    [0, stream],
    [1, null],
    [2, null],
  ] as const) {
    const value = { lc, avc420EncodedBitstream1: stream, avc420EncodedBitstream2: second };
    const encoded = encode(avc444BitmapStream, value);
    assert.equal(encoded.length, 4 + bytes.length * (second ? 2 : 1));
    assert.equal(
      new DataView(encoded.buffer, encoded.byteOffset).getUint32(0, true),
      (bytes.length | (lc << 30)) >>> 0,
    );
    assert.deepEqual(decode(avc444BitmapStream, encoded), value);
  }
  assert.throws(() => decode(avc444BitmapStream, hex('000000c0')), { code: 'invalid' });
});

test('random bytes are decoded or refused with a DecodeError', () => {
  const cmdId = fc.integer({ min: 0, max: 0x1a });
  fc.assert(
    fc.property(cmdId, fc.uint8Array({ maxLength: 80 }), (id, body) => {
      const bytes = Uint8Array.of(id, 0, 0, 0, body.length + 8, 0, 0, 0, ...body);
      try {
        assert.deepEqual(encode(gfxPdu, decode(gfxPdu, bytes)), bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
