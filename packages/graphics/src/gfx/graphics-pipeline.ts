import { monitorsOf } from '@lucid-sessions/rdp';
import { type HistoryDepth, ZgfxDecompressor, type ZgfxSnapshot } from '@lucid-sessions/rdp/bulk';
import { DecodeError, Reader } from '@lucid-sessions/wire';
import type { AvcMessage } from '../avc/avc-surface.ts';
import type { MainChroma } from '../avc/chroma-votes.ts';
import type { H264DecoderFactory } from '../avc/h264-decoder.ts';
import { blit, bounds, copyRectangle, fillRectangle, type PixelBuffer, type Rectangle, rgba } from '../pixels.ts';
import type { Screen } from '../screen.ts';
import { BitmapCache } from './bitmap-cache.ts';
import { gfxCodecId } from './bodies.ts';
import { type GfxBody, type GfxPdu, gfxPdu, takeGfxCommand } from './gfx-pdu.ts';
import { areaShown, fillWindow, showSurface } from './output.ts';
import type { GfxPoint16 } from './structures.ts';
import { areaClipped, areaWithin, markSurface, type OutputMapping, type Surface, SurfaceStore } from './surface.ts';
import {
  isAvc,
  SurfaceCodecs,
  type SurfaceCodecsSnapshot,
  UnsupportedCodec,
  undecodedCodec,
} from './surface-codecs.ts';
import { WorkBudget } from './work-budget.ts';

export interface GraphicsPipelineOptions {
  readonly screen: Screen;
  /** Without one, AVC frames are counted as unsupported and not drawn. */
  readonly createH264Decoder?: H264DecoderFactory;
}

export interface GraphicsPipelineSnapshot {
  readonly zgfx: ZgfxSnapshot;
  readonly surfaces: readonly Surface[];
  readonly cache: readonly (readonly [number, PixelBuffer])[];
  readonly codecs: SurfaceCodecsSnapshot;
  readonly gapsSeen: number;
}

/** Messages that may wait behind an H.264 picture; a caller that awaits `process` never has more than one. */
const waitingMessagesMax = 256;

/** H.264 messages that wait to be drawn together: enough to be worth it, few enough to be heard in between. */
const waitingPicturesMax = 48;
const waitingPictureBytesMax = 8 << 20;

/** Messages of one surface read and not drawn yet. */
interface WaitingPictures {
  readonly surface: Surface;
  readonly messages: AvcMessage[];
  /** When each came, and where it is to be seen. */
  readonly places: Place[];
  bytes: number;
  /** How many belong to frames that ended: the others are not to be shown yet. */
  ended: number;
}

/** When a command came and what of the screen it is about, where that is known. */
export interface Place {
  readonly timeUs: number;
  readonly area: Rectangle | null;
}

/** One message on its way: what is left of it, what it may still cost, and the first failure that isn't the bytes' fault. */
interface MessageRun {
  readonly reader: Reader;
  readonly budget: WorkBudget;
  /** Nobody looks before the next message: H.264 may wait. */
  readonly later: boolean;
  error: unknown;
  errorPlace: Place | null;
}

/**
 * The client side of the graphics channel, [MS-RDPEGFX] 3.3: turns the server's messages into pictures on a `Screen`. What is
 * drawn inside a frame appears on the screen when the frame ends, what is drawn outside at once.
 */
export class GraphicsPipeline {
  readonly #screen: Screen;
  readonly #zgfx = new ZgfxDecompressor();
  readonly #surfaces = new SurfaceStore();
  readonly #cache = new BitmapCache();
  readonly #codecs: SurfaceCodecs;
  #inFrame = false;
  #waiting: Promise<void> | null = null;
  #waitingCount = 0;
  #gapsSeen = 0;
  /** Of the command that is being drawn. */
  #area: Rectangle | null = null;
  #failurePlace: Place | null = null;
  #pictures: WaitingPictures | null = null;

