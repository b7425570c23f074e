import { DecodeError, decode } from '@lucid-sessions/wire';
import type { GfxRect16 } from '../gfx/structures.ts';
import type { WorkBudget } from '../gfx/work-budget.ts';
import { bounds, intersect, isEmpty, type PixelBuffer, type Rectangle } from '../pixels.ts';
import { type Avc420BitmapStream, avc420BitmapStream, avc444BitmapStream, lcChroma } from './avc-stream.ts';
import type { ChromaVotes, MainChroma } from './chroma-votes.ts';
import type { H264Decoder, YuvFrame } from './h264-decoder.ts';
import type { ReferencePicture } from './h264-references.ts';
import { H264Stream, type H264StreamSnapshot, type PlannedUnit } from './h264-stream.ts';
import { around, uncovered } from './uncovered.ts';
import { yuvPainter } from './yuv-to-rgb.ts';
import { type AvcVersion, createYuv444Picture, mergeView, type View, type Yuv444Picture } from './yuv444.ts';

export interface AvcSurfaceSnapshot {
  readonly stream: H264StreamSnapshot;
  readonly picture: Yuv444Picture | null;
  readonly version: AvcVersion;
  readonly mainChroma: MainChroma | null;
  /** The last pictures decoded, where they are references: what is on the surface is mostly told by them. */
  readonly last: Readonly<Record<View, ReferencePicture | null>>;
}

/** The largest picture of any level, ITU-T H.264 table A-1: 139,264 macroblocks. */
const codedPixelsMax = 139_264 * 256;
/** Wider than any picture. */
const codedSideMax = 1 << 16;

/** One view of a message: a picture and the regions of the surface it holds. */
interface Part {
  readonly view: View;
  readonly planned: PlannedUnit;
  readonly regions: readonly Rectangle[];
}

/** A message read and not drawn yet. */
export interface AvcMessage {
  readonly version: AvcVersion;
  readonly parts: readonly Part[];
}

/** The H.264 stream of one surface: both views of AVC444 come from the same encoder, so one decoder takes them in turn. */
export class AvcSurface {
  readonly #stream: H264Stream;
  #picture: Yuv444Picture | null = null;
  #version: AvcVersion = 'avc420';
  readonly #chromaVotes: ChromaVotes;
  #last: Record<View, ReferencePicture | null> = { main: null, auxiliary: null };

  /** `chromaVotes` are those of the channel: one encoder makes its surfaces. */
  constructor(decoder: H264Decoder, chromaVotes: ChromaVotes) {
    this.#chromaVotes = chromaVotes;
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
        mainChroma: this.mainChroma,
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

  /** How the chroma of main views is read; null while there are none. */
  get mainChroma(): MainChroma | null {
    if (this.#version === 'avc420') return null;
    return this.#version === 'avc444' ? 'average' : this.#chromaVotes.chosen;
  }

  /**
   * Reads RFX_AVC420_BITMAP_STREAM, RFX_AVC444_BITMAP_STREAM or its second version. Messages are drawn in the order they were read.
   * Throws `DecodeError`.
   */
  read(bytes: Uint8Array, version: AvcVersion, target: PixelBuffer, budget: WorkBudget): AvcMessage {
    const parts: Part[] = [];
    for (const { view, stream } of viewsOf(bytes, version)) {
      if (stream.avc420EncodedBitstream.length === 0) continue;
      const planned = this.#stream.plan(stream.avc420EncodedBitstream);
      const sps = planned.picture?.sps;
      if (sps) budget.spend(sps.codedWidth * sps.codedHeight);
      const clip = intersect(bounds(target), sps ? sizeOf(sps.codedWidth, sps.codedHeight) : bounds(target));
      parts.push({ view, planned, regions: visibleRegions(stream.regionRects, clip, budget) });
    }
    return { version, parts };
  }

  /**
   * Decodes messages and draws their regions, which it returns (in surface coordinates); what a later one draws over is not
   * drawn. What goes wrong with one is given to `onError` with its place among them, and leaves it out.
   */
  async draw(
    messages: readonly AvcMessage[],
    target: PixelBuffer,
    onError: (error: Error, message: number) => void,
  ): Promise<Rectangle[]> {
    const shown = uncovered(messages.map(({ parts }) => parts.flatMap(({ regions }) => regions)));
    const steps = messages.flatMap(({ version, parts }, message) =>
      parts.map((part, at) => ({ ...part, version, message, last: at === parts.length - 1 })),
    );
    const merged = this.#toMerge(steps);
    const drawn: Rectangle[] = [];
    const failed = new Set<number>();
    await this.#stream.decodeRun(
      steps.map(({ planned }) => planned),
      (index) => {
        const { version, message } = steps[index]!;
        return version === 'avc420' ? around(shown[message]!) : aroundBlocks(merged[index]!);
      },
      (index, result) => {
        const { version, view, message, last } = steps[index]!;
        this.#version = version;
        this.#last[view] = this.#stream.lastReference;
        try {
          if (result instanceof Error) throw result;
          if (result) {
            assertWhole(result);
            const clip = sizeOf(result.width, result.height);
            if (version !== 'avc420') this.#merge(view, result, clipped(merged[index]!, clip));
            else drawn.push(...draw420(result, target, clipped(shown[message]!, clip)));
          }
        } catch (error) {
          if (!failed.has(message)) onError(error as Error, message);
          failed.add(message);
        }
        const picture = this.#picture;
        if (version === 'avc420' || !last || !picture || failed.has(message)) return;
        const areas = clipped(distinct(shown[message]!), sizeOf(picture.width, picture.height));
        for (const area of areas) yuvPainter().draw444(picture, target, area, this.mainChroma);
        drawn.push(...areas);
      },
    );
    return drawn;
  }

  /**
   * What has to be merged of each part. A main view takes over all of its regions: nothing of earlier ones is left there. While the
   * votes count what they see, they see all, whether pictures come one by one or together.
   */
  #toMerge(steps: readonly (Part & { readonly version: AvcVersion })[]): readonly (readonly Rectangle[])[] {
    const regions = steps.map((step) => (step.version === 'avc420' ? [] : step.regions));
    const counts = steps.some(({ version }) => version === 'avc444v2') && !this.#chromaVotes.settled;
    return counts ? regions : uncovered(regions, (index) => steps[index]!.view === 'main');
  }

