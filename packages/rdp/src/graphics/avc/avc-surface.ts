import { DecodeError, decode } from '@lucid-sessions/wire';
import type { GfxRect16 } from '../gfx/structures.ts';
import type { WorkBudget } from '../gfx/work-budget.ts';
import { intersect, isEmpty, type PixelBuffer, pixelBufferPixelsMax, type Rectangle } from '../pixels.ts';
import { type Avc420BitmapStream, avc420BitmapStream, avc444BitmapStream, lcChroma } from './avc-stream.ts';
import type { H264Decoder, YuvFrame } from './h264-decoder.ts';
import type { ReferencePicture } from './h264-references.ts';
import { H264Stream, type H264StreamSnapshot } from './h264-stream.ts';
import { yuvPainter } from './yuv-to-rgb.ts';
import { type AvcVersion, createYuv444Picture, mergeView, type View, type Yuv444Picture } from './yuv444.ts';

export interface AvcSurfaceSnapshot {
  readonly stream: H264StreamSnapshot;
  readonly picture: Yuv444Picture | null;
  readonly version: AvcVersion;
  /** The last pictures decoded, where they are references: what is on the surface is mostly told by them. */
  readonly last: Readonly<Record<View, ReferencePicture | null>>;
}

/** The H.264 stream of one surface: both views of AVC444 come from the same encoder, so one decoder takes them in turn. */
export class AvcSurface {
  readonly #stream: H264Stream;
  #picture: Yuv444Picture | null = null;
  #version: AvcVersion = 'avc420';
  #last: Record<View, ReferencePicture | null> = { main: null, auxiliary: null };

  constructor(decoder: H264Decoder) {
    this.#stream = new H264Stream(decoder);
  }

  close(): void {
    this.#stream.close();
    this.#picture = null;
  }

  /** Null while no decoder could be brought to where this one stands. */
  snapshot(): AvcSurfaceSnapshot | null {
    const stream = this.#stream.snapshot();
    return (
      stream && {
        stream,
        picture: this.#picture && copyOf(this.#picture),
        version: this.#version,
        last: { main: this.#shared('main'), auxiliary: this.#shared('auxiliary') },
      }
    );
  }

  /** Of a picture nothing refers to the memory may be in use again. */
  #shared(view: View): ReferencePicture | null {
    const picture = this.#last[view];
    return picture && this.#stream.refersTo(picture) ? picture : null;
  }

  /** Of a surface whose decoder has decoded nothing yet. */
  restore({ stream, picture, version, last }: AvcSurfaceSnapshot): void {
    this.#stream.restore(stream);
    this.#picture = picture && copyOf(picture);
    this.#version = version;
    this.#last = { ...last };
  }

  /** Decodes RFX_AVC420_BITMAP_STREAM and draws its regions, which it returns. Regions are in surface coordinates. */
  async decode420(bytes: Uint8Array, target: PixelBuffer, budget: WorkBudget): Promise<Rectangle[]> {
    const stream = decode(avc420BitmapStream, bytes);
    this.#version = 'avc420';
    const frame = await this.#frame(stream, 'main', budget);
    if (!frame) return [];
    const regions = visibleRegions(stream.regionRects, frame, target, budget);
    for (const region of regions) yuvPainter().draw420(frame, target, region);
    return regions;
  }

  /** Decodes RFX_AVC444_BITMAP_STREAM or its second version; see `decode420`. */
  async decode444(
    bytes: Uint8Array,
    version: 'avc444' | 'avc444v2',
    target: PixelBuffer,
    budget: WorkBudget,
  ): Promise<Rectangle[]> {
    this.#version = version;
    const { lc, avc420EncodedBitstream1, avc420EncodedBitstream2 } = decode(avc444BitmapStream, bytes);
    const first: View = lc === lcChroma ? 'auxiliary' : 'main';
    const regions = await this.#merge(avc420EncodedBitstream1, first, target, budget);
    if (avc420EncodedBitstream2)
      regions.push(...(await this.#merge(avc420EncodedBitstream2, 'auxiliary', target, budget)));
    const picture = this.#picture;
    if (picture) for (const region of distinct(regions)) yuvPainter().draw444(picture, target, region);
    return regions;
  }

  async #merge(stream: Avc420BitmapStream, view: View, target: PixelBuffer, budget: WorkBudget): Promise<Rectangle[]> {
    const frame = await this.#frame(stream, view, budget);
    if (!frame) return [];
    if (this.#picture?.width !== frame.width || this.#picture.height !== frame.height)
      this.#picture = createYuv444Picture(frame.width, frame.height);
    const regions = visibleRegions(stream.regionRects, frame, target, budget);
    for (const region of regions) mergeView(this.#version, view, this.#picture, frame, region);
    return regions;
  }

  async #frame(stream: Avc420BitmapStream, view: View, budget: WorkBudget): Promise<YuvFrame | null> {
    if (stream.avc420EncodedBitstream.length === 0) return null;
    const frame = await this.#stream.decode(stream.avc420EncodedBitstream);
    this.#last[view] = this.#stream.lastReference;
    if (!frame) return null;
    // Blocks of 16 × 16 are what every encoder makes; the merging above counts on them.
    const whole = frame.width % 16 === 0 && frame.height % 16 === 0;
    if (!whole || frame.width * frame.height > pixelBufferPixelsMax + 16 * 8192)
      throw new DecodeError('invalid', 'an h.264 decoder gave a picture that is no whole number of macroblocks');
    budget.spend(frame.width * frame.height);
    return frame;
  }
}

const copyOf = (picture: Yuv444Picture): Yuv444Picture => ({
  ...picture,
  y: picture.y.slice(),
  u: picture.u.slice(),
  v: picture.v.slice(),
});

function visibleRegions(
  rects: readonly GfxRect16[],
  frame: YuvFrame,
  target: PixelBuffer,
  budget: WorkBudget,
): Rectangle[] {
  const clip = {
    left: 0,
    top: 0,
    width: Math.min(frame.width, target.width),
    height: Math.min(frame.height, target.height),
  };
  const regions: Rectangle[] = [];
  for (const { left, top, right, bottom } of rects) {
    const width = Math.max(0, right - left);
    const region = intersect({ left, top, width, height: Math.max(0, bottom - top) }, clip);
    if (isEmpty(region)) continue;
    budget.spend(region.width * region.height);
    regions.push(region);
  }
  return regions;
}

/** Both views mostly name the same regions: each is drawn once. */
function distinct(regions: readonly Rectangle[]): Rectangle[] {
  const known = new Map<string, Rectangle>();
  for (const region of regions) known.set(`${region.left},${region.top},${region.width},${region.height}`, region);
  return [...known.values()];
}
