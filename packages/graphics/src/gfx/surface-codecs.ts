import type { HistoryDepth } from '@lucid-sessions/rdp/bulk';
import { DecodeError } from '@lucid-sessions/wire';
import { type AvcMessage, AvcSurface, type AvcSurfaceSnapshot } from '../avc/avc-surface.ts';
import { ChromaVotes, type ChromaVotesSnapshot, type MainChroma } from '../avc/chroma-votes.ts';
import type { H264DecoderFactory } from '../avc/h264-decoder.ts';
import type { AvcVersion } from '../avc/yuv444.ts';
import { decodeNsCodec } from '../bitmap/nscodec.ts';
import { decodePlanar } from '../bitmap/planar.ts';
import { drawRaw32 } from '../bitmap/raw.ts';
import { ClearCodecDecoder, type ClearCodecSnapshot } from '../clearcodec/clear-codec-decoder.ts';
import { blit, type Rectangle } from '../pixels.ts';
import { ProgressiveDecoder, type ProgressiveSnapshot, TileBudget } from '../progressive/progressive-decoder.ts';
import { RemoteFxDecoder, type RemoteFxSnapshot } from '../rfx/remote-fx-decoder.ts';
import { drawAlpha } from './alpha.ts';
import { gfxCodecId } from './bodies.ts';
import type { Surface } from './surface.ts';
import type { WorkBudget } from './work-budget.ts';

/** H.264 decoders may be processes: no more of them at once. */
const avcSurfacesMax = 16;
const avcVersions = new Map<number, AvcVersion>([
  [gfxCodecId.avc420, 'avc420'],
  [gfxCodecId.avc444, 'avc444'],
  [gfxCodecId.avc444v2, 'avc444v2'],
]);

export const isAvc = (codecId: number): boolean => avcVersions.has(codecId);

/** A codec nobody can decode here: the caller counts it. */
export class UnsupportedCodec extends DecodeError {
  readonly kind: string;

  constructor(kind: string, message: string) {
    super('unsupported', message);
    this.kind = kind;
  }
}

/** Codecs of no published specification, from what clients and servers announce: refused in the negotiation where that can be done. */
const undecodedNames = new Map([
  [0x0001, 'av1'],
  [0x0010, 'hevc'],
]);

export function undecodedCodec(codecId: number): UnsupportedCodec {
  const name = undecodedNames.get(codecId) ?? codecId;
  return new UnsupportedCodec(`gfx.codec.${name}`, `graphics codec ${name} is not decoded`);
}

export interface SurfaceCodecsSnapshot {
  readonly clearCodec: ClearCodecSnapshot;
  readonly remoteFx: RemoteFxSnapshot;
  /** By surface. */
  readonly progressive: readonly (readonly [number, ProgressiveSnapshot])[];
  readonly avc: readonly (readonly [number, AvcSurfaceSnapshot])[];
  readonly chromaVotes: ChromaVotesSnapshot;
}

/** The codec states of a graphics channel, and the one place that knows which codec has which scope. */
export class SurfaceCodecs {
  readonly #createH264Decoder: H264DecoderFactory | null;
  readonly #countHole: (kind: string, surfaceId: number, area: Rectangle) => void;
  /** One context for the whole channel: [MS-RDPEGFX] 3.3.1.5 ff. */
  readonly clearCodec = new ClearCodecDecoder((bytes, width, height) =>
    decodeNsCodec(bytes, width, height, { passing: true }),
  );
  #remoteFx = new RemoteFxDecoder();
  /** By surface, not by codec context: see `ProgressiveDecoder`. */
  readonly #progressive = new Map<number, ProgressiveDecoder>();
  readonly #tileBudget = new TileBudget();
  /** On a surface that is gone. */
  #usedHistory = false;
  readonly #avc = new Map<number, AvcSurface>();
  readonly #chromaVotes = new ChromaVotes();

  /** `countHole` is called with what was not drawn though its message could be read, and where on its surface. */
  constructor(
    createH264Decoder: H264DecoderFactory | null,
    countHole: (kind: string, surfaceId: number, area: Rectangle) => void,
  ) {
    this.#createH264Decoder = createH264Decoder;
    this.#countHole = countHole;
  }

