import { attempt, DecodeError, decode, Reader } from '@lucid-sessions/wire';
import { confirmActive, deactivateAll, demandActive } from '../pdu/activation.ts';
import { clientInfo, clientInfoPdu } from '../pdu/client-info.ts';
import { tsRequest } from '../pdu/credssp.ts';
import { type FastPathUpdate, Fragmentation, fastPathInput, fastPathOutput } from '../pdu/fast-path.ts';
import { FrameSplitter, type FrameSplitterSnapshot } from '../pdu/frame-splitter.ts';
import { conferenceCreateRequest, conferenceCreateResponse } from '../pdu/gcc.ts';
import { licensePdu } from '../pdu/licensing.ts';
import { MCS_GLOBAL_CHANNEL_ID, type McsSendData, mcsPdu } from '../pdu/mcs.ts';
import { mcsConnectInitial, mcsConnectResponse } from '../pdu/mcs-connect.ts';
import { enhancedServerRedirection } from '../pdu/redirection.ts';
import { SecurityFlag, securityHeader } from '../pdu/security.ts';
import {
  CompressionFlag,
  isShareControl,
  PduType,
  PduType2,
  readShareControlPdus,
  type ShareControlPdu,
  shareDataPdu,
} from '../pdu/share.ts';
import { tpkt } from '../pdu/tpkt.ts';
import { slowPathUpdate } from '../pdu/update.ts';
import { x224ConnectionConfirm, x224ConnectionRequest, x224Data } from '../pdu/x224.ts';
import { ChannelTracker, type ChannelTrackerSnapshot, undoBulk } from './channel-tracker.ts';
import type { BulkHook, Inspected, InspectedEvent, Sender } from './inspected.ts';
import { Assembly, channelChunk } from './static-channel.ts';

/** Longest fast-path update put together from fragments; clients announce a few megabytes at most. */
const UPDATE_BYTES_MAX = 64 * 1024 * 1024;
const X224_CONNECTION_REQUEST = 0xe0;
const X224_CONNECTION_CONFIRM = 0xd0;
const X224_DISCONNECT_REQUEST = 0x80;
const X224_ERROR = 0x70;
/** First byte of the BER tags of MCS Connect PDUs. */
const MCS_CONNECT = 0x7f;
const T128_FLOW_MARK = 0x8000;
const EARLY_USER_AUTH_RESULT_BYTES = 4;

export interface StreamInspectorSnapshot {
  readonly splitters: Readonly<Record<Sender, FrameSplitterSnapshot>>;
  readonly frames: Readonly<Record<Sender, number>>;
  readonly channels: ChannelTrackerSnapshot;
  /** Fast-path updates under way, by update code. */
  readonly fragments: readonly (readonly [number, { readonly bytes: Uint8Array; readonly lost: boolean }])[];
  readonly channelNames: readonly string[];
  readonly ioChannelId: number;
  readonly messageChannelId: number;
  /** What comes on the I/O channel is told by its place: first the client's info, then licensing, then shares. */
  readonly clientInfoPassed: boolean;
  readonly licensingPassed: boolean;
}

/**
 * Frames and classifies both directions of one RDP connection from its first byte. Bytes may come in any pieces.
 * Bulk compression is undone by the hooks, that of dynamic channels here; what can't be undone is `null`.
 * Contents that don't decode give a `malformed` event and inspection goes on; lengths that can't be framed throw
 * `DecodeError`, after which the direction is lost.
 */
export class StreamInspector {
  readonly #splitters: Record<Sender, FrameSplitter> = { client: new FrameSplitter(), server: new FrameSplitter() };
  readonly #frames: Record<Sender, number> = { client: 0, server: 0 };
  readonly #hooks: Partial<Record<Sender, BulkHook>>;
  readonly #channels = new ChannelTracker();
  readonly #fragments = new Map<number, { assembly: Assembly; lost: boolean }>();
  #channelNames: string[] = [];
  #ioChannelId = MCS_GLOBAL_CHANNEL_ID;
  #messageChannelId = 0;
  #clientInfoPassed = false;
  #licensingPassed = false;

