import { DecodeError } from '@lucid-sessions/wire';
import { blit, createPixelBuffer, type PixelBuffer } from '../pixels.ts';

/** Pixels of all windows' contents together: as many as surfaces may have. */
const contentPixelsMax = 1 << 26;

/** What a window shows that a surface is mapped to, [MS-RDPEGFX] 2.2.2.20. */
interface WindowContent {
  /** null: the surface is gone, its picture stays until another is mapped or the window closes. */
  surfaceId: number | null;
  readonly pixels: PixelBuffer;
}

/** Pictures of windows whose surfaces are gone. */
export type LeftContents = readonly (readonly [number, PixelBuffer])[];

/**
 * The pictures of surfaces mapped to windows as they were last shown: a surface is drawn on inside a frame, which is not to be seen
 * before it ends.
 */
export class WindowContents {
  readonly #contents = new Map<number, WindowContent>();
  #pixelsCount = 0;

  get(windowId: number): PixelBuffer | null {
    return this.#contents.get(windowId)?.pixels ?? null;
  }

  /** Maps a surface that is mapped to no window; what this one showed stays until the surface is shown. Throws `DecodeError('limit')`. */
  attach(windowId: number, surfaceId: number, width: number, height: number): void {
    const before = this.get(windowId);
    this.#drop(windowId);
    if (!(this.#pixelsCount + width * height <= contentPixelsMax))
      throw new DecodeError('limit', 'the windows of remote applications have too many pixels');
    const pixels = createPixelBuffer(width, height);
    if (before) blit(pixels, 0, 0, before);
    this.#set(windowId, { surfaceId, pixels });
  }

  /** The surface belongs to no window any more; its picture is seen nowhere. */
  detach(surfaceId: number): void {
    for (const [windowId, content] of this.#contents) if (content.surfaceId === surfaceId) this.#drop(windowId);
  }

  /** The surface is gone. Windows go on to show what it was last, as clients do. */
  leave(surfaceId: number, isOpen: (windowId: number) => boolean): void {
    for (const [windowId, content] of this.#contents) {
      if (content.surfaceId !== surfaceId) continue;
      content.surfaceId = null;
      if (!isOpen(windowId)) this.#drop(windowId);
    }
  }

  /** The window is closed: what its surface is gone of goes with it. */
  closed(windowId: number): void {
    if (this.#contents.get(windowId)?.surfaceId === null) this.#drop(windowId);
  }

  clear(): void {
    this.#contents.clear();
    this.#pixelsCount = 0;
  }

  /** By window, so that equal pictures are equal states. Those of surfaces come again from the surfaces. */
  snapshot(): LeftContents {
    const left = [...this.#contents].filter(([, { surfaceId }]) => surfaceId === null).sort(([a], [b]) => a - b);
    return left.map(([windowId, { pixels }]) => [windowId, pixels] as const);
  }

  restore(left: LeftContents): void {
    this.clear();
    for (const [windowId, pixels] of left) this.#set(windowId, { surfaceId: null, pixels });
  }

  #set(windowId: number, content: WindowContent): void {
    this.#contents.set(windowId, content);
    this.#pixelsCount += content.pixels.words.length;
  }

  #drop(windowId: number): void {
    const content = this.#contents.get(windowId);
    if (!content) return;
    this.#contents.delete(windowId);
    this.#pixelsCount -= content.pixels.words.length;
  }
}