  #merge(view: View, frame: YuvFrame, regions: readonly Rectangle[]): void {
    if (this.#picture?.width !== frame.width || this.#picture.height !== frame.height)
      this.#picture = createYuv444Picture(frame.width, frame.height);
    for (const region of regions) {
      mergeView(this.#version, view, this.#picture, frame, region);
      if (view === 'auxiliary' && this.#version === 'avc444v2') this.#chromaVotes.count(this.#picture, region);
    }
  }
}

function* viewsOf(bytes: Uint8Array, version: AvcVersion): Generator<{ view: View; stream: Avc420BitmapStream }> {
  if (version === 'avc420') {
    yield { view: 'main', stream: decode(avc420BitmapStream, bytes) };
    return;
  }
  const { lc, avc420EncodedBitstream1, avc420EncodedBitstream2 } = decode(avc444BitmapStream, bytes);
  yield { view: lc === lcChroma ? 'auxiliary' : 'main', stream: avc420EncodedBitstream1 };
  if (avc420EncodedBitstream2) yield { view: 'auxiliary', stream: avc420EncodedBitstream2 };
}

function draw420(frame: YuvFrame, target: PixelBuffer, areas: readonly Rectangle[]): readonly Rectangle[] {
  for (const area of areas) yuvPainter().draw420(frame, target, area);
  return areas;
}

/** Blocks of 16 × 16 are what every encoder makes; merging counts on them. */
function assertWhole({ width, height }: YuvFrame): void {
  const whole = width % 16 === 0 && height % 16 === 0;
  if (!whole || width * height > codedPixelsMax)
    throw new DecodeError('invalid', 'an h.264 decoder gave a picture that is no whole number of macroblocks');
}

const copyOf = (picture: Yuv444Picture): Yuv444Picture => ({
  ...picture,
  y: picture.y.slice(),
  u: picture.u.slice(),
  v: picture.v.slice(),
});

const sizeOf = (width: number, height: number): Rectangle => ({ left: 0, top: 0, width, height });

const clipped = (areas: readonly Rectangle[], clip: Rectangle): Rectangle[] =>
  areas.map((area) => intersect(area, clip)).filter((area) => !isEmpty(area));

/**
 * What has to be there of a picture to merge its regions: whole macroblocks, as the views' samples lie within those. The second
 * version's auxiliary view has them somewhere else altogether: all of the rows.
 */
function aroundBlocks(regions: readonly Rectangle[]): Rectangle | null {
  const area = around(regions);
  if (!area) return null;
  const top = area.top & ~15;
  return { left: 0, top, width: codedSideMax, height: ((area.top + area.height + 15) & ~15) - top };
}

function visibleRegions(rects: readonly GfxRect16[], clip: Rectangle, budget: WorkBudget): Rectangle[] {
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
