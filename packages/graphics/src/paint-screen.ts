/** Puts the decoder's screen and its pointer together into one picture, as the person at the client saw it. */
import { createPixelBuffer, type PixelBuffer } from './pixels.ts';
import type { PointerState, Screen } from './screen.ts';

const black = 0xff000000;
const white = 0xffffffff;

/** The client's own arrow is not in the recording; this one stands for it. # is black, o is white, the rest is clear. */
const arrowRows = [
  '#           ',
  '##          ',
  '#o#         ',
  '#oo#        ',
  '#ooo#       ',
  '#oooo#      ',
  '#ooooo#     ',
  '#oooooo#    ',
  '#ooooooo#   ',
  '#oooooooo#  ',
  '#ooooooooo# ',
  '#oooooo#####',
  '#ooo#oo#    ',
  '#oo# #oo#   ',
  '#o#  #oo#   ',
  '##    #oo#  ',
  '#     #oo#  ',
  '       ##   ',
] as const;

function makeArrow(): PixelBuffer {
  const picture = createPixelBuffer(arrowRows[0].length, arrowRows.length, 0);
  for (const [y, row] of arrowRows.entries())
    for (const [x, mark] of [...row].entries())
      picture.words[y * picture.width + x] = mark === '#' ? black : mark === 'o' ? white : 0;
  return picture;
}
const arrow = makeArrow();

/** Copies the screen into the middle of `target`, which is at least as large, and draws the pointer onto it. */
export function paintScreen(target: PixelBuffer, screen: Screen, withPointer: boolean): void {
  const left = (target.width - screen.width) >> 1;
  const top = (target.height - screen.height) >> 1;
  const source = screen.pixels;
  if (source.width === target.width && source.height <= target.height) {
    // Whole rows: one copy.
    if (source.height < target.height) target.words.fill(black);
    target.words.set(source.words, top * target.width);
  } else {
    target.words.fill(black);
    for (let y = 0; y < source.height; y += 1)
      target.words.set(
        source.words.subarray(y * source.width, (y + 1) * source.width),
        (top + y) * target.width + left,
      );
  }
  if (withPointer && source.width > 0) paintPointer(target, screen.pointer, { left, top, screen });
}

interface Place {
  left: number;
  top: number;
  screen: Screen;
}

function paintPointer(target: PixelBuffer, pointer: PointerState, { left, top, screen }: Place): void {
  if (!pointer.visible) return;
  const { pixels, hotspotX, hotspotY } = pointer.shape ?? { pixels: arrow, hotspotX: 0, hotspotY: 0 };
  const startX = pointer.x - hotspotX;
  const startY = pointer.y - hotspotY;
  for (let y = Math.max(0, -startY); y < pixels.height && startY + y < screen.height; y += 1)
    for (let x = Math.max(0, -startX); x < pixels.width && startX + x < screen.width; x += 1) {
      const at = (top + startY + y) * target.width + left + startX + x;
      target.words[at] = blend(target.words[at]!, pixels.words[y * pixels.width + x]!);
    }
}

/** Straight alpha over an opaque ground. */
function blend(ground: number, over: number): number {
  const alpha = over >>> 24;
  if (alpha === 0) return ground;
  if (alpha === 255) return over;
  const channel = (shift: number): number => {
    const below = (ground >>> shift) & 0xff;
    return (below + Math.round(((((over >>> shift) & 0xff) - below) * alpha) / 255)) << shift;
  };
  return (black | channel(16) | channel(8) | channel(0)) >>> 0;
}
