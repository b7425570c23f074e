import type { PictureOptions } from './picture-options.ts';

export interface PlanarOptions extends PictureOptions {
  /** The last row comes first: bitmap updates and cached bitmaps, but not graphics pipeline surfaces. */
  readonly bottomUp: boolean;
  /** Keep the alpha plane. A screen is opaque, a surface needn't be. */
  readonly alpha?: boolean;
}

export interface PlanarHeader {
  /** 0: colours; 1 to 7: chroma, of which so many bits less one were dropped. */
  readonly colorLossLevel: number;
  readonly subsampled: boolean;
  readonly runLengthEncoded: boolean;
  readonly hasAlpha: boolean;
}

/** FormatHeader: [MS-RDPEGDI] 2.2.2.5.1. */
export function planarHeader(header: number): PlanarHeader {
  return {
    colorLossLevel: header & 0x07,
    subsampled: (header & 0x08) !== 0,
    runLengthEncoded: (header & 0x10) !== 0,
    hasAlpha: (header & 0x20) === 0,
  };
}
