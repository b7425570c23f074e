import { type Codec, Reader } from '@lucid-sessions/wire';
import { list, rest, struct, u8, u32le, type Value } from '@lucid-sessions/wire/struct';
import { gfxRect16 } from '../gfx/structures.ts';

/** RDPGFX_AVC420_QUANT_QUALITY, [MS-RDPEGFX] 2.2.4.4.2: qp in six bits, a progressive flag in the top one. */
const quantQuality = struct('RDPGFX_AVC420_QUANT_QUALITY', { qpVal: u8, qualityVal: u8 });

const regionRects = list('regionRects', u32le, gfxRect16);

/** RFX_AVC420_METABLOCK and bit stream, [MS-RDPEGFX] 2.2.4.4. */
export interface Avc420BitmapStream {
  readonly regionRects: Value<typeof regionRects>;
  readonly quantQualityVals: readonly Value<typeof quantQuality>[];
  readonly avc420EncodedBitstream: Uint8Array;
}

export const avc420BitmapStream: Codec<Avc420BitmapStream> = {
  name: 'RFX_AVC420_BITMAP_STREAM',
  decode(reader) {
    const rectangles = regionRects.decode(reader);
    const quantQualityVals = rectangles.map(() => quantQuality.decode(reader));
    return { regionRects: rectangles, quantQualityVals, avc420EncodedBitstream: rest.decode(reader) };
  },
  encode(value, writer) {
    regionRects.encode(value.regionRects, writer);
    if (value.quantQualityVals.length !== value.regionRects.length)
      throw new RangeError('every region needs one quant quality value');
    for (const one of value.quantQualityVals) quantQuality.encode(one, writer);
    writer.slice(value.avc420EncodedBitstream);
  },
};

/** LC of RFX_AVC444_BITMAP_STREAM, [MS-RDPEGFX] 2.2.4.5: which views a message holds. */
export const lcBoth = 0;
export const lcLuma = 1;
export const lcChroma = 2;

/** RFX_AVC444_BITMAP_STREAM and RFX_AVC444V2_BITMAP_STREAM, [MS-RDPEGFX] 2.2.4.5 and 2.2.4.6. */
export interface Avc444BitmapStream {
  readonly lc: number;
  /** The main view, or the auxiliary one where `lc` is `lcChroma`. */
  readonly avc420EncodedBitstream1: Avc420BitmapStream;
  /** The auxiliary view, where `lc` is `lcBoth`. */
  readonly avc420EncodedBitstream2: Avc420BitmapStream | null;
}

const lengthMask = 0x3fffffff;

export const avc444BitmapStream: Codec<Avc444BitmapStream> = {
  name: 'RFX_AVC444_BITMAP_STREAM',
  decode(reader) {
    const info = reader.u32le();
    const lc = info >>> 30;
    if (lc > lcChroma) throw reader.error('invalid', 'an avc444 stream says it holds no view');
    // The length is only needed, and by some servers only set, where a second stream follows.
    const first = lc === lcBoth ? reader.sub(info & lengthMask) : new Reader(reader.rest());
    return {
      lc,
      avc420EncodedBitstream1: avc420BitmapStream.decode(first),
      avc420EncodedBitstream2: lc === lcBoth ? avc420BitmapStream.decode(reader) : null,
    };
  },
  encode(value, writer) {
    const start = writer.length;
    writer.u32le(0);
    avc420BitmapStream.encode(value.avc420EncodedBitstream1, writer);
    writer.patchU32le(start, ((writer.length - start - 4) | (value.lc << 30)) >>> 0);
    if (value.avc420EncodedBitstream2) avc420BitmapStream.encode(value.avc420EncodedBitstream2, writer);
  },
};
