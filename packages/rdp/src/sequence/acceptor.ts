import { type Codec, DecodeError, decode, encode, Reader } from '@lucid-sessions/wire';
import { type ChannelChunk, channelChunk } from '../channel/static-channel.ts';
import { confirmActive, deactivateAll, demandActive } from '../pdu/activation.ts';
import type { CapabilitySet } from '../pdu/capability-sets.ts';
import { type ClientInfo, clientInfoPdu } from '../pdu/client-info.ts';
import { type FastPathInput, type FastPathUpdate, fastPathInput, fastPathOutput } from '../pdu/fast-path.ts';
import { ControlAction, control, fontMap, synchronize } from '../pdu/finalization.ts';
import { FrameSplitter } from '../pdu/frame-splitter.ts';
import { conferenceCreateRequest, conferenceCreateResponse } from '../pdu/gcc.ts';
import type { ClientCoreData, ClientDataBlock } from '../pdu/gcc-client.ts';
import type { ServerDataBlock } from '../pdu/gcc-server.ts';
import { licensePdu, validClientLicense } from '../pdu/licensing.ts';
import { MCS_GLOBAL_CHANNEL_ID, type McsPdu, McsReason, mcsPdu } from '../pdu/mcs.ts';
import { type DomainParameters, mcsConnectInitial, mcsConnectResponse } from '../pdu/mcs-connect.ts';
import { SecurityFlag, securityHeader } from '../pdu/security.ts';
import { setErrorInfo } from '../pdu/session-control.ts';
import {
  isShareControl,
  PduType,
  PduType2,
  readShareControlPdus,
  type ShareControlPdu,
  type ShareDataPdu,
  shareDataPdu,
  wrapShareControl,
  wrapShareData,
} from '../pdu/share.ts';
import { tpkt } from '../pdu/tpkt.ts';
import {
  NegotiationFailureCode,
  NegotiationResponseFlag,
  Protocol,
  type X224ConnectionRequest,
  x224ConnectionConfirm,
  x224ConnectionRequest,
  x224Data,
} from '../pdu/x224.ts';
import { type ColorDepth, type DesktopShape, serverCapabilities } from './default-capabilities.ts';
import {
  channelFrames,
  concat,
  dataFrame,
  indicationFrame,
  mcsFrame,
  SERVER_USER_ID,
  type Step,
  x224Frame,
} from './frames.ts';

/** How an `Acceptor` answers. */
export interface AcceptorConfig {
  /** Bits of `Protocol` the driver can do. TLS alone unless the driver does CredSSP. */
  protocols: number;
  /** The desktop; what the client asked for when absent. */
  desktop?: { width: number; height: number };
  /** The session's depth; the best the client asked for when absent. */
  bitsPerPixel?: ColorDepth;
  /** The server's capability sets for the agreed desktop. */
  capabilitySets?: (shape: DesktopShape) => CapabilitySet[];
  /**
   * Where the sequence begins. `connectInitial` when somebody else did X.224 and security (RDCleanPath): then
   * `selectedProtocol` and `requestedProtocols` say what they agreed on.
   */
  begin?: { at: 'connectInitial'; selectedProtocol: number; requestedProtocols: number };
  /**
   * Another server is to take the client over: nothing is said behind its Client Info until `proceed`, and a client that knows
   * the message channel gets one, in case the other server has it.
   */
  holds?: boolean;
}

/** Where the sequence stands; what it waits for. */
export type AcceptorState =
  | 'connectionRequest'
  /** The driver does the TLS handshake, then calls `tlsEstablished`. */
  | 'tls'
  /** The driver does CredSSP with the frames it gets, then calls `credsspDone`. */
  | 'credssp'
  | 'connectInitial'
  | 'channelConnection'
  /** Its owner's word: `proceed`, or the client is taken over. */
  | 'held'
  | 'confirmActive'
  | 'finalization'
  | 'active'
  | 'ended';

export type AcceptorEvent =
  | { kind: 'connectionRequest'; request: X224ConnectionRequest }
  /** Send the step's output, then do TLS; `rest` are bytes that came behind the request and belong to TLS. */
  | { kind: 'startTls'; selectedProtocol: number; rest: Uint8Array }
  /** One CredSSP message of the client (state `credssp`). */
  | { kind: 'credssp'; message: Uint8Array }
  /** No common protocol; the refusal is in the output, close afterwards. */
  | { kind: 'negotiationFailed'; failureCode: number }
  | { kind: 'connectInitial'; blocks: ClientDataBlock[]; channels: ChannelAssignment[] }
  /** `data`: what came on the I/O channel, the password in it. */
  | { kind: 'clientInfo'; info: ClientInfo; data: Uint8Array }
  | { kind: 'active'; shape: DesktopShape; capabilitySets: CapabilitySet[] }
  | { kind: 'fastPathInput'; input: FastPathInput }
  | { kind: 'shareData'; pdu: ShareDataPdu }
  | { kind: 'channelData'; channelId: number; channelName: string; chunk: ChannelChunk }
  /** The client left, or the refusal is complete: send the output and close. */
  | { kind: 'ended'; reason: 'clientLeft' | 'refused' };

