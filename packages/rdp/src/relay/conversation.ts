/** What the two peers have agreed on so far, and what the gateway does with each PDU it sees whole. */
import { decode, encode } from '@lucid-sessions/wire';
import { confirmActive } from '../pdu/activation.ts';
import { clientInfoPdu } from '../pdu/client-info.ts';
import { conferenceCreateRequest, conferenceCreateResponse } from '../pdu/gcc.ts';
import { ClientEarlyCapability } from '../pdu/gcc-client.ts';
import { MCS_GLOBAL_CHANNEL_ID, MCS_PRIORITY_HIGH_WHOLE, type McsPdu, McsReason, mcsPdu } from '../pdu/mcs.ts';
import { mcsConnectInitial, mcsConnectResponse } from '../pdu/mcs-connect.ts';
import { SecurityFlag } from '../pdu/security.ts';
import { setErrorInfo } from '../pdu/session-control.ts';
import { PduType, PduType2, shareControlPdu, wrapShareData } from '../pdu/share.ts';
import type { ChannelIds } from './classify.ts';
import { type RelayEvent, type RelaySide, RelayViolation } from './events.ts';
import { type FrameTap, TapFlag } from './frame-tap.ts';
import type { Keeping } from './keeping-tap.ts';
import {
  classicCapabilities,
  mcsBytesOf,
  restoreRequestedProtocols,
  setSelectedProtocol,
  withoutCompression,
  withoutGraphicsPipeline,
  wrapMcs,
  wrapMcsBytes,
} from './rewrite.ts';
import { blankClientInfo, blankTsRequest } from './secrets.ts';
import { isSecurityHeader } from './security-header.ts';
import { readServerShare } from './server-share.ts';
import { sharePdusOf } from './share-pdus.ts';

export interface RelayPolicy {
  /** What the client asked for in its X.224 request; SC_CORE must echo it. */
  requestedProtocols: number;
  /** What the target selected in its X.224 confirm; CS_CORE must say it. */
  selectedProtocol: number;
  /** `classic`: the client's announcements are cut down until servers draw in plain bitmaps. */
  graphics: 'passthrough' | 'classic';
  /** What of what people type and copy is recorded; all of it by default. */
  keep?: { input: Keeping; clipboard: Keeping };
}

type McsSendDataPdu = Extract<McsPdu, { kind: 'sendDataRequest' | 'sendDataIndication' }>;

export class Conversation {
  readonly #policy: RelayPolicy;
  readonly #tap: FrameTap;
  readonly channelIds: ChannelIds = {
    ioChannelId: MCS_GLOBAL_CHANNEL_ID,
    dynamicChannelId: 0,
    clipboardChannelId: 0,
    deviceChannelId: 0,
  };
  #clientConnecting = true;
  #serverConnecting = true;
  #clientInfoSeen = false;
  #requestedChannels: string[] = [];
  #takesErrorInfo = false;
  #shareId: number | null = null;
  #serverInitiator = 0;

  constructor(policy: RelayPolicy, tap: FrameTap) {
    this.#policy = policy;
    this.#tap = tap;
  }

  /** Before the MCS connection CredSSP messages may come, fast-path can't. */
  isConnecting(side: RelaySide): boolean {
    return side === 'client' ? this.#clientConnecting : this.#serverConnecting;
  }

  /** Until the Client Info (from the client) or the Connect Response (from the server) every PDU is seen whole. */
  isHoldingAll(side: RelaySide): boolean {
    return side === 'client' ? !this.#clientInfoSeen : this.#serverConnecting;
  }

  /** The client has an MCS connection that can be ended properly. */
  get canEnd(): boolean {
    return !this.#serverConnecting;
  }

  /** Records a whole PDU and says what the other peer gets: the PDU, a changed one, or (null) nothing. */
  pdu(from: RelaySide, pdu: Uint8Array, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    const direction = from === 'client' ? 0 : 1;
    if (pdu[0] !== 3) {
      const secret = pdu[0] === 0x30;
      const bytes = secret ? blankTsRequest(pdu) : pdu;
      this.#tap.frame(0, direction | (secret ? TapFlag.blanked : 0), 0, bytes, timeUs);
      return pdu;
    }
    return from === 'client' ? this.#fromClient(pdu, timeUs, events) : this.#fromServer(pdu, timeUs, events);
  }

