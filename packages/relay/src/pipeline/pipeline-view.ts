/** What a server has made on its client's graphics pipeline, as far as somebody else who draws there has to know: [MS-RDPEGFX]. */
import { type GfxPdu, gfxPdu, takeGfxCommand } from '@lucid-sessions/graphics';
import { Reader } from '@lucid-sessions/wire';

export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface MappedSurface {
  width: number;
  height: number;
  /** Where on the output it is shown; null: nowhere, or in a window. */
  shown: Area | null;
}

type ResetGraphics = Extract<GfxPdu, { kind: 'resetGraphics' }>['body'];

const drawing: ReadonlySet<GfxPdu['kind']> = new Set([
  'wireToSurface1',
  'wireToSurface2',
  'solidFill',
  'surfaceToSurface',
  'cacheToSurface',
  'mapSurfaceToOutput',
  'mapSurfaceToScaledOutput',
]);

export class PipelineView {
  readonly surfaces = new Map<number, MappedSurface>();
  /** The part of the output that its main monitor shows; null before there is one. */
  main: Area | null = null;
  inFrame = false;
  /** Something was drawn since this was set to false. */
  wasDrawn = false;
  #wasConfirmed = false;

  /** A surface is shown on the output: there is a desktop. */
  get isShown(): boolean {
    return this.main !== null && [...this.surfaces.values()].some(({ shown }) => shown !== null);
  }

  /** Each command of a decompressed message, seen after `before` was told of it. Throws `DecodeError`. */
  see(commands: Uint8Array, before: (pdu: GfxPdu, at: number) => void): void {
    const reader = new Reader(commands);
    while (reader.remaining > 0) {
      const at = reader.offset;
      const pdu = gfxPdu.decode(takeGfxCommand(reader));
      before(pdu, at);
      this.#command(pdu, reader);
    }
  }

  #command(pdu: GfxPdu, reader: Reader): void {
    if (drawing.has(pdu.kind)) this.wasDrawn = true;
    switch (pdu.kind) {
      case 'startFrame':
        this.inFrame = true;
        return;
      case 'endFrame':
        this.inFrame = false;
        return;
      case 'createSurface': {
        const { width, height } = pdu.body;
        this.surfaces.set(pdu.body.surfaceId, { width, height, shown: null });
        return;
      }
      case 'deleteSurface':
        this.surfaces.delete(pdu.body.surfaceId);
        return;
      case 'resetGraphics':
        this.main = mainOf(pdu.body);
        return;
      case 'mapSurfaceToOutput':
        this.#map(pdu.body.surfaceId, ({ width, height }) => ({
          ...{ left: pdu.body.outputOriginX, top: pdu.body.outputOriginY },
          ...{ width, height },
        }));
        return;
      case 'mapSurfaceToScaledOutput':
        this.#map(pdu.body.surfaceId, () => ({
          ...{ left: pdu.body.outputOriginX, top: pdu.body.outputOriginY },
          ...{ width: pdu.body.targetWidth, height: pdu.body.targetHeight },
        }));
        return;
      case 'mapSurfaceToWindow':
      case 'mapSurfaceToScaledWindow':
        this.#map(pdu.body.surfaceId, () => null);
        return;
      case 'capsConfirm':
        // The client began anew: what it keeps of before is not known here.
        if (this.#wasConfirmed) throw reader.error('unsupported', 'the graphics pipeline begins anew');
        this.#wasConfirmed = true;
    }
  }

  #map(surfaceId: number, shownOf: (surface: MappedSurface) => Area | null): void {
    const surface = this.surfaces.get(surfaceId);
    if (surface !== undefined) surface.shown = shownOf(surface);
  }

  /** Of every surface that is shown within `area` of the output, the part of the surface that lies there. */
  *beneath(area: Area): Generator<{ surfaceId: number; part: Area }> {
    for (const [surfaceId, { width, height, shown }] of this.surfaces) {
      if (shown === null) continue;
      const both = overlap(area, shown);
      if (both === null) continue;
      const isScaled = shown.width !== width || shown.height !== height;
      const part = isScaled
        ? { left: 0, top: 0, width, height }
        : { ...both, left: both.left - shown.left, top: both.top - shown.top };
      yield { surfaceId, part };
    }
  }
}

const MONITOR_PRIMARY = 1;

/** Of desktops that RDP has. On others nothing is drawn: a large one would take seconds, on a small one nobody could read. */
const [SIDE_MIN, SIDE_MAX, MONITORS_MAX] = [64, 8192, 64];
const isSide = (pixels: number): boolean => pixels >= SIDE_MIN && pixels <= SIDE_MAX;

/** Monitors have the main one's corner for their origin, the output that of all of them. */
function mainOf(reset: ResetGraphics): Area | null {
  const main = mainMonitorOf(reset);
  return main !== null && isSide(main.width) && isSide(main.height) ? main : null;
}

function mainMonitorOf({ width, height, monitors }: ResetGraphics): Area | null {
  const main = monitors.slice(0, MONITORS_MAX).find(({ flags }) => (flags & MONITOR_PRIMARY) !== 0);
  const output = { left: 0, top: 0, width, height };
  if (main === undefined) return overlap(output, output);
  const left = main.left - Math.min(...monitors.slice(0, MONITORS_MAX).map((each) => each.left));
  const top = main.top - Math.min(...monitors.slice(0, MONITORS_MAX).map((each) => each.top));
  return overlap(output, { left, top, width: main.right - main.left + 1, height: main.bottom - main.top + 1 });
}

function overlap(a: Area, b: Area): Area | null {
  const [left, top] = [Math.max(a.left, b.left), Math.max(a.top, b.top)];
  const width = Math.min(a.left + a.width, b.left + b.width) - left;
  const height = Math.min(a.top + a.height, b.top + b.height) - top;
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}