  /** How the main views' chroma of AVC444 is read on the surfaces that have any. */
  get mainChroma(): MainChroma[] {
    return [...this.#avc.values()].flatMap(({ mainChroma }) => mainChroma ?? []);
  }

  /** Messages referred to what lean snapshots leave out. */
  get usesHistory(): boolean {
    return this.#usedHistory || [...this.#progressive.values()].some(({ usesUndeclared }) => usesUndeclared);
  }

  /** Draws into `area`, which lies inside the surface. Returns what was drawn. Throws `DecodeError`. */
  draw(codecId: number, bytes: Uint8Array, surface: Surface, area: Rectangle, budget: WorkBudget): Rectangle[] {
    const { pixels } = surface;
    switch (codecId) {
      case gfxCodecId.uncompressed:
        drawUncompressed(bytes, surface, area);
        return [area];
      case gfxCodecId.planar:
        blit(pixels, area.left, area.top, decodePlanar(bytes, area.width, area.height, planarOptions(surface)));
        return [area];
      case gfxCodecId.clearCodec:
        this.clearCodec.decode(bytes, pixels, area);
        return [area];
      case gfxCodecId.alpha:
        drawAlpha(bytes, pixels, area);
        return [area];
      case gfxCodecId.caVideo:
        return this.#remoteFx.decode(bytes, pixels, area.left, area.top, budget);
      default:
        throw undecodedCodec(codecId);
    }
  }

  /** Reads a message of H.264, to be drawn by `drawAvc`; null where the codec is another one. Throws `DecodeError`. */
  readAvc(codecId: number, bytes: Uint8Array, surface: Surface, budget: WorkBudget): AvcMessage | null {
    const version = avcVersions.get(codecId);
    return version ? this.#avcSurface(surface, version).read(bytes, version, surface.pixels, budget) : null;
  }

  /** See `AvcSurface.draw`. */
  drawAvc(
    messages: readonly AvcMessage[],
    surface: Surface,
    onError: (error: Error, message: number) => void,
  ): Promise<readonly Rectangle[]> {
    return this.#avc.get(surface.id)?.draw(messages, surface.pixels, onError) ?? Promise.resolve([]);
  }

  /** Bitmap data of RDPGFX_WIRE_TO_SURFACE_PDU_2. */
  drawProgressive(bytes: Uint8Array, surface: Surface, budget: WorkBudget): Rectangle[] {
    return this.#progressiveOf(surface.id).decode(bytes, surface.pixels, budget);
  }

  #progressiveOf(surfaceId: number): ProgressiveDecoder {
    let decoder = this.#progressive.get(surfaceId);
    if (!decoder) {
      decoder = new ProgressiveDecoder(this.#tileBudget, (hole, tile) =>
        this.#countHole(`gfx.progressive.${hole}`, surfaceId, tile),
      );
      this.#progressive.set(surfaceId, decoder);
    }
    return decoder;
  }

  /** Codec states between frames as plain values; null where the state of an H.264 stream can't be saved. */
  snapshot(depth?: HistoryDepth): SurfaceCodecsSnapshot | null {
    const avc: [number, AvcSurfaceSnapshot][] = [];
    for (const [surfaceId, stream] of this.#avc) {
      const snapshot = stream.snapshot();
      if (snapshot === null) return null;
      avc.push([surfaceId, snapshot]);
    }
    return {
      avc,
      chromaVotes: this.#chromaVotes.snapshot(),
      clearCodec: this.clearCodec.snapshot(),
      remoteFx: this.#remoteFx.snapshot(),
      progressive: [...this.#progressive].map(([id, decoder]) => [id, decoder.snapshot(depth)] as const),
    };
  }

  restore(snapshot: SurfaceCodecsSnapshot): void {
    this.close();
    this.clearCodec.restore(snapshot.clearCodec);
    this.#remoteFx.restore(snapshot.remoteFx);
    this.#chromaVotes.restore(snapshot.chromaVotes);
    for (const [surfaceId, state] of snapshot.progressive) this.#progressiveOf(surfaceId).restore(state);
    const createDecoder = this.#createH264Decoder;
    if (createDecoder === null) return;
    for (const [surfaceId, state] of snapshot.avc) {
      const avc = new AvcSurface(createDecoder(), this.#chromaVotes);
      avc.restore(state);
      this.#avc.set(surfaceId, avc);
    }
  }

  /** A frame ended: its progressive regions no longer share tiles. */
  endFrame(): void {
    for (const decoder of this.#progressive.values()) decoder.endFrame();
  }

  deleteSurface(surfaceId: number): void {
    const progressive = this.#progressive.get(surfaceId);
    this.#usedHistory ||= progressive?.usesUndeclared ?? false;
    progressive?.dispose();
    this.#progressive.delete(surfaceId);
    this.#avc.get(surfaceId)?.close();
    this.#avc.delete(surfaceId);
  }

  close(): void {
    for (const avc of this.#avc.values()) avc.close();
    this.#avc.clear();
    for (const decoder of this.#progressive.values()) decoder.dispose();
    this.#progressive.clear();
    this.#remoteFx = new RemoteFxDecoder();
  }

  #avcSurface(surface: Surface, name: string): AvcSurface {
    const known = this.#avc.get(surface.id);
    if (known) return known;
    if (!this.#createH264Decoder)
      throw new UnsupportedCodec(`gfx.codec.${name}.noDecoder`, 'give the graphics pipeline an h.264 decoder');
    if (this.#avc.size >= avcSurfacesMax)
      throw new DecodeError('limit', 'the graphics channel has too many h.264 streams');
    const avc = new AvcSurface(this.#createH264Decoder(), this.#chromaVotes);
    this.#avc.set(surface.id, avc);
    return avc;
  }
}

function planarOptions(surface: Surface): { bottomUp: boolean; alpha: boolean; passing: boolean } {
  return { bottomUp: false, alpha: surface.hasAlpha, passing: true };
}

/** RDPGFX_CODECID_UNCOMPRESSED: rows of B, G, R and alpha or padding. */
function drawUncompressed(bytes: Uint8Array, { pixels, hasAlpha }: Surface, area: Rectangle): void {
  const { width, height } = area;
  if (bytes.length !== width * height * 4)
    throw new DecodeError('invalid', 'an uncompressed graphics bitmap has a wrong length');
  drawRaw32(bytes, pixels, area, { stride: width * 4, bottomUp: false, alpha: hasAlpha });
}