  /** Records what was received and what is delivered: one frame when they are the same, two when not. */
  #record(
    direction: 0 | 1,
    channelId: number,
    received: Uint8Array,
    delivered: Uint8Array | null,
    timeUs: number,
    flags = 0,
  ): void {
    const common = direction | flags;
    if (delivered === received) {
      this.#tap.frame(0, common, channelId, received, timeUs);
      return;
    }
    this.#tap.frame(0, common | TapFlag.receivedOnly, channelId, received, timeUs);
    if (delivered !== null) this.#tap.frame(0, common | TapFlag.deliveredOnly, channelId, delivered, timeUs);
  }

  // ---- client → server

  #fromClient(pdu: Uint8Array, timeUs: number, events: RelayEvent[]): Uint8Array {
    const mcs = mcsBytesOf(pdu);
    if (this.#clientConnecting) {
      const delivered = this.#connectInitial(pdu, mcs, events);
      this.#clientConnecting = false;
      this.#record(0, 0, pdu, delivered, timeUs);
      return delivered;
    }
    const domain = decode(mcsPdu, mcs);
    if (domain.kind === 'disconnectProviderUltimatum')
      events.push({ kind: 'disconnect', from: 'client', reason: domain.reason });
    if (domain.kind !== 'sendDataRequest') {
      this.#record(0, 0, pdu, pdu, timeUs);
      return pdu;
    }
    if (domain.channelId !== this.channelIds.ioChannelId) {
      this.#record(0, domain.channelId, pdu, pdu, timeUs);
      return pdu;
    }
    return this.#clientIoPdu(pdu, domain, timeUs, events);
  }

  #connectInitial(pdu: Uint8Array, mcs: Uint8Array, events: RelayEvent[]): Uint8Array {
    const connect = decode(mcsConnectInitial, mcs);
    const request = decode(conferenceCreateRequest, connect.userData);
    for (const block of request.blocks) {
      if (block.kind === 'core') {
        const early = block.earlyCapabilityFlags ?? 0;
        this.#takesErrorInfo = (early & ClientEarlyCapability.supportErrinfoPdu) !== 0;
        events.push({
          kind: 'client',
          clientName: block.clientName.text,
          clientBuild: block.clientBuild,
          keyboardLayout: block.keyboardLayout,
          desktopWidth: block.desktopWidth,
          desktopHeight: block.desktopHeight,
          colorDepth:
            early & ClientEarlyCapability.want32BppSession
              ? 32
              : (block.highColorDepth ?? colorDepthOf(block.colorDepth)),
        });
      }
      if (block.kind === 'network') this.#requestedChannels = block.channels.map((channel) => channel.name.text);
    }
    for (const what of ['input', 'clipboard'] as const) {
      const keeping = this.#policy.keep?.[what] ?? 'full';
      if (keeping !== 'full') events.push({ kind: 'downgrade', what: `${what} not kept in the recording: ${keeping}` });
    }
    const selectedChanged = setSelectedProtocol(request, this.#policy.selectedProtocol);
    const graphicsChanged = this.#policy.graphics === 'classic' && withoutGraphicsPipeline(request);
    if (graphicsChanged) events.push({ kind: 'downgrade', what: 'graphics pipeline not announced to the server' });
    if (!selectedChanged && !graphicsChanged) return pdu;
    return wrapMcsBytes(encode(mcsConnectInitial, { ...connect, userData: encode(conferenceCreateRequest, request) }));
  }

  #clientIoPdu(pdu: Uint8Array, domain: McsSendDataPdu, timeUs: number, events: RelayEvent[]): Uint8Array {
    const { data, channelId } = domain;
    if (isSecurityHeader(data, SecurityFlag.infoPkt)) return this.#clientInfo(pdu, domain, timeUs, events);
    const delivered = this.#policy.graphics === 'classic' ? this.#classicShare(pdu, domain, events) : pdu;
    this.#record(0, channelId, pdu, delivered, timeUs);
    return delivered;
  }

  #clientInfo(pdu: Uint8Array, domain: McsSendDataPdu, timeUs: number, events: RelayEvent[]): Uint8Array {
    if (isSecurityHeader(domain.data, SecurityFlag.encrypt))
      throw new RelayViolation('unsupported_security', 'client', 'Client Info is under standard RDP security; use TLS');
    const info = decode(clientInfoPdu, domain.data);
    this.#clientInfoSeen = true;
    events.push({ kind: 'client_info', userName: info.info.userName, domain: info.info.domain });
    const received = blankClientInfo(pdu, domain.data);
    const flags = received.blanked ? TapFlag.blanked : 0;
    // Compressed contents can't be taken out of a recording: the history behind them is the pictures' too.
    const uncompressed = this.#policy.graphics === 'classic' || (this.#policy.keep?.clipboard ?? 'full') !== 'full';
    if (!uncompressed || !withoutCompression(info)) {
      this.#tap.frame(0, flags, domain.channelId, received.bytes, timeUs);
      return pdu;
    }
    events.push({ kind: 'downgrade', what: 'bulk compression not announced to the server' });
    const data = encode(clientInfoPdu, info);
    const delivered = wrapMcs({ ...domain, data });
    const deliveredData = delivered.subarray(delivered.length - data.length);
    this.#tap.frame(0, flags | TapFlag.receivedOnly, domain.channelId, received.bytes, timeUs);
    this.#tap.frame(
      0,
      flags | TapFlag.deliveredOnly,
      domain.channelId,
      blankClientInfo(delivered, deliveredData).bytes,
      timeUs,
    );
    return delivered;
  }

  /** Confirm Active cut down to bitmaps; every other share PDU as it is. */
  #classicShare(pdu: Uint8Array, domain: McsSendDataPdu, events: RelayEvent[]): Uint8Array {
    const shares = sharePdusOf(domain.data);
    const at = shares.findIndex((share) => (share.pduType & 15) === PduType.confirmActive);
    const share = shares[at];
    if (share === undefined) return pdu;
    const confirm = decode(confirmActive, share.body);
    const { sets, changed } = classicCapabilities(confirm.capabilitySets);
    if (!changed) return pdu;
    events.push({ kind: 'downgrade', what: 'surface commands, codecs and drawing orders not announced to the server' });
    const { lengthCombinedCapabilities: _, ...rest } = confirm;
    shares[at] = { ...share, body: encode(confirmActive, { ...rest, capabilitySets: sets }) };
    const data = joinBytes(shares.map((each) => encode(shareControlPdu, each)));
    return wrapMcs({ ...domain, data });
  }

  // ---- server → client

  #fromServer(pdu: Uint8Array, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    const mcs = mcsBytesOf(pdu);
    if (this.#serverConnecting) {
      const delivered = this.#connectResponse(pdu, mcs, events);
      this.#serverConnecting = false;
      this.#record(1, 0, pdu, delivered, timeUs);
      return delivered;
    }
    const domain = decode(mcsPdu, mcs);
    if (domain.kind === 'disconnectProviderUltimatum')
      events.push({ kind: 'disconnect', from: 'server', reason: domain.reason });
    if (domain.kind !== 'sendDataIndication') {
      this.#record(1, 0, pdu, pdu, timeUs);
      return pdu;
    }
    return this.#serverIoPdu(pdu, domain, timeUs, events);
  }

  #connectResponse(pdu: Uint8Array, mcs: Uint8Array, events: RelayEvent[]): Uint8Array {
    const connect = decode(mcsConnectResponse, mcs);
    const response = decode(conferenceCreateResponse, connect.userData);
    for (const block of response.blocks) {
      if (block.kind === 'security' && block.encryptionMethod !== 0)
        throw new RelayViolation(
          'unsupported_security',
          'server',
          'the target insists on standard RDP security, which hides the session from the recording; let it use TLS',
        );
      if (block.kind === 'network') this.#nameChannels(block.mcsChannelId, block.channelIds, events);
    }
    if (!restoreRequestedProtocols(response, this.#policy.requestedProtocols)) return pdu;
    return wrapMcsBytes(
      encode(mcsConnectResponse, { ...connect, userData: encode(conferenceCreateResponse, response) }),
    );
  }

  #nameChannels(ioChannelId: number, channelIds: number[], events: RelayEvent[]): void {
    this.channelIds.ioChannelId = ioChannelId;
    const channels = this.#requestedChannels
      .map((name, i) => ({ channelId: channelIds[i] ?? 0, name }))
      .filter(({ channelId }) => channelId !== 0);
    const idOf = (wanted: string): number => channels.find(({ name }) => name.toLowerCase() === wanted)?.channelId ?? 0;
    this.channelIds.dynamicChannelId = idOf('drdynvc');
    this.channelIds.clipboardChannelId = idOf('cliprdr');
    this.channelIds.deviceChannelId = idOf('rdpdr');
    events.push({ kind: 'channels', ioChannelId, channels });
  }

  #serverIoPdu(pdu: Uint8Array, domain: McsSendDataPdu, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    this.#serverInitiator = domain.initiator;
    // A copy: secrets are zeroed in it, and the original is what the client gets.
    const recorded = new Uint8Array(pdu);
    const start = domain.data.byteOffset - pdu.byteOffset;
    const data = recorded.subarray(start, start + domain.data.length);
    const found = readServerShare(data, events);
    if (found.shareId !== null) this.#shareId = found.shareId;
    const flags = 1 | (found.blanked ? TapFlag.blanked : 0);
    this.#tap.frame(0, found.redirected ? flags | TapFlag.receivedOnly : flags, domain.channelId, recorded, timeUs);
    return found.redirected ? null : pdu;
  }

  /** Set Error Info (if the client takes it and there is a share) and the ultimatum; recorded as delivered only. */
  closingPdus(errorInfo: number, timeUs: number): Uint8Array {
    const pdus: Uint8Array[] = [];
    const { ioChannelId: channelId } = this.channelIds;
    if (this.#takesErrorInfo && this.#shareId !== null && errorInfo !== 0) {
      const initiator = this.#serverInitiator;
      const data = wrapShareData(this.#shareId, initiator, PduType2.setErrorInfo, setErrorInfo, { errorInfo });
      pdus.push(wrapMcs({ kind: 'sendDataIndication', initiator, channelId, priority: MCS_PRIORITY_HIGH_WHOLE, data }));
    }
    pdus.push(wrapMcs({ kind: 'disconnectProviderUltimatum', reason: McsReason.userRequested, spare: 0 }));
    for (const [i, pdu] of pdus.entries())
      this.#tap.frame(0, 1 | TapFlag.deliveredOnly, i === pdus.length - 1 ? 0 : channelId, pdu, timeUs);
    return joinBytes(pdus);
  }
}

/** colorDepth of clients that know no highColorDepth, [MS-RDPBCGR] 2.2.1.3.2: 0xCA00 is 4, 0xCA01 is 8 bits. */
const colorDepthOf = (colorDepth: number): number => (colorDepth === 0xca00 ? 4 : 8);

function joinBytes(parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
