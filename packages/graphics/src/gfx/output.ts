import { blit, bounds, intersect, isEmpty, type PixelBuffer, type Rectangle } from '../pixels.ts';
import type { Screen } from '../screen.ts';
import type { OutputMapping, Surface } from './surface.ts';

/** Shows what was drawn on a mapped surface, [MS-RDPEGFX] 3.3.5.12. */
export function showSurface(surface: Surface, screen: Screen): void {
  const { mapping, dirty } = surface;
  if (!mapping) return;
  surface.dirty = [];
  for (const area of dirty) {
    const scaled = isScaled(surface, mapping);
    const shown = scaled
      ? showScaled(surface, mapping, area, screen.pixels)
      : showPlain(surface, mapping, area, screen);
    if (surface.hasAlpha) makeOpaque(screen.pixels, shown);
    screen.markDirty(shown);
  }
}

function isScaled({ pixels }: Surface, { targetWidth, targetHeight }: OutputMapping): boolean {
  return (targetWidth ?? pixels.width) !== pixels.width || (targetHeight ?? pixels.height) !== pixels.height;
}

function showPlain(surface: Surface, mapping: OutputMapping, area: Rectangle, screen: Screen): Rectangle {
  return blit(screen.pixels, mapping.left + area.left, mapping.top + area.top, surface.pixels, area);
}

/** Where an area of a surface is seen; null where the surface is shown nowhere. */
export function areaShown({ pixels, mapping }: Surface, area: Rectangle): Rectangle | null {
  if (!mapping || pixels.width === 0 || pixels.height === 0) return null;
  const scaleX = (mapping.targetWidth ?? pixels.width) / pixels.width;
  const scaleY = (mapping.targetHeight ?? pixels.height) / pixels.height;
  return {
    left: mapping.left + Math.floor(area.left * scaleX),
    top: mapping.top + Math.floor(area.top * scaleY),
    width: Math.ceil(area.width * scaleX),
    height: Math.ceil(area.height * scaleY),
  };
}

/** Nearest neighbour: every pixel shown is one the server sent. */
function showScaled({ pixels }: Surface, mapping: OutputMapping, area: Rectangle, output: PixelBuffer): Rectangle {
  const targetWidth = mapping.targetWidth ?? pixels.width;
  const targetHeight = mapping.targetHeight ?? pixels.height;
  const scaleX = targetWidth / pixels.width;
  const scaleY = targetHeight / pixels.height;
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
