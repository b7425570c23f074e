import type { Reader } from '@lucid-sessions/wire';
import type { PictureOptions } from './picture-options.ts';

export interface NsCodecOptions extends PictureOptions {
  /** Keep the alpha plane; otherwise the picture is opaque. */
  readonly alpha?: boolean;
  /** The last row comes first: surface commands and cached bitmaps, but not ClearCodec. */
  readonly bottomUp?: boolean;
}

/** What the header of an NSCodec bitmap says of its planes: [MS-RDPNSC] 2.2.2. */
export interface NsCodecLayout {
  readonly headerBytes: number;
  /** 1 to 7. */
  readonly colorLossLevel: number;
  readonly subsampled: boolean;
  readonly lumaStride: number;
  readonly chromaStride: number;
  /** Luma, orange, green and alpha. A plane as long as its pixels is raw, a shorter one NSCODEC_RLE_SEGMENTS (2.2.2.1). */
  readonly planes: readonly { readonly bytesCount: number; readonly rawBytes: number }[];
}

/** Throws `DecodeError` where the header is not whole or the colour loss none that exists. */
export function readNsCodecLayout(reader: Reader, width: number, height: number): NsCodecLayout {
  const bytesCounts = [reader.u32le(), reader.u32le(), reader.u32le(), reader.u32le()] as const;
  const colorLossLevel = reader.u8();
  const subsampled = reader.u8() !== 0;
  reader.skip(2);
  if (colorLossLevel < 1 || colorLossLevel > 7) throw reader.error('invalid', 'the colour loss level is not 1 to 7');
  const lumaStride = subsampled ? (width + 7) & ~7 : width;
  const chromaStride = subsampled ? lumaStride >> 1 : width;
  const chromaBytes = chromaStride * (subsampled ? (height + 1) >> 1 : height);
  const rawBytes = [lumaStride * height, chromaBytes, chromaBytes, width * height] as const;
  const planes = bytesCounts.map((bytesCount, index) => ({ bytesCount, rawBytes: rawBytes[index]! }));
  return { headerBytes: reader.offset, colorLossLevel, subsampled, lumaStride, chromaStride, planes };
}
