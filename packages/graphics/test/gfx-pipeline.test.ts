import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryDepth } from '@lucid-sessions/rdp/bulk';
import { captureGraphics, capturePicture, psnr } from '@lucid-sessions/testkit/capture-graphics';
import {
  band,
  clearCodecMessage,
  type EncodedTile,
  encodeRfx,
  gfxMessage,
  glyphHitFlag,
  glyphIndexFlag,
  pdu,
  progressiveMessage,
  rawPixels,
  rect,
  region,
  residual,
  segmented,
  subcodec,
  subtract,
  testPicture,
  tileBands,
  tileFirst,
  tileSimple,
  tileUpgrade,
  type VBar,
} from '@lucid-sessions/testkit/graphics-encoders';
import { encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { gfxCodecId } from '../src/gfx/bodies.ts';
import { type GfxPdu, gfxPdu } from '../src/gfx/gfx-pdu.ts';
import { GraphicsPipeline } from '../src/gfx/graphics-pipeline.ts';
import { type PixelBuffer, rgba } from '../src/pixels.ts';
import { Screen } from '../src/screen.ts';

const red = rgba(255, 0, 0);
const blue = rgba(0, 0, 255);
const black = rgba(0, 0, 0);
const start = pdu('startFrame', { timestamp: 0, frameId: 1 });
const end = pdu('endFrame', { frameId: 1 });

function reset(width: number, height: number): GfxPdu {
  return pdu('resetGraphics', { width, height, monitors: [], pad: new Uint8Array(320) });
}

function create(surfaceId: number, width: number, height: number, pixelFormat = 0x20): GfxPdu {
  return pdu('createSurface', { surfaceId, width, height, pixelFormat });
}

function map(surfaceId: number, outputOriginX = 0, outputOriginY = 0): GfxPdu {
  return pdu('mapSurfaceToOutput', { surfaceId, reserved: 0, outputOriginX, outputOriginY });
}

function fill(surfaceId: number, word: number, ...fillRects: ReturnType<typeof rect>[]): GfxPdu {
  const fillPixel = { r: word & 0xff, g: (word >> 8) & 0xff, b: (word >> 16) & 0xff, xa: word >>> 24 };
  return pdu('solidFill', { surfaceId, fillPixel, fillRects });
}

function bitmap(surfaceId: number, codecId: number, bitmapData: Uint8Array, destRect: ReturnType<typeof rect>): GfxPdu {
  return pdu('wireToSurface1', { surfaceId, codecId, pixelFormat: 0x20, destRect, bitmapData });
}

/** A pipeline with a screen of the size and a surface 1 over all of it. */
function desktop(width: number, height: number, pixelFormat = 0x20) {
  const screen = new Screen();
  const pipeline = new GraphicsPipeline({ screen });
  const send = (...pdus: GfxPdu[]) => {
    const done = pipeline.process(gfxMessage(...pdus));
    assert.equal(done, undefined, 'nothing here needs waiting');
  };
  send(reset(width, height), create(1, width, height, pixelFormat), map(1));
  return { screen, pipeline, send };
}

function pixel({ pixels }: Screen, x: number, y: number): number {
  return pixels.words[y * pixels.width + x]!;
}

function bgra(picture: PixelBuffer): Uint8Array {
  const bytes = new Uint8Array(picture.data.length);
  for (let i = 0; i < bytes.length; i += 4) {
    bytes[i] = picture.data[i + 2]!;
    bytes[i + 1] = picture.data[i + 1]!;
    bytes[i + 2] = picture.data[i]!;
    bytes[i + 3] = 7;
  }
  return bytes;
}

for (const name of ['gnome-type-gfx-default', 'gnome-move-gfx-1000x700']) {
  test(`${name} ends with the picture the real client showed`, async () => {
    const screen = new Screen();
    const pipeline = new GraphicsPipeline({ screen });
    for (const event of captureGraphics(name)) if (event.kind === 'gfx') await pipeline.process(event.data);
    assert.deepEqual([...screen.unsupported], []);
    assert.ok(screen.framesCount >= 100);
    const picture = capturePicture(name);
    assert.deepEqual([screen.width, screen.height], [picture.width, picture.height]);
    assert.ok(psnr(screen.pixels, picture) > 60, `${psnr(screen.pixels, picture)} dB`);
  });
}

test('a frame shows when it ends, and only then', () => {
  const { screen, send } = desktop(40, 30);
  screen.takeDirty();
  send(start, fill(1, red, rect(5, 5, 10, 10)));
  assert.equal(pixel(screen, 6, 6), black);
  send(end);
  assert.equal(pixel(screen, 6, 6), red);
  assert.equal(pixel(screen, 10, 6), black);
  assert.equal(screen.framesCount, 1);
  assert.deepEqual(screen.takeDirty(), [{ left: 5, top: 5, width: 5, height: 5 }]);
  // Outside a frame at once.
  send(fill(1, blue, rect(0, 0, 2, 2), rect(35, 25, 99, 99)));
  assert.equal(pixel(screen, 1, 1), blue);
  assert.equal(pixel(screen, 39, 29), blue);
  assert.equal(screen.framesCount, 1);
});

test('surfaces are shown where they are mapped, clipped to the output', () => {
  const { screen, send } = desktop(20, 20);
  send(create(2, 10, 10), map(2, 15, 5), fill(2, blue, rect(0, 0, 10, 10)));
  assert.equal(pixel(screen, 15, 5), blue);
  assert.equal(pixel(screen, 19, 14), blue);
  assert.equal(pixel(screen, 14, 5), black);
  // What was drawn before a surface was mapped appears when it is.
  send(create(3, 4, 4), fill(3, red, rect(0, 0, 4, 4)));
  assert.equal(pixel(screen, 0, 0), black);
  send(map(3, 0, 0));
  assert.equal(pixel(screen, 3, 3), red);
  // A deleted surface leaves its picture on the screen.
  send(pdu('deleteSurface', { surfaceId: 3 }), pdu('deleteSurface', { surfaceId: 3 }));
  assert.equal(pixel(screen, 3, 3), red);
  send(fill(3, blue, rect(0, 0, 1, 1)));
  assert.deepEqual([...screen.unsupported], [['gfx.solidFill.invalid', 1]]);
});

test('a surface mapped to a scaled output is stretched', () => {
  const { screen, send } = desktop(20, 20);
  send(
    create(2, 4, 4),
    pdu('mapSurfaceToScaledOutput', {
      surfaceId: 2,
      reserved: 0,
      outputOriginX: 2,
      outputOriginY: 4,
      targetWidth: 8,
      targetHeight: 12,
    }),
    fill(2, red, rect(0, 0, 2, 4)),
    fill(2, blue, rect(2, 0, 4, 4)),
  );
  assert.deepEqual(
    [2, 5, 6, 9, 10].map((x) => pixel(screen, x, 4)),
    [red, red, blue, blue, black],
  );
  assert.deepEqual(
    [3, 4, 15, 16].map((y) => pixel(screen, 2, y)),
    [black, red, red, black],
  );
});

test('surfaces of unannounced windows are not shown; what is not known is counted', () => {
  const { screen, send } = desktop(4, 4);
  send(create(2, 4, 4), pdu('mapSurfaceToWindow', { surfaceId: 2, windowId: 1n, mappedWidth: 9, mappedHeight: 1 }));
  send(
    fill(2, red, rect(0, 0, 4, 4)),
    { kind: 'unknown', cmdId: 0x77, flags: 0, body: new Uint8Array(3) },
    pdu('capsConfirm', { capsSet: { version: 8, capsData: new Uint8Array(4) } }),
  );
  assert.equal(pixel(screen, 0, 0), black);
  const content = screen.windows.contents.get(1);
  assert.deepEqual([content?.width, content?.height, content?.words[0]], [4, 1, red]);
  assert.deepEqual([...screen.unsupported.keys()], ['gfx.unknownCommand']);
});

test('areas are copied within and between surfaces, also where they overlap', () => {
  const { screen, send } = desktop(20, 10);
  const picture = testPicture(8, 8);
  send(bitmap(1, gfxCodecId.uncompressed, bgra(picture), rect(0, 0, 8, 8)));
  const copy = (surfaceIdSrc: number, surfaceIdDest: number, x: number, y: number) =>
    pdu('surfaceToSurface', { surfaceIdSrc, surfaceIdDest, rectSrc: rect(0, 0, 8, 8), destPts: [{ x, y }] });
  send(copy(1, 1, 2, 1));
  for (let y = 0; y < 8; y += 1)
    for (let x = 0; x < 8; x += 1) assert.equal(pixel(screen, x + 2, y + 1), picture.words[y * 8 + x]);
  send(create(2, 20, 10), map(2), copy(1, 2, 0, 0), copy(2, 1, 12, 2));
  assert.equal(pixel(screen, 12 + 7, 2), pixel(screen, 7, 0));
});

test('the cache keeps bitmaps until they are evicted or replaced', () => {
  const { screen, send } = desktop(20, 10);
  const store = (cacheSlot: number) =>
    pdu('surfaceToCache', { surfaceId: 1, cacheKey: 5n, cacheSlot, rectSrc: rect(0, 0, 2, 2) });
  const show = (cacheSlot: number, x: number) =>
    pdu('cacheToSurface', {
      cacheSlot,
      surfaceId: 1,
      destPts: [
        { x, y: 0 },
        { x, y: 8 },
      ],
    });
  send(fill(1, red, rect(0, 0, 2, 2)), store(1), fill(1, blue, rect(0, 0, 2, 2)), show(1, 4));
  assert.deepEqual([pixel(screen, 4, 0), pixel(screen, 5, 9), pixel(screen, 0, 0)], [red, red, blue]);
  send(store(1), show(1, 8));
  assert.equal(pixel(screen, 8, 0), blue);
  send(pdu('evictCacheEntry', { cacheSlot: 1 }), pdu('evictCacheEntry', { cacheSlot: 1 }), show(1, 12));
  assert.equal(pixel(screen, 12, 0), black);
  assert.deepEqual([...screen.unsupported], [['gfx.cacheEntryMissing', 1]]);
  send(store(0), store(25_601));
  assert.equal(screen.unsupported.get('gfx.surfaceToCache.invalid'), 2);
});

test('the cache is bounded at 100 MB', () => {
  const { screen, send } = desktop(1024, 1024);
  for (let slot = 1; slot <= 26; slot += 1)
    send(pdu('surfaceToCache', { surfaceId: 1, cacheKey: 0n, cacheSlot: slot, rectSrc: rect(0, 0, 1024, 1024) }));
  assert.deepEqual([...screen.unsupported], [['gfx.surfaceToCache.limit', 1]]);
});

test('every still codec draws where it is told to', () => {
  const picture = testPicture(64, 64);
  const area = rect(8, 4, 72, 68);
  const planes = [0, 1, 2].flatMap((channel) => [...picture.words].map((word) => (word >>> (8 * channel)) & 0xff));
  const streams: [string, GfxPdu][] = [
    ['uncompressed', bitmap(1, gfxCodecId.uncompressed, bgra(picture), area)],
    ['planar', bitmap(1, gfxCodecId.planar, Uint8Array.of(0x20, ...planes, 0), area)],
    [
      'clearcodec',
      bitmap(1, gfxCodecId.clearCodec, clearCodecMessage({ sequence: 0, residual: residual(picture.words) }), area),
    ],
    ['remotefx', bitmap(1, gfxCodecId.caVideo, encodeRfx(picture, { mode: 3 }), area)],
  ];
  for (const [name, command] of streams) {
    const { screen, send } = desktop(100, 80);
    send(start, command, end);
    assert.deepEqual([...screen.unsupported], [], name);
    const shown = new Screen(64, 64);
    for (let y = 0; y < 64; y += 1)
      shown.pixels.words.set(screen.pixels.words.subarray((y + 4) * 100 + 8, (y + 4) * 100 + 72), y * 64);
    assert.ok(psnr(shown.pixels, picture) > 44, `${name}: ${psnr(shown.pixels, picture)} dB`);
    assert.equal(pixel(screen, 7, 4), black);
  }
});

test('ClearCodec decodes its NSCodec parts', () => {
  const { screen, send } = desktop(8, 8);
  // One flat colour: luma 255, no chroma, opaque; planes of four pixels, each run-length coded as its raw bytes.
  const planeBytes = [4, 4, 4, 4].flatMap((length) => [length, 0, 0, 0]);
  const nsc = Uint8Array.of(...planeBytes, 1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255);
  const bytes = clearCodecMessage({ sequence: 0, subcodecs: [subcodec({ x: 1, y: 1, width: 2, height: 2 }, 1, nsc)] });
  send(bitmap(1, gfxCodecId.clearCodec, bytes, rect(2, 2, 6, 6)));
  assert.deepEqual([...screen.unsupported], []);
  assert.equal(pixel(screen, 3, 3), rgba(255, 255, 255));
  assert.equal(pixel(screen, 2, 2), black);
});

test('missing pieces of a ClearCodec stream are counted', () => {
  const { screen, send } = desktop(8, 8);
  const message = (sequence: number) =>
    bitmap(
      1,
      gfxCodecId.clearCodec,
      clearCodecMessage({ sequence, subcodecs: [subcodec({ x: 0, y: 0, width: 1, height: 1 }, 0, rawPixels([red]))] }),
      rect(0, 0, 1, 1),
    );
  send(message(4), message(6), message(9));
  assert.deepEqual([...screen.unsupported], [['gfx.clearCodec.missingBefore', 2]]);
});

test('alpha changes a surface and never the opaque screen', () => {
  const { screen, send } = desktop(6, 1, 0x21);
  const alpha = (...bytes: number[]) =>
    bitmap(1, gfxCodecId.alpha, Uint8Array.of(0x4c, 0x41, ...bytes), rect(0, 0, 6, 1));
  send(fill(1, red, rect(0, 0, 6, 1)), alpha(0, 0, 1, 2, 3, 4, 5, 6), alpha(1, 0, 0x80, 2, 0x90, 0xff, 4, 0));
  assert.deepEqual([...screen.pixels.words], new Array(6).fill(red));
  assert.deepEqual([...screen.unsupported], []);
  send(alpha(0, 0, 1), alpha(1, 0, 1), bitmap(1, gfxCodecId.alpha, new Uint8Array(4), rect(0, 0, 6, 1)));
  assert.equal(screen.unsupported.get('gfx.wireToSurface1.truncated'), 2);
  assert.equal(screen.unsupported.get('gfx.wireToSurface1.invalid'), 1);
});

test('progressive tiles belong to the surface, whatever context brings them; a difference without a base is counted', () => {
  const quants = [6, 6, 6, 6, 6, 6, 6, 6, 6, 6];
  const pictures = [1, 2, 3].map((seed) => testPicture(64, 64, seed));
  const bands = pictures.map((picture) => tileBands(picture, 0, 0, quants, true));
  const change = (from: number, to: number) => tileSimple(0, 0, subtract(bands[to]!, bands[from]!), true);
  const send2 = (codecContextId: number, tile: EncodedTile, codecId: number = gfxCodecId.caProgressive) => {
    const rectangles = [{ left: 0, top: 0, width: 64, height: 64 }];
    const bitmapData = progressiveMessage([region({ rectangles, quants, reduceExtrapolate: true, tiles: [tile] })]);
    return pdu('wireToSurface2', { surfaceId: 1, codecId, codecContextId, pixelFormat: 0x20, bitmapData });
  };
  const forget = (codecContextId: number) => pdu('deleteEncodingContext', { surfaceId: 1, codecContextId });
  const { screen, pipeline, send } = desktop(64, 64);
  const shows = (picture: number, why: string) => assert.ok(psnr(screen.pixels, pictures[picture]!) > 42, why);
  send(start, send2(1, tileSimple(0, 0, bands[0]!)), forget(1), end);
  shows(0, 'the first burst');
  send(start, send2(2, change(0, 1)), end, forget(2));
  shows(1, 'another context goes on from it');
  send(start, send2(3, change(1, 2), gfxCodecId.caProgressiveV2), end);
  shows(2, 'and another');
  for (let context = 3; context < 200; context += 1) send(send2(context, change(2, 2)), forget(context));
  shows(2, 'two hundred bursts later');
  assert.deepEqual([...screen.unsupported], []);
  // A new surface has no tiles: nothing is drawn on it, and what builds on that neither.
  send(create(1, 64, 64), map(1), fill(1, red, rect(0, 0, 64, 64)), start, send2(1, change(0, 1)), end);
  send(start, send2(1, change(1, 2)), end);
  assert.equal(pixel(screen, 5, 5), red);
  assert.deepEqual([...screen.unsupported], [['gfx.progressive.missingBase', 2]]);
  send(start, send2(1, tileSimple(0, 0, bands[0]!)), send2(1, change(0, 2)), end);
  shows(2, 'a tile sent whole is a base again');
  send(send2(1, change(0, 0), gfxCodecId.planar));
  assert.equal(screen.unsupported.get('gfx.codec.10'), 1);
  pipeline.close();
});

test('differences go on from tiles of a stream that said it sends none; lean snapshots leave those out until then', () => {
  const quants = [6, 6, 6, 6, 6, 6, 6, 6, 6, 6];
  const [before, after] = [testPicture(64, 64, 1), testPicture(64, 64, 2)];
  const bands = (picture: PixelBuffer) => tileBands(picture, 0, 0, quants, true);
  const send2 = (tile: EncodedTile, diffing: boolean) => {
    const rectangles = [{ left: 0, top: 0, width: 64, height: 64 }];
    const one = region({ rectangles, quants, reduceExtrapolate: true, tiles: [tile] });
    const bitmapData = progressiveMessage([one], diffing);
    const codecId = gfxCodecId.caProgressive;
    return pdu('wireToSurface2', { surfaceId: 1, codecId, codecContextId: 1, pixelFormat: 0x20, bitmapData });
  };
  const { screen, pipeline, send } = desktop(64, 64);
  const tilesOf = (depth: HistoryDepth) => pipeline.snapshot(depth)!.codecs.progressive[0]![1].tiles.length;
  send(send2(tileSimple(0, 0, bands(before)), false));
  assert.deepEqual([tilesOf('lean'), tilesOf('whole'), pipeline.usesHistory], [0, 1, false]);
  send(send2(tileSimple(0, 0, subtract(bands(after), bands(before)), true), false));
  assert.ok(psnr(screen.pixels, after) > 42);
  assert.deepEqual([tilesOf('lean'), pipeline.usesHistory], [1, true]);
  send(pdu('deleteSurface', { surfaceId: 1 }));
  assert.equal(pipeline.usesHistory, true);
});

test('bad commands are counted by kind and reason and spare those after them', () => {
  const { screen, send } = desktop(10, 10);
  send(
    bitmap(1, gfxCodecId.uncompressed, new Uint8Array(3), rect(0, 0, 1, 1)),
    bitmap(1, gfxCodecId.uncompressed, new Uint8Array(4), rect(0, 0, 11, 1)),
    bitmap(1, 0x55, new Uint8Array(4), rect(0, 0, 1, 1)),
    bitmap(1, 0x01, new Uint8Array(4), rect(0, 0, 1, 1)),
    bitmap(1, 0x10, new Uint8Array(4), rect(0, 0, 1, 1)),
    bitmap(9, gfxCodecId.uncompressed, new Uint8Array(4), rect(0, 0, 1, 1)),
    create(5, 32767, 1),
    create(5, 1, 1, 0x99),
    { kind: 'unknown', cmdId: 0x04, flags: 0, body: new Uint8Array(3) },
    fill(1, red, rect(9, 9, 10, 10), rect(5, 5, 3, 3)),
  );
  assert.deepEqual(Object.fromEntries(screen.unsupported), {
    'gfx.wireToSurface1.invalid': 3,
    'gfx.codec.85': 1,
    'gfx.codec.av1': 1,
    'gfx.codec.hevc': 1,
    'gfx.createSurface.limit': 1,
    'gfx.createSurface.invalid': 1,
    'gfx.command.truncated': 1,
  });
  assert.equal(pixel(screen, 9, 9), red);
});

test('messages that cannot be split are counted', () => {
  const { screen, pipeline } = desktop(10, 10);
  pipeline.process(Uint8Array.of(0x55));
  pipeline.process(segmented(Uint8Array.of(1, 0, 0)));
  pipeline.process(segmented(Uint8Array.of(0x0c, 0, 0, 0, 200, 0, 0, 0, 1, 0, 0, 0)));
  assert.deepEqual(Object.fromEntries(screen.unsupported), { 'gfx.zgfx.invalid': 1, 'gfx.command.truncated': 2 });
});

test('what one message may paint is bounded, and so are surfaces', () => {
  const { screen, send } = desktop(1000, 1000);
  const everywhere = new Array(400).fill(rect(0, 0, 1000, 1000));
  send(fill(1, red, ...everywhere), fill(1, blue, rect(0, 0, 1, 1)));
  assert.equal(screen.unsupported.get('gfx.solidFill.limit'), 2);
  for (let id = 2; id < 9; id += 1) send(create(id, 4096, 4096));
  assert.equal(screen.unsupported.get('gfx.createSurface.limit'), 4);
  for (let id = 10; id < 1100; id += 1) send(create(id, 1, 1));
  assert.ok(screen.unsupported.get('gfx.createSurface.limit')! > 50);
});

test('a reset takes what was not shown yet with it', () => {
  const { screen, send } = desktop(10, 10);
  send(start, fill(1, red, rect(0, 0, 10, 10)), reset(20, 10), end);
  assert.deepEqual([screen.width, screen.height], [20, 10]);
  assert.equal(pixel(screen, 0, 0), black);
  send(fill(1, red, rect(0, 0, 1, 1)));
  assert.equal(pixel(screen, 0, 0), red);
});

test('a pipeline goes on from its snapshot as if nothing had been', () => {
  const picture = testPicture(16, 9);
  const quants = [6, 6, 6, 6, 6, 6, 6, 6, 6, 6];
  const bands = tileBands(testPicture(64, 64), 0, 0, quants, true);
  const coarse = [2, 2, 2, 2, 2, 2, 2, 2, 2, 2];
  const progressive = (tile: ReturnType<typeof tileFirst>) => {
    const rectangles = [{ left: 0, top: 0, width: 64, height: 64 }];
    const one = region({ rectangles, quants, progressiveQuants: [coarse], reduceExtrapolate: true, tiles: [tile] });
    const bitmapData = progressiveMessage([one]);
    const codecId = gfxCodecId.caProgressive;
    return pdu('wireToSurface2', { surfaceId: 1, codecId, codecContextId: 1, pixelFormat: 0x20, bitmapData });
  };
  const area = rect(0, 0, 16, 9);
  const column = (vBars: VBar[]) => band({ xStart: 0, yStart: 0, height: 9, background: red, vBars });
  const clear = (message: Parameters<typeof clearCodecMessage>[0], to = area) =>
    bitmap(1, gfxCodecId.clearCodec, clearCodecMessage(message), to);
  const before: GfxPdu[] = [
    start,
    progressive(tileFirst(0, 0, bands, 0, coarse)),
    clear({ flags: glyphIndexFlag, sequence: 0, glyphIndex: 5, residual: residual(picture.words) }),
    clear({ sequence: 1, bands: [column([{ kind: 'shortMiss', yOn: 1, words: [blue, red] }])] }),
    pdu('surfaceToCache', { surfaceId: 1, cacheKey: 1n, cacheSlot: 7, rectSrc: area }),
    bitmap(1, gfxCodecId.caVideo, encodeRfx(picture, { mode: 1 }), area),
    end,
  ];
  const after: GfxPdu[] = [
    start,
    progressive(tileUpgrade(0, 0, bands, 0xff, coarse, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    clear({ flags: glyphIndexFlag | glyphHitFlag, sequence: 2, glyphIndex: 5 }, rect(20, 20, 36, 29)),
    clear({
      sequence: 3,
      bands: [
        column([
          { kind: 'hit', index: 0 },
          { kind: 'shortHit', index: 0, yOn: 4 },
        ]),
      ],
    }),
    pdu('cacheToSurface', { cacheSlot: 7, surfaceId: 1, destPts: [{ x: 40, y: 40 }] }),
    bitmap(1, gfxCodecId.caVideo, encodeRfx(picture, { mode: 1, headers: false }), rect(40, 2, 56, 11)),
    end,
  ];
  const original = desktop(64, 64);
  original.send(...before);
  const snapshot = structuredClone(original.pipeline.snapshot());
  assert.ok(snapshot);
  const copy = desktop(64, 64);
  copy.send(fill(1, blue, rect(0, 0, 64, 64)));
  copy.screen.restore(original.screen.snapshot());
  copy.pipeline.restore(snapshot);
  original.send(...after);
  copy.send(...after);
  assert.deepEqual([...original.screen.unsupported], []);
  assert.deepEqual([...copy.screen.unsupported], []);
  assert.deepEqual(copy.screen.pixels.data, original.screen.pixels.data);
  // The snapshot itself is untouched and serves again.
  copy.screen.restore(original.screen.snapshot());
  copy.pipeline.restore(snapshot);
  copy.send(...after);
  assert.deepEqual(copy.screen.pixels.data, original.screen.pixels.data);
  original.send(start);
  assert.equal(original.pipeline.snapshot(), null);
});

test('damaged messages never throw, hang or stop the pipeline', () => {
  const picture = testPicture(32, 32);
  const good = [
    reset(64, 48),
    create(1, 64, 48),
    map(1),
    start,
    bitmap(
      1,
      gfxCodecId.clearCodec,
      clearCodecMessage({ sequence: 0, residual: residual(picture.words) }),
      rect(0, 0, 32, 32),
    ),
    bitmap(1, gfxCodecId.uncompressed, bgra(picture), rect(10, 10, 42, 42)),
    fill(1, red, rect(1, 2, 3, 4)),
    pdu('surfaceToCache', { surfaceId: 1, cacheKey: 1n, cacheSlot: 1, rectSrc: rect(0, 0, 9, 9) }),
    pdu('cacheToSurface', { cacheSlot: 1, surfaceId: 1, destPts: [{ x: 20, y: 20 }] }),
    end,
  ].map((one) => encode(gfxPdu, one).slice());
  const commands = Uint8Array.from(good.flatMap((one) => [...one]));
  const change = fc.tuple(fc.nat(commands.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 10 }), fc.nat(commands.length), (changes, length) => {
      const damaged = commands.slice();
      for (const [at, value] of changes) damaged[at] = value;
      const screen = new Screen();
      const pipeline = new GraphicsPipeline({ screen });
      pipeline.processCommands(damaged.subarray(0, length));
      pipeline.process(damaged);
      pipeline.processCommands(commands);
      assert.deepEqual([screen.width, screen.height], [64, 48]);
    }),
    { numRuns: 100 },
  );
});
