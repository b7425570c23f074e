import { Reader } from '@lucid-sessions/wire';
import { createPalette, decodeNsCodec, decodeRaw, pixelBytes, pixelDepth } from '../bitmap/index.ts';
import { WorkBudget } from '../gfx/work-budget.ts';
import { blit, type PixelBuffer } from '../pixels.ts';
import { RemoteFxDecoder, type RemoteFxSnapshot } from '../rfx/remote-fx-decoder.ts';
import type { Screen } from '../screen.ts';
import type { FrameCounter } from './frame-counter.ts';
import { guarded } from './guard.ts';

/** cmdType: [MS-RDPBCGR] 2.2.9.2. */
const setSurfaceBits = 0x0001;
const frameMarker = 0x0004;
const streamSurfaceBits = 0x0006;
const frameActionEnd = 0x0001;
const headerPresent = 0x01;
const extendedHeaderBytes = 24;

/** What a client-assigned codec id stands for: [MS-RDPBCGR] 2.2.7.2.10. */
export type SurfaceCodec = 'raw' | 'nsCodec' | 'remoteFx' | 'imageRemoteFx' | 'unknown';

/** TS_BITMAP_DATA_EX: [MS-RDPBCGR] 2.2.9.2.1.1. Also what Cache Bitmap (Revision 3) holds. */
export interface ExtendedBitmap {
  readonly bitsPerPixel: number;
  readonly codecId: number;
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export function readExtendedBitmap(reader: Reader): ExtendedBitmap {
  const bitsPerPixel = reader.u8();
  const flags = reader.u8();
  reader.skip(1);
  const codecId = reader.u8();
  const width = reader.u16le();
  const height = reader.u16le();
  const length = reader.u32le();
  if (flags & headerPresent) reader.skip(extendedHeaderBytes);
  return { bitsPerPixel, codecId, width, height, data: reader.slice(length) };
}

/** Decodes the codecs that give a picture of their own: raw and NSCodec, both bottom-up. `passing`: see `PictureOptions`. */
export function decodeExtendedBitmap(bitmap: ExtendedBitmap, codec: 'raw' | 'nsCodec', passing = false): PixelBuffer {
  const { data, width, height } = bitmap;
  if (codec === 'nsCodec') return decodeNsCodec(data, width, height, { bottomUp: true, passing });
  const depth = pixelDepth(bitmap.bitsPerPixel);
  const stride = width * pixelBytes(depth);
  return decodeRaw(data, width, height, depth, createPalette(), { stride, bottomUp: true, passing });
}

export interface SurfaceCommandsSnapshot {
  readonly remoteFx: readonly (readonly [number, RemoteFxSnapshot])[];
}

/** Draws Surface Commands: [MS-RDPBCGR] 2.2.9.1.2.1.10 and 2.2.9.2. */
export class SurfaceCommandDecoder {
  readonly #screen: Screen;
  readonly #codecs: ReadonlyMap<number, SurfaceCodec>;
  readonly #frames: FrameCounter;
  /** RemoteFX streams keep a context over messages; one per codec id. */
  readonly #remoteFx = new Map<number, RemoteFxDecoder>();

  constructor(screen: Screen, codecs: ReadonlyMap<number, SurfaceCodec>, frames: FrameCounter) {
    this.#frames = frames;
    this.#screen = screen;
    this.#codecs = codecs;
  }

  /** All commands of one update. Throws `DecodeError` where a command's end is not known. */
  decode(data: Uint8Array): void {
    const reader = new Reader(data);
    const budget = new WorkBudget();
    while (reader.remaining > 0) {
      const command = reader.u16le();
      if (command === frameMarker) this.#frameMarker(reader);
      else if (command === setSurfaceBits || command === streamSurfaceBits) this.#surfaceBits(reader, budget);
      else throw reader.error('unsupported', `surface command ${command} is not defined`);
    }
  }

  #frameMarker(reader: Reader): void {
    const action = reader.u16le();
    if (reader.remaining >= 4) reader.skip(4);
    if (action === frameActionEnd) this.#frames.end();
    else this.#frames.begin();
  }

  #surfaceBits(reader: Reader, budget: WorkBudget): void {
    const left = reader.u16le();
    const top = reader.u16le();
    reader.skip(4);
    const bitmap = readExtendedBitmap(reader);
    const codec = bitmap.codecId === 0 ? 'raw' : (this.#codecs.get(bitmap.codecId) ?? 'unknown');
    const area = { left, top, width: bitmap.width, height: bitmap.height };
    guarded(this.#screen, `surface.${codec}`, () => this.#draw(bitmap, codec, left, top, budget), area);
  }

  #draw(bitmap: ExtendedBitmap, codec: SurfaceCodec, left: number, top: number, budget: WorkBudget): void {
    const screen = this.#screen;
    if (codec === 'raw' || codec === 'nsCodec') {
      budget.spend(bitmap.width * bitmap.height);
      screen.markDirty(blit(screen.desktop, left, top, decodeExtendedBitmap(bitmap, codec, true)));
    } else if (codec === 'remoteFx' || codec === 'imageRemoteFx') {
      const drawn = this.#remoteFxOf(bitmap.codecId).decode(bitmap.data, screen.desktop, left, top, budget);
      for (const rectangle of drawn) screen.markDirty(rectangle);
    } else {
      screen.countUnsupported('surface.codec', { left, top, width: bitmap.width, height: bitmap.height });
    }
  }

  snapshot(): SurfaceCommandsSnapshot {
    return { remoteFx: [...this.#remoteFx].map(([codecId, decoder]) => [codecId, decoder.snapshot()] as const) };
  }

  restore(snapshot: SurfaceCommandsSnapshot): void {
    this.#remoteFx.clear();
    for (const [codecId, state] of snapshot.remoteFx) this.#remoteFxOf(codecId).restore(state);
  }

  #remoteFxOf(codecId: number): RemoteFxDecoder {
    let decoder = this.#remoteFx.get(codecId);
    if (!decoder) {
      decoder = new RemoteFxDecoder();
      this.#remoteFx.set(codecId, decoder);
    }
    return decoder;
  }
}
