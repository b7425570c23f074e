import { createPixelBuffer, type PixelBuffer } from '@lucid-sessions/graphics';

/** A picture with what desktops have: flat areas, edges, gradients, and noise. The same every time for the same seed. */
export function testPicture(width: number, height: number, seed = 1): PixelBuffer {
  const picture = createPixelBuffer(width, height);
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 16;
  };
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const i = (y * width + x) * 4;
      const window = x > width / 4 && x < width / 2 && y > height / 3;
      const noisy = x > (3 * width) / 4 && y < height / 2;
      picture.data[i] = window ? 240 : noisy ? random() & 0xff : (x * 255) / width;
      picture.data[i + 1] = window ? 240 : noisy ? random() & 0xff : (y * 255) / height;
      picture.data[i + 2] = window ? (x % 8 === 0 ? 20 : 240) : 90 + ((seed * 37) & 0x3f);
    }
  }
  return picture;
}
