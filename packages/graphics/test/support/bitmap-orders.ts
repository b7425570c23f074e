import type { Random } from '@lucid-sessions/testkit/differential';

/** Every kind of order of [MS-RDPBCGR] 2.2.9.1.1.3.1.2.4, in its short, long and largest form. */
export function randomOrders(random: Random, pixels: number, pixelBytes: number): Uint8Array {
  const bytes: number[] = [];
  const push = (count: number) => {
    for (let left = count; left > 0; left -= 1) bytes.push(random.of(256));
  };
  const regular = [0x00, 0x20, 0x40, 0x60, 0x80] as const;
  for (let left = pixels; left > 0; ) {
    const most = Math.min(left, 1 + random.of(random.often(8) ? 400 : 40));
    const kind = random.of(9);
    if (kind < 5) {
      const code = regular[kind]!;
      if (code === 0x40) {
        // A colour image's masks stand for eight pixels each: short lengths are whole bytes.
        const short = most >= 8 && most < 256 && random.often(2);
        const count = short ? most & ~7 : Math.min(most, 256);
        if (short) bytes.push(code | (count >> 3));
        else bytes.push(code, count - 1);
        push((count + 7) >> 3);
        left -= count;
        continue;
      }
      const count = most;
      if (count < 32) bytes.push(code | count);
      else if (count < 288 && random.often(2)) bytes.push(code, count - 32);
      else bytes.push(0xf0 | (code >> 5), count & 0xff, count >> 8);
      push(code === 0x60 ? pixelBytes : code === 0x80 ? count * pixelBytes : 0);
      left -= count;
    } else if (kind === 5) {
      // Set foreground and run.
      const count = most;
      if (count < 16) bytes.push(0xc0 | count);
      else bytes.push(0xf6, count & 0xff, count >> 8);
      push(pixelBytes);
      left -= count;
    } else if (kind === 6 && most >= 2) {
      const pairs = most >> 1;
      if (pairs < 16) bytes.push(0xe0 | pairs);
      else bytes.push(0xf8, pairs & 0xff, pairs >> 8);
      push(2 * pixelBytes);
      left -= pairs * 2;
    } else if (kind === 7 && left >= 8) {
      bytes.push(random.one([0xf9, 0xfa]));
      left -= 8;
    } else {
      bytes.push(random.one([0xfd, 0xfe]));
      left -= 1;
    }
  }
  return Uint8Array.from(bytes);
}
