import { blit, bounds, intersect, isEmpty, type PixelBuffer, type Rectangle } from '../pixels.ts';
import type { Screen } from '../screen.ts';
import type { OutputMapping, Surface } from './surface.ts';

/** Shows what was drawn on a mapped surface, [MS-RDPEGFX] 3.3.5.12: on the desktop, or in its window's content. */
export function showSurface(surface: Surface, screen: Screen): void {
  const { mapping, dirty } = surface;
  if (!mapping) return;
  surface.dirty = [];
  const { window } = mapping;
  const output = window ? screen.windows.contents.get(window.windowId) : screen.desktop;
  if (!output) return;
  for (const area of dirty) {
    const shown = isScaled(surface, mapping)
      ? showScaled(surface, mapping, area, output)
      : blit(output, mapping.left + area.left, mapping.top + area.top, surface.pixels, area);
    if (surface.hasAlpha) makeOpaque(output, shown);
    if (window) screen.markContent(window.windowId, shown);
    else screen.markDirty(shown);
  }
}

/** The content of the window a surface is mapped to, which is in no state: where states are taken, all of a surface is shown. */
export function fillWindow(surface: Surface, screen: Screen): void {
  const { mapping, dirty } = surface;
  if (!mapping?.window) return;
  const { targetWidth, targetHeight } = sizesOf(surface, mapping);
  screen.attachContent(mapping.window.windowId, surface.id, targetWidth, targetHeight);
  surface.dirty = [bounds(surface.pixels)];
  showSurface(surface, screen);
  surface.dirty = dirty;
}

/** What of the surface is mapped, and how large it is seen. */
function sizesOf({ pixels }: Surface, { targetWidth, targetHeight, window }: OutputMapping) {
  const width = window?.mappedWidth ?? pixels.width;
  const height = window?.mappedHeight ?? pixels.height;
  return { width, height, targetWidth: targetWidth ?? width, targetHeight: targetHeight ?? height };
}

function isScaled(surface: Surface, mapping: OutputMapping): boolean {
  const { width, height, targetWidth, targetHeight } = sizesOf(surface, mapping);
  return targetWidth !== width || targetHeight !== height;
}

/** Where an area of a surface is seen on the desktop; null where the surface is shown nowhere. */
export function areaShown(surface: Surface, area: Rectangle, { windows }: Screen): Rectangle | null {
  const { mapping } = surface;
  if (!mapping) return null;
  const { width, height, targetWidth, targetHeight } = sizesOf(surface, mapping);
  const origin = mapping.window ? windows.get(mapping.window.windowId) : mapping;
  if (!origin || width === 0 || height === 0) return null;
  const scaleX = targetWidth / width;
  const scaleY = targetHeight / height;
  return {
    left: origin.left + Math.floor(area.left * scaleX),
    top: origin.top + Math.floor(area.top * scaleY),
    width: Math.ceil(area.width * scaleX),
    height: Math.ceil(area.height * scaleY),
  };
}

/** Nearest neighbour: every pixel shown is one the server sent. */
function showScaled(surface: Surface, mapping: OutputMapping, area: Rectangle, output: PixelBuffer): Rectangle {
  const { pixels } = surface;
  const { width: mappedWidth, height: mappedHeight, targetWidth, targetHeight } = sizesOf(surface, mapping);
  const scaleX = targetWidth / mappedWidth;
  const scaleY = targetHeight / mappedHeight;
  const left = mapping.left + Math.floor(area.left * scaleX);
  const top = mapping.top + Math.floor(area.top * scaleY);
  const right = mapping.left + Math.min(targetWidth, Math.ceil((area.left + area.width) * scaleX));
  const bottom = mapping.top + Math.min(targetHeight, Math.ceil((area.top + area.height) * scaleY));
  const shown = intersect({ left, top, width: right - left, height: bottom - top }, bounds(output));
  for (let y = shown.top; y < shown.top + shown.height; y += 1) {
    const from = Math.floor((y - mapping.top) / scaleY) * pixels.width;
    const to = y * output.width;
    for (let x = shown.left; x < shown.left + shown.width; x += 1)
      output.words[to + x] = pixels.words[from + Math.floor((x - mapping.left) / scaleX)]!;
  }
  return shown;
}

function makeOpaque(output: PixelBuffer, area: Rectangle): void {
  if (isEmpty(area)) return;
  for (let y = area.top; y < area.top + area.height; y += 1) {
    const row = y * output.width;
    for (let x = row + area.left; x < row + area.left + area.width; x += 1)
      output.words[x] = output.words[x]! | 0xff000000;
  }
}
