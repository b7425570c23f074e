import type { Duplex } from 'node:stream';

const lingerMs = 1000;

/** Sends what is queued, then closes; a peer that does not close its side is cut off. */
export function closeGently(socket: Duplex): void {
  if (socket.destroyed) return;
  socket.on('error', () => {});
  socket.end();
  // Unread data would turn the close into a reset, and the peer might lose our last words.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
}
