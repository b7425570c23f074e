import { type Codec, DecodeError, decode, encode, Reader } from '@lucid-sessions/wire';
import { type ChannelChunk, channelChunk } from '../channel/static-channel.ts';
import { confirmActive, demandActive, ORIGINATOR_SERVER_CHANNEL_ID } from '../pdu/activation.ts';
import { type CapabilitySet, InputFlag } from '../pdu/capability-sets.ts';
import { clientInfoPdu, emptyTimeZone, InfoFlag } from '../pdu/client-info.ts';
import { errorInfoText } from '../pdu/error-info.ts';
import { type FastPathInputEvent, type FastPathOutput, fastPathInput, fastPathOutput } from '../pdu/fast-path.ts';
import { ControlAction, control, fontList, synchronize } from '../pdu/finalization.ts';
import { FrameSplitter } from '../pdu/frame-splitter.ts';
import { conferenceCreateRequest, conferenceCreateResponse } from '../pdu/gcc.ts';
import { type ClientCoreData, type ClientDataBlock, ClientEarlyCapability } from '../pdu/gcc-client.ts';
import type { ServerDataBlock } from '../pdu/gcc-server.ts';
import { type SlowPathInputEvent, slowPathInput } from '../pdu/input.ts';
import {
  LICENSE_STATE_NO_TRANSITION,
  LICENSE_STATUS_VALID_CLIENT,
  LicenseMessageType,
  type LicensePdu,
  licensePdu,
} from '../pdu/licensing.ts';
import { MCS_GLOBAL_CHANNEL_ID, type McsPdu, McsReason, mcsPdu } from '../pdu/mcs.ts';
import { type DomainParameters, mcsConnectInitial, mcsConnectResponse } from '../pdu/mcs-connect.ts';
import { type EnhancedServerRedirection, enhancedServerRedirection } from '../pdu/redirection.ts';
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
  Protocol,
  type RoutingLine,
  type X224ConnectionConfirm,
  x224ConnectionConfirm,
  x224ConnectionRequest,
  x224Data,
} from '../pdu/x224.ts';
import type { ChannelAssignment } from './acceptor.ts';
import { type ColorDepth, clientCapabilities, type DesktopShape } from './default-capabilities.ts';
import { channelFrames, concat, dataFrame, mcsFrame, requestFrame, type Step, x224Frame } from './frames.ts';

/** What a `Connector` asks for. */
export interface ConnectorConfig {
  /** Bits of `Protocol`; TLS alone unless the driver does CredSSP. */
  requestedProtocols?: number;
  /** The line that names the session to a gateway or load balancer. */
  routing?: RoutingLine;
  desktopWidth: number;
  desktopHeight: number;
  bitsPerPixel?: ColorDepth;
  clientName?: string;
  /** Windows keyboard layout id, 0x409 (US) unless given. */
  keyboardLayout?: number;
  channels?: { name: string; options: number }[];
  domain?: string;
  userName?: string;
  password?: string;
  /** INFO_* flags beyond the ones every client sends. */
  infoFlags?: number;
  alternateShell?: string;
  capabilitySets?: (shape: DesktopShape) => CapabilitySet[];
  /** Added to CS_CORE's earlyCapabilityFlags. */
  earlyCapabilityFlags?: number;
}

/** What MCS Connect Response says of the domain. */
interface Domain {
  ioChannelId: number;
  /** Null: the server has none. */
  messageChannelId: number | null;
  channels: ChannelAssignment[];
}

/** … and what Attach User Confirm adds. */
interface Attached extends Domain {
  userId: number;
}

/** What Demand Active says. */
interface Share {
  shareId: number;
  capabilitySets: CapabilitySet[];
  hasFastPathInput: boolean;
}

/** Where the sequence stands, what it waits for, and what it knows by then. */
type Phase =
  | { at: 'idle' | 'connectionConfirm' | 'ended' }
  /** `tls`: the driver does the handshake, then calls `tlsEstablished`; `credssp`: it answers the frames it gets, then calls `credsspDone`. */
  | { at: 'tls' | 'credssp' | 'connectResponse'; selectedProtocol: number }
  | { at: 'attachUserConfirm'; domain: Domain }
  | { at: 'channelJoinConfirm'; domain: Attached; toJoin: number[] }
  | { at: 'licensing'; domain: Attached }
  /** `share`: of the desktop that was deactivated. */
  | { at: 'demandActive'; domain: Attached; share: Share | null }
  | { at: 'finalization' | 'active'; domain: Attached; share: Share };

