import type { Duplex } from 'node:stream';
import { parseHead, type RdgHead } from './request-head.ts';

export interface ReadHead {
  head: RdgHead;
  /** What came behind it. */
  rest: Buffer;
}

const headEnd = '\r\n\r\n';
const headBytesMax = 16 * 1024;
const headMs = 20_000;

/**
 * The head of the next request on a connection, which is paused before and afterwards. Null where none comes: too late, too long,
 * something else, or the connection is over.
 */
export function readHead(socket: Duplex): Promise<ReadHead | null> {
  return new Promise((resolve) => {
    let gathered = Buffer.alloc(0);
    const timer = setTimeout(() => settle(null), headMs);
    const onOver = (): void => settle(null);
    const onData = (bytes: Buffer): void => {
      gathered = Buffer.concat([gathered, bytes]);
      const end = gathered.indexOf(headEnd);
      if (end < 0 && gathered.length <= headBytesMax) return;
      const head = end < 0 || end > headBytesMax ? null : parseHead(gathered.toString('latin1', 0, end));
      settle(head === null ? null : { head, rest: gathered.subarray(end + headEnd.length) });
    };
    const settle = (read: ReadHead | null): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', onOver).off('close', onOver);
      socket.pause();
      resolve(read);
    };
    socket.on('data', onData).on('end', onOver).on('close', onOver);
    socket.resume();
  });
}
