import type { Rectangle } from '../pixels.ts';

/**
 * One decoded picture in YUV 4:2:0. Planes cover the coded size (whole macroblocks): cropping in the stream must not be applied,
 * for AVC444 keeps samples there. The decoder may reuse the planes for its next picture.
 */
export interface YuvFrame {
  readonly width: number;
  readonly height: number;
  readonly y: Uint8Array;
  readonly u: Uint8Array;
  readonly v: Uint8Array;
  /** Bytes from one row to the next. */
  readonly strideY: number;
  readonly strideUv: number;
}

/**
 * A port: an H.264 decoder of one stream. This package decodes no H.264 itself: Node brings ffmpeg or a package with WebCodecs, a browser WebCodecs.
 * `decode` is called with one access unit (Annex B, start codes included) at a time, and not again before the last call's
 * promise settled. It gives the picture of that very access unit, or null where it holds none.
 */
export interface H264Decoder {
  decode(accessUnit: Uint8Array): YuvFrame | null | Promise<YuvFrame | null>;
  /**
   * The same for many at once, faster: `take` is given the picture of each in turn, of whose samples only those inside
   * `wanted(index)` need be there (null: none), and is done with it when it returns. Throws at the first that can't be decoded.
   */
  decodeRun?(
    accessUnits: readonly Uint8Array[],
    wanted: (index: number) => Rectangle | null,
    take: (index: number, frame: YuvFrame | null) => void,
  ): Promise<void>;
  /** Ends the stream and frees what it holds. */
  close(): void;
}

/** All of any picture. */
const everything: Rectangle = { left: 0, top: 0, width: 1 << 16, height: 1 << 16 };

/** One access unit as a run of one, for decoders that are made for runs. */
export async function decodeAlone(
  decoder: Required<Pick<H264Decoder, 'decodeRun'>>,
  accessUnit: Uint8Array,
): Promise<YuvFrame | null> {
  let picture: YuvFrame | null = null;
  await decoder.decodeRun(
    [accessUnit],
    () => everything,
    (_, frame) => {
      picture = frame;
    },
  );
  return picture;
}

/** Nothing here decodes H.264: no fault of the stream. The message says what to do about it. */
export class H264MissingError extends Error {
  override readonly name = 'H264MissingError';
}

/** Starts a decoder for a new stream. */
export type H264DecoderFactory = () => H264Decoder;
