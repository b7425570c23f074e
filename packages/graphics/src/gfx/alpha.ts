import { Reader } from '@lucid-sessions/wire';
import { readRunLength } from '../clearcodec/runs.ts';
import type { PixelBuffer, Rectangle } from '../pixels.ts';

const alphaSignature = 0x414c;

/**
 * ALPHACODEC_BITMAP_STREAM, [MS-RDPEGFX] 2.2.4.3: sets the alpha of `area` (inside `target`) and leaves its colours. Throws
 * `DecodeError`.
 */
export function drawAlpha(bytes: Uint8Array, target: PixelBuffer, area: Rectangle): void {
  const reader = new Reader(bytes);
  if (reader.u16le() !== alphaSignature) throw reader.error('invalid', 'an alpha stream has a wrong signature');
  const compressed = reader.u16le() !== 0;
  const pixelsCount = area.width * area.height;
  if (!compressed) reader.need(pixelsCount, 'alpha values');
  let run = 0;
  let alpha = 0;
  for (let i = 0; i < pixelsCount; i += 1) {
    if (!compressed) {
      alpha = reader.u8();
    } else {
      while (run === 0) {
        alpha = reader.u8();
        run = readRunLength(reader);
      }
      run -= 1;
    }
    const row = Math.floor(i / area.width);
    target.data[((area.top + row) * target.width + area.left + (i - row * area.width)) * 4 + 3] = alpha;
  }
}
