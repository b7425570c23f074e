import { DecodeError, decode } from '@lucid-sessions/wire';
import { FrameSplitter } from '../pdu/frame-splitter.ts';
import { conferenceCreateResponse } from '../pdu/gcc.ts';
import { LICENSE_STATUS_VALID_CLIENT, licensePdu } from '../pdu/licensing.ts';
import { mcsPdu } from '../pdu/mcs.ts';
import { mcsConnectResponse } from '../pdu/mcs-connect.ts';
import { SecurityFlag } from '../pdu/security.ts';
import { isShareControl } from '../pdu/share.ts';
import { tpkt } from '../pdu/tpkt.ts';
import { x224Data } from '../pdu/x224.ts';
import type { DomainIds } from './acceptor.ts';
import type { HeldClientState } from './splice.ts';

/** What a target that redirects says before it does, and its client: a few PDUs each. */
const framesMax = 200;
const CONNECT_INITIAL = 0x7f;
const nothing = new Uint8Array(0);

/**
 * What a client has said and been given on its way to a desktop, so that it can be handed to another target before there is one
 * (`Splice`). Watches both directions behind TLS, in any pieces. What it does not understand makes it forget: never throws.
 */
export class ClientMemory {
  readonly #splitters = { client: new FrameSplitter(false), server: new FrameSplitter(false) };
  #framesCount = 0;
  #isLost = false;
  #connectInitial: Uint8Array | null = null;
  #clientInfo: Uint8Array | null = null;
  #ids: DomainIds = { userId: 0, ioChannelId: 0, messageChannelId: 0, channelIds: [] };
  #isLicensed = false;

  see(side: 'client' | 'server', bytes: Uint8Array): void {
    if (this.#isLost) return;
    try {
      const splitter = this.#splitters[side];
      splitter.push(bytes);
      for (let frame = splitter.next(); frame !== null; frame = splitter.next()) this.#frame(side, frame);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#isLost = true;
    }
  }

  /** As long as it has no desktop. Null: it has not said enough, or what it said was not understood. */
  get state(): HeldClientState | null {
    const { userId, ioChannelId } = this.#ids;
    const isKnown = !this.#isLost && userId !== 0 && ioChannelId !== 0;
    if (!isKnown || this.#connectInitial === null || this.#clientInfo === null) return null;
    const deactivate = this.#isLicensed ? nothing : null;
    return { connectInitial: this.#connectInitial, clientInfo: this.#clientInfo, ids: this.#ids, deactivate };
  }

  #frame(side: 'client' | 'server', frame: Uint8Array): void {
    this.#framesCount += 1;
    if (this.#framesCount > framesMax) throw new DecodeError('limit', 'more than comes before a desktop');
    if (frame[0] !== 3) throw new DecodeError('invalid', 'no TPKT');
    const { payload } = decode(x224Data, decode(tpkt, frame).payload);
    if (payload[0] === CONNECT_INITIAL) this.#connect(side, frame, payload);
    else if (side === 'client') this.#said(payload);
    else this.#given(payload);
  }

  #connect(side: 'client' | 'server', frame: Uint8Array, payload: Uint8Array): void {
    if (side === 'client') {
      this.#connectInitial ??= new Uint8Array(frame);
      return;
    }
    for (const block of decode(conferenceCreateResponse, decode(mcsConnectResponse, payload).userData).blocks) {
      if (block.kind === 'messageChannel') this.#ids = { ...this.#ids, messageChannelId: block.mcsChannelId };
      if (block.kind === 'network')
        this.#ids = { ...this.#ids, ioChannelId: block.mcsChannelId, channelIds: [...block.channelIds] };
    }
  }

  #said(payload: Uint8Array): void {
    const pdu = decode(mcsPdu, payload);
    if (pdu.kind === 'sendDataRequest' && pdu.channelId === this.#ids.ioChannelId)
      this.#clientInfo ??= new Uint8Array(pdu.data);
  }

  #given(payload: Uint8Array): void {
    const pdu = decode(mcsPdu, payload);
    if (pdu.kind === 'attachUserConfirm') this.#ids = { ...this.#ids, userId: pdu.initiator ?? 0 };
    if (pdu.kind !== 'sendDataIndication' || pdu.channelId !== this.#ids.ioChannelId || isShareControl(pdu.data))
      return;
    const flags = (pdu.data[0] ?? 0) | ((pdu.data[1] ?? 0) << 8);
    if ((flags & SecurityFlag.licensePkt) === 0) return;
    const { body } = decode(licensePdu, pdu.data.subarray(4));
    if (body.kind === 'error' && body.error.errorCode === LICENSE_STATUS_VALID_CLIENT) this.#isLicensed = true;
  }
}
