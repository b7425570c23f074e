import { promisify } from 'node:util';
import { crc32, deflate } from 'node:zlib';
import type { PixelBuffer } from '@lucid-sessions/graphics';

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const rgbBytes = 3;
/** Filter type 1 of PNG's clause 9.2: each byte less the one a pixel to its left. Screens hold long runs of one colour. */
const filterSub = 1;

/** A picture as PNG (ISO/IEC 15948), 8 bits each of red, green and blue: a desktop has no holes to see through. */
export async function encodePng({ width, height, data }: PixelBuffer): Promise<Uint8Array> {
  const stride = 1 + width * rgbBytes;
  const rows = new Uint8Array(stride * height);
  for (let y = 0; y < height; y += 1) {
    let to = y * stride;
    rows[to++] = filterSub;
    for (let from = y * width * 4, x = 0; x < width; x += 1, from += 4)
      for (let channel = 0; channel < rgbBytes; channel += 1)
        rows[to++] = data[from + channel]! - (x === 0 ? 0 : data[from + channel - 4]!);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Bit depth 8, colour type 2 (RGB), the only compression and filter method, no interlace.
  header.set([8, 2, 0, 0, 0], 8);
  const packed = await promisify(deflate)(rows);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', packed), chunk('IEND', new Uint8Array(0))]);
}

function chunk(type: string, content: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + content.length);
  bytes.writeUInt32BE(content.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(content, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + content.length)), 8 + content.length);
  return bytes;
}
