import { Reader } from '@lucid-sessions/wire';
import { rgba } from '../pixels.ts';
import { createPalette, type Palette } from './color.ts';

/**
 * TS_UPDATE_PALETTE_DATA after its updateType: [MS-RDPBCGR] 2.2.9.1.1.3.1.1. Fewer than 256 colours leave the others
 * black. Throws `DecodeError`.
 */
export function decodePalette(bytes: Uint8Array): Palette {
  const reader = new Reader(bytes);
  reader.skip(2);
  const count = reader.u32le();
  if (count > 256) throw reader.error('limit', `a palette of ${count} colours`);
  const palette = createPalette();
  for (let index = 0; index < count; index += 1) palette[index] = rgba(reader.u8(), reader.u8(), reader.u8());
  return palette;
}
