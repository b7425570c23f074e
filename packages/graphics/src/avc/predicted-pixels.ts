import { createPixelBuffer, type PixelBuffer } from '../pixels.ts';
import type { AvcSurfaceSnapshot } from './avc-surface.ts';
import { yuvPainter } from './yuv-to-rgb.ts';
import { createYuv444Picture, mergeView } from './yuv444.ts';

/**
 * A surface that H.264 drew mostly holds what its last pictures hold, which a state has to keep anyway. What differs from
 * them (exclusive or, in place; twice is nothing) is nearly all zeros.
 */

/** Tells the surface's picture of both views apart from the views. */
export function exchangeViews({ picture, version, last: { main, auxiliary } }: AvcSurfaceSnapshot): void {
  if (picture?.width !== main?.width || picture?.height !== main?.height || !picture || !main) return;
  const told = createYuv444Picture(picture.width, picture.height);
  const whole = { left: 0, top: 0, width: picture.width, height: picture.height };
  mergeView(version, 'main', told, main, whole);
  if (auxiliary?.width === main.width && auxiliary.height === main.height)
    mergeView(version, 'auxiliary', told, auxiliary, whole);
  for (const plane of ['y', 'u', 'v'] as const) exclusiveOr(picture[plane], told[plane]);
}

/** The surface's pixels as its last pictures have them; null where there are none. */
export function predictedPixels(
  { picture, version, mainChroma, last }: AvcSurfaceSnapshot,
  width: number,
  height: number,
): PixelBuffer | null {
  const source = version === 'avc420' ? last.main : picture;
  if (!source) return null;
  const pixels = createPixelBuffer(width, height, 0);
  const area = { left: 0, top: 0, width: Math.min(width, source.width), height: Math.min(height, source.height) };
  if (version === 'avc420') yuvPainter().draw420(last.main!, pixels, area);
  else yuvPainter().draw444(picture!, pixels, area, mainChroma);
  return pixels;
}

function exclusiveOr(target: Uint8Array, source: Uint8Array): void {
  for (let i = 0; i < target.length; i += 1) target[i]! ^= source[i]!;
}
