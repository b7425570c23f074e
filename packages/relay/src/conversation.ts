/** What the two peers have agreed on so far, and what the gateway does with each PDU it sees whole. */
import {
  ClientEarlyCapability,
  channelKind,
  clientInfoSecrets,
  conferenceCreateRequest,
  conferenceCreateResponse,
  confirmActive,
  type FastPathInputEvent,
  fastPathInput,
  MCS_PRIORITY_HIGH_WHOLE,
  McsReason,
  mcsConnectInitial,
  mcsConnectResponse,
  PduType,
  PduType2,
  SecurityFlag,
  setErrorInfo,
  shareControlPdu,
  shareDataPdu,
  slowPathInput,
  toFastPath,
  toSlowPath,
  wrapShareData,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { attempt, decode, encode, joinBytes } from '@lucid-sessions/wire';
import { Answers } from './answers.ts';
import { type Canvas, paintedData, refreshData } from './canvas.ts';
import type { ChannelIds } from './classify.ts';
import { ClientChannels } from './client-channels.ts';
import { clientShares, hasKeyList } from './client-shares.ts';
import { eachCompressed } from './compressed-pdus.ts';
import { CompressedSecrets } from './compressed-secrets.ts';
import type { Undrawable } from './confirm-active.ts';
import { type ContentTap, type Keeping, READ_BY_RELAY } from './content-tap.ts';
import { type Downgrade, DowngradeBook, leftIn, type Unreplayable, unreplayable } from './downgrades.ts';
import { type RelayEvent, type RelaySide, RelayViolation } from './events.ts';
import {
  type MultitransportRequest,
  multitransportRefusal,
  multitransportRequest,
  withoutMultitransport,
} from './multitransport.ts';
import type { OverlayPicture } from './pipeline/overlay.ts';
import { PipelinePainter } from './pipeline/pipeline-painter.ts';
import type { Area } from './pipeline/pipeline-view.ts';
import { ChannelGates } from './policy/channel-gates.ts';
import { type ChannelPolicy, refusesNothing } from './policy/channel-policy.ts';
import type { ChunksPassed } from './policy/message-gate.ts';
import { logonName, type PutInLogon, putInLogon } from './put-in-logon.ts';
import { BitmapRecut } from './recut/bitmap-recut.ts';
import { recutBitmaps } from './recut/bitmaps.ts';
import {
  classicCapabilities,
  offersRdp61,
  restoreRequestedProtocols,
  setSelectedProtocol,
  withAutologon,
  withDeepColour,
  withoutCompression,
  withoutGraphicsPipeline,
  wrapMcs,
  wrapMcsBytes,
} from './rewrite.ts';
import { type Blanked, blankRanges, blankTsRequest, blankWhole } from './secrets.ts';
import { isSecurityHeader } from './security-header.ts';
import { type SeenData, seePdu } from './seen-pdu.ts';
import { ServerCreates } from './server-creates.ts';
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
  /** What of what replay can't show stays in the negotiation; nothing by default. */
  leaveIn?: readonly Unreplayable[];
  /** Who logs on in the client's place; the password is held until its Client Info has passed, and no longer. */
  logon?: PutInLogon | null;
  /** Has the server log on with the password the client sends, where it sends one. */
  autologon?: boolean;
  /** Asks for 32 bits per pixel, whatever the client asks for. */
  deepColour?: boolean;
  /** Bitmaps larger than their rectangles are cut to them, for clients that draw such wrongly; the server may not compress then. */
  recutBitmaps?: boolean;
  /** False: the server is not told that it may compress. The graphics pipeline, which has its own, stays as it is. */
  bulkCompression?: boolean;
  /** What the graphics pipeline draws is read, so that the gateway can draw over it. */
  paintsPipeline?: boolean;
  /** What may cross beside screen and input; everything when absent. */
  channels?: ChannelPolicy | undefined;
}

/** TPKT and X.224 Data: what stays of a PDU of which nothing may be recorded. */
const HEADERS_BYTES = 7;
/** Offset of the info packet's flags in the data of a Client Info PDU, behind security header and code page. */
const INFO_FLAGS_OFFSET = 8;

const nothing: readonly Uint8Array[] = [];
/** Updates of the gateway's own that wait for the end of a PDU: more than one picture has. */
const PAINTED_MAX = 128;
/** Chunks of a picture over the graphics pipeline, and of those that take its place before they were sent. */
const OVERLAY_CHUNKS_MAX = 4096;
/** Input PDUs of the gateway's own that wait for the end of one of the client's. */
const INPUTS_MAX = 256;
const noRefusals: ReadonlyMap<string, number> = new Map();

/**
 * Is told what an input PDU of the client says and answers what of it the server gets: all, none, or in fast-path input a part. A
 * slow-path PDU of which a part is to pass passes whole: those that are delivered alone are of somebody who steers.
 */
export type InputWatch = (events: readonly FastPathInputEvent[]) => readonly FastPathInputEvent[];

/** Secrets are counted, never told. */
export interface SecretCounters {
  /** Frames of which something was zeroed. */
  secretsBlanked: number;
  /** PDUs passed on that could not be read where a secret may be: zeroed, or kept like what people type. */
  unread: number;
}

