/**
 * Reading a connected socket into one buffer that all sockets share. Node would give every 16 KiB TLS record memory of its
 * own, and collecting that costs a relay a quarter of its time. What `net.connect` offers as `onread` it does not offer for
 * sockets that become TLS later, so this sets the same two fields itself; where a Node without them comes along, reading
 * falls back to 'data' events, slower and otherwise the same.
 */
import type { Duplex } from 'node:stream';
import type { TakeBytes } from './peer.ts';

/** libuv reads this much at once, TLS gives at most a quarter of it. */
const readBytesMax = 64 * 1024;
const shared = Buffer.allocUnsafeSlow(readBytesMax);

type UserBufferSocket = Record<symbol, unknown> & { _handle?: { useUserBuffer?: (buffer: Buffer) => void } | null };

interface UserBufferFields {
  buffer: symbol;
  callback: symbol;
}

function userBufferFields(socket: Duplex): UserBufferFields | null {
  const symbols = Object.getOwnPropertySymbols(socket);
  const named = (description: string): symbol | undefined =>
    symbols.find((symbol) => symbol.description === description);
  const buffer = named('kBuffer');
  const callback = named('kBufferCb');
  const handle = (socket as unknown as UserBufferSocket)._handle;
  const able = typeof handle?.useUserBuffer === 'function';
  return buffer !== undefined && callback !== undefined && able ? { buffer, callback } : null;
}

/** Starts reading: every byte the peer sends from here on, and what had come already, goes to `take`. */
export function readSocket(socket: Duplex, take: TakeBytes): void {
  const fields = userBufferFields(socket);
  if (fields === null) {
    socket.on('data', (bytes: Buffer) => {
      if (!take(bytes)) socket.pause();
    });
    socket.resume();
    return;
  }
  let takesMore = true;
  for (let early = socket.read() as Buffer | null; early !== null; early = socket.read() as Buffer | null)
    takesMore = take(early) && takesMore;
  const reader = socket as unknown as UserBufferSocket;
  reader[fields.buffer] = shared;
  reader[fields.callback] = (length: number): boolean => take(shared.subarray(0, length));
  reader._handle?.useUserBuffer?.(shared);
  if (takesMore) socket.resume();
}
