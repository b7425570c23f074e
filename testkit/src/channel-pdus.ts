import {
  channelChunk,
  channelChunks,
  type DynamicChannelPdu,
  dynamicChannelClientPdu,
  dynamicChannelServerPdu,
  mcsPdu,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { encode } from '@lucid-sessions/wire';

/** A PDU as a capture has it. */
export interface SentPdu {
  fromServer: boolean;
  bytes: Uint8Array;
}

/** A message of a static channel as the PDUs that carry it. */
export function channelPdus(fromServer: boolean, channelId: number, message: Uint8Array): SentPdu[] {
  const kind = fromServer ? 'sendDataIndication' : 'sendDataRequest';
  return channelChunks(message).map((chunk) => {
    const data = encode(channelChunk, chunk);
    const payload = encode(mcsPdu, { kind, initiator: fromServer ? 1002 : 1007, channelId, priority: 0x70, data });
    return { fromServer, bytes: encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload }) }) };
  });
}

/** Dynamic channels inside the static one of an id, [MS-RDPEDYC]. */
export class DynamicChannels {
  readonly #staticChannelId: number;

  constructor(staticChannelId: number) {
    this.#staticChannelId = staticChannelId;
  }

  open(channelId: number, channelName: string): SentPdu[] {
    return [
      ...this.#pdus(true, { kind: 'createRequest', cbId: 0, sp: 0, channelId, channelName }),
      ...this.#pdus(false, { kind: 'createResponse', cbId: 0, sp: 0, channelId, creationStatus: 0 }),
    ];
  }

  /** A message of at most 1,590 bytes. */
  send(fromServer: boolean, channelId: number, data: Uint8Array): SentPdu[] {
    return this.#pdus(fromServer, { kind: 'data', cbId: 0, sp: 0, channelId, data });
  }

  #pdus(fromServer: boolean, pdu: DynamicChannelPdu): SentPdu[] {
    const codec = fromServer ? dynamicChannelServerPdu : dynamicChannelClientPdu;
    return channelPdus(fromServer, this.#staticChannelId, encode(codec, pdu));
  }
}
