import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readCapture } from '@lucid-sessions/testkit';
import { PNG } from 'pngjs';
import { type PixelBuffer, type Screen, SessionDecoder } from '../src/index.ts';

const captures = fileURLToPath(new URL('../../../testkit/captures/', import.meta.url));

/** The desktop's clock with its border: its hand moved on between the last update recorded and the screenshot. */
const clock = { left: 700, top: 300, right: 902, bottom: 502 };

function replay(name: string): Screen {
  const decoder = new SessionDecoder();
  for (const { fromServer, bytes } of readCapture(`${captures}${name}.rdpcap.gz`).records)
    assert.equal(decoder.push({ fromServer, bytes }), undefined);
  return decoder.screen;
}

/** What a client's screenshot shows. It never holds the pointer; of a larger desktop it shows the top left part. */
function screenshot(name: string): PixelBuffer {
  const { width, height, data } = PNG.sync.read(readFileSync(`${captures}${name}.png`));
  const clamped = new Uint8ClampedArray(new Uint8Array(data).buffer);
  return { width, height, data: clamped, words: new Uint32Array(clamped.buffer) };
}

/** Places outside the clock where the pictures differ, by the channel values `shown` gives for a pixel of ours. */
function differences(screen: Screen, expected: PixelBuffer, shown: (word: number) => number): string[] {
  const found: string[] = [];
  for (let y = 0; y < expected.height; y += 1)
    for (let x = 0; x < expected.width; x += 1) {
      const inClock = x >= clock.left && x < clock.right && y >= clock.top && y < clock.bottom;
      const ours = shown(screen.pixels.words[y * screen.width + x]!);
      if (!inClock && ours !== expected.words[y * expected.width + x]) found.push(`${x},${y}`);
    }
  return found;
}

/** FreeRDP 2.11 widens six bits of green to 4g + g/8, up to 255; this project repeats the high bits. */
function asFreeRdpShows16(word: number): number {
  const green = (word >> 10) & 63;
  return ((word & 0xffff00ff) | (Math.min(255, green * 4 + (green >> 3)) << 8)) >>> 0;
}

const same = (word: number) => word;

describe('the last picture of a recorded session is the one its client showed', () => {
  const lossless: [string, (word: number) => number][] = [
    ['shadow-bpp16-nocomp', asFreeRdpShows16],
    ['shadow-bpp32', same],
    ['shadow-bpp32-nocomp', same],
    ['shadow-nsc-1080p', same],
    ['weston-bpp32', same],
    ['xorg-bpp16-nocomp', asFreeRdpShows16],
    ['xorg-bpp24-nocomp', same],
    ['xorg-bpp32-nocomp', same],
    ['xorg-default', same],
    ['xorg-nofastpath', asFreeRdpShows16],
    ['xorg-orders-bpp16', asFreeRdpShows16],
    ['xorg-orders-bpp32', same],
  ];
  for (const [name, shown] of lossless)
    test(`${name}, pixel for pixel outside the clock`, () => {
      const screen = replay(name);
      assert.deepEqual([...screen.unsupported], []);
      assert.deepEqual(differences(screen, screenshot(name), shown), []);
    });

  for (const name of ['xorg-rdesktop-drive', 'xorg-clip-drive'])
    test(`${name}, of which no screenshot was taken, leaves nothing undrawn`, () => {
      const screen = replay(name);
      assert.deepEqual([...screen.unsupported], []);
      assert.equal(screen.width, 1024);
      assert.equal(screen.height, 768);
      // The desktop's ground and the white terminal.
      assert.equal(screen.pixels.words[700 * 1024 + 500], 0xff315131, 'ground: #305030 in 5-6-5');
      assert.equal(screen.pixels.words[200 * 1024 + 200], 0xffffffff, 'terminal');
    });

  test('the pointer follows the mouse and has the shape the server set', () => {
    const { pointer } = replay('xorg-orders-bpp32');
    assert.equal(pointer.visible, true);
    assert.deepEqual([pointer.x, pointer.y], [500, 650]);
    assert.equal(pointer.shape?.pixels.width, 32);
    assert.deepEqual([pointer.shape?.hotspotX, pointer.shape?.hotspotY], [7, 7]);
    const opaque = pointer.shape!.pixels.words.filter((word) => word >>> 24 === 255);
    assert.ok(opaque.length > 20 && opaque.length < 500, `${opaque.length} opaque pixels`);
  });
});