/** A static channel and the MCS id it got. */
export interface ChannelAssignment {
  channelId: number;
  name: string;
}

/** Ids of the MCS domain as a client knows them. */
export interface DomainIds {
  userId: number;
  ioChannelId: number;
  /** 0 where there is none. */
  messageChannelId: number;
  /** Of its static channels, in the order in which it asked for them. */
  channelIds: readonly number[];
}

/** Most static channels, [MS-RDPBCGR] 2.2.1.3.4. */
const STATIC_CHANNELS_MAX = 31;
const SHARE_ID = 0x000103ea;
const VERSION_5_PLUS = 0x00080004;
const DOMAIN_PARAMETERS: DomainParameters = {
  maxChannelIds: 34,
  maxUserIds: 3,
  maxTokenIds: 0,
  numPriorities: 1,
  minThroughput: 0,
  maxHeight: 1,
  maxMcsPduSize: 65528,
  protocolVersion: 2,
};

/** The best protocol both sides can do, strongest first; undefined when there is none. */
function selectProtocol(requested: number, offered: number): number | undefined {
  for (const protocol of [Protocol.hybridEx, Protocol.hybrid, Protocol.ssl])
    if (requested & offered & protocol) return protocol;
  return undefined;
}

/** The depth the client asks for in its core data, [MS-RDPBCGR] 2.2.1.3.2. */
export function requestedColorDepth(core: ClientCoreData): ColorDepth {
  if ((core.earlyCapabilityFlags ?? 0) & 0x0002) return 32;
  const depth = core.highColorDepth ?? 0;
  return depth === 24 || depth === 15 ? depth : 16;
}

/**
 * The server's side of the connection sequence, [MS-RDPBCGR] 1.3.1.1, without sockets: bytes of the client in, bytes for
 * it and events out. Input may come in any pieces. Throws `DecodeError` on a protocol violation; the connection is lost
 * then. Time limits are the driver's.
 */
export class Acceptor {
  readonly #config: AcceptorConfig;
  readonly #splitter = new FrameSplitter();
  #state: AcceptorState = 'connectionRequest';
  #output: Uint8Array[] = [];
  #events: AcceptorEvent[] = [];
  #requestedProtocols = 0;
  #selectedProtocol = 0;
  #channels: ChannelAssignment[] = [];
  #userId = 0;
  #messageChannelId = 0;
  #core: ClientCoreData | null = null;
  #shape: DesktopShape = { desktopWidth: 0, desktopHeight: 0, bitsPerPixel: 16 };
  #clientSets: CapabilitySet[] = [];
  #errorInfo: number | null = null;

  constructor(config: AcceptorConfig) {
    this.#config = config;
    if (!config.begin) return;
    this.#state = 'connectInitial';
    this.#selectedProtocol = config.begin.selectedProtocol;
    this.#requestedProtocols = config.begin.requestedProtocols;
  }

  get state(): AcceptorState {
    return this.#state;
  }

  /** The session's desktop; meaningful from `connectInitial` on. */
  get shape(): DesktopShape {
    return this.#shape;
  }

  /** What the client was given; meaningful from `connectInitial` on. */
  get ids(): DomainIds {
    return {
      userId: this.#userId,
      ioChannelId: MCS_GLOBAL_CHANNEL_ID,
      messageChannelId: this.#messageChannelId,
      channelIds: this.#channels.map(({ channelId }) => channelId),
    };
  }

  /** Goes on with a client that is held: licensing, and a desktop. */
  proceed(): Step<AcceptorEvent> {
    this.#goOn();
    return this.#flush();
  }

  /** Deactivate All: the client keeps its last picture and waits for the next Demand Active, whoever it comes from. */
  deactivate(): Uint8Array {
    const body = { shareId: SHARE_ID, sourceDescriptor: Uint8Array.of(0) };
    const pdu = wrapShareControl(PduType.deactivateAll, SERVER_USER_ID, deactivateAll, body);
    return indicationFrame(MCS_GLOBAL_CHANNEL_ID, pdu);
  }

