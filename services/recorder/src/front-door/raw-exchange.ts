/** What happens on a TCP connection before TLS: one X.224 TPKT each way. */
import type { Socket } from 'node:net';
import { tpkt, type X224ConnectionConfirm, x224ConnectionConfirm } from '@lucid-sessions/rdp';
import { type Codec, decode, encode } from '@lucid-sessions/wire';

/** Requests with a routing token stay far below; whoever sends more is no RDP client. */
const tpktBytesMax = 4096;

export class ExchangeError extends Error {
  override readonly name = 'ExchangeError';
}

/**
 * Reads the first TPKT of a connection. What came behind it is put back. Rejects with `ExchangeError` when the peer sends
 * something else, leaves, or `signal` fires.
 */
export function readTpkt(socket: Socket, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const settle = (error: Error | null, pdu?: Uint8Array): void => {
      socket.off('data', onData).off('error', onGone).off('close', onGone).off('end', onGone);
      signal.removeEventListener('abort', onAbort);
      socket.pause();
      if (error !== null) reject(error);
      else if (pdu !== undefined) resolve(pdu);
    };
    const onAbort = (): void => settle(new ExchangeError('no answer in time'));
    const onGone = (): void => settle(new ExchangeError('the connection was closed'));
    const onData = (piece: Buffer): void => {
      bytes = bytes.length === 0 ? piece : Buffer.concat([bytes, piece]);
      const length = bytes.length < 4 ? 7 : bytes.readUInt16BE(2);
      if (bytes[0] !== 3 || length < 7 || length > tpktBytesMax)
        settle(new ExchangeError('the peer does not speak RDP'));
      else if (bytes.length >= Math.max(4, length)) {
        // Settled and paused first: what is put back into a flowing socket comes to this very listener, for ever.
        settle(null, bytes.subarray(0, length));
        if (bytes.length > length) socket.unshift(bytes.subarray(length));
      }
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort);
    socket.on('data', onData).on('error', onGone).on('close', onGone).on('end', onGone);
    socket.resume();
  });
}

/** One X.224 TPDU as a TPKT. */
export const encodeTpdu = <T>(codec: Codec<T>, value: T): Uint8Array =>
  encode(tpkt, { reserved: 0, payload: encode(codec, value) });

/** The X.224 TPDU in a TPKT. Throws `DecodeError`. */
export const decodeTpdu = <T>(codec: Codec<T>, pdu: Uint8Array): T => decode(codec, decode(tpkt, pdu).payload);

/** The confirm that lets the client go on with TLS. */
export function confirmTls(clientReference: number, flags: number): Uint8Array {
  const confirm: X224ConnectionConfirm = {
    destinationReference: clientReference,
    sourceReference: 0x1234,
    classOption: 0,
    negotiation: { kind: 'response', flags, selectedProtocol: 1 },
  };
  return encodeTpdu(x224ConnectionConfirm, confirm);
}

/** RDP_NEG_FAILURE: all that can be said to a client that knows no TLS. */
export function confirmFailure(clientReference: number, failureCode: number): Uint8Array {
  const confirm: X224ConnectionConfirm = {
    destinationReference: clientReference,
    sourceReference: 0x1234,
    classOption: 0,
    negotiation: { kind: 'failure', flags: 0, failureCode },
  };
  return encodeTpdu(x224ConnectionConfirm, confirm);
}
