import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** A side that has said goodbye gets this long to hear the other's. */
const lingerMs = 10_000;

/** Bytes of each side go to the other, no faster than that one takes them; either one's end is the end of both. */
export function passBytes(one: Duplex, other: Duplex): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => {});
    // Keys and pictures are small and awaited.
    if (from instanceof Socket) from.setNoDelay(true).setKeepAlive(true, 30_000);
    from.pipe(to);
    from.once('close', () => {
      if (to.destroyed) return;
      to.end();
      // What nobody reads any more would hide its end.
      to.resume();
      const timer = setTimeout(() => to.destroy(), lingerMs);
      to.once('close', () => clearTimeout(timer));
    });
  }
}
