import type { Picture } from './picture.ts';

const thumbnailWidth = 168;
let whole: OffscreenCanvas | null = null;

/** The picture, small, for the timeline; null when there is none yet. */
export function thumbnailOf(picture: Picture): ImageBitmap | null {
  const { data, width, height } = picture.screen.pixels;
  if (width === 0 || height === 0) return null;
  if (whole?.width !== width || whole.height !== height) whole = new OffscreenCanvas(width, height);
  whole.getContext('2d', { alpha: false })?.putImageData(new ImageData(data, width, height), 0, 0);
  const small = new OffscreenCanvas(thumbnailWidth, Math.max(1, Math.round((height / width) * thumbnailWidth)));
  const context = small.getContext('2d', { alpha: false });
  if (!context) return null;
  context.imageSmoothingQuality = 'medium';
  context.drawImage(whole, 0, 0, small.width, small.height);
  return small.transferToImageBitmap();
}