export type ConnectorState = Phase['at'];

export type ConnectorEvent =
  | { kind: 'startTls'; selectedProtocol: number }
  | { kind: 'credssp'; message: Uint8Array }
  | { kind: 'negotiationFailed'; failureCode: number }
  | { kind: 'connectResponse'; blocks: ServerDataBlock[]; channels: ChannelAssignment[] }
  | { kind: 'active'; shape: DesktopShape; capabilitySets: CapabilitySet[] }
  /** Deactivate All: the server will demand again, or end. */
  | { kind: 'deactivated' }
  | { kind: 'fastPathOutput'; output: FastPathOutput }
  | { kind: 'shareData'; pdu: ShareDataPdu }
  | { kind: 'channelData'; channelId: number; channelName: string; chunk: ChannelChunk }
  | { kind: 'errorInfo'; code: number; text: string }
  | { kind: 'serverRedirection'; redirection: EnhancedServerRedirection }
  | { kind: 'ended'; reason: number };

const KEYBOARD_LAYOUT_US = 0x409;
const CLIENT_BUILD = 2600;
const VERSION_5_PLUS = 0x00080004;
const domain = (maxChannelIds: number, maxUserIds: number, maxTokenIds: number, size: number): DomainParameters => ({
  maxChannelIds,
  maxUserIds,
  maxTokenIds,
  numPriorities: 1,
  minThroughput: 0,
  maxHeight: 1,
  maxMcsPduSize: size,
  protocolVersion: 2,
});

/**
 * The client's side of the connection sequence, [MS-RDPBCGR] 1.3.1.1, without sockets. Begin with `start`; input may
 * come in any pieces. Throws `DecodeError` on a protocol violation; the connection is lost then.
 */
export class Connector {
  readonly #config: ConnectorConfig;
  readonly #splitter = new FrameSplitter();
  #phase: Phase = { at: 'idle' };
  #output: Uint8Array[] = [];
  #events: ConnectorEvent[] = [];
  #shape: DesktopShape;

  constructor(config: ConnectorConfig) {
    this.#config = config;
    const { desktopWidth, desktopHeight, bitsPerPixel = 16 } = config;
    this.#shape = { desktopWidth, desktopHeight, bitsPerPixel };
  }

  get state(): ConnectorState {
    return this.#phase.at;
  }

  /** The session's desktop; the server's word from `active` on. */
  get shape(): DesktopShape {
    return this.#shape;
  }

  /** What the server gave; empty until it did. */
  get channels(): readonly ChannelAssignment[] {
    return 'domain' in this.#phase ? this.#phase.domain.channels : [];
  }

