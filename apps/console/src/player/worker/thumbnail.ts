import { type PixelBuffer, pictureOf } from '@lucid-sessions/graphics';
import type { Picture } from './picture.ts';
import type { StoredKeyframes } from './stored-keyframes.ts';

const thumbnailWidth = 168;
/** Over the length of a recording. */
const thumbnailsMax = 120;
/** Of these so many are made of stored states, one after the other, while nothing else is asked for. */
const ofStoredMax = 48;
let whole: OffscreenCanvas | null = null;

/** A picture as a canvas has it; null when there is none yet. */
function canvasOf({ data, width, height }: PixelBuffer): OffscreenCanvas | null {
  if (width === 0 || height === 0) return null;
  if (whole?.width !== width || whole.height !== height) whole = new OffscreenCanvas(width, height);
  whole.getContext('2d', { alpha: false })?.putImageData(new ImageData(data, width, height), 0, 0);
  return whole;
}

function thumbnailOf(whole: OffscreenCanvas | ImageBitmap): ImageBitmap | null {
  const { width, height } = whole;
  const small = new OffscreenCanvas(thumbnailWidth, Math.max(1, Math.round((height / width) * thumbnailWidth)));
  const context = small.getContext('2d', { alpha: false });
  if (!context) return null;
  context.imageSmoothingQuality = 'medium';
  context.drawImage(whole, 0, 0, small.width, small.height);
  return small.transferToImageBitmap();
}

/** Small pictures for the timeline: of what is shown as it is shown, and of stored states. One for each part of the recording. */
export class Thumbnails {
  readonly #send: (timeUs: number, picture: ImageBitmap) => void;
  readonly #parts = new Set<number>();
  durationUs = 0;

  constructor(send: (timeUs: number, picture: ImageBitmap) => void) {
    this.#send = send;
  }

  /** The picture shown now. */
  offer(timeUs: number, picture: Picture): void {
    if (this.#parts.has(this.#partOf(timeUs)) || picture.blank) return;
    this.#make(timeUs, picture.screen.pixels);
  }

  /** A picture the server drew. */
  offerDrawn(timeUs: number, picture: ImageBitmap): void {
    if (!this.#parts.has(this.#partOf(timeUs))) this.#put(timeUs, picture);
  }

  /** `idle` is waited for before each. */
  async ofStored(stored: StoredKeyframes, idle: () => Promise<void>): Promise<void> {
    const places = [...stored.places];
    const step = Math.max(1, places.length / ofStoredMax);
    for (let at = 0; at < places.length; at += step) {
      const place = places[Math.floor(at)]!;
      if (this.#parts.has(this.#partOf(place.timeUs))) continue;
      await idle();
      const state = await stored.load(place);
      if (state !== null) this.#make(place.timeUs, pictureOf(state));
    }
  }

  #partOf(timeUs: number): number {
    return Math.floor((timeUs * thumbnailsMax) / Math.max(1, this.durationUs));
  }

  #make(timeUs: number, pixels: PixelBuffer): void {
    const canvas = canvasOf(pixels);
    if (canvas !== null) this.#put(timeUs, canvas);
  }

  #put(timeUs: number, picture: OffscreenCanvas | ImageBitmap): void {
    const small = thumbnailOf(picture);
    if (small === null) return;
    this.#parts.add(this.#partOf(timeUs));
    this.#send(timeUs, small);
  }
}
