import {
  type FastPathInputEvent,
  GeneralExtraFlag,
  type HeldDesktop,
  type HeldDisplay,
  PointerFlag,
} from '@lucid-sessions/rdp';
import { Dialog, type DialogAnswer, type DialogSpec } from './dialog/dialog.ts';
import { Keyboard } from './dialog/keyboard.ts';
import { type DialogLayout, type DialogLines, layOut, linesOf, type Size } from './dialog/layout.ts';
import { type Font, fontFor } from './font/font.ts';
import { type BitmapForm, tilesOf, updatesOf } from './picture/encode.ts';
import {
  type Colour,
  contains,
  differences,
  extentOf,
  intersection,
  isEmpty,
  type Rectangle,
  render,
} from './picture/picture.ts';

interface Opened {
  size: Size;
  font: Font;
  form: BitmapForm;
  keyboard: Keyboard;
  /** Broken once: a person types into a screen that stays. */
  lines: DialogLines;
  layout: DialogLayout;
  /** What of the dialog the client has been shown; null: nothing. */
  drawn: number | null;
}

/** A desktop whose pixels are small is shown larger: as the client says, or where it says nothing by their number. */
export function percentOf({ core, shape }: HeldDesktop): number {
  const said = core.desktopScaleFactor ?? 0;
  const percent = said >= 100 && said <= 500 ? said : shape.desktopHeight >= 1800 ? 200 : 100;
  // What is large must fit as well.
  const fits = Math.min(shape.desktopWidth / 6.4, shape.desktopHeight / 4.4);
  return Math.min(percent, fits);
}

/**
 * Dialogs as a client is shown them, one after the other. A client's desktop is black when it begins: only what stands on it is sent.
 */
export class DialogDisplay implements HeldDisplay<DialogAnswer> {
  #dialog: Dialog;
  #opened: Opened | null = null;
  /** Once it is answered, it is over. */
  #isAnswered = false;

  constructor(spec: DialogSpec) {
    this.#dialog = new Dialog(spec);
  }

  /** Another dialog in place of this one. */
  show(spec: DialogSpec): void {
    this.#dialog = new Dialog(spec);
    this.#isAnswered = false;
    if (this.#opened === null) return;
    this.#opened.lines = linesOf(spec, this.#opened.size, this.#opened.font);
    this.#opened.drawn = null;
  }

  open(desktop: HeldDesktop): Uint8Array[] {
    const { shape, core, capabilitySets } = desktop;
    const general = capabilitySets.find((set) => set.kind === 'general');
    const size = { width: shape.desktopWidth, height: shape.desktopHeight };
    const font = fontFor(percentOf(desktop));
    const withoutHeader = ((general?.extraFlags ?? 0) & GeneralExtraFlag.noBitmapCompressionHdr) !== 0;
    const form = { bitsPerPixel: shape.bitsPerPixel, withoutHeader };
    const keyboard = this.#opened?.keyboard ?? new Keyboard(core.keyboardLayout, core.keyboardType);
    const lines = linesOf(this.#dialog.spec, size, font);
    const layout = layOut(this.#dialog, lines, size, font);
    this.#opened = { size, font, form, keyboard, lines, layout, drawn: this.#dialog.revision };
    return paint(this.#opened, [layout.panel]);
  }

  input(event: FastPathInputEvent): DialogAnswer | null {
    if (this.#opened === null || this.#isAnswered) return null;
    const answer = this.#act(event, this.#opened);
    this.#isAnswered = answer !== null;
    return answer;
  }

  draw(): Uint8Array[] {
    const opened = this.#opened;
    if (opened === null || opened.drawn === this.#dialog.revision) return [];
    const before = opened.layout.picture;
    opened.layout = layOut(this.#dialog, opened.lines, opened.size, opened.font);
    opened.drawn = this.#dialog.revision;
    return paint(opened, differences(before, opened.layout.picture));
  }

  #act(event: FastPathInputEvent, { keyboard, layout }: Opened): DialogAnswer | null {
    if (event.kind === 'mouse') return this.#point(event, layout);
    const stroke = keyboard.event(event);
    if (stroke === null) return null;
    const lines = stroke.kind === 'key' ? scrolled[stroke.key] : undefined;
    if (lines === undefined) return this.#dialog.key(stroke);
    this.#dialog.scrollBy(lines(layout.pageLines), layout.scrollMax);
    return null;
  }

  #point(
    { pointerFlags, x, y }: { pointerFlags: number; x: number; y: number },
    layout: DialogLayout,
  ): DialogAnswer | null {
    if (pointerFlags & PointerFlag.wheel) {
      this.#dialog.scrollBy(pointerFlags & PointerFlag.wheelNegative ? 3 : -3, layout.scrollMax);
      return null;
    }
    if ((pointerFlags & PointerFlag.button1) === 0) return null;
    const spot = layout.spotAt(x, y);
    if ((pointerFlags & PointerFlag.down) === 0) return this.#dialog.release(spot);
    this.#dialog.press(spot);
    return null;
  }
}

const scrolled: Readonly<Record<string, (page: number) => number>> = {
  up: () => -1,
  down: () => 1,
  pageUp: (page) => -Math.max(1, page - 1),
  pageDown: (page) => Math.max(1, page - 1),
};

function paint({ size, form, layout }: Opened, areas: readonly Rectangle[]): Uint8Array[] {
  const placed = layout.picture.map((item) => ({ item, extent: extentOf(item) }));
  const pixelsOf = (tile: Rectangle): Uint32Array | Colour => {
    const near = placed.filter(({ extent }) => !isEmpty(intersection(extent, tile)));
    const top = near.at(-1);
    if (top?.item.kind === 'fill' && contains(top.extent, tile)) return top.item.colour;
    return render(
      near.map(({ item }) => item),
      tile,
    );
  };
  return updatesOf(tilesOf(areas, size), pixelsOf, form);
}