  /** The domain with our user in it; null before and after. */
  get #attached(): Attached | null {
    return 'domain' in this.#phase && this.#phase.at !== 'attachUserConfirm' ? this.#phase.domain : null;
  }

  get #share(): Share | null {
    return 'share' in this.#phase ? this.#phase.share : null;
  }

  /** The first bytes: X.224 Connection Request. */
  start(): Step<ConnectorEvent> {
    const requestedProtocols = this.#config.requestedProtocols ?? Protocol.ssl;
    const { routing } = this.#config;
    this.#output.push(
      x224Frame(x224ConnectionRequest, {
        destinationReference: 0,
        sourceReference: 0,
        classOption: 0,
        ...(routing && { routing }),
        negotiation: { flags: 0, requestedProtocols },
      }),
    );
    this.#phase = { at: 'connectionConfirm' };
    return this.#flush();
  }

  /** Takes bytes of the server. */
  step(input: Uint8Array): Step<ConnectorEvent> {
    this.#splitter.push(input);
    while (this.#phase.at !== 'ended' && this.#phase.at !== 'tls') {
      const frame = this.#splitter.next();
      if (frame === null) break;
      this.#frame(frame);
    }
    return this.#flush();
  }

  /** The TLS handshake is done: MCS begins, unless CredSSP comes first. */
  tlsEstablished(): Step<ConnectorEvent> {
    const { selectedProtocol } = this.#secured('tls');
    const isHybrid = (selectedProtocol & (Protocol.hybrid | Protocol.hybridEx)) !== 0;
    if (isHybrid) this.#phase = { at: 'credssp', selectedProtocol };
    else this.#sendConnectInitial(selectedProtocol);
    return this.#flush();
  }

  /** The server has authenticated the user: MCS begins. */
  credsspDone(): Step<ConnectorEvent> {
    this.#sendConnectInitial(this.#secured('credssp').selectedProtocol);
    return this.#flush();
  }

  #secured(at: 'tls' | 'credssp'): { selectedProtocol: number } {
    if (this.#phase.at !== at) throw new Error(`the connector is at ${this.#phase.at}, not at ${at}`);
    return this.#phase;
  }

  /** Input events, fast-path when the server takes it. No bytes where there is no desktop. */
  input(events: FastPathInputEvent[]): Uint8Array {
    if (this.#share?.hasFastPathInput) return encode(fastPathInput, { flags: 0, events });
    const slow = { pad2Octets: 0, events: events.map(toSlowPath) };
    return this.shareData(PduType2.input, slowPathInput, slow);
  }

  /** One share data PDU, ready to send. No bytes where there is no desktop. */
  shareData<T>(pduType2: number, codec: Codec<T>, value: T): Uint8Array {
    const [attached, share] = [this.#attached, this.#share];
    if (attached === null || share === null) return new Uint8Array(0);
    return request(attached, wrapShareData(share.shareId, attached.userId, pduType2, codec, value));
  }

  /** A static channel message, cut into chunks, ready to send. No bytes outside a session. */
  channelMessage(channelId: number, message: Uint8Array): Uint8Array {
    const attached = this.#attached;
    if (attached === null) return new Uint8Array(0);
    return channelFrames(message, (data) => requestFrame(attached.userId, channelId, data));
  }

  /** Bytes that end the session. */
  disconnect(): Uint8Array {
    this.#phase = { at: 'ended' };
    return mcsFrame({ kind: 'disconnectProviderUltimatum', reason: McsReason.userRequested, spare: 0 });
  }

  #flush(): Step<ConnectorEvent> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #violation(what: string): DecodeError {
    return new DecodeError('invalid', `${what} while waiting for ${this.#phase.at}`);
  }

  #frame(frame: Uint8Array): void {
    if (this.#phase.at === 'credssp') {
      this.#events.push({ kind: 'credssp', message: frame });
      return;
    }
    if (frame[0] !== 3) {
      this.#events.push({ kind: 'fastPathOutput', output: decode(fastPathOutput, frame) });
      return;
    }
    const { payload } = decode(tpkt, frame);
    if (this.#phase.at === 'connectionConfirm') this.#connectionConfirm(decode(x224ConnectionConfirm, payload));
    else if (this.#phase.at === 'connectResponse') this.#connectResponse(decode(x224Data, payload).payload);
    else this.#mcs(decode(mcsPdu, decode(x224Data, payload).payload));
  }

  #connectionConfirm(confirm: X224ConnectionConfirm): void {
    const answer = confirm.negotiation;
    if (answer?.kind === 'response' && answer.selectedProtocol !== Protocol.rdp) {
      const { selectedProtocol } = answer;
      this.#events.push({ kind: 'startTls', selectedProtocol });
      this.#phase = { at: 'tls', selectedProtocol };
      return;
    }
    // A server that answers without negotiation, or picks 0, wants standard RDP security, which nobody should use.
    this.#events.push({
      kind: 'negotiationFailed',
      failureCode: answer?.kind === 'failure' ? answer.failureCode : 0,
    });
    this.#phase = { at: 'ended' };
  }

  #sendConnectInitial(selectedProtocol: number): void {
    const userData = encode(conferenceCreateRequest, { blocks: this.#clientBlocks(selectedProtocol) });
    const initial = {
      callingDomainSelector: Uint8Array.of(1),
      calledDomainSelector: Uint8Array.of(1),
      upwardFlag: 0xff,
      targetParameters: domain(34, 2, 0, 65535),
      minimumParameters: domain(1, 1, 1, 1056),
      maximumParameters: domain(65535, 64535, 65535, 65535),
      userData,
    };
    this.#output.push(dataFrame(encode(mcsConnectInitial, initial)));
    this.#phase = { at: 'connectResponse', selectedProtocol };
  }

  #clientBlocks(selectedProtocol: number): ClientDataBlock[] {
    const channels = (this.#config.channels ?? []).map(({ name, options }) => ({ name: { text: name }, options }));
    return [
      { kind: 'core', ...this.#coreData(selectedProtocol) },
      { kind: 'cluster', flags: 0x0d, redirectedSessionId: 0 },
      { kind: 'security', encryptionMethods: 0, extEncryptionMethods: 0 },
      ...(channels.length > 0 ? [{ kind: 'network', channels } as const] : []),
    ];
  }

  #coreData(serverSelectedProtocol: number): ClientCoreData {
    const { desktopWidth, desktopHeight, bitsPerPixel } = this.#shape;
    const want32 = bitsPerPixel === 32 ? ClientEarlyCapability.want32BppSession : 0;
    return {
      version: VERSION_5_PLUS,
      desktopWidth,
      desktopHeight,
      colorDepth: 0xca01,
      sasSequence: 0xaa03,
      keyboardLayout: this.#config.keyboardLayout ?? KEYBOARD_LAYOUT_US,
      clientBuild: CLIENT_BUILD,
      clientName: { text: (this.#config.clientName ?? 'lucid').slice(0, 15) },
      keyboardType: 4,
      keyboardSubType: 0,
      keyboardFunctionKey: 12,
      imeFileName: { text: '' },
      postBeta2ColorDepth: 0xca01,
      clientProductId: 1,
      serialNumber: 0,
      highColorDepth: Math.min(bitsPerPixel, 24),
      supportedColorDepths: 0x0f,
      earlyCapabilityFlags: ClientEarlyCapability.supportErrinfoPdu | want32 | (this.#config.earlyCapabilityFlags ?? 0),
      clientDigProductId: new Uint8Array(64),
      connectionType: 0,
      pad1octet: 0,
      serverSelectedProtocol,
    };
  }

  #connectResponse(payload: Uint8Array): void {
    const response = decode(mcsConnectResponse, payload);
    if (response.result !== 0)
      throw new DecodeError('invalid', `MCS connection refused with result ${response.result}`);
    this.#splitter.connecting = false;
    const { blocks } = decode(conferenceCreateResponse, response.userData);
    const domain = this.#domainOf(blocks);
    this.#events.push({ kind: 'connectResponse', blocks, channels: domain.channels });
    const zero = { value: 0, size: 1 };
    this.#output.push(mcsFrame({ kind: 'erectDomainRequest', subHeight: zero, subInterval: zero }));
    this.#output.push(mcsFrame({ kind: 'attachUserRequest' }));
    this.#phase = { at: 'attachUserConfirm', domain };
  }

  #domainOf(blocks: readonly ServerDataBlock[]): Domain {
    const network = blocks.findLast((block) => block.kind === 'network');
    const messages = blocks.findLast((block) => block.kind === 'messageChannel');
    const names = this.#config.channels ?? [];
    return {
      ioChannelId: network?.mcsChannelId ?? MCS_GLOBAL_CHANNEL_ID,
      messageChannelId: messages?.mcsChannelId || null,
      channels: (network?.channelIds ?? []).map((channelId, i) => ({ channelId, name: names[i]?.name ?? '' })),
    };
  }

  #mcs(pdu: McsPdu): void {
    switch (pdu.kind) {
      case 'attachUserConfirm':
        this.#userAttached(pdu.result, pdu.initiator);
        return;
      case 'channelJoinConfirm':
        if (pdu.result !== 0) throw new DecodeError('invalid', `channel ${pdu.requested} refused`);
        this.#joined();
        return;
      case 'disconnectProviderUltimatum':
        this.#phase = { at: 'ended' };
        this.#events.push({ kind: 'ended', reason: pdu.reason });
        return;
      case 'sendDataIndication':
        this.#indication(pdu.channelId, pdu.data);
        return;
      default:
        throw this.#violation(`MCS ${pdu.kind}`);
    }
  }

  #userAttached(result: number, userId: number | undefined): void {
    if (this.#phase.at !== 'attachUserConfirm' || result !== 0 || userId === undefined)
      throw this.#violation(`attach user result ${result}`);
    const { ioChannelId, messageChannelId, channels } = this.#phase.domain;
    const toJoin = [userId, ioChannelId, ...channels.map((channel) => channel.channelId)];
    if (messageChannelId !== null) toJoin.push(messageChannelId);
    this.#phase = { at: 'channelJoinConfirm', domain: { ...this.#phase.domain, userId }, toJoin };
    this.#joinNext(this.#phase);
  }

  #joined(): void {
    if (this.#phase.at !== 'channelJoinConfirm') throw this.#violation('channel join confirm');
    this.#joinNext(this.#phase);
  }

  #joinNext({ domain, toJoin }: Extract<Phase, { at: 'channelJoinConfirm' }>): void {
    const channelId = toJoin.shift();
    if (channelId === undefined) this.#sendClientInfo(domain);
    else this.#output.push(mcsFrame({ kind: 'channelJoinRequest', initiator: domain.userId, channelId }));
  }

  #indication(channelId: number, data: Uint8Array): void {
    const attached = this.#attached;
    if (attached === null) throw this.#violation('data');
    if (channelId === attached.ioChannelId) this.#io(attached, data);
    else if (channelId !== attached.messageChannelId) this.#channelData(attached, channelId, data);
  }

  #sendClientInfo(attached: Attached): void {
    const { userName = '', password = '', domain: domainName = '', alternateShell = '', infoFlags = 0 } = this.#config;
    const flags =
      InfoFlag.mouse |
      InfoFlag.unicode |
      InfoFlag.disableCtrlAltDel |
      InfoFlag.enableWindowsKey |
      InfoFlag.maximizeShell |
      InfoFlag.logonErrors |
      (password === '' ? 0 : InfoFlag.autologon) |
      infoFlags;
    const extended = {
      clientAddressFamily: 2,
      clientAddress: new Uint8Array(2),
      clientDir: new Uint8Array(2),
      clientTimeZone: emptyTimeZone(),
      clientSessionId: 0,
      performanceFlags: 0,
    };
    const info = {
      codePage: 0,
      flags,
      domain: domainName,
      userName,
      password,
      alternateShell,
      workingDir: '',
      extended,
    };
    this.#output.push(request(attached, encode(clientInfoPdu, { flags: SecurityFlag.infoPkt, flagsHi: 0, info })));
    this.#phase = { at: 'licensing', domain: attached };
  }

  #channelData({ channels }: Domain, channelId: number, data: Uint8Array): void {
    const channel = channels.find((candidate) => candidate.channelId === channelId);
    if (!channel) throw new DecodeError('invalid', `data on channel ${channelId}, which was not announced`);
    this.#events.push({ kind: 'channelData', channelId, channelName: channel.name, chunk: decode(channelChunk, data) });
  }

  #io(attached: Attached, data: Uint8Array): void {
    const reader = new Reader(data);
    if (!isShareControl(data)) {
      const { flags } = securityHeader.decode(reader);
      if (flags & SecurityFlag.licensePkt) this.#license(attached, decode(licensePdu, reader.rest()));
      return;
    }
    for (const pdu of readShareControlPdus(reader)) this.#shareControl(attached, pdu);
  }

  /** A server that wants a license gets told that there is none; those that don't care go on. */
  #license(domain: Attached, license: LicensePdu): void {
    if (license.body.kind === 'error') {
      if (license.body.error.errorCode !== LICENSE_STATUS_VALID_CLIENT)
        throw new DecodeError('unsupported', `licensing ended with error ${license.body.error.errorCode}`);
      if (this.#phase.at === 'licensing') this.#phase = { at: 'demandActive', domain, share: null };
      return;
    }
    if (license.messageType !== LicenseMessageType.licenseRequest) return;
    const noLicense = {
      errorCode: 2,
      stateTransition: LICENSE_STATE_NO_TRANSITION,
      blobType: 4,
      blob: new Uint8Array(0),
    };
    const alert = encode(licensePdu, {
      messageType: LicenseMessageType.errorAlert,
      flags: 3,
      body: { kind: 'error', error: noLicense },
    });
    const header = encode(securityHeader, { flags: SecurityFlag.licensePkt, flagsHi: 0 });
    this.#output.push(request(domain, concat([header, alert])));
  }

  #shareControl(domain: Attached, share: ShareControlPdu): void {
    switch (share.pduType & 15) {
      case PduType.demandActive:
        this.#demandActive(domain, share.body);
        return;
      case PduType.deactivateAll:
        this.#phase = { at: 'demandActive', domain, share: this.#share };
        this.#events.push({ kind: 'deactivated' });
        return;
      case PduType.serverRedirection:
        this.#events.push({ kind: 'serverRedirection', redirection: decode(enhancedServerRedirection, share.body) });
        return;
      case PduType.data:
        this.#shareData(decode(shareDataPdu, share.body));
        return;
      default:
        throw this.#violation(`share control PDU ${share.pduType & 15}`);
    }
  }

  #demandActive(domain: Attached, body: Uint8Array): void {
    const { shareId, capabilitySets } = decode(demandActive, body);
    let hasFastPathInput = this.#share?.hasFastPathInput ?? false;
    for (const set of capabilitySets) {
      if (set.kind === 'bitmap') {
        const bitsPerPixel = toDepth(set.preferredBitsPerPixel, this.#shape.bitsPerPixel);
        this.#shape = { desktopWidth: set.desktopWidth, desktopHeight: set.desktopHeight, bitsPerPixel };
      }
      if (set.kind === 'input')
        hasFastPathInput = (set.inputFlags & (InputFlag.fastpathInput | InputFlag.fastpathInput2)) !== 0;
    }
    this.#phase = { at: 'finalization', domain, share: { shareId, capabilitySets, hasFastPathInput } };
    this.#sendConfirmActive(domain, shareId);
  }

  #sendConfirmActive(domain: Attached, shareId: number): void {
    const layout = this.#config.keyboardLayout ?? KEYBOARD_LAYOUT_US;
    const make = this.#config.capabilitySets ?? ((shape: DesktopShape) => clientCapabilities(shape, layout));
    const confirm = {
      shareId,
      originatorId: ORIGINATOR_SERVER_CHANNEL_ID,
      sourceDescriptor: Uint8Array.of(0x4c, 0x53, 0),
      pad2Octets: 0,
      capabilitySets: make(this.#shape),
    };
    this.#output.push(request(domain, wrapShareControl(PduType.confirmActive, domain.userId, confirmActive, confirm)));
    const sync = { messageType: 1, targetUser: ORIGINATOR_SERVER_CHANNEL_ID };
    this.#output.push(this.shareData(PduType2.synchronize, synchronize, sync));
    for (const action of [ControlAction.cooperate, ControlAction.requestControl])
      this.#output.push(this.shareData(PduType2.control, control, { action, grantId: 0, controlId: 0 }));
    const fonts = { numberFonts: 0, totalNumFonts: 0, listFlags: 3, entrySize: 50 };
    this.#output.push(this.shareData(PduType2.fontList, fontList, fonts));
  }

  #shareData(pdu: ShareDataPdu): void {
    if (pdu.pduType2 === PduType2.setErrorInfo) {
      const { errorInfo } = decode(setErrorInfo, pdu.data);
      // Servers clear the error with 0 at the start of a session.
      if (errorInfo !== 0) this.#events.push({ kind: 'errorInfo', code: errorInfo, text: errorInfoText(errorInfo) });
      return;
    }
    const phase = this.#phase;
    if (phase.at === 'finalization' && pdu.pduType2 === PduType2.fontMap) {
      this.#phase = { ...phase, at: 'active' };
      this.#events.push({ kind: 'active', shape: this.#shape, capabilitySets: phase.share.capabilitySets });
      return;
    }
    this.#events.push({ kind: 'shareData', pdu });
  }
}