export class Conversation {
  readonly #policy: RelayPolicy;
  readonly #tap: Pick<ContentTap, 'frame' | 'watch'>;
  readonly #counters: SecretCounters;
  readonly channelIds: ChannelIds;
  #clientConnecting = true;
  #serverConnecting = true;
  /** Nothing of the client on the I/O channel can be its Client Info any more. */
  #clientInfoPassed = false;
  #isSentOn = false;
  /** To be put in, or `done`; null: the client's own passes. */
  #logon: PutInLogon | 'done' | null;
  readonly #compressed = new CompressedSecrets();
  /** Until the client says what it takes: RDP 6.1 hides a secret's place behind a history. */
  #mayUseRdp61 = true;
  #requestedChannels: string[] = [];
  #takesErrorInfo = false;
  #shareId: number | null = null;
  #canvas: Canvas | null = null;
  #isActive = false;
  #serverInitiator = 0;
  #clientInitiator = 0;
  /** Everything, until the server says what it has. */
  #undrawable: Undrawable = { nineGrid: true, gdiPlus: true, composition: true };
  readonly #book = new DowngradeBook();
  readonly #clientChannels: ClientChannels;
  /** Where what the present PDU makes known goes. */
  #events: RelayEvent[] = [];
  readonly #creates = new ServerCreates();
  readonly #answers = new Answers();
  readonly #recut: BitmapRecut | null;
  /** null: what the graphics pipeline draws is not read. */
  readonly #painter: PipelinePainter | null;
  /** null: nobody asks about the client's input. */
  #watch: InputWatch | null = null;
  /** null: no policy, and every channel passes as it comes. */
  readonly #gates: ChannelGates | null;

