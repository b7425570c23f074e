import type { Socket } from 'node:net';

/** A peer that is silent is asked after 30 s, and given up when it does not answer for another 30. */
const keepAlive = { enable: true, initialDelay: 30_000, interval: 10_000, count: 3 };

/**
 * Has the kernel ask a silent peer whether it is still there. Only a silent one: while bytes of ours are not acknowledged the
 * kernel sends those again, for a quarter of an hour; that is what `PeerWatch` is for.
 */
export function keepAlive30(socket: Socket): void {
  (socket.setKeepAlive as unknown as (options: typeof keepAlive) => Socket).call(socket, keepAlive);
}
