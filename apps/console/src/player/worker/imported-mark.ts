/** What stands in every picture of an imported recording that leaves the player: nobody shall take it for a recorded one. */

type Context = OffscreenCanvasRenderingContext2D;

export function markImported(context: Context): void {
  const { width } = context.canvas;
  const size = Math.max(12, Math.min(28, Math.round(width / 50)));
  const text = 'IMPORTED – proves nothing';
  context.save();
  context.font = `600 ${size}px sans-serif`;
  context.textBaseline = 'top';
  context.fillStyle = '#8a5300';
  context.fillRect(0, 0, context.measureText(text).width + size, size * 1.6);
  context.fillStyle = '#fff';
  context.fillText(text, size / 2, size * 0.3);
  context.restore();
}

/** The canvas on the page stays as it is. */
export function markedCopy(canvas: OffscreenCanvas): OffscreenCanvas {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext('2d');
  if (!context) throw new Error('this browser gives no canvas to draw on');
  context.drawImage(canvas, 0, 0);
  markImported(context);
  return copy;
}