  constructor(
    policy: RelayPolicy,
    tap: Pick<ContentTap, 'frame' | 'watch'>,
    counters: SecretCounters,
    ids: ChannelIds,
  ) {
    const { logon = null, ...rest } = policy;
    this.#policy = rest;
    this.#recut = policy.recutBitmaps === true ? new BitmapRecut() : null;
    const isRead = policy.paintsPipeline === true && policy.graphics === 'passthrough' && !this.#leaves('graphics');
    this.#painter = isRead ? new PipelinePainter({ isOpen: (id) => tap.watch.dynamicName(id) !== null }) : null;
    this.#logon = logon;
    this.#tap = tap;
    this.#counters = counters;
    this.channelIds = ids;
    this.#clientChannels = new ClientChannels({
      leaves: (what) => this.#leaves(what),
      nameOf: (id) => tap.watch.dynamicName(id),
      tell: (what) => this.#tell(what),
      withoutOurs: (message) => this.#painter?.withoutOurs(message) ?? message,
    });
    const { channels } = policy;
    this.#gates = channels === undefined || refusesNothing(channels) ? null : this.#gatesOf(channels);
  }

  #gatesOf(policy: ChannelPolicy): ChannelGates {
    return new ChannelGates({
      policy,
      tell: (what) => this.#events.push({ kind: 'policy', what, count: 1 }),
      refusesOtherwise: (name) => this.#refusesVideo(name),
      answer: (to, channelId, chunk) => this.#answer(to, channelId, chunk),
    });
  }

  #refusesVideo(name: string): boolean {
    const isRefused = !this.#leaves('video') && channelKind(name).class === 'video';
    if (isRefused) this.#tell('video');
    return isRefused;
  }

  /** The server has told the client to go elsewhere. */
  get isSentOn(): boolean {
    return this.#isSentOn;
  }

  /** What the policy of channels refused until now, and how often. */
  get refusals(): ReadonlyMap<string, number> {
    return this.#gates?.refusals ?? noRefusals;
  }

  #leaves(what: Unreplayable): boolean {
    // What crosses by UDP is under no policy.
    if (what === 'udp' && this.#gates !== null) return false;
    return this.#policy.leaveIn?.includes(what) === true;
  }

  #tell(what: Downgrade): void {
    this.#book.tell(what, this.#events);
  }

  /** Before the MCS connection CredSSP messages may come, fast-path can't. */
  isConnecting(side: RelaySide): boolean {
    return side === 'client' ? this.#clientConnecting : this.#serverConnecting;
  }

  /** Every PDU of the server on that channel that is passed on without having been seen whole must be given to `follow`, in order. */
  isFollowing(channelId: number): boolean {
    return this.#mayUseRdp61 || this.#paintsOn(channelId);
  }

  #paintsOn(channelId: number): boolean {
    return this.#painter !== null && channelId !== 0 && channelId === this.channelIds.dynamicChannelId;
  }

  follow(pdu: Uint8Array): void {
    if (this.#mayUseRdp61) this.#followBulk(pdu);
    if (this.#painter === null || pdu[0] !== 3) return;
    const seen = seePdu(pdu, 'server');
    if (seen.kind === 'data' && this.#paintsOn(seen.channelId)) this.#painter.follow(seen.data);
  }

  #followBulk(pdu: Uint8Array): void {
    eachCompressed(pdu, this.channelIds.ioChannelId, (data, flags) => this.#compressed.follow(data, flags));
  }

  /** Until the Client Info (from the client) or the Connect Response (from the server) every PDU is seen whole. */
  isHoldingAll(side: RelaySide): boolean {
    return side === 'client' ? !this.#clientInfoPassed : this.#serverConnecting;
  }

  /** The server answers on the I/O channel only when it has the Client Info: what comes now is something else. */
  serverSpoke(): void {
    // A server that speaks before its time does not get the client's own.
    if (this.#logon === null) this.#clientInfoPassed = true;
  }

  /** The client has an MCS connection that can be ended properly. */
  get canEnd(): boolean {
    return !this.#serverConnecting;
  }

  /** Records a whole PDU and says what the other peer gets: the PDU, a changed one, or (null) nothing. */
  pdu(from: RelaySide, pdu: Uint8Array, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    this.#events = events;
    if (pdu[0] !== 3) {
      if (from === 'server' && this.#recut !== null && !this.isConnecting(from))
        return this.#serverFastPath(pdu, this.#recut, timeUs);
      if (from === 'client' && this.#watch !== null && !this.isConnecting(from))
        return this.#watchedFastPath(pdu, this.#watch, timeUs);
      this.#withoutTpkt(from, pdu, timeUs);
      return pdu;
    }
    if (from === 'client') return this.#fromClient(pdu, timeUs, events);
    const fragments = this.#recut?.isUnderWay === true ? this.#releaseFragments(this.#recut, timeUs) : nothing;
    const passed = this.#fromServer(pdu, timeUs, events);
    return fragments.length === 0 ? passed : joinBytes(passed === null ? fragments : [...fragments, passed]);
  }

  /** What can't be read passes: whoever is asked about must be able to read it. */
  #watchedFastPath(pdu: Uint8Array, watch: InputWatch, timeUs: number): Uint8Array | null {
    const input = attempt(() => decode(fastPathInput, pdu));
    const passing = input === null ? null : watch(input.events);
    const isWhole = input === null || passing === null || passing.length === input.events.length;
    const changed = isWhole || passing.length === 0 ? [] : [encode(fastPathInput, { ...input, events: [...passing] })];
    return this.#recordPassed(frameFlags.fastPath, 0, pdu, isWhole ? null : changed, timeUs);
  }

  #serverFastPath(pdu: Uint8Array, recut: BitmapRecut, timeUs: number): Uint8Array | null {
    this.serverSpoke();
    if (this.#mayUseRdp61) this.#followBulk(pdu);
    const passed = recut.fastPath(pdu);
    this.channelIds.bitmaps = recut.isUnderWay ? 'under way' : 'seen';
    if (recut.hasCut) this.#tell('recut');
    return this.#recordPassed(1 | frameFlags.fastPath, 0, pdu, passed, timeUs);
  }

  /** They go on as they came. */
  #releaseFragments(recut: BitmapRecut, timeUs: number): readonly Uint8Array[] {
    this.channelIds.bitmaps = 'seen';
    const fragments = recut.release();
    const flags = 1 | frameFlags.fastPath | frameFlags.deliveredOnly;
    for (const each of fragments) this.#tap.frame(0, flags, 0, each, timeUs);
    return fragments;
  }

  /** CredSSP before the MCS connection, fast-path behind it: their first bytes may be the same. */
  #withoutTpkt(from: RelaySide, pdu: Uint8Array, timeUs: number): void {
    const direction = from === 'client' ? 0 : 1;
    if (!this.isConnecting(from)) {
      this.#tap.frame(0, direction | frameFlags.fastPath, 0, pdu, timeUs);
      return;
    }
    if (pdu[0] === 0x30) this.#blanked(direction, 0, { bytes: blankTsRequest(pdu), blanked: true }, timeUs);
    else this.#tap.frame(0, direction, 0, pdu, timeUs);
  }

  #blanked(flags: number, channelId: number, { bytes, blanked }: Blanked, timeUs: number): void {
    if (blanked) this.#counters.secretsBlanked += 1;
    const read = flags | READ_BY_RELAY;
    this.#tap.frame(0, blanked ? read | frameFlags.blanked : read, channelId, bytes, timeUs);
  }

  /** Passed on, and recorded so that only who may see inputs sees it: a secret may be in it. */
  #unread(
    direction: 0 | 1,
    channelId: number,
    pdu: Uint8Array,
    timeUs: number,
    keptBytes = HEADERS_BYTES,
  ): Uint8Array | null {
    this.#counters.unread += 1;
    if (this.#gates !== null && channelId !== this.channelIds.ioChannelId)
      return this.#refuseUnread(direction, channelId, pdu, timeUs);
    if (direction === 0 && !this.#clientInfoPassed) this.#blanked(0, channelId, blankWhole(pdu, keptBytes), timeUs);
    else this.#tap.frame(0, direction | frameFlags.inputs, channelId, pdu, timeUs);
    return pdu;
  }

  /** A channel under a policy may be in it, and a peer that reads it. */
  #refuseUnread(direction: 0 | 1, channelId: number, pdu: Uint8Array, timeUs: number): null {
    const flags = direction | frameFlags.receivedOnly;
    if (direction === 0 && !this.#clientInfoPassed)
      this.#blanked(flags, channelId, blankWhole(pdu, HEADERS_BYTES), timeUs);
    else this.#tap.frame(0, flags | frameFlags.inputs, channelId, pdu, timeUs);
    this.#gates?.unread('the connection');
    return null;
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
    this.#tap.frame(0, common | frameFlags.receivedOnly, channelId, received, timeUs);
    if (delivered !== null) this.#tap.frame(0, common | frameFlags.deliveredOnly, channelId, delivered, timeUs);
  }

  /** The same, where several PDUs or none may be delivered in place of one; null: as it came. What goes on. */
  #recordPassed(
    flags: number,
    channelId: number,
    received: Uint8Array,
    passed: readonly Uint8Array[] | null,
    timeUs: number,
  ): Uint8Array | null {
    this.#tap.frame(0, passed === null ? flags : flags | frameFlags.receivedOnly, channelId, received, timeUs);
    if (passed === null) return received;
    for (const each of passed) this.#tap.frame(0, flags | frameFlags.deliveredOnly, channelId, each, timeUs);
    return passed.length === 0 ? null : joinBytes(passed);
  }

  // ---- client → server

  #fromClient(pdu: Uint8Array, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    const seen = seePdu(pdu, 'client');
    switch (seen.kind) {
      case 'connect': {
        if (!this.#clientConnecting) return this.#unread(0, 0, pdu, timeUs);
        const delivered = this.#connectInitial(pdu, seen.mcs, events);
        this.#clientConnecting = false;
        this.#record(0, 0, pdu, delivered, timeUs);
        return delivered;
      }
      case 'data':
        this.#clientInitiator = seen.initiator;
        if (seen.channelId === this.channelIds.ioChannelId) return this.#clientIoPdu(pdu, seen, timeUs, events);
        if (!this.#clientInfoPassed) return this.#unread(0, seen.channelId, pdu, timeUs, offsetIn(pdu, seen.data));
        return this.#clientChannelPdu(pdu, seen, timeUs);
      case 'unread':
        return this.#unread(0, 0, pdu, timeUs);
      case 'end':
        events.push({ kind: 'disconnect', from: 'client', reason: seen.reason });
    }
    this.#record(0, 0, pdu, pdu, timeUs);
    return pdu;
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
    for (const what of unreplayable) if (this.#leaves(what)) events.push({ kind: 'downgrade', what: leftIn[what] });
    for (const what of ['input', 'clipboard'] as const) {
      const keeping = this.#policy.keep?.[what] ?? 'full';
      if (keeping !== 'full') events.push({ kind: 'downgrade', what: `${what} not kept in the recording: ${keeping}` });
    }
    if (this.#gates !== null) events.push({ kind: 'policy', what: this.#gates.inForce(), count: 0 });
    const channelsChanged = this.#gates?.rename(request) === true;
    const selectedChanged = setSelectedProtocol(request, this.#policy.selectedProtocol);
    const graphicsChanged = this.#policy.graphics === 'classic' && withoutGraphicsPipeline(request);
    if (graphicsChanged) this.#tell('graphicsPipeline');
    const coloursChanged = this.#policy.deepColour === true && withDeepColour(request);
    if (coloursChanged) this.#tell('deepColour');
    const udpChanged = !this.#leaves('udp') && withoutMultitransport(request);
    if (udpChanged) this.#tell('udp');
    if (!selectedChanged && !graphicsChanged && !coloursChanged && !udpChanged && !channelsChanged) return pdu;
    return wrapMcsBytes(encode(mcsConnectInitial, { ...connect, userData: encode(conferenceCreateRequest, request) }));
  }

  /** Static and dynamic channels: most of what comes here passes as it came. */
  #clientChannelPdu(pdu: Uint8Array, seen: SeenData, timeUs: number): Uint8Array | null {
    const { channelId, data } = seen;
    const { messageChannelId, dynamicChannelId } = this.channelIds;
    const leavesAll = this.#leaves('graphics') && this.#leaves('bitmap_cache') && this.#gates === null;
    const isFollowed = !leavesAll && channelId !== messageChannelId && seen.trailing === 0;
    const chunks = isFollowed ? this.#clientChannels.chunk(data, channelId === dynamicChannelId) : null;
    return this.#passChunks('client', pdu, seen, this.#judged('client', seen, chunks), timeUs);
  }

  /** What of the chunks the policy lets through. */
  #judged(from: RelaySide, { channelId, data, trailing }: SeenData, chunks: ChunksPassed): ChunksPassed {
    const gates = this.#gates;
    if (gates === null || channelId === this.channelIds.messageChannelId || gates.open.has(channelId)) return chunks;
    if (trailing > 0) {
      gates.unread('the connection');
      return nothing;
    }
    if (chunks === null) return gates.chunk(from, channelId, data);
    return chunks.flatMap((chunk) => gates.chunk(from, channelId, chunk) ?? [chunk]);
  }

  #passChunks(
    from: RelaySide,
    pdu: Uint8Array,
    seen: SeenData,
    chunks: ChunksPassed,
    timeUs: number,
  ): Uint8Array | null {
    const { channelId, initiator, priority, data } = seen;
    const direction = from === 'client' ? 0 : 1;
    this.#answers.delivered(from === 'client' ? 'server' : 'client', channelId, chunks === null ? data : chunks.at(-1));
    this.#record(direction, channelId, pdu, chunks === null ? pdu : null, timeUs);
    if (chunks === null) return pdu;
    if (chunks.length === 0) return null;
    const kind = from === 'client' ? 'sendDataRequest' : 'sendDataIndication';
    const pdus = chunks.map((chunk) => wrapMcs({ kind, initiator, channelId, priority, data: chunk }));
    for (const each of pdus) this.#tap.frame(0, direction | frameFlags.deliveredOnly, channelId, each, timeUs);
    return joinBytes(pdus);
  }

  #clientIoPdu(pdu: Uint8Array, seen: SeenData, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    const { data, channelId } = seen;
    // Behind its place too, in case the server spoke before its time.
    const mayBeInfo =
      isSecurityHeader(data, SecurityFlag.infoPkt) && sharePdusOf(data).length === 0 && !hasKeyList(data);
    if (!this.#clientInfoPassed || mayBeInfo) return this.#clientInfo(pdu, seen, timeUs, events);
    const delivered = this.#watchesAway(seen) ? null : this.#clientShares(pdu, seen);
    this.#record(0, channelId, pdu, delivered, timeUs);
    return delivered;
  }

  #watchesAway({ data }: SeenData): boolean {
    const watch = this.#watch;
    if (watch === null) return false;
    const events = sharePdusOf(data).flatMap(({ pduType, body }) => {
      if ((pduType & 15) !== PduType.data) return [];
      return (
        attempt(() => {
          const { pduType2, data: input } = decode(shareDataPdu, body);
          return pduType2 === PduType2.input
            ? decode(slowPathInput, input).events.flatMap((one) => toFastPath(one) ?? [])
            : [];
        }) ?? []
      );
    });
    return events.length > 0 && watch(events).length === 0;
  }

  #clientShares(pdu: Uint8Array, seen: SeenData): Uint8Array | null {
    const kept = clientShares(seen.data, {
      leavesCache: this.#leaves('bitmap_cache'),
      undrawable: this.#leaves('graphics') ? null : this.#undrawable,
      compressesChannels: this.#gates === null,
      tell: (what) => this.#tell(what),
    });
    if (kept.length === 0) return null;
    const classic = this.#policy.graphics === 'classic' ? this.#classicShare(kept) : kept;
    if (classic === seen.data) return pdu;
    const { initiator, channelId, priority } = seen;
    return wrapMcs({ kind: 'sendDataRequest', initiator, channelId, priority, data: classic });
  }

  /** Known by its place: its security header is whatever the client's memory held ([MS-RDPBCGR] 2.2.8.1.1.2.1). */
  #clientInfo(pdu: Uint8Array, seen: SeenData, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    const { channelId, data, initiator, priority } = seen;
    const start = offsetIn(pdu, data);
    const info = seen.trailing === 0 ? clientInfoSecrets(data) : null;
    if (info === null) {
      if (this.#logon !== null && !this.#clientInfoPassed) throw unreadLogon();
      return this.#unread(0, channelId, pdu, timeUs, start);
    }
    if (this.#logon === 'done') throw new RelayViolation('invalid', 'client', 'it wants to log on a second time');
    this.#clientInfoPassed = true;
    events.push({ kind: 'client_info', userName: info.userName, domain: info.domain });
    const put = this.#putIn(data, events);
    // Compressed contents can't be taken out of a recording, nor the cookie of the gateway's logon out of what the client gets: the
    // history behind them is the pictures' too.
    const uncompressed =
      this.#policy.bulkCompression === false ||
      this.#recut !== null ||
      this.#policy.graphics === 'classic' ||
      this.#hasLoggedOn ||
      (this.#policy.keep?.clipboard ?? 'full') !== 'full';
    const logsOn = this.#policy.autologon === true && info.hasPassword ? withAutologon(put, INFO_FLAGS_OFFSET) : put;
    if (logsOn !== put) this.#tell('autologon');
    const said = uncompressed ? withoutCompression(logsOn, INFO_FLAGS_OFFSET) : logsOn;
    if (said !== logsOn) this.#tell('bulkCompression');
    this.#mayUseRdp61 = offersRdp61(said, INFO_FLAGS_OFFSET);
    const received = blankRanges(pdu, start, info.secrets);
    if (said === data) {
      this.#blanked(0, channelId, received, timeUs);
      return pdu;
    }
    const delivered = wrapMcs({ kind: 'sendDataRequest', initiator, channelId, priority, data: said });
    const secrets = put === data ? info.secrets : (clientInfoSecrets(said)?.secrets ?? []);
    this.#blanked(frameFlags.receivedOnly, channelId, received, timeUs);
    const shown = blankRanges(delivered, delivered.length - said.length, secrets);
    this.#blanked(frameFlags.deliveredOnly, channelId, shown, timeUs);
    return delivered;
  }

  /** The gateway, in the client's place. */
  get #hasLoggedOn(): boolean {
    return this.#logon === 'done';
  }

  /** Client Info with the gateway's logon in it, where it has one. */
  #putIn(data: Uint8Array, events: RelayEvent[]): Uint8Array {
    if (this.#logon === null || this.#logon === 'done') return data;
    const put = putInLogon(data, this.#logon);
    if (put === null) throw unreadLogon();
    // What opens the gateway stays here, however often it is said.
    if (this.#logon.userName === '') return put;
    events.push({ kind: 'downgrade', what: `the gateway logs on: ${logonName(this.#logon)}` });
    this.#logon = 'done';
    return put;
  }

  /** Confirm Active cut down to bitmaps; every other share PDU as it is. */
  #classicShare(data: Uint8Array): Uint8Array {
    const shares = sharePdusOf(data);
    const at = shares.findIndex((share) => (share.pduType & 15) === PduType.confirmActive);
    const share = shares[at];
    if (share === undefined) return data;
    const confirm = attempt(() => decode(confirmActive, share.body));
    if (confirm === null) {
      this.#tell('unreadCapabilities');
      return data;
    }
    const { sets, changed } = classicCapabilities(confirm.capabilitySets);
    if (!changed) return data;
    this.#tell('codecs');
    const { lengthCombinedCapabilities: _, ...rest } = confirm;
    shares[at] = { ...share, body: encode(confirmActive, { ...rest, capabilitySets: sets }) };
    return joinBytes(shares.map((each) => encode(shareControlPdu, each)));
  }

  // ---- server → client

  #fromServer(pdu: Uint8Array, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    const seen = seePdu(pdu, 'server');
    switch (seen.kind) {
      case 'connect': {
        if (!this.#serverConnecting) return this.#unread(1, 0, pdu, timeUs);
        const delivered = this.#connectResponse(pdu, seen.mcs, events);
        this.#serverConnecting = false;
        this.#record(1, 0, pdu, delivered, timeUs);
        return delivered;
      }
      case 'data':
        if (this.#mayAskForUdp(seen.channelId)) {
          const isIo = seen.channelId === this.channelIds.ioChannelId;
          const request = multitransportRequest(seen.data, isIo);
          if (request !== null) return this.#udpRequest(pdu, seen, request, timeUs);
        }
        if (seen.channelId === this.channelIds.ioChannelId) return this.#serverIoPdu(pdu, seen, timeUs, events);
        if (this.#mayUseRdp61) this.#followBulk(pdu);
        if (this.#gates !== null) {
          this.#serverInitiator = seen.initiator;
          const chunks = this.#painted(seen, this.#judged('server', seen, null));
          return this.#passChunks('server', pdu, seen, chunks, timeUs);
        }
        if (this.#opensChannels(seen)) return this.#serverDynamicPdu(pdu, seen, timeUs);
        if (this.#paintsOn(seen.channelId))
          return this.#passChunks('server', pdu, seen, this.#painted(seen, null), timeUs);
        this.#record(1, seen.channelId, pdu, pdu, timeUs);
        return pdu;
      case 'unread':
        return this.#unread(1, 0, pdu, timeUs);
      case 'end':
        events.push({ kind: 'disconnect', from: 'server', reason: seen.reason });
    }
    this.#record(1, 0, pdu, pdu, timeUs);
    return pdu;
  }

  #opensChannels({ channelId, trailing }: SeenData): boolean {
    return this.channelIds.creates !== 'pass' && channelId === this.channelIds.dynamicChannelId && trailing === 0;
  }

  /** What opens a channel of drdynvc; others come here while one that began has not ended. */
  #serverDynamicPdu(pdu: Uint8Array, { channelId, data }: SeenData, timeUs: number): Uint8Array | null {
    const { passed, answer } = this.#creates.see(pdu, data);
    this.channelIds.creates = this.#creates.isUnderWay ? 'under way' : 'seen';
    if (answer !== null) {
      this.#tell('video');
      this.#answer('server', channelId, answer);
    }
    const painted = this.#paintsOn(channelId) ? this.#paintedPdus(passed ?? [pdu]) : null;
    return this.#recordPassed(1, channelId, pdu, painted ?? passed, timeUs);
  }

  /** What of the chunks goes on where the gateway draws between what the server draws. */
  #painted({ channelId, data }: SeenData, chunks: ChunksPassed): ChunksPassed {
    const painter = this.#painter;
    if (painter === null || !this.#paintsOn(channelId)) return chunks;
    const painted = chunks === null ? painter.chunk(data) : chunks.flatMap((chunk) => painter.chunk(chunk) ?? [chunk]);
    this.#lookAtPainter(painter);
    return painted;
  }

  /** The same of whole PDUs; null where they go on as they came. */
  #paintedPdus(pdus: readonly Uint8Array[]): readonly Uint8Array[] | null {
    let isChanged = false;
    const painted = pdus.flatMap((pdu) => {
      const seen = seePdu(pdu, 'server');
      const chunks = seen.kind === 'data' ? this.#painted(seen, null) : null;
      if (seen.kind !== 'data' || chunks === null) return [pdu];
      isChanged = true;
      const { initiator, channelId, priority } = seen;
      return chunks.map((data) => wrapMcs({ kind: 'sendDataIndication', initiator, channelId, priority, data }));
    });
    return isChanged ? painted : null;
  }

  #lookAtPainter({ isChanging }: PipelinePainter): void {
    this.channelIds.pipeline = isChanging ? 'seen' : 'pass';
  }

  #answer(to: RelaySide, channelId: number, data: Uint8Array): void {
    if (this.#initiatorTo(to) !== 0) this.#answers.add(to, channelId, data);
  }

  #initiatorTo(to: RelaySide): number {
    return to === 'server' ? this.#clientInitiator : this.#serverInitiator;
  }

  #connectResponse(pdu: Uint8Array, mcs: Uint8Array, events: RelayEvent[]): Uint8Array {
    const connect = decode(mcsConnectResponse, mcs);
    if (connect.result !== 0) {
      // The target wants no connection, and says no more: it is the client's to be told.
      events.push({ kind: 'disconnect', from: 'server', reason: connect.result });
      return pdu;
    }
    const response = decode(conferenceCreateResponse, connect.userData);
    for (const block of response.blocks) {
      if (block.kind === 'security' && block.encryptionMethod !== 0)
        throw new RelayViolation(
          'unsupported_security',
          'server',
          'the target insists on standard RDP security, which hides the session from the recording; let it use TLS',
        );
      if (block.kind === 'messageChannel') this.channelIds.messageChannelId = block.mcsChannelId;
      if (block.kind === 'network') this.#nameChannels(block.mcsChannelId, block.channelIds, events);
    }
    if (this.#gates !== null) this.#checkDistinct();
    const udpChanged = !this.#leaves('udp') && withoutMultitransport(response);
    if (udpChanged) this.#tell('udp');
    if (!restoreRequestedProtocols(response, this.#policy.requestedProtocols) && !udpChanged) return pdu;
    return wrapMcsBytes(
      encode(mcsConnectResponse, { ...connect, userData: encode(conferenceCreateResponse, response) }),
    );
  }

  /** What stands for two things would be judged as the one and read as the other. */
  #checkDistinct(): void {
    const { ioChannelId, messageChannelId } = this.channelIds;
    const ids = [ioChannelId, messageChannelId, ...this.#gates!.ids].filter((id) => id !== 0);
    if (new Set(ids).size !== ids.length)
      throw new RelayViolation(
        'invalid',
        'server',
        'it gives one id to two channels, and a policy has to tell them apart',
      );
  }

  /** Servers without a message channel ask on the I/O channel, where a share control PDU may look like it. */
  #mayAskForUdp(channelId: number): boolean {
    const { ioChannelId, messageChannelId } = this.channelIds;
    return channelId === ioChannelId || (channelId !== 0 && channelId === messageChannelId);
  }

  /** Answered as a client without UDP would, and not passed on; its cookie proves whose the UDP connection is. */
  #udpRequest(
    pdu: Uint8Array,
    seen: SeenData,
    { requestId, secret }: MultitransportRequest,
    timeUs: number,
  ): Uint8Array | null {
    const { channelId } = seen;
    const blanked = blankRanges(pdu, offsetIn(pdu, seen.data), [secret]);
    if (this.#leaves('udp')) {
      this.#blanked(1, channelId, blanked, timeUs);
      return pdu;
    }
    this.#tell('udp');
    this.#blanked(1 | frameFlags.receivedOnly, channelId, blanked, timeUs);
    if (requestId !== null) this.#answer('server', channelId, multitransportRefusal(requestId));
    return null;
  }

  /** What the gateway says to a peer by itself, recorded as delivered only: to be sent between two PDUs of the other. */
  takeAnswers(to: RelaySide, timeUs: number): readonly Uint8Array[] {
    if (to === 'client' && this.channelIds.pipeline === 'seen') this.#sayOverlay();
    const ready = this.#answers.take(to);
    if (ready.length === 0) return nothing;
    const kind = to === 'server' ? 'sendDataRequest' : 'sendDataIndication';
    const flags = frameFlags.deliveredOnly | (to === 'server' ? 0 : 1);
    const initiator = this.#initiatorTo(to);
    return ready.map(({ channelId, data }) => {
      const pdu = wrapMcs({ kind, initiator, channelId, priority: MCS_PRIORITY_HIGH_WHOLE, data });
      this.#tap.frame(0, flags, channelId, pdu, timeUs);
      return pdu;
    });
  }

  #nameChannels(ioChannelId: number, channelIds: number[], events: RelayEvent[]): void {
    this.channelIds.ioChannelId = ioChannelId;
    const places = this.#requestedChannels.map((name, i) => ({ channelId: channelIds[i] ?? 0, name }));
    const channels = places.filter(({ channelId }) => channelId !== 0);
    this.#gates?.named(places);
    this.channelIds.open = this.#gates?.open ?? null;
    const idOf = (wanted: string): number => channels.find(({ name }) => name.toLowerCase() === wanted)?.channelId ?? 0;
    this.channelIds.dynamicChannelId = idOf('drdynvc');
    if (!this.#leaves('video') && this.#gates === null) this.channelIds.creates = 'seen';
    for (const { channelId, name } of channels) {
      this.channelIds.channels.set(channelId, { name, kind: channelKind(name) });
      this.#tap.watch.named(name);
    }
    events.push({ kind: 'channels', ioChannelId, channels });
  }

  #serverIoPdu(pdu: Uint8Array, seen: SeenData, timeUs: number, events: RelayEvent[]): Uint8Array | null {
    this.serverSpoke();
    this.#serverInitiator = seen.initiator;
    // A copy: secrets are zeroed in it, and the original is what the client gets.
    const bytes = new Uint8Array(pdu);
    const start = offsetIn(pdu, seen.data);
    const found = readServerShare(bytes.subarray(start, start + seen.data.length), events, this.#compressed);
    if (found.unread) this.#counters.unread += 1;
    if (found.shareId !== null) this.#shareId = found.shareId;
    if (found.undrawable !== null) this.#undrawable = found.undrawable;
    if (found.shareId !== null || found.deactivated) {
      this.#canvas = found.canvas;
      this.#isActive = false;
    }
    if (found.finalized) this.#isActive = true;
    const { redirected, blanked } = found;
    const cut = this.#recut === null || blanked || seen.trailing > 0 ? null : this.#recut.shares(seen.data);
    if (cut !== null) {
      this.#tell('recut');
      const { initiator, channelId, priority } = seen;
      const pdus = cut.map((data) => wrapMcs({ kind: 'sendDataIndication', initiator, channelId, priority, data }));
      return this.#recordPassed(1, channelId, pdu, pdus, timeUs);
    }
    // By the cookie its client could come back to the target past the gateway, with somebody else's logon.
    const withheld = this.#hasLoggedOn && blanked && !redirected;
    const flags = redirected || withheld ? 1 | frameFlags.receivedOnly : 1;
    this.#blanked(flags, seen.channelId, { bytes, blanked }, timeUs);
    if (withheld) this.#tap.frame(0, 1 | frameFlags.deliveredOnly, seen.channelId, bytes, timeUs);
    this.#isSentOn ||= found.sentOn;
    if (redirected) return null;
    return withheld ? bytes : pdu;
  }

  /** What the gateway may paint on; null where there is no desktop (a client that is drawn on before its Font Map gives up), or the graphics pipeline draws it: that knows no other painter. */
  get canvas(): Canvas | null {
    const isPipeline = [...this.#tap.watch.classes.values()].includes('graphics');
    return isPipeline || !this.#isActive || this.#shareId === null || this.#serverInitiator === 0 ? null : this.#canvas;
  }

  /** Bodies of bitmap updates, for the client behind what it was given until now. */
  paint(bodies: readonly Uint8Array[]): void {
    if (this.canvas === null) return;
    const { ioChannelId } = this.channelIds;
    const shown = this.#recut === null ? bodies : bodies.flatMap((body) => recutBitmaps(body) ?? [body]);
    for (const body of shown)
      this.#answers.add('client', ioChannelId, paintedData(this.#shareId!, this.#serverInitiator, body), PAINTED_MAX);
  }

  /** Where on the output of the graphics pipeline something can be shown; null where nothing can. */
  get pipelineCanvas(): Area | null {
    return this.#painter !== null && this.#isActive && this.#serverInitiator !== 0 ? this.#painter.canvas : null;
  }

  overlay(picture: OverlayPicture | null): void {
    if (this.#painter === null) return;
    this.#painter.show(picture);
    this.#lookAtPainter(this.#painter);
  }

  /** Between two PDUs of the server's. */
  #sayOverlay(): void {
    const painter = this.#painter;
    if (painter === null || this.#serverInitiator === 0) return;
    const { dynamicChannelId } = this.channelIds;
    for (const chunk of painter.due()) this.#answers.add('client', dynamicChannelId, chunk, OVERLAY_CHUNKS_MAX);
    this.#lookAtPainter(painter);
  }

  watchInput(watch: InputWatch | null): void {
    this.#watch = watch;
    this.channelIds.inputs = watch === null ? 'pass' : 'seen';
  }

  /** Input events in the client's place, for the server behind what it was given until now. */
  input(events: readonly FastPathInputEvent[]): void {
    if (!this.#isActive || this.#shareId === null || this.#clientInitiator === 0) return;
    const said = { pad2Octets: 0, events: events.flatMap((event) => toSlowPath(event) ?? []) };
    const data = wrapShareData(this.#shareId, this.#clientInitiator, PduType2.input, slowPathInput, said);
    this.#answers.add('server', this.channelIds.ioChannelId, data, INPUTS_MAX);
  }

  /** What was painted over is drawn again. */
  refresh(): void {
    const { canvas } = this;
    if (canvas !== null)
      this.#answer('server', this.channelIds.ioChannelId, refreshData(this.#shareId!, this.#clientInitiator, canvas));
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
      this.#tap.frame(0, 1 | frameFlags.deliveredOnly, i === pdus.length - 1 ? 0 : channelId, pdu, timeUs);
    return joinBytes(pdus);
  }
}

/** What the client sent may be its user's password: it does not pass, and the gateway's has no place. */
const unreadLogon = (): RelayViolation =>
  new RelayViolation('invalid', 'client', 'what it says of who logs on can not be read, and the gateway is to log on');

/** colorDepth of clients that know no highColorDepth, [MS-RDPBCGR] 2.2.1.3.2: 0xCA00 is 4, 0xCA01 is 8 bits. */
const colorDepthOf = (colorDepth: number): number => (colorDepth === 0xca00 ? 4 : 8);

const offsetIn = (pdu: Uint8Array, view: Uint8Array): number => view.byteOffset - pdu.byteOffset;
