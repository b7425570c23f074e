import { exchangeViews, predictedPixels } from './avc/predicted-pixels.ts';
import { bounds, intersect, type PixelBuffer } from './pixels.ts';
import type { SessionSnapshot } from './session-decoder.ts';

/**
 * A state with everything taken out that its H.264 pictures tell: small once it is packed, and of use again only after
 * `putPicturesIn`. In place, on a snapshot nobody else uses.
 */
export function takePicturesOut(snapshot: SessionSnapshot): void {
  exchangePixels(snapshot);
  for (const [, surface] of avcOf(snapshot)) exchangeViews(surface);
}

/** What `takePicturesOut` took out. */
export function putPicturesIn(snapshot: SessionSnapshot): void {
  for (const [, surface] of avcOf(snapshot)) exchangeViews(surface);
  exchangePixels(snapshot);
}

const avcOf = ({ graphics }: SessionSnapshot) => graphics.pipeline?.codecs.avc ?? [];

/** Of surfaces, and of the screen where it shows them as they are. */
function exchangePixels(snapshot: SessionSnapshot): void {
  const surfaces = snapshot.graphics.pipeline?.surfaces ?? [];
  for (const [id, avc] of avcOf(snapshot)) {
    const surface = surfaces.find((one) => one.id === id);
    const predicted = surface && predictedPixels(avc, surface.pixels.width, surface.pixels.height);
    if (!predicted) continue;
    exclusiveOr(surface.pixels, predicted, 0, 0);
    const { mapping } = surface;
    if (mapping && (mapping.targetWidth ?? predicted.width) === predicted.width)
      exclusiveOr(snapshot.screen.pixels, predicted, mapping.left, mapping.top);
  }
}

function exclusiveOr(target: PixelBuffer, source: PixelBuffer, left: number, top: number): void {
  const area = intersect({ left, top, width: source.width, height: source.height }, bounds(target));
  for (let y = area.top; y < area.top + area.height; y += 1) {
    const to = y * target.width;
    const from = (y - top) * source.width - left;
    for (let x = area.left; x < area.left + area.width; x += 1) target.words[to + x]! ^= source.words[from + x]!;
  }
}
