import { readdirSync } from 'node:fs';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { type Codec, decode } from '@lucid-sessions/wire';
import * as rdp from '../src/index.ts';

/** Real bytes for every codec the captures exercise: the outermost TPKT down to each capability set and channel PDU. */

export const capturesDirectory = new URL('../../../testkit/captures/', import.meta.url);
export const captureNames = readdirSync(capturesDirectory).filter((name) => name.endsWith('.rdpcap.gz'));

type AnyCodec = Codec<unknown>;
export type Take = (codec: AnyCodec, bytes: Uint8Array) => void;

/** Runs `take` for every PDU and every layer of one capture, until both sides are past the connection sequence. */
export function samplePdus(name: string, take: Take, framesMax = Number.POSITIVE_INFINITY): void {
  const streams = captureStreams(readCapture(new URL(name, capturesDirectory).pathname));
  sampleStream('client', streams.client, take, framesMax);
  sampleStream('server', streams.server, take, framesMax);
}

function sampleStream(sender: rdp.Sender, stream: Uint8Array, take: Take, framesMax: number): void {
  const splitter = new rdp.FrameSplitter();
  const sampler = new LayerSampler(sender, take);
  splitter.push(stream);
  for (let count = 0; count < framesMax; count += 1) {
    const frame = splitter.next();
    if (frame === null) return;
    sampler.frame(frame, splitter);
  }
}

class LayerSampler {
  readonly #sender: rdp.Sender;
  readonly #take: Take;

  constructor(sender: rdp.Sender, take: Take) {
    this.#sender = sender;
    this.#take = take;
  }

  #open<T>(codec: Codec<T>, bytes: Uint8Array): T {
    this.#take(codec, bytes);
    return decode(codec, bytes);
  }

  frame(frame: Uint8Array, splitter: rdp.FrameSplitter): void {
    if (frame[0] === 3) this.#tpkt(this.#open(rdp.tpkt, frame).payload, splitter);
    else if (splitter.connecting) this.#take(rdp.tsRequest, frame);
    else this.#take(this.#sender === 'client' ? rdp.fastPathInput : rdp.fastPathOutput, frame);
  }

  #tpkt(tpdu: Uint8Array, splitter: rdp.FrameSplitter): void {
    if (tpdu[1] === 0xe0) {
      this.#take(rdp.x224ConnectionRequest, tpdu);
      return;
    }
    if (tpdu[1] === 0xd0) {
      this.#take(rdp.x224ConnectionConfirm, tpdu);
      return;
    }
    const { payload } = this.#open(rdp.x224Data, tpdu);
    if (splitter.connecting) {
      splitter.connecting = false;
      this.#connect(payload);
      return;
    }
    const pdu = this.#open(rdp.mcsPdu, payload);
    if (pdu.kind === 'sendDataRequest' || pdu.kind === 'sendDataIndication') this.#data(pdu.channelId, pdu.data);
  }

  #connect(payload: Uint8Array): void {
    if (this.#sender === 'client')
      this.#open(rdp.conferenceCreateRequest, this.#open(rdp.mcsConnectInitial, payload).userData);
    else this.#open(rdp.conferenceCreateResponse, this.#open(rdp.mcsConnectResponse, payload).userData);
  }

  #data(channelId: number, data: Uint8Array): void {
    if (channelId !== rdp.MCS_GLOBAL_CHANNEL_ID) {
      this.#take(rdp.channelChunk, data);
      return;
    }
    const flags = data[0]! | (data[1]! << 8);
    if ((data[2]! & 0xf0) === 0x10 && flags <= data.length) {
      this.#share(data);
      return;
    }
    if (flags & rdp.SecurityFlag.infoPkt) this.#take(rdp.clientInfoPdu, data);
    if (flags & rdp.SecurityFlag.licensePkt) this.#take(rdp.licensePdu, data.subarray(4));
  }

  #share(data: Uint8Array): void {
    const { pduType, body } = this.#open(rdp.shareControlPdu, data);
    const type = pduType & 15;
    if (type === rdp.PduType.demandActive) this.#sets(this.#open(rdp.demandActive, body).capabilitySets);
    if (type === rdp.PduType.confirmActive) this.#sets(this.#open(rdp.confirmActive, body).capabilitySets);
    if (type === rdp.PduType.deactivateAll) this.#take(rdp.deactivateAll, body);
    if (type !== rdp.PduType.data) return;
    const pdu = this.#open(rdp.shareDataPdu, body);
    const codec = shareBodies[pdu.pduType2];
    if (codec && pdu.compressedType === 0) this.#take(codec, pdu.data);
  }

  #sets(sets: rdp.CapabilitySet[]): void {
    for (const set of sets) {
      if (set.kind === 'unknown') throw new Error(`capability set ${set.type} has no codec`);
    }
  }
}

const shareBodies: Record<number, AnyCodec> = {
  [rdp.PduType2.update]: rdp.slowPathUpdate,
  [rdp.PduType2.pointer]: rdp.slowPathPointer,
  [rdp.PduType2.control]: rdp.control,
  [rdp.PduType2.synchronize]: rdp.synchronize,
  [rdp.PduType2.input]: rdp.slowPathInput,
  [rdp.PduType2.fontList]: rdp.fontList,
  [rdp.PduType2.fontMap]: rdp.fontMap,
  [rdp.PduType2.refreshRect]: rdp.refreshRect,
  [rdp.PduType2.suppressOutput]: rdp.suppressOutput,
  [rdp.PduType2.saveSessionInfo]: rdp.saveSessionInfo,
  [rdp.PduType2.setErrorInfo]: rdp.setErrorInfo,
  [rdp.PduType2.bitmapCachePersistentList]: rdp.persistentKeyList,
  [rdp.PduType2.frameAcknowledge]: rdp.frameAcknowledge,
};

/** Bytes of a hex string; spaces are for the eye. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}
