import { createHash, randomBytes } from 'node:crypto';

/**
 * The key a WebSocket is asked for with, [RFC 6455] 4.1. That of FreeRDP 2 is 15 bytes of anything instead of 16 in base64, which no
 * server has to take: towards the recorder another one stands in its place, and the client is answered for its own.
 */
export const freshKey = (): string => randomBytes(16).toString('base64');

const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** [RFC 6455] 4.2.2, 5. */
export const acceptOf = (key: string): string => createHash('sha1').update(`${key}${guid}`, 'latin1').digest('base64');