/** What the user sends on the channel of input and output. */
const request = ({ userId, ioChannelId }: Attached, data: Uint8Array): Uint8Array =>
  requestFrame(userId, ioChannelId, data);

function toDepth(bits: number, otherwise: ColorDepth): ColorDepth {
  return bits === 15 || bits === 16 || bits === 24 || bits === 32 ? bits : otherwise;
}

/** The same event for servers without fast-path input. */
function toSlowPath(event: FastPathInputEvent): SlowPathInputEvent {
  const release = event.flags & 1 ? 0x8000 : 0;
  switch (event.kind) {
    case 'scancode': {
      const extended = (event.flags & 2 ? 0x0100 : 0) | (event.flags & 4 ? 0x0200 : 0);
      return {
        eventTime: 0,
        kind: 'scancode',
        keyboardFlags: release | extended,
        keyCode: event.keyCode,
        pad2Octets: 0,
      };
    }
    case 'unicode':
      return { eventTime: 0, kind: 'unicode', keyboardFlags: release, keyCode: event.unicodeCode, pad2Octets: 0 };
    case 'mouse':
    case 'mousex':
    case 'mouseRelative': {
      const { flags: _, ...rest } = event;
      return { eventTime: 0, ...rest };
    }
    case 'sync':
      return { eventTime: 0, kind: 'synchronize', pad2Octets: 0, toggleFlags: event.flags };
    case 'qoeTimestamp':
      return { eventTime: 0, kind: 'unused', data: new Uint8Array(6) };
  }
}