  /** What the client said that was not dealt with: half a PDU. For whoever takes it over. */
  takeRest(): Uint8Array {
    this.#state = 'ended';
    return this.#splitter.takeRest();
  }

  /** Takes bytes of the client. */
  step(input: Uint8Array): Step<AcceptorEvent> {
    this.#splitter.push(input);
    while (this.#state !== 'ended' && this.#state !== 'tls') {
      const frame = this.#splitter.next();
      if (frame === null) break;
      this.#frame(frame);
    }
    return this.#flush();
  }

  /** The TLS handshake is done: CredSSP or MCS comes next. */
  tlsEstablished(): void {
    const isHybrid = (this.#selectedProtocol & (Protocol.hybrid | Protocol.hybridEx)) !== 0;
    this.#state = isHybrid ? 'credssp' : 'connectInitial';
  }

  /** The driver has authenticated the client. */
  credsspDone(): void {
    this.#state = 'connectInitial';
  }

  /**
   * Refuses the client in a way its user gets to read: the sequence goes on until the client listens to error PDUs, then
   * Set Error Info, Deactivate All and Disconnect Provider Ultimatum follow and `ended` comes.
   */
  refuse(errorInfo: number): Step<AcceptorEvent> {
    this.#errorInfo = errorInfo;
    if (this.#state === 'active') this.#sendRefusal();
    this.#goOn();
    return this.#flush();
  }

  /** Bytes that end the session without an error. */
  disconnect(): Uint8Array {
    this.#state = 'ended';
    return mcsFrame({ kind: 'disconnectProviderUltimatum', reason: McsReason.userRequested, spare: 0 });
  }

  /** One share data PDU, ready to send. */
  shareData<T>(pduType2: number, codec: Codec<T>, value: T): Uint8Array {
    const share = wrapShareData(SHARE_ID, SERVER_USER_ID, pduType2, codec, value);
    return indicationFrame(MCS_GLOBAL_CHANNEL_ID, share);
  }

  /** Fast-path updates in one PDU, ready to send. */
  fastPath(updates: FastPathUpdate[]): Uint8Array {
    return encode(fastPathOutput, { flags: 0, reserved: 0, updates });
  }

  /** Static channels the client asked for, with the ids it got. */
  get channels(): readonly ChannelAssignment[] {
    return this.#channels;
  }

  /** A static channel message, cut into chunks, ready to send. */
  channelMessage(channelId: number, message: Uint8Array): Uint8Array {
    return channelFrames(message, (data) => indicationFrame(channelId, data));
  }

  #flush(): Step<AcceptorEvent> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #violation(what: string): DecodeError {
    return new DecodeError('invalid', `${what} while waiting for ${this.#state}`);
  }

  #frame(frame: Uint8Array): void {
    if (this.#state === 'credssp') {
      this.#events.push({ kind: 'credssp', message: frame });
      return;
    }
    if (frame[0] !== 3) {
      this.#fastPathInput(frame);
      return;
    }
    const { payload } = decode(tpkt, frame);
    if (this.#state === 'connectionRequest') this.#connectionRequest(payload);
    else if (this.#state === 'connectInitial') this.#connectInitial(decode(x224Data, payload).payload);
    else this.#mcs(decode(mcsPdu, decode(x224Data, payload).payload));
  }

  #fastPathInput(frame: Uint8Array): void {
    if (this.#state !== 'active' && this.#state !== 'finalization' && this.#state !== 'confirmActive')
      throw this.#violation('fast-path input');
    if (this.#state === 'active') this.#events.push({ kind: 'fastPathInput', input: decode(fastPathInput, frame) });
  }

  #connectionRequest(tpdu: Uint8Array): void {
    const request = decode(x224ConnectionRequest, tpdu);
    this.#events.push({ kind: 'connectionRequest', request });
    this.#requestedProtocols = request.negotiation?.requestedProtocols ?? Protocol.rdp;
    const selected = selectProtocol(this.#requestedProtocols, this.#config.protocols);
    const confirm = { destinationReference: request.sourceReference, sourceReference: 0x1234, classOption: 0 };
    if (selected === undefined) {
      const failureCode =
        this.#config.protocols & Protocol.ssl
          ? NegotiationFailureCode.sslRequiredByServer
          : NegotiationFailureCode.hybridRequiredByServer;
      const negotiation = { kind: 'failure', flags: 0, failureCode } as const;
      this.#output.push(x224Frame(x224ConnectionConfirm, { ...confirm, negotiation }));
      this.#events.push({ kind: 'negotiationFailed', failureCode });
      this.#state = 'ended';
      return;
    }
    this.#selectedProtocol = selected;
    const flags = NegotiationResponseFlag.extendedClientDataSupported;
    const negotiation = { kind: 'response', flags, selectedProtocol: selected } as const;
    this.#output.push(x224Frame(x224ConnectionConfirm, { ...confirm, negotiation }));
    this.#events.push({ kind: 'startTls', selectedProtocol: selected, rest: this.#splitter.takeRest() });
    this.#state = 'tls';
  }

  #connectInitial(payload: Uint8Array): void {
    const initial = decode(mcsConnectInitial, payload);
    const { blocks } = decode(conferenceCreateRequest, initial.userData);
    this.#splitter.connecting = false;
    this.#readBlocks(blocks);
    const userData = encode(conferenceCreateResponse, {
      nodeId: 0x79f3,
      tag: Uint8Array.of(1),
      result: 0,
      blocks: this.#serverBlocks(),
    });
    const response = { result: 0, calledConnectId: 0, domainParameters: DOMAIN_PARAMETERS, userData };
    this.#output.push(dataFrame(encode(mcsConnectResponse, response)));
    this.#events.push({ kind: 'connectInitial', blocks, channels: this.#channels });
    this.#state = 'channelConnection';
  }

  #readBlocks(blocks: ClientDataBlock[]): void {
    for (const block of blocks) {
      if (block.kind === 'core') this.#core = block;
      if (block.kind !== 'network') continue;
      if (block.channels.length > STATIC_CHANNELS_MAX)
        throw new DecodeError('limit', `${block.channels.length} static channels`);
      this.#channels = block.channels.map((channel, i) => ({
        channelId: MCS_GLOBAL_CHANNEL_ID + 1 + i,
        name: channel.name.text,
      }));
    }
    const core = this.#core;
    if (!core) throw new DecodeError('invalid', 'client without core data');
    this.#userId = MCS_GLOBAL_CHANNEL_ID + 1 + this.#channels.length;
    if (this.#config.holds && blocks.some(({ kind }) => kind === 'messageChannel'))
      this.#messageChannelId = this.#userId + 1;
    this.#shape = {
      desktopWidth: this.#config.desktop?.width ?? core.desktopWidth,
      desktopHeight: this.#config.desktop?.height ?? core.desktopHeight,
      bitsPerPixel: this.#config.bitsPerPixel ?? requestedColorDepth(core),
    };
  }

  #serverBlocks(): ServerDataBlock[] {
    const channelIds = this.#channels.map((channel) => channel.channelId);
    const padding = channelIds.length % 2 === 1 ? { trailing: new Uint8Array(2) } : {};
    return [
      { kind: 'core', version: VERSION_5_PLUS, clientRequestedProtocols: this.#requestedProtocols },
      { kind: 'security', encryptionMethod: 0, encryptionLevel: 0 },
      { kind: 'network', mcsChannelId: MCS_GLOBAL_CHANNEL_ID, channelIds, ...padding },
      ...(this.#messageChannelId === 0
        ? []
        : [{ kind: 'messageChannel', mcsChannelId: this.#messageChannelId } as const]),
    ];
  }

  #mcs(pdu: McsPdu): void {
    switch (pdu.kind) {
      case 'erectDomainRequest':
        return;
      case 'attachUserRequest':
        this.#output.push(mcsFrame({ kind: 'attachUserConfirm', result: 0, initiator: this.#userId }));
        return;
      case 'channelJoinRequest':
        this.#join(pdu.channelId);
        return;
      case 'disconnectProviderUltimatum':
        this.#state = 'ended';
        this.#events.push({ kind: 'ended', reason: 'clientLeft' });
        return;
      case 'sendDataRequest':
        if (pdu.channelId === MCS_GLOBAL_CHANNEL_ID) this.#io(pdu.data);
        else if (pdu.channelId !== this.#messageChannelId) this.#channelData(pdu.channelId, pdu.data);
        return;
      default:
        throw this.#violation(`MCS ${pdu.kind}`);
    }
  }

  #join(channelId: number): void {
    const exists =
      channelId === this.#userId ||
      channelId === MCS_GLOBAL_CHANNEL_ID ||
      (channelId === this.#messageChannelId && channelId !== 0) ||
      this.#channels.some((channel) => channel.channelId === channelId);
    const confirm = { kind: 'channelJoinConfirm', initiator: this.#userId, requested: channelId } as const;
    // 3 is rt-no-such-channel.
    this.#output.push(mcsFrame(exists ? { ...confirm, result: 0, channelId } : { ...confirm, result: 3 }));
  }

  #channelData(channelId: number, data: Uint8Array): void {
    const channel = this.#channels.find((candidate) => candidate.channelId === channelId);
    if (!channel) throw new DecodeError('invalid', `data on channel ${channelId}, which does not exist`);
    if (this.#state !== 'active') return;
    this.#events.push({ kind: 'channelData', channelId, channelName: channel.name, chunk: decode(channelChunk, data) });
  }

  #io(data: Uint8Array): void {
    if (this.#state === 'channelConnection') {
      const { info } = decode(clientInfoPdu, data);
      this.#events.push({ kind: 'clientInfo', info, data: new Uint8Array(data) });
      this.#state = 'held';
      if (!this.#config.holds || this.#errorInfo !== null) this.#goOn();
      return;
    }
    if (this.#state === 'held') return;
    // Licensing and auto-detect answers have a security header; this server asked for neither.
    if (!isShareControl(data)) return;
    for (const pdu of readShareControlPdus(new Reader(data))) this.#share(pdu);
  }

  #goOn(): void {
    if (this.#state !== 'held') return;
    this.#sendLicense();
    this.#sendDemandActive();
  }

  #sendLicense(): void {
    const header = encode(securityHeader, { flags: SecurityFlag.licensePkt, flagsHi: 0 });
    const license = encode(licensePdu, validClientLicense());
    this.#output.push(indicationFrame(MCS_GLOBAL_CHANNEL_ID, concat([header, license])));
  }

  #sendDemandActive(): void {
    const sets = (this.#config.capabilitySets ?? serverCapabilities)(this.#shape);
    const demand = {
      shareId: SHARE_ID,
      sourceDescriptor: Uint8Array.of(0x52, 0x44, 0x50, 0),
      pad2Octets: 0,
      capabilitySets: sets,
      sessionId: 0,
    };
    const pdu = wrapShareControl(PduType.demandActive, SERVER_USER_ID, demandActive, demand);
    this.#output.push(indicationFrame(MCS_GLOBAL_CHANNEL_ID, pdu));
    this.#state = 'confirmActive';
  }

  #share(share: ShareControlPdu): void {
    const type = share.pduType & 15;
    if (type === PduType.confirmActive && this.#state === 'confirmActive') {
      this.#clientSets = decode(confirmActive, share.body).capabilitySets;
      this.#state = 'finalization';
      return;
    }
    if (type !== PduType.data) throw this.#violation(`share control PDU ${type}`);
    const pdu = decode(shareDataPdu, share.body);
    if (this.#state === 'finalization') this.#finalize(pdu);
    else if (this.#state === 'active') this.#events.push({ kind: 'shareData', pdu });
  }

  /** [MS-RDPBCGR] 1.3.1.1, connection finalization; the persistent key list and early input need no answer. */
  #finalize(pdu: ShareDataPdu): void {
    if (pdu.pduType2 === PduType2.synchronize)
      this.#output.push(
        this.shareData(PduType2.synchronize, synchronize, { messageType: 1, targetUser: this.#userId }),
      );
    if (pdu.pduType2 === PduType2.control) {
      const { action } = decode(control, pdu.data);
      if (action === ControlAction.cooperate) this.#sendControl(ControlAction.cooperate, 0, 0);
      if (action === ControlAction.requestControl)
        this.#sendControl(ControlAction.grantedControl, this.#userId, SERVER_USER_ID);
    }
    if (pdu.pduType2 !== PduType2.fontList) return;
    const map = { numberEntries: 0, totalNumEntries: 0, mapFlags: 3, entrySize: 4 };
    this.#output.push(this.shareData(PduType2.fontMap, fontMap, map));
    this.#state = 'active';
    if (this.#errorInfo !== null) this.#sendRefusal();
    else this.#events.push({ kind: 'active', shape: this.#shape, capabilitySets: this.#clientSets });
  }

  #sendControl(action: number, grantId: number, controlId: number): void {
    this.#output.push(this.shareData(PduType2.control, control, { action, grantId, controlId }));
  }

  #sendRefusal(): void {
    this.#output.push(this.shareData(PduType2.setErrorInfo, setErrorInfo, { errorInfo: this.#errorInfo ?? 0 }));
    this.#output.push(this.deactivate());
    this.#output.push(mcsFrame({ kind: 'disconnectProviderUltimatum', reason: McsReason.providerInitiated, spare: 0 }));
    this.#state = 'ended';
    this.#events.push({ kind: 'ended', reason: 'refused' });
  }
}