  constructor(options: GraphicsPipelineOptions) {
    this.#screen = options.screen;
    this.#codecs = new SurfaceCodecs(options.createH264Decoder ?? null, (kind, surfaceId, area) =>
      this.#screen.countUnsupported(kind, areaShown(this.#surfaces.get(surfaceId), area, this.#screen)),
    );
  }

  /**
   * Takes one reassembled message of the server (RDP_SEGMENTED_DATA). Returns nothing when all is drawn, or a promise when an H.264
   * picture must be waited for; messages given meanwhile wait their turn. A command that can't be decoded is counted on the screen
   * and doesn't stop those after it. Errors of the H.264 decoder that aren't `DecodeError`s (it doesn't run, it hangs) are
   * thrown, or reject the promise, at the end. Don't change `segmented` before the promise settles. `later`: nobody looks at the
   * screen before `settle` or a message that is not `later`, so that H.264 pictures may be decoded together.
   */
  process(segmented: Uint8Array, later = false): void | Promise<void> {
    let commands: Uint8Array;
    try {
      commands = this.#zgfx.decompress(segmented);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#screen.countUnsupported(`gfx.zgfx.${error.code}`);
      return;
    }
    return this.processCommands(commands, later);
  }

  /** As `process`, for a message that is decompressed already. */
  processCommands(commands: Uint8Array, later = false): void | Promise<void> {
    return this.#enqueue({
      reader: new Reader(commands),
      budget: new WorkBudget(),
      later,
      error: undefined,
      errorPlace: null,
    });
  }

  /** Draws what waits to be drawn. */
  settle(): void | Promise<void> {
    if (this.#pictures !== null) return this.processCommands(new Uint8Array(0));
  }

  /**
   * Everything the channel's next messages may refer to, as plain values that can be cloned. null inside a frame, while
   * a picture is waited for, and where the state of an H.264 stream can't be saved (see `H264Stream`).
   */
  snapshot(depth?: HistoryDepth): GraphicsPipelineSnapshot | null {
    const codecs = this.#inFrame || this.#waiting || this.#pictures ? null : this.#codecs.snapshot(depth);
    return (
      codecs && {
        zgfx: this.#zgfx.snapshot(depth),
        surfaces: this.#surfaces.snapshot(),
        cache: this.#cache.snapshot(),
        codecs,
        gapsSeen: this.#gapsSeen,
      }
    );
  }

  /** Messages referred to earlier ones: lean snapshots taken before that are of no use behind it. */
  get usesHistory(): boolean {
    return this.#zgfx.used || this.#codecs.usesHistory;
  }

  /** Of the failure that was thrown last: what was to be drawn then. */
  get failurePlace(): Place | null {
    return this.#failurePlace;
  }

  /** See `SurfaceCodecs.mainChroma`. */
  get mainChroma(): MainChroma[] {
    return this.#codecs.mainChroma;
  }

  /** Goes on from a snapshot; the screen's is its own. */
  restore(snapshot: GraphicsPipelineSnapshot): void {
    this.#zgfx.restore(snapshot.zgfx);
    this.#surfaces.restore(snapshot.surfaces);
    for (const surface of this.#surfaces.values()) fillWindow(surface, this.#screen);
    this.#cache.restore(snapshot.cache);
    this.#codecs.restore(snapshot.codecs);
    this.#inFrame = false;
    this.#pictures = null;
    this.#gapsSeen = snapshot.gapsSeen;
  }

  /** Ends the H.264 decoders and forgets codec state; the screen stays. */
  close(): void {
    this.#pictures = null;
    for (const { id } of this.#surfaces.values()) this.#screen.windows.surfaceLeft(id);
    this.#codecs.close();
  }

  #enqueue(run: MessageRun): void | Promise<void> {
    if (this.#waiting === null) {
      const done = this.#drain(run);
      return done && this.#track(done);
    }
    if (this.#waitingCount >= waitingMessagesMax)
      throw new DecodeError('limit', 'await the graphics pipeline before giving it more messages');
    return this.#track(this.#waiting.then(() => this.#drain(run)));
  }

  /** Makes later messages wait for `done`, whose failure is its own caller's alone. */
  #track(done: Promise<void>): Promise<void> {
    this.#waitingCount += 1;
    const finished = done.finally(() => {
      this.#waitingCount -= 1;
      if (this.#waiting === waiting) this.#waiting = null;
    });
    const waiting = finished.catch(() => undefined);
    this.#waiting = waiting;
    return finished;
  }

  /** Runs commands until one must be waited for, or the message ends. */
  #drain(run: MessageRun): void | Promise<void> {
    while (run.reader.remaining > 0) {
      const done = this.#next(run);
      if (done) return done.then(() => this.#drain(run));
    }
    if (this.#pictures && !(run.later && this.#mayWait(this.#pictures)))
      return this.#drawPictures(run).then(() => this.#drain(run));
    this.#countGaps();
    if (run.error === undefined) return;
    this.#failurePlace = run.errorPlace;
    throw run.error;
  }

  #next(run: MessageRun): void | Promise<void> {
    let kind = 'command';
    let command: Reader | null = null;
    this.#area = null;
    try {
      command = takeGfxCommand(run.reader);
      const pdu = gfxPdu.decode(command);
      kind = pdu.kind;
      if (this.#pictures && !this.#joins(this.#pictures, pdu))
        return this.#drawPictures(run)
          .then(() => this.#command(pdu, run.budget))
          .catch((error) => this.#failed(run, kind, error));
      this.#command(pdu, run.budget);
    } catch (error) {
      // After a header that can't be read, the next PDU's start is unknown.
      if (command === null) run.reader.rest();
      this.#failed(run, kind, error);
    }
  }

  #failed(run: MessageRun, kind: string, error: unknown, place: Place = this.#here): void {
    const { area, timeUs } = place;
    if (error instanceof UnsupportedCodec) this.#screen.countUnsupported(error.kind, area, timeUs);
    else if (error instanceof DecodeError) this.#screen.countUnsupported(`gfx.${kind}.${error.code}`, area, timeUs);
    else if (run.error === undefined) {
      run.error = error;
      run.errorPlace = place;
    }
  }

  get #here(): Place {
    return { timeUs: this.#screen.timeUs, area: this.#area };
  }

  #countGaps(): void {
    const { sequence, columns } = this.#codecs.clearCodec.gaps;
    for (; this.#gapsSeen < sequence + columns; this.#gapsSeen += 1)
      this.#screen.countUnsupported('gfx.clearCodec.missingBefore');
  }

  /** Whether a command can follow on H.264 messages that wait: their pixels mean nothing to it. */
  #joins({ surface }: WaitingPictures, pdu: GfxPdu): boolean {
    if (pdu.kind === 'startFrame' || pdu.kind === 'endFrame') return true;
    return pdu.kind === 'wireToSurface1' && pdu.body.surfaceId === surface.id && isAvc(pdu.body.codecId);
  }

  #mayWait({ messages, bytes }: WaitingPictures): boolean {
    return messages.length < waitingPicturesMax && bytes < waitingPictureBytesMax;
  }

  async #drawPictures(run: MessageRun): Promise<void> {
    const { surface, messages, places, ended } = this.#pictures!;
    this.#pictures = null;
    const draw = async (first: number, some: readonly AvcMessage[]): Promise<void> => {
      const onError = (error: Error, at: number): void =>
        this.#failed(run, 'wireToSurface1', error, places[first + at]);
      const areas = some.length === 0 ? [] : await this.#codecs.drawAvc(some, surface, onError);
      for (const area of areas) markSurface(surface, area);
    };
    await draw(0, messages.slice(0, ended));
    if (ended > 0) this.#show();
    await draw(ended, messages.slice(ended));
    this.#showOutsideFrame();
  }

  #command(pdu: GfxPdu, budget: WorkBudget): void {
    switch (pdu.kind) {
      case 'wireToSurface1':
        this.#wireToSurface1(pdu.body, budget);
        return;
      case 'wireToSurface2':
        this.#wireToSurface2(pdu.body, budget);
        return;
      case 'solidFill':
        this.#solidFill(pdu.body, budget);
        return;
      case 'surfaceToSurface':
        this.#surfaceToSurface(pdu.body, budget);
        return;
      case 'surfaceToCache':
        this.#surfaceToCache(pdu.body, budget);
        return;
      case 'cacheToSurface':
        this.#cacheToSurface(pdu.body, budget);
        return;
      case 'evictCacheEntry':
        this.#cache.evict(pdu.body.cacheSlot);
        return;
      case 'createSurface':
        this.#createSurface(pdu.body, budget);
        return;
      case 'deleteSurface':
        this.#deleteSurface(pdu.body.surfaceId);
        return;
      case 'startFrame':
        this.#inFrame = true;
        return;
      case 'endFrame':
        this.#endFrame();
        return;
      case 'resetGraphics':
        this.#resetGraphics(pdu.body);
        return;
      case 'mapSurfaceToOutput':
        this.#map(pdu.body.surfaceId, mappingOf(pdu.body));
        return;
      case 'mapSurfaceToScaledOutput': {
        const { targetWidth, targetHeight } = pdu.body;
        this.#map(pdu.body.surfaceId, { ...mappingOf(pdu.body), targetWidth, targetHeight });
        return;
      }
      case 'mapSurfaceToWindow':
        this.#mapToWindow(pdu.body, null, budget);
        return;
      case 'mapSurfaceToScaledWindow':
        this.#mapToWindow(pdu.body, pdu.body, budget);
        return;
      case 'unknown':
        this.#screen.countUnsupported('gfx.unknownCommand');
        return;
      default:
        // Capabilities and cache import change nothing that is drawn; acknowledgements are the client's. Nothing is kept by
        // encoding context: see `ProgressiveDecoder`.
        return;
    }
  }

  #wireToSurface1(body: GfxBody<'wireToSurface1'>, budget: WorkBudget): void {
    const surface = this.#surfaces.get(body.surfaceId);
    const area = areaWithin(surface.pixels, body.destRect);
    this.#area = areaShown(surface, area, this.#screen);
    budget.spend(area.width * area.height);
    const message = this.#codecs.readAvc(body.codecId, body.bitmapData, surface, budget);
    if (message === null) {
      this.#drawn(surface.id, this.#codecs.draw(body.codecId, body.bitmapData, surface, area, budget));
      return;
    }
    this.#pictures ??= { surface, messages: [], places: [], bytes: 0, ended: 0 };
    this.#pictures.messages.push(message);
    this.#pictures.places.push(this.#here);
    this.#pictures.bytes += body.bitmapData.length;
    if (!this.#inFrame) this.#pictures.ended = this.#pictures.messages.length;
  }

  #wireToSurface2(body: GfxBody<'wireToSurface2'>, budget: WorkBudget): void {
    const known = body.codecId === gfxCodecId.caProgressive || body.codecId === gfxCodecId.caProgressiveV2;
    if (!known) throw undecodedCodec(body.codecId);
    const surface = this.#surfaces.get(body.surfaceId);
    this.#drawn(surface.id, this.#codecs.drawProgressive(body.bitmapData, surface, budget));
  }

  #drawn(surfaceId: number, areas: readonly Rectangle[]): void {
    const surface = this.#surfaces.get(surfaceId);
    for (const area of areas) markSurface(surface, area);
    this.#showOutsideFrame();
  }

  #showOutsideFrame(): void {
    if (this.#inFrame) return;
    this.#codecs.endFrame();
    this.#show();
  }

  #show(): void {
    for (const surface of this.#surfaces.values()) if (surface.dirty.length > 0) showSurface(surface, this.#screen);
  }

  #endFrame(): void {
    this.#inFrame = false;
    this.#codecs.endFrame();
    if (this.#pictures) this.#pictures.ended = this.#pictures.messages.length;
    else this.#show();
    this.#screen.framesCount += 1;
  }

  #solidFill({ surfaceId, fillPixel, fillRects }: GfxBody<'solidFill'>, budget: WorkBudget): void {
    const surface = this.#surfaces.get(surfaceId);
    const word = rgba(fillPixel.r, fillPixel.g, fillPixel.b, surface.hasAlpha ? fillPixel.xa : 255);
    for (const rect of fillRects) {
      const area = areaClipped(surface.pixels, rect);
      budget.spend(area.width * area.height);
      markSurface(surface, fillRectangle(surface.pixels, area, word));
    }
    this.#showOutsideFrame();
  }

  #surfaceToSurface(body: GfxBody<'surfaceToSurface'>, budget: WorkBudget): void {
    const source = this.#surfaces.get(body.surfaceIdSrc);
    const target = this.#surfaces.get(body.surfaceIdDest);
    const area = areaWithin(source.pixels, body.rectSrc);
    for (const point of body.destPts) {
      budget.spend(area.width * area.height);
      const drawn =
        source === target
          ? copyRectangle(target.pixels, area, point.x, point.y)
          : blit(target.pixels, point.x, point.y, source.pixels, area);
      markSurface(target, drawn);
    }
    this.#showOutsideFrame();
  }

  #surfaceToCache(body: GfxBody<'surfaceToCache'>, budget: WorkBudget): void {
    const { pixels } = this.#surfaces.get(body.surfaceId);
    const area = areaWithin(pixels, body.rectSrc);
    budget.spend(area.width * area.height);
    this.#cache.store(body.cacheSlot, pixels, area);
  }

  #cacheToSurface(body: GfxBody<'cacheToSurface'>, budget: WorkBudget): void {
    const surface = this.#surfaces.get(body.surfaceId);
    const bitmap = this.#cache.get(body.cacheSlot);
    if (!bitmap) {
      // A persistent cache of the client's, offered and imported: its pictures never came over the wire.
      this.#screen.countUnsupported('gfx.cacheEntryMissing');
      return;
    }
    for (const point of body.destPts) markSurface(surface, drawCached(bitmap, point, surface.pixels, budget));
    this.#showOutsideFrame();
  }

  #createSurface({ surfaceId, width, height, pixelFormat }: GfxBody<'createSurface'>, budget: WorkBudget): void {
    budget.spend(width * height);
    this.#deleteSurface(surfaceId);
    this.#surfaces.create(surfaceId, width, height, pixelFormat);
  }

  #deleteSurface(surfaceId: number): void {
    this.#codecs.deleteSurface(surfaceId);
    this.#surfaces.delete(surfaceId);
    this.#screen.windows.surfaceLeft(surfaceId);
  }

  /** [MS-RDPEGFX] 3.3.5.14. What was drawn but not shown was meant for the old output; windows are none. */
  #resetGraphics({ width, height, monitors }: GfxBody<'resetGraphics'>): void {
    this.#screen.resize(width, height);
    this.#screen.layouts.desktop(width, height, monitorsOf(monitors));
    for (const surface of this.#surfaces.values()) if (!surface.mapping?.window) surface.dirty = [];
  }

  #map(surfaceId: number, mapping: OutputMapping): void {
    const surface = this.#surfaces.get(surfaceId);
    if (surface.mapping?.window) {
      this.#screen.detachContent(surfaceId);
      surface.dirty = [bounds(surface.pixels)];
    }
    surface.mapping = mapping;
    this.#showOutsideFrame();
  }

  /** [MS-RDPEGFX] 2.2.2.20 and 2.2.2.23. */
  #mapToWindow(body: GfxBody<'mapSurfaceToWindow'>, target: TargetSize | null, budget: WorkBudget): void {
    const surface = this.#surfaces.get(body.surfaceId);
    // Of a part that goes beyond the surface there are no pixels.
    const mappedWidth = Math.min(body.mappedWidth, surface.pixels.width);
    const mappedHeight = Math.min(body.mappedHeight, surface.pixels.height);
    const targetWidth = target?.targetWidth ?? null;
    const targetHeight = target?.targetHeight ?? null;
    budget.spend((targetWidth ?? mappedWidth) * (targetHeight ?? mappedHeight) + surface.pixels.words.length);
    const windowId = Number(BigInt.asUintN(32, body.windowId));
    for (const other of this.#surfaces.values())
      if (other === surface || other.mapping?.window?.windowId === windowId) other.mapping = null;
    const width = targetWidth ?? mappedWidth;
    this.#screen.attachContent(windowId, surface.id, width, targetHeight ?? mappedHeight);
    const window = { windowId, mappedWidth, mappedHeight };
    surface.mapping = { left: 0, top: 0, targetWidth, targetHeight, window };
    surface.dirty = [bounds(surface.pixels)];
    this.#showOutsideFrame();
  }
}

type TargetSize = { readonly targetWidth: number; readonly targetHeight: number };

function mappingOf(body: { outputOriginX: number; outputOriginY: number }): OutputMapping {
  return { left: body.outputOriginX, top: body.outputOriginY, targetWidth: null, targetHeight: null };
}

function drawCached(bitmap: PixelBuffer, point: GfxPoint16, target: PixelBuffer, budget: WorkBudget): Rectangle {
  budget.spend(bitmap.width * bitmap.height);
  return blit(target, point.x, point.y, bitmap);
}
