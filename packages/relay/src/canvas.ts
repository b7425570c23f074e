/** What the gateway itself paints on a client's desktop, between what the server draws there. */
import {
  type CapabilitySet,
  PduType2,
  refreshRect,
  slowPathUpdate,
  UpdateType,
  wrapShareData,
} from '@lucid-sessions/rdp';

export interface Canvas {
  width: number;
  height: number;
  /** Of bitmaps the server sends. */
  bitsPerPixel: 15 | 16 | 24 | 32;
}

/** Of desktops that RDP has; what a server claims beyond is not painted on, which would take seconds. */
const sideMax = 8192;
const depths: readonly number[] = [15, 16, 24, 32] satisfies Canvas['bitsPerPixel'][];
const isSide = (pixels: number): boolean => pixels > 0 && pixels <= sideMax;
const isDepth = (bits: number): bits is Canvas['bitsPerPixel'] => depths.includes(bits);

/** By a server's capabilities; null where it could not be asked to draw again what was painted over. */
export function canvasOf(sets: readonly CapabilitySet[]): Canvas | null {
  const draws = sets.some((set) => set.kind === 'general' && set.refreshRectSupport !== 0);
  for (const set of sets)
    if (set.kind === 'bitmap' && draws && isDepth(set.preferredBitsPerPixel))
      return isSide(set.desktopWidth) && isSide(set.desktopHeight)
        ? { width: set.desktopWidth, height: set.desktopHeight, bitsPerPixel: set.preferredBitsPerPixel }
        : null;
  return null;
}

/** The body of a bitmap update as the server's own share data PDU: slow-path, which every client takes. */
export const paintedData = (shareId: number, source: number, data: Uint8Array): Uint8Array =>
  wrapShareData(shareId, source, PduType2.update, slowPathUpdate, { updateType: UpdateType.bitmap, data });

/** Asks the server, in the client's place, to draw all of the desktop again. */
export const refreshData = (shareId: number, source: number, { width, height }: Canvas): Uint8Array =>
  wrapShareData(shareId, source, PduType2.refreshRect, refreshRect, {
    pad3octets: new Uint8Array(3),
    areas: [{ left: 0, top: 0, right: width - 1, bottom: height - 1 }],
  });
