import { frameLength, type McsPdu, mcsPdu, tpkt, x224Data } from '@lucid-sessions/rdp';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { RecordingTap, type TappedFrame } from '@lucid-sessions/testkit/recording-tap';
import { encode } from '@lucid-sessions/wire';
import type { RelayPolicy } from '../../src/conversation.ts';
import type { RelayEvent, RelaySide } from '../../src/events.ts';
import { Relay } from '../../src/relay.ts';

const capture = (() => {
  const read = readCapture(new URL('../../../../testkit/captures/xorg-clip-drive.rdpcap.gz', import.meta.url).pathname);
  return captureStreams({ ...read, records: read.records.filter((record) => !record.beforeTls) });
})();

/** The whole PDUs of a stream, in order. */
export function pdusOf(stream: Uint8Array): Uint8Array[] {
  const pdus: Uint8Array[] = [];
  for (let at = 0; at < stream.length; ) {
    const length = frameLength(stream, at, stream.length);
    if (length === 0 || at + length > stream.length) return pdus;
    pdus.push(new Uint8Array(stream.subarray(at, at + length)));
    at += length;
  }
  return pdus;
}

/** Channels of that capture. */
export const channels = { io: 1003, rdpdr: 1004, rdpsnd: 1005, cliprdr: 1006, drdynvc: 1007 } as const;

export const tpktOf = (payload: Uint8Array): Uint8Array =>
  encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload }) });
export const mcsOf = (pdu: McsPdu): Uint8Array => tpktOf(encode(mcsPdu, pdu));
/** A PDU of that side on a channel. */
export const dataOf = (from: RelaySide, channelId: number, data: Uint8Array): Uint8Array =>
  mcsOf({
    kind: from === 'client' ? 'sendDataRequest' : 'sendDataIndication',
    initiator: from === 'client' ? 1007 : 1002,
    channelId,
    priority: 0x70,
    data,
  });

/** A relay, what it records, and what it passes on. */
export class RunningRelay {
  readonly tap = new RecordingTap();
  readonly relay: Relay;
  readonly events: RelayEvent[] = [];
  /** What the gateway said to the server by itself, between what the client says. */
  readonly toServer: Buffer[] = [];
  /** And to the client. */
  readonly toClient: Buffer[] = [];
  #timeUs = 0;

  constructor(policy: Partial<RelayPolicy> = {}) {
    this.relay = new Relay(
      { requestedProtocols: 1, selectedProtocol: 1, graphics: 'passthrough', ...policy },
      this.tap,
    );
  }

  /** Past Connect Initial and Connect Response, before the client joins channels. */
  connected(): this {
    const [initial, ...client] = pdusOf(capture.client);
    this.send('client', initial!);
    this.send('server', pdusOf(capture.server)[0]!);
    this.#rest = client;
    return this;
  }
  #rest: Uint8Array[] = [];

  /** Past Client Info, licensing, the confirmed capabilities and Font Map too. */
  activated(): this {
    this.connected();
    const server = pdusOf(capture.server).slice(1, 15);
    for (const pdu of this.#rest.slice(0, 14)) this.send('client', pdu);
    for (const pdu of server) this.send('server', pdu);
    return this;
  }

  /** What the other peer gets. `pieceBytes` cuts it. */
  send(from: RelaySide, bytes: Uint8Array, pieceBytes = bytes.length): Buffer {
    const out: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      this.#timeUs += 1000;
      const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
      const { forward, toServer, toClient, events } = this.relay.step(from, piece, this.#timeUs);
      this.toServer.push(...toServer.map((view) => Buffer.from(view)));
      this.toClient.push(...toClient.map((view) => Buffer.from(view)));
      out.push(...forward.map((view) => Buffer.from(view)));
      this.events.push(...events);
      piece.fill(0xee);
    }
    return Buffer.concat(out);
  }

  /** The frames recorded since the last call. */
  frames(): TappedFrame[] {
    const { frames } = this.tap;
    const news = frames.slice(this.#seen);
    this.#seen = frames.length;
    return news;
  }
  #seen = 0;
}
