/** Four kinds of recorded data, the same bytes on every machine: what sessions send, from the easiest to the hardest. */
import { createCipheriv } from 'node:crypto';

export const dataKinds = ['raw desktop frames', 'planar-coded', 'mixed', 'already compressed'] as const;
export type DataKind = (typeof dataKinds)[number];

const width = 1280;
const height = 720;
const tile = 64;
const glyphWidth = 8;
const glyphHeight = 14;

type Random = () => number;

/** xorshift32. */
function random(seed: number): Random {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** A desktop on which windows with text open one after the other; only the tiles that changed are sent, as 32-bit pixels. */
class Desktop {
  readonly #next: Random;
  readonly #pixels = new Uint32Array(width * height);
  readonly #words: number[][];
  readonly #glyphs: boolean[][];

  constructor(seed: number) {
    const next = random(seed);
    this.#next = next;
    for (let y = 0; y < height; y += 1)
      for (let x = 0; x < width; x += 1) {
        const red = 40 + Math.floor((y * 60) / height);
        const green = 60 + Math.floor((x * 40) / width);
        this.#pixels[y * width + x] = (0xff000000 | (red << 16) | (green << 8) | (90 + ((x * 7 + y * 13) % 3))) >>> 0;
      }
    this.#glyphs = Array.from({ length: 64 }, () =>
      Array.from({ length: glyphWidth * glyphHeight }, () => next() % 3 === 0),
    );
    this.#words = Array.from({ length: 400 }, () => Array.from({ length: 2 + (next() % 8) }, () => next() % 64));
  }

  #fill(x: number, y: number, w: number, h: number, color: number): void {
    for (let row = y; row < y + h; row += 1) this.#pixels.fill(color, row * width + x, row * width + x + w);
  }

  #glyph(x: number, y: number, glyph: boolean[]): void {
    for (let j = 0; j < glyphHeight; j += 1)
      for (let i = 0; i < glyphWidth; i += 1) {
        // Some anti-aliasing: not every dark pixel is equally dark.
        const ink = this.#next() % 7 === 0 ? 0xff101010 : 0xff303030;
        this.#pixels[(y + j) * width + x + i] = glyph[j * glyphWidth + i] ? ink : 0xfff0f0f0;
      }
  }

  #line(x: number, y: number, w: number): void {
    let at = x;
    while (at < x + w - 80) {
      for (const glyph of this.#words[this.#next() % 400]!) {
        this.#glyph(at, y, this.#glyphs[glyph]!);
        at += glyphWidth;
      }
      at += glyphWidth;
    }
  }

  /** Opens a window; yields the pixels of each tile it touched (16 KiB, the same memory each time). */
  *change(): Generator<Uint32Array> {
    const next = this.#next;
    const [x, y, w, h] = [next() % (width - 400), next() % (height - 300), 300 + (next() % 100), 200 + (next() % 100)];
    this.#fill(x, y, w, h, 0xfff0f0f0);
    this.#fill(x, y, w, 20, 0xff3050a0);
    for (let line = 24; line + glyphHeight < h; line += 16) this.#line(x + 4, y + line, w - 8);
    const pixels = new Uint32Array(tile * tile);
    for (let ty = y - (y % tile); ty < y + h && ty + tile <= height; ty += tile)
      for (let tx = x - (x % tile); tx < x + w && tx + tile <= width; tx += tile) {
        for (let row = 0; row < tile; row += 1) {
          const from = (ty + row) * width + tx;
          pixels.set(this.#pixels.subarray(from, from + tile), row * tile);
        }
        yield pixels;
      }
  }
}

/** One colour plane of a tile in the manner of the planar codec ([MS-RDPEGDI] 2.2.2.5.1): row deltas, then runs. */
function planarPlane(pixels: Uint32Array, shift: number, out: Uint8Array, from: number): number {
  const row = new Uint8Array(tile);
  let at = from;
  for (let y = 0; y < tile; y += 1) {
    for (let x = 0; x < tile; x += 1) {
      const value = (pixels[y * tile + x]! >>> shift) & 0xff;
      const above = y === 0 ? value : (pixels[(y - 1) * tile + x]! >>> shift) & 0xff;
      const delta = ((value - above) << 24) >> 24;
      row[x] = y === 0 ? value : delta < 0 ? -delta * 2 - 1 : delta * 2;
    }
    for (let x = 0; x < tile; ) {
      const control = at;
      let run = 0;
      at += 1;
      while (x < tile && at - control <= 15) {
        run = 0;
        while (x + 1 + run < tile && run < 15 && row[x + 1 + run] === row[x]) run += 1;
        out[at] = row[x]!;
        at += 1;
        x += 1;
        if (run >= 3) break;
        run = 0;
      }
      out[control] = ((at - control - 1) << 4) | run;
      x += run;
    }
  }
  return at;
}

const planarBytes = new Uint8Array(3 * tile * tile * 2 + 1);

function planarTile(pixels: Uint32Array): Uint8Array {
  planarBytes[0] = 0x10;
  let at = 1;
  for (const shift of [16, 8, 0]) at = planarPlane(pixels, shift, planarBytes, at);
  return planarBytes.subarray(0, at);
}

function fill(out: Uint8Array, seed: number, encode: (pixels: Uint32Array) => Uint8Array): void {
  const desktop = new Desktop(seed);
  let at = 0;
  while (at < out.length)
    for (const pixels of desktop.change()) {
      const bytes = encode(pixels).subarray(0, out.length - at);
      out.set(bytes, at);
      at += bytes.length;
    }
}

/** Pictures and video coded before: what can't be made smaller. */
function fillNoise(out: Uint8Array, seed: number): void {
  const key = new Uint8Array(32).fill(seed % 251);
  out.set(createCipheriv('aes-256-ctr', key, new Uint8Array(16).fill(seed >> 8)).update(new Uint8Array(out.length)));
}

const mixBytes = 64 * 1024;

/** Of five pieces two are coded pictures, two raw tiles, one planar. */
function fillMixed(out: Uint8Array, seed: number): void {
  const share = Math.ceil(out.length / 5 / mixBytes) * mixBytes;
  const sources = [new Uint8Array(2 * share), new Uint8Array(2 * share), new Uint8Array(share)] as const;
  fillNoise(sources[0], seed);
  fillRaw(sources[1], seed);
  fillPlanar(sources[2], seed);
  const order = [0, 1, 0, 2, 1] as const;
  const taken = [0, 0, 0];
  for (let at = 0, i = 0; at < out.length; at += mixBytes, i += 1) {
    const source = order[i % order.length]!;
    const from = taken[source]!;
    taken[source] = from + mixBytes;
    out.set(sources[source].subarray(from, from + Math.min(mixBytes, out.length - at)), at);
  }
}

const fillRaw = (out: Uint8Array, seed: number) =>
  fill(out, seed, (pixels) => new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength));
const fillPlanar = (out: Uint8Array, seed: number) => fill(out, seed, planarTile);

const fillers: Record<DataKind, (out: Uint8Array, seed: number) => void> = {
  'raw desktop frames': fillRaw,
  'planar-coded': fillPlanar,
  mixed: fillMixed,
  'already compressed': fillNoise,
};

/** Chunks of one kind, each in shared memory as the spool hands them over. */
export function chunksOf(kind: DataKind, count: number, chunkBytes: number): Uint8Array[] {
  return Array.from({ length: count }, (_, at) => {
    const chunk = new Uint8Array(new SharedArrayBuffer(chunkBytes));
    fillers[kind](chunk, at + 1);
    return chunk;
  });
}
