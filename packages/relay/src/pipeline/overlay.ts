/**
 * A picture of the gateway's over what a server's graphics pipeline shows: on a surface of its own, so that the server's keep their
 * pixels, from which it copies and caches. Clients blit what was drawn where a frame ends, so it is drawn again behind each of the server's.
 */
import { type GfxPdu, gfxCodecId, gfxPdu } from '@lucid-sessions/graphics';
import { encode, joinBytes } from '@lucid-sessions/wire';
import type { OwnFrames } from './own-frames.ts';
import type { Area, PipelineView } from './pipeline-view.ts';

/** Shown in the upper left corner of the main monitor. Tiles are RDP6_BITMAP_STREAMs, rows from the first to the last. */
export interface OverlayPicture {
  width: number;
  height: number;
  tiles: readonly (Area & { data: Uint8Array })[];
}

interface Drawn {
  picture: OverlayPicture;
  surfaceId: number;
  area: Area;
}

/** Of surfaces beneath, so many are shown again; servers have one for a monitor. */
const BENEATH_MAX = 64;
/** Beside more of a server's than this nothing is shown: a free id is looked for behind each of its PDUs. */
const SURFACES_MAX = 512;
const SURFACE_ID_MAX = 0xfffe;
/** GFX_PIXELFORMAT_XRGB_8888. */
const XRGB = 0x20;

export class Overlay {
  readonly #view: PipelineView;
  readonly #frames: OwnFrames;
  #picture: OverlayPicture | null = null;
  #drawn: Drawn | null = null;

  constructor(view: PipelineView, frames: OwnFrames) {
    this.#view = view;
    this.#frames = frames;
  }

  /** In place of the one that is shown; null: nothing any more. */
  show(picture: OverlayPicture | null): void {
    this.#picture = picture;
  }

  /** Nothing is shown, nor to be. */
  get isGone(): boolean {
    return this.#picture === null && this.#drawn === null;
  }

  /** What has to be said between two frames of the server's; null: nothing. */
  due(): Uint8Array | null {
    const { wasDrawn } = this.#view;
    this.#view.wasDrawn = false;
    if (this.#drawn?.picture === this.#picture)
      return this.#drawn !== null && wasDrawn ? this.#again(this.#drawn) : null;
    const parts = this.#drawn === null ? [] : [this.#removed(this.#drawn)];
    this.#drawn = this.#picture === null ? null : this.#place(this.#picture);
    if (this.#drawn !== null) parts.push(this.#created(this.#drawn));
    return parts.length === 0 ? null : joinBytes(parts);
  }

  /** What has to stand before a command of the server's: it may name our surface, which is not its to draw on, or want another output. */
  before(pdu: GfxPdu): Uint8Array | null {
    if (this.#drawn === null) return null;
    const { surfaceId } = this.#drawn;
    if (pdu.kind !== 'resetGraphics' && !names(pdu, surfaceId)) return null;
    this.#drawn = null;
    return command('deleteSurface', { surfaceId });
  }

  /** Where the picture fits on the main monitor. */
  #place(picture: OverlayPicture): Drawn | null {
    const { main, surfaces } = this.#view;
    if (main === null || surfaces.size > SURFACES_MAX || picture.width > main.width || picture.height > main.height)
      return null;
    let surfaceId = SURFACE_ID_MAX;
    while (surfaces.has(surfaceId)) surfaceId -= 1;
    const { width, height } = picture;
    return { picture, surfaceId, area: { ...main, width, height } };
  }

  #created({ picture: { width, height, tiles }, surfaceId, area }: Drawn): Uint8Array {
    const [outputOriginX, outputOriginY] = [area.left, area.top];
    return joinBytes([
      command('createSurface', { surfaceId, width, height, pixelFormat: XRGB }),
      command('mapSurfaceToOutput', { surfaceId, reserved: 0, outputOriginX, outputOriginY }),
      this.#frame(
        tiles.map((tile) =>
          command('wireToSurface1', {
            ...{ surfaceId, codecId: gfxCodecId.planar, pixelFormat: XRGB },
            ...{ destRect: rectOf(tile), bitmapData: tile.data },
          }),
        ),
      ),
    ]);
  }

  #again({ surfaceId, picture: { width, height } }: Drawn): Uint8Array {
    return this.#frame([onItself(surfaceId, { left: 0, top: 0, width, height })]);
  }

  /** Clients keep what the output showed: what lies beneath is copied onto itself, which changes nothing but has it shown again. */
  #removed({ surfaceId, area }: Drawn): Uint8Array {
    const beneath = [...this.#view.beneath(area).take(BENEATH_MAX)];
    const isCovered = beneath.some(({ part }) => part.width >= area.width && part.height >= area.height);
    const { width, height } = area;
    return joinBytes([
      ...(isCovered ? [] : [this.#frame([black(surfaceId, { left: 0, top: 0, width, height })])]),
      command('deleteSurface', { surfaceId }),
      this.#frame(beneath.map(({ surfaceId: id, part }) => onItself(id, part))),
    ]);
  }

  #frame(commands: readonly Uint8Array[]): Uint8Array {
    const frameId = this.#frames.next();
    return joinBytes([command('startFrame', { timestamp: 0, frameId }), ...commands, command('endFrame', { frameId })]);
  }
}

function command<K extends GfxPdu['kind']>(kind: K, body: Extract<GfxPdu, { kind: K }>['body']): Uint8Array {
  return encode(gfxPdu, { kind, flags: 0, body } as GfxPdu);
}

const names = ({ body }: GfxPdu, surfaceId: number): boolean =>
  ['surfaceId', 'surfaceIdSrc', 'surfaceIdDest'].some((key) => (body as Record<string, unknown>)[key] === surfaceId);

const onItself = (id: number, part: Area): Uint8Array =>
  command('surfaceToSurface', {
    surfaceIdSrc: id,
    surfaceIdDest: id,
    rectSrc: rectOf(part),
    destPts: [{ x: part.left, y: part.top }],
  });

const black = (surfaceId: number, part: Area): Uint8Array =>
  command('solidFill', { surfaceId, fillPixel: { b: 0, g: 0, r: 0, xa: 0xff }, fillRects: [rectOf(part)] });

const rectOf = ({ left, top, width, height }: Area) => ({ left, top, right: left + width, bottom: top + height });
