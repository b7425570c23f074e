import type { PixelBuffer, Rectangle } from '@lucid-sessions/graphics';
import { Writer } from '@lucid-sessions/wire';
import { encodeRlgr } from './rlgr-encoder.ts';
import { coefficients, forwardBands, quantizeBands, tileComponents } from './wavelet-encoder.ts';

/** Order of the bands: HL1 LH1 HH1 HL2 LH2 HH2 HL3 LH3 HH3 LL3. */
export const fineQuants = [6, 6, 6, 6, 6, 6, 6, 6, 6, 6] as const;
export const coarseQuants = [8, 8, 9, 7, 7, 8, 6, 6, 6, 6] as const;

/** TS_RFX_CODEC_QUANT: nibbles LL3 LH3 HL3 HH3 LH2 HL2 HH2 LH1 HL1 HH1, low one first. */
function quantBytes(quants: readonly number[]): number[] {
  const [hl1, lh1, hh1, hl2, lh2, hh2, hl3, lh3, hh3, ll3] = quants as number[];
  const nibbles = [ll3, lh3, hl3, hh3, lh2, hl2, hh2, lh1, hl1, hh1] as number[];
  return [0, 2, 4, 6, 8].map((i) => nibbles[i]! | (nibbles[i + 1]! << 4));
}

function block(type: number, body: Uint8Array): Uint8Array {
  return new Writer()
    .u16le(type)
    .u32le(body.length + 6)
    .slice(body)
    .bytes();
}

export interface RfxOptions {
  readonly mode: 1 | 3;
  readonly quants?: readonly number[];
  readonly rectangles?: readonly Rectangle[];
  /** Sync, versions, channels and context: always in image mode, once in video mode. */
  readonly headers?: boolean;
}

/** A whole RemoteFX message of a picture, [MS-RDPRFX] 2.2.2. */
export function encodeRfx(picture: PixelBuffer, options: RfxOptions): Uint8Array {
  const message = new Writer();
  if (options.headers !== false) message.slice(rfxHeaders(options.mode, picture.width, picture.height));
  message.slice(block(0xccc4, Uint8Array.of(1, 0, 0, 0, 0, 0, 1, 0)));
  const rectangles = options.rectangles ?? [{ left: 0, top: 0, width: picture.width, height: picture.height }];
  message.slice(block(0xccc6, region(rectangles)));
  message.slice(block(0xccc7, tileSet(picture, options)));
  message.slice(block(0xccc5, Uint8Array.of(1, 0)));
  return message.bytes();
}

export function rfxHeaders(mode: 1 | 3, width: number, height: number): Uint8Array {
  const entropy = mode === 1 ? 1 : 4;
  return new Writer()
    .slice(block(0xccc0, new Writer().u32le(0xcaccacca).u16le(0x0100).bytes()))
    .slice(
      block(
        0xccc3,
        new Writer()
          .u8(1)
          .u8(255)
          .u8(0)
          .u16le(64)
          .u16le((entropy << 9) | 0xa028)
          .bytes(),
      ),
    )
    .slice(block(0xccc2, new Writer().u8(1).u8(0).u16le(width).u16le(height).bytes()))
    .slice(block(0xccc1, Uint8Array.of(1, 1, 0, 1)))
    .bytes();
}

function region(rectangles: readonly Rectangle[]): Uint8Array {
  const writer = new Writer().u8(1).u8(0).u8(1).u16le(rectangles.length);
  for (const { left, top, width, height } of rectangles) writer.u16le(left).u16le(top).u16le(width).u16le(height);
  return writer.u16le(0xcac1).u16le(1).bytes();
}

function tileSet(picture: PixelBuffer, { mode, quants = fineQuants }: RfxOptions): Uint8Array {
  const tiles = new Writer();
  let count = 0;
  for (let y = 0; y * 64 < picture.height; y += 1) {
    for (let x = 0; x * 64 < picture.width; x += 1, count += 1) tiles.slice(tile(picture, x, y, mode, quants));
  }
  const properties = 1 | (1 << 4) | (1 << 6) | ((mode === 1 ? 1 : 4) << 10) | (1 << 14);
  return new Writer()
    .u8(1)
    .u8(0)
    .u16le(0xcac2)
    .u16le(0)
    .u16le(properties)
    .u8(1)
    .u8(64)
    .u16le(count)
    .u32le(tiles.length)
    .slice(Uint8Array.from(quantBytes(quants)))
    .slice(tiles.bytes())
    .bytes();
}

function tile(picture: PixelBuffer, x: number, y: number, mode: 1 | 3, quants: readonly number[]): Uint8Array {
  const parts = tileComponents(picture, x * 64, y * 64).map((component) =>
    encodeRlgr(mode, coefficients(quantizeBands(forwardBands(component, false), quants))),
  );
  const writer = new Writer().u8(0).u8(0).u8(0).u16le(x).u16le(y);
  for (const part of parts) writer.u16le(part.length);
  for (const part of parts) writer.slice(part);
  return block(0xcac3, writer.bytes());
}
