import type { PointerShape, Rectangle } from '@lucid-sessions/graphics';
import type { Picture } from './picture.ts';

/** The client's own arrow: its picture is not in the recording, so this one stands for it. */
const arrow = { width: 12, height: 19, path: 'M0.5 0.5v15.500l3.800-3.500 2.500 5.500 2.200-1-2.500-5.300h5z' };

const sides = ['left', 'top', 'width', 'height'] as const;

type Surface = OffscreenCanvas;
type Context = OffscreenCanvasRenderingContext2D;

/** Puts a picture and its pointer onto a canvas. */
export class Painter {
  readonly canvas: Surface;
  readonly #context: Context;
  #image: ImageData | null = null;
  /** The part of the picture on the canvas. */
  #view: Rectangle = { left: 0, top: 0, width: 0, height: 0 };
  #pointerArea: Rectangle | null = null;
  #shape: PointerShape | null = null;
  #shapeCanvas: Surface | null = null;
  /** A picture made elsewhere, in the place of the decoder's. */
  #given: ImageBitmap | null = null;
  #painted: readonly unknown[] = [];
  /** Called when the size of what is painted changes. */
  onSize: (width: number, height: number) => void = () => {};

  constructor(canvas: Surface) {
    const context = canvas.getContext('2d', { alpha: false });
    if (!context) throw new Error('this browser gives no canvas to draw on');
    this.canvas = canvas;
    this.#context = context;
  }

  /** Paints what changed; `withPointer` as the viewer asked; `view`: a part of the picture alone. */
  paint(picture: Picture, withPointer: boolean, view: Rectangle | null = null): void {
    const { screen } = picture;
    if (this.#given !== null) {
      this.#paintGiven(this.#given, picture, withPointer, view);
      return;
    }
    if (screen.width === 0 || screen.height === 0) return;
    const dirty = picture.takeDirty();
    const resized = this.#fit(picture, view);
    const image = this.#image!;
    if (resized || dirty === 'everything')
      this.#put(image, { left: 0, top: 0, width: image.width, height: image.height });
    else {
      for (const area of dirty) this.#put(image, area);
      // The pointer's old place is repaired from the picture below it.
      if (this.#pointerArea) this.#put(image, this.#pointerArea);
    }
    this.#pointerArea = withPointer ? this.#drawPointer(picture) : null;
  }

  /** From now on this is painted, with the decoder's pointer; null: what the decoder draws. */
  give(picture: ImageBitmap | null): void {
    this.#given?.close();
    this.#given = picture;
    this.#painted = [];
    // Everything of the decoder's is to be painted again behind it.
    this.#image = null;
  }

  get isGiven(): boolean {
    return this.#given !== null;
  }

  #paintGiven(given: ImageBitmap, picture: Picture, withPointer: boolean, part: Rectangle | null): void {
    const { x, y, visible, shape } = picture.pointer;
    const view = part ?? { left: 0, top: 0, width: given.width, height: given.height };
    const wanted = [given, withPointer, x, y, visible, shape, ...sides.map((side) => view[side])];
    if (wanted.every((one, at) => one === this.#painted[at])) return;
    this.#painted = wanted;
    this.#view = view;
    this.#size(view.width, view.height);
    this.#context.drawImage(given, -view.left, -view.top);
    if (withPointer) this.#drawPointer(picture);
  }

  #put(image: ImageData, { left, top, width, height }: Rectangle): void {
    this.#context.putImageData(image, -this.#view.left, -this.#view.top, left, top, width, height);
  }

  #fit(picture: Picture, part: Rectangle | null): boolean {
    const { data, ...size } = picture.screen.pixels;
    const view = part ?? { left: 0, top: 0, width: size.width, height: size.height };
    const sameView = sides.every((side) => view[side] === this.#view[side]);
    if (this.#image?.data === data && sameView) return false;
    // The image shares the screen's memory: nothing is copied but what is put on the canvas.
    this.#image = new ImageData(data, size.width, size.height);
    this.#view = view;
    this.#size(view.width, view.height);
    return true;
  }

  #size(width: number, height: number): void {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.onSize(width, height);
  }

  #drawPointer({ pointer }: Picture): Rectangle | null {
    if (!pointer.visible) return null;
    if (pointer.shape === null) return this.#drawArrow(pointer.x, pointer.y);
    const { pixels, hotspotX, hotspotY } = pointer.shape;
    if (pixels.width === 0 || pixels.height === 0) return null;
    if (this.#shape !== pointer.shape || !this.#shapeCanvas) {
      this.#shape = pointer.shape;
      this.#shapeCanvas = new OffscreenCanvas(pixels.width, pixels.height);
      this.#shapeCanvas.getContext('2d')?.putImageData(new ImageData(pixels.data, pixels.width, pixels.height), 0, 0);
    }
    const left = pointer.x - hotspotX;
    const top = pointer.y - hotspotY;
    this.#context.drawImage(this.#shapeCanvas, left - this.#view.left, top - this.#view.top);
    return { left, top, width: pixels.width, height: pixels.height };
  }

  #drawArrow(x: number, y: number): Rectangle {
    const context = this.#context;
    context.save();
    context.translate(x - this.#view.left, y - this.#view.top);
    const path = new Path2D(arrow.path);
    context.fillStyle = '#fff';
    context.strokeStyle = '#000';
    context.lineWidth = 1;
    context.fill(path);
    context.stroke(path);
    context.restore();
    return { left: x - 1, top: y - 1, width: arrow.width + 2, height: arrow.height + 2 };
  }
}