  /** `hooks` undo bulk compression of what the client and what the server sent. */
  constructor(hooks: Partial<Record<Sender, BulkHook>> = {}) {
    this.#hooks = hooks;
  }

  /** All it knows of the connection, as plain values: `restore` goes on from there, also in another thread. */
  snapshot(): StreamInspectorSnapshot {
    const fragments = [...this.#fragments].map(
      ([code, { assembly, lost }]) => [code, { bytes: new Uint8Array(assembly.join()), lost }] as const,
    );
    return {
      splitters: { client: this.#splitters.client.snapshot(), server: this.#splitters.server.snapshot() },
      frames: { ...this.#frames },
      channels: this.#channels.snapshot(),
      fragments,
      channelNames: [...this.#channelNames],
      ioChannelId: this.#ioChannelId,
      messageChannelId: this.#messageChannelId,
      clientInfoPassed: this.#clientInfoPassed,
      licensingPassed: this.#licensingPassed,
    };
  }

  restore(snapshot: StreamInspectorSnapshot): void {
    for (const sender of ['client', 'server'] as const) {
      this.#splitters[sender].restore(snapshot.splitters[sender]);
      this.#frames[sender] = snapshot.frames[sender];
    }
    this.#channels.restore(snapshot.channels);
    this.#fragments.clear();
    for (const [code, { bytes, lost }] of snapshot.fragments)
      this.#fragments.set(code, { assembly: Assembly.holding(UPDATE_BYTES_MAX, bytes), lost });
    this.#channelNames = [...snapshot.channelNames];
    this.#ioChannelId = snapshot.ioChannelId;
    this.#messageChannelId = snapshot.messageChannelId;
    // States of earlier versions come from behind both.
    this.#clientInfoPassed = snapshot.clientInfoPassed ?? true;
    this.#licensingPassed = snapshot.licensingPassed ?? true;
  }

  /**
   * Another connection of the same recording begins: what was half there will not go on. Only who knows that from elsewhere can
   * say so, for a peer could say it at any time and hide what follows.
   */
  restart(): void {
    const frames = { ...this.#frames };
    this.restore(new StreamInspector().snapshot());
    Object.assign(this.#frames, frames);
  }

  /** Bytes of the sender's incomplete PDU. */
  pending(sender: Sender): number {
    return this.#splitters[sender].pending;
  }

  /** The name of a static channel ('' for an id nobody announced). */
  channelName(channelId: number): string {
    return this.#channels.nameOf(channelId) ?? '';
  }

  push(sender: Sender, bytes: Uint8Array): InspectedEvent[] {
    const splitter = this.#splitters[sender];
    splitter.push(bytes);
    const events: InspectedEvent[] = [];
    for (let frame = splitter.next(); frame !== null; frame = splitter.next()) {
      const place = { sender, frame: this.#frames[sender], frameBytes: frame.length };
      this.#frames[sender] += 1;
      for (const event of this.#inspect(sender, frame)) events.push({ ...event, ...place });
    }
    return events;
  }

  #inspect(sender: Sender, frame: Uint8Array): Inspected[] {
    const events: Inspected[] = [];
    try {
      this.#frame(sender, frame, events);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      events.push({ kind: 'malformed', error, bytes: frame });
    }
    return events;
  }

  #frame(sender: Sender, frame: Uint8Array, events: Inspected[]): void {
    if (frame[0] === 3) this.#tpkt(sender, decode(tpkt, frame).payload, events);
    else if (this.#splitters[sender].connecting) events.push(beforeMcs(frame));
    else if (sender === 'client') events.push({ kind: 'fastPathInput', input: decode(fastPathInput, frame) });
    else this.#fastPathOutput(frame, events);
  }

  #tpkt(sender: Sender, tpdu: Uint8Array, events: Inspected[]): void {
    const code = (tpdu[1] ?? 0) & 0xf0;
    if (code === X224_CONNECTION_REQUEST) {
      events.push({ kind: 'connectionRequest', request: decode(x224ConnectionRequest, tpdu) });
      return;
    }
    if (code === X224_CONNECTION_CONFIRM) {
      events.push({ kind: 'connectionConfirm', confirm: decode(x224ConnectionConfirm, tpdu) });
      return;
    }
    if (code === X224_DISCONNECT_REQUEST || code === X224_ERROR) {
      events.push({ kind: 'x224Disconnect', reason: (code === X224_ERROR ? tpdu[4] : tpdu[6]) ?? 0 });
      return;
    }
    const { payload } = decode(x224Data, tpdu);
    if (this.#splitters[sender].connecting && payload[0] === MCS_CONNECT)
      events.push(this.#mcsConnect(sender, payload));
    else this.#mcs(sender, payload, events);
  }

  #mcsConnect(sender: Sender, payload: Uint8Array): Inspected {
    if (sender === 'client') {
      const initial = decode(mcsConnectInitial, payload);
      this.#splitters.client.connecting = false;
      const conference = decode(conferenceCreateRequest, initial.userData);
      for (const block of conference.blocks)
        if (block.kind === 'network') this.#channelNames = block.channels.map((channel) => channel.name.text);
      return { kind: 'connectInitial', conference };
    }
    const response = decode(mcsConnectResponse, payload);
    this.#splitters.server.connecting = false;
    const conference = decode(conferenceCreateResponse, response.userData);
    for (const block of conference.blocks) {
      if (block.kind === 'messageChannel') this.#messageChannelId = block.mcsChannelId;
      if (block.kind !== 'network') continue;
      this.#ioChannelId = block.mcsChannelId;
      block.channelIds.forEach((id, i) => {
        this.#channels.name(id, this.#channelNames[i] ?? '');
      });
    }
    return { kind: 'connectResponse', conference };
  }

  #mcs(sender: Sender, payload: Uint8Array, events: Inspected[]): void {
    const pdu = decode(mcsPdu, payload);
    if (pdu.kind !== 'sendDataRequest' && pdu.kind !== 'sendDataIndication') {
      events.push({ kind: 'mcs', pdu });
      return;
    }
    if (pdu.channelId === this.#ioChannelId) this.#io(sender, pdu, events);
    else if (pdu.channelId === this.#messageChannelId) events.push(messageChannel(pdu.data));
    else {
      const chunk = decode(channelChunk, pdu.data);
      events.push(...this.#channels.push(sender, pdu.channelId, chunk, this.#hooks[sender]));
    }
  }

  #io(sender: Sender, pdu: McsSendData, events: Inspected[]): void {
    const { data } = pdu;
    const inPlace = sender === 'client' ? this.#clientInfoInPlace(data) : this.#licenseInPlace(data);
    if (inPlace !== null) {
      events.push(inPlace);
      return;
    }
    if (!isShareControl(data)) {
      events.push(securityPdu(data));
      return;
    }
    for (const share of readShareControlPdus(new Reader(data))) this.#share(sender, share, events);
  }

  /** The client's first data on this channel, whatever its security header looks like: half of it is random. */
  #clientInfoInPlace(data: Uint8Array): Inspected | null {
    if (this.#clientInfoPassed) return null;
    this.#clientInfoPassed = true;
    const found = attempt(() => decode(clientInfoPdu, data));
    return found && { kind: 'clientInfo', info: found.info };
  }

  /** Licensing ends where the first share begins; its security headers may look like share control headers. */
  #licenseInPlace(data: Uint8Array): Inspected | null {
    if (this.#licensingPassed) return null;
    const reader = new Reader(data);
    const license = attempt(() => {
      const isLicense = (securityHeader.decode(reader).flags & SecurityFlag.licensePkt) !== 0;
      return isLicense ? decode(licensePdu, reader.rest()) : null;
    });
    return license && { kind: 'license', license };
  }

  #share(sender: Sender, share: ShareControlPdu, events: Inspected[]): void {
    switch (share.pduType & 0x0f) {
      case PduType.demandActive:
        this.#licensingPassed = true;
        events.push({ kind: 'demandActive', demand: decode(demandActive, share.body) });
        return;
      case PduType.confirmActive:
        events.push({ kind: 'confirmActive', confirm: decode(confirmActive, share.body) });
        return;
      case PduType.deactivateAll:
        events.push({ kind: 'deactivateAll', deactivate: decode(deactivateAll, share.body) });
        return;
      case PduType.serverRedirection:
        events.push({ kind: 'serverRedirection', redirection: decode(enhancedServerRedirection, share.body) });
        return;
      case PduType.data:
        this.#shareData(sender, share.body, events);
        return;
      default:
        throw new DecodeError('unsupported', `share control PDU of type ${share.pduType & 0x0f}`);
    }
  }

  #shareData(sender: Sender, body: Uint8Array, events: Inspected[]): void {
    const pdu = decode(shareDataPdu, body);
    const data = this.#undo(sender, pdu.data, pdu.compressedType);
    events.push({ kind: 'shareData', pdu, data });
    if (pdu.pduType2 === PduType2.update && data !== null)
      events.push({ kind: 'slowPathUpdate', ...decode(slowPathUpdate, data) });
  }

  #undo(sender: Sender, data: Uint8Array, flags: number): Uint8Array | null {
    return undoBulk(data, flags, (flags & CompressionFlag.compressed) !== 0, this.#hooks[sender]);
  }

  #fastPathOutput(frame: Uint8Array, events: Inspected[]): void {
    const output = decode(fastPathOutput, frame);
    events.push({ kind: 'fastPathOutput', output });
    for (const update of output.updates) {
      const data = this.#undo('server', update.data, update.compressionFlags ?? 0);
      const whole = this.#assemble(update, data);
      if (whole !== undefined) events.push({ kind: 'fastPathUpdate', updateCode: update.updateCode, data: whole });
    }
  }

  /** The whole update when this fragment ends it; null when a part of it could not be decompressed. */
  #assemble(update: FastPathUpdate, data: Uint8Array | null): Uint8Array | null | undefined {
    const { updateCode, fragmentation } = update;
    if (fragmentation === Fragmentation.single) return data;
    if (fragmentation === Fragmentation.first)
      this.#fragments.set(updateCode, { assembly: new Assembly(UPDATE_BYTES_MAX), lost: false });
    const parts = this.#fragments.get(updateCode);
    if (!parts) throw new DecodeError('invalid', 'fast-path fragment without a first one');
    if (data === null) parts.lost = true;
    else parts.assembly.add(data);
    if (fragmentation !== Fragmentation.last) return undefined;
    this.#fragments.delete(updateCode);
    return parts.lost ? null : parts.assembly.join();
  }
}

function beforeMcs(frame: Uint8Array): Inspected {
  if (frame.length === EARLY_USER_AUTH_RESULT_BYTES && frame[0] !== 0x30)
    return { kind: 'earlyUserAuthResult', result: new Reader(frame).u32le() };
  return { kind: 'credssp', request: decode(tsRequest, frame) };
}

function securityPdu(data: Uint8Array): Inspected {
  const reader = new Reader(data);
  const { flags } = securityHeader.decode(reader);
  if (flags === T128_FLOW_MARK) return { kind: 'flow', data };
  const body = reader.rest();
  if (flags & SecurityFlag.infoPkt) return { kind: 'clientInfo', info: decode(clientInfo, body) };
  if (flags & SecurityFlag.licensePkt) return { kind: 'license', license: decode(licensePdu, body) };
  return messageChannel(data);
}

/** Auto-detect, multitransport and heartbeat PDUs; servers without a message channel send them on the I/O channel. */
function messageChannel(data: Uint8Array): Inspected {
  const reader = new Reader(data);
  const { flags } = securityHeader.decode(reader);
  const known =
    SecurityFlag.autodetectReq |
    SecurityFlag.autodetectRsp |
    SecurityFlag.heartbeat |
    SecurityFlag.transportReq |
    SecurityFlag.transportRsp;
  if ((flags & known) === 0) throw reader.error('unsupported', `security flags 0x${flags.toString(16)}`);
  return { kind: 'messageChannel', securityFlags: flags, data: reader.rest() };
}
