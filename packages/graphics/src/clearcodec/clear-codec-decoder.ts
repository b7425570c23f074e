import { DecodeError, Reader } from '@lucid-sessions/wire';
import { blit, createPixelBuffer, type PixelBuffer, type Rectangle } from '../pixels.ts';
import { BandsDecoder, type BandsSnapshot } from './bands.ts';
import { drawResidual } from './residual.ts';
import { drawSubcodecs, type NsCodecDecode } from './subcodecs.ts';

/** CLEARCODEC_BITMAP_STREAM flags, [MS-RDPEGFX] 2.2.4.1. */
const flagGlyphIndex = 0x01;
const flagGlyphHit = 0x02;
const flagCacheReset = 0x04;

const glyphsMax = 4000;
/** All glyphs together: twice what 4000 glyphs of 1024 pixels, the largest a server makes, would take. */
const glyphPixelsMax = 2 * glyphsMax * 1024;

/** What a stream did that a whole recording would not: pieces are missing before it. */
export interface ClearCodecGaps {
  /** Sequence numbers that didn't follow their predecessor. */
  readonly sequence: number;
  /** Cached columns that never came. */
  readonly columns: number;
}

export interface ClearCodecSnapshot {
  readonly bands: BandsSnapshot;
  readonly glyphs: readonly (readonly [number, PixelBuffer])[];
  readonly sequenceNext: number | null;
  readonly sequenceGaps: number;
}

/**
 * The ClearCodec stream of a graphics channel, [MS-RDPEGFX] 2.2.4.1 and 3.3.8.1: one context for all surfaces. ResetGraphics
 * doesn't touch its caches.
 */
export class ClearCodecDecoder {
  readonly #nsCodec: NsCodecDecode;
  readonly #bands = new BandsDecoder();
  readonly #glyphs = new Map<number, PixelBuffer>();
  #sequenceNext: number | null = null;
  #sequenceGaps = 0;
  #glyphPixels = 0;

  constructor(nsCodec: NsCodecDecode) {
    this.#nsCodec = nsCodec;
  }

  get gaps(): ClearCodecGaps {
    return { sequence: this.#sequenceGaps, columns: this.#bands.missesCount };
  }

  /** Everything later bitmaps may refer to, as plain values. Glyphs never change, so they are shared. */
  snapshot(): ClearCodecSnapshot {
    return {
      bands: this.#bands.snapshot(),
      glyphs: [...this.#glyphs],
      sequenceNext: this.#sequenceNext,
      sequenceGaps: this.#sequenceGaps,
    };
  }

  restore(snapshot: ClearCodecSnapshot): void {
    this.#bands.restore(snapshot.bands);
    this.#glyphs.clear();
    for (const [index, glyph] of snapshot.glyphs) this.#glyphs.set(index, glyph);
    this.#glyphPixels = snapshot.glyphs.reduce((sum, [, glyph]) => sum + glyph.width * glyph.height, 0);
    this.#sequenceNext = snapshot.sequenceNext;
    this.#sequenceGaps = snapshot.sequenceGaps;
  }

  /** Decodes one bitmap into `area`, which must lie inside `target`. Throws `DecodeError`. */
  decode(bytes: Uint8Array, target: PixelBuffer, area: Rectangle): void {
    const reader = new Reader(bytes);
    const flags = reader.u8();
    this.#sequence(reader.u8());
    if (flags & flagCacheReset) this.#bands.rewind();
    const glyphIndex = this.#glyphIndex(reader, flags);
    if (flags & flagGlyphHit) {
      this.#drawGlyph(reader, glyphIndex, target, area);
      return;
    }
    this.#drawPayload(reader, target, area);
    if (glyphIndex !== null) this.#keepGlyph(glyphIndex, target, area);
  }

  #sequence(number: number): void {
    if (this.#sequenceNext !== null && number !== this.#sequenceNext) this.#sequenceGaps += 1;
    this.#sequenceNext = (number + 1) & 0xff;
  }

  #glyphIndex(reader: Reader, flags: number): number | null {
    if (!(flags & flagGlyphIndex)) return null;
    const index = reader.u16le();
    if (index >= glyphsMax) throw reader.error('invalid', 'a clearcodec glyph index is too large');
    return index;
  }

  #drawGlyph(reader: Reader, index: number | null, target: PixelBuffer, area: Rectangle): void {
    const glyph = index === null ? undefined : this.#glyphs.get(index);
    if (!glyph) throw reader.error('invalid', 'a clearcodec glyph was never sent');
    if (glyph.width !== area.width || glyph.height !== area.height)
      throw reader.error('invalid', 'a clearcodec glyph has another size');
    blit(target, area.left, area.top, glyph);
  }

  #keepGlyph(index: number, target: PixelBuffer, area: Rectangle): void {
    const before = this.#glyphs.get(index);
    const pixels = this.#glyphPixels + area.width * area.height - (before ? before.width * before.height : 0);
    if (pixels > glyphPixelsMax) throw new DecodeError('limit', 'clearcodec glyphs take too much memory');
    const glyph = createPixelBuffer(area.width, area.height);
    blit(glyph, 0, 0, target, area);
    this.#glyphs.set(index, glyph);
    this.#glyphPixels = pixels;
  }

  /** CLEARCODEC_COMPOSITE_PAYLOAD, [MS-RDPEGFX] 2.2.4.1.1: three layers, each over the one before. */
  #drawPayload(reader: Reader, target: PixelBuffer, area: Rectangle): void {
    const residualByteCount = reader.u32le();
    const bandsByteCount = reader.u32le();
    const subcodecByteCount = reader.u32le();
    if (residualByteCount > 0) drawResidual(reader.sub(residualByteCount), target, area);
    if (bandsByteCount > 0) this.#bands.draw(reader.sub(bandsByteCount), target, area);
    if (subcodecByteCount > 0) drawSubcodecs(reader.sub(subcodecByteCount), target, area, this.#nsCodec);
  }
}
