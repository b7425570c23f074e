import { type Codec, encode, joinBytes } from '@lucid-sessions/wire';
import { channelChunk, channelChunks } from '../channel/static-channel.ts';
import { MCS_PRIORITY_HIGH_WHOLE, type McsPdu, mcsPdu } from '../pdu/mcs.ts';
import { tpkt } from '../pdu/tpkt.ts';
import { x224Data } from '../pdu/x224.ts';

/** Builders of whole frames, and the shape of one step both sequences share. */

/** What one step did: bytes to send first, then things the driver should know, in order. */
export interface Step<E> {
  output: Uint8Array;
  events: E[];
}

/** The MCS user id servers act under; also the pduSource of their share PDUs. */
export const SERVER_USER_ID = 1002;

/** Any X.224 TPDU as one frame. */
export function x224Frame<T>(codec: Codec<T>, value: T): Uint8Array {
  return encode(tpkt, { reserved: 0, payload: encode(codec, value) });
}

/** Bytes in an X.224 Data TPDU as one frame. */
export function dataFrame(payload: Uint8Array): Uint8Array {
  return x224Frame(x224Data, { payload });
}

/** One MCS domain PDU as a frame. */
export function mcsFrame(pdu: McsPdu): Uint8Array {
  return dataFrame(encode(mcsPdu, pdu));
}

/** What a server sends on a channel. */
export function indicationFrame(channelId: number, data: Uint8Array): Uint8Array {
  return mcsFrame({
    kind: 'sendDataIndication',
    initiator: SERVER_USER_ID,
    channelId,
    priority: MCS_PRIORITY_HIGH_WHOLE,
    data,
  });
}

/** What a client sends on a channel. */
export function requestFrame(initiator: number, channelId: number, data: Uint8Array): Uint8Array {
  return mcsFrame({ kind: 'sendDataRequest', initiator, channelId, priority: MCS_PRIORITY_HIGH_WHOLE, data });
}

/** A static channel message as the bytes of its chunks, each made into a frame by `frame`. */
export function channelFrames(message: Uint8Array, frame: (data: Uint8Array) => Uint8Array): Uint8Array {
  return concat(channelChunks(message).map((chunk) => frame(encode(channelChunk, chunk))));
}

export const concat = (pieces: readonly Uint8Array[]): Uint8Array =>
  pieces.length === 1 ? pieces[0]! : joinBytes(pieces);
