import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import { FrameSplitter } from '../pdu/frame-splitter.ts';
import { conferenceCreateRequest, conferenceCreateResponse } from '../pdu/gcc.ts';
import { ClientEarlyCapability } from '../pdu/gcc-client.ts';
import { ServerEarlyCapability } from '../pdu/gcc-server.ts';
import {
  LICENSE_STATE_NO_TRANSITION,
  LICENSE_STATUS_VALID_CLIENT,
  LicenseMessageType,
  licensePdu,
} from '../pdu/licensing.ts';
import { type McsPdu, McsReason, mcsPdu } from '../pdu/mcs.ts';
import { mcsConnectInitial, mcsConnectResponse } from '../pdu/mcs-connect.ts';
import { SecurityFlag, securityHeader } from '../pdu/security.ts';
import { isShareControl, PduType } from '../pdu/share.ts';
import { tpkt } from '../pdu/tpkt.ts';
import { x224Data } from '../pdu/x224.ts';
import type { DomainIds } from './acceptor.ts';
import { DomainMapper, domainMap } from './domain-mapper.ts';
import { concat, mcsFrame, requestFrame } from './frames.ts';

/** A client as an `Acceptor` left it, and what it said until then. */
export interface HeldClientState {
  /** Its MCS Connect Initial, a whole TPKT. */
  connectInitial: Uint8Array;
  /** Its Client Info, as data of the I/O channel. */
  clientInfo: Uint8Array;
  ids: DomainIds;
  /** It has a desktop of ours, which these bytes take from it; null: it waits for licensing. */
  deactivate: Uint8Array | null;
}

export interface SpliceStep {
  toTarget: Uint8Array;
  toClient: Uint8Array;
}

type State = 'connectResponse' | 'attachUserConfirm' | 'channelJoinConfirm' | 'licensing' | 'takeOver' | 'joined';

/** What a client may say before its target is there. */
const waitingBytesMax = 64 * 1024;
const nothing = new Uint8Array(0);

/** ERR_NO_LICENSE, [MS-RDPBCGR] 2.2.1.12.1.3. */
const NO_LICENSE = {
  messageType: LicenseMessageType.errorAlert,
  flags: 3,
  body: {
    kind: 'error',
    error: { errorCode: 2, stateTransition: LICENSE_STATE_NO_TRANSITION, blobType: 4, blob: nothing },
  },
} as const;

/**
 * Joins a client that an `Acceptor` holds to a target that knows nothing of it yet, [MS-RDPBCGR] 1.3.1.1: says to the target what
 * the client said, joins the channels in its place, and carries the session from one MCS domain into the other from then on. Input
 * may come in any pieces. Throws `DecodeError` when the target breaks the protocol or the client does not wait.
 */
export class Splice {
  readonly #client: HeldClientState;
  #state: State = 'connectResponse';
  readonly #fromServer = new FrameSplitter(false);
  readonly #fromClient = new FrameSplitter(false);
  #ids: DomainIds = { userId: 0, ioChannelId: 0, messageChannelId: 0, channelIds: [] };
  #toJoin: number[] = [];
  /** Client and target both do without channel joins, [MS-RDPBCGR] 2.2.1.4.2: the target expects none then. */
  #skipsJoins = false;
  #mappers: { client: DomainMapper; server: DomainMapper } | null = null;
  #toTarget: Uint8Array[] = [];
  #toClient: Uint8Array[] = [];

  constructor(client: HeldClientState) {
    this.#client = client;
  }

  /** The ids by which the target knows the client; null until it has them all. */
  get targetIds(): DomainIds | null {
    return this.#mappers === null ? null : this.#ids;
  }

  /** The ids by which the client knows the same things. */
  get clientIds(): DomainIds {
    return this.#client.ids;
  }

  /** The client as another target would take it over, as long as it has no desktop of this one's. */
  get state(): HeldClientState {
    const isLicensed = this.#state === 'takeOver' || this.#state === 'joined';
    return isLicensed ? { ...this.#client, deactivate: nothing } : this.#client;
  }

  start(): SpliceStep {
    this.#toTarget.push(this.#client.connectInitial);
    return this.#flush();
  }

  /** Takes bytes of the target that are meant for the client. */
  fromTarget(bytes: Uint8Array): SpliceStep {
    if (this.#passes) this.#toClient.push(this.#mapped.server.push(bytes));
    else {
      this.#fromServer.push(bytes);
      for (let frame = this.#nextOfServer(); frame !== null; frame = this.#nextOfServer()) this.#serverFrame(frame);
      if (this.#passes) this.#toClient.push(this.#mapped.server.push(this.#fromServer.takeRest()));
    }
    return this.#flush();
  }

  /** Whole PDUs that end the session, as the client is to get them: the ultimatum alone as long as it has no share with the target. */
  lastWords(pdus: Uint8Array): Uint8Array {
    if (this.#passes) return this.#mapped.server.push(pdus);
    return mcsFrame({ kind: 'disconnectProviderUltimatum', reason: McsReason.userRequested, spare: 0 });
  }

  /** Takes bytes of the client. */
  fromClient(bytes: Uint8Array): SpliceStep {
    if (this.#state === 'joined') this.#toTarget.push(this.#mapped.client.push(bytes));
    else {
      this.#fromClient.push(bytes);
      if (this.#client.deactivate !== null) this.#sift();
      // Kept until it can be passed on.
      else if (this.#fromClient.pending > waitingBytesMax)
        throw new DecodeError('limit', 'the client does not wait for its target');
    }
    return this.#flush();
  }

  get #passes(): boolean {
    return this.#state === 'joined' || this.#state === 'takeOver';
  }

  get #mapped(): { client: DomainMapper; server: DomainMapper } {
    if (this.#mappers === null) throw new Error('ids are mapped before they are known');
    return this.#mappers;
  }

  #flush(): SpliceStep {
    const step = { toTarget: concat(this.#toTarget), toClient: concat(this.#toClient) };
    this.#toTarget = [];
    this.#toClient = [];
    return step;
  }

  /** Whatever follows is passed on as bytes. */
  #nextOfServer(): Uint8Array | null {
    return this.#passes ? null : this.#fromServer.next();
  }

  #serverFrame(frame: Uint8Array): void {
    // Drawn before there is a desktop.
    if (frame[0] !== 3) return;
    const { payload } = decode(x224Data, decode(tpkt, frame).payload);
    if (this.#state === 'connectResponse') this.#connectResponse(payload);
    else this.#mcs(decode(mcsPdu, payload), frame);
  }

  #connectResponse(payload: Uint8Array): void {
    const { result, userData } = decode(mcsConnectResponse, payload);
    if (result !== 0) throw new DecodeError('invalid', `the target refuses the MCS connection with result ${result}`);
    const ids = { userId: 0, ioChannelId: 0, messageChannelId: 0, channelIds: [] as number[] };
    for (const block of decode(conferenceCreateResponse, userData).blocks) {
      if (block.kind === 'core')
        this.#skipsJoins =
          ((block.earlyCapabilityFlags ?? 0) & ServerEarlyCapability.skipChanneljoinSupported) !== 0 &&
          skipsJoins(this.#client.connectInitial);
      if (block.kind === 'messageChannel') ids.messageChannelId = block.mcsChannelId;
      if (block.kind !== 'network') continue;
      ids.ioChannelId = block.mcsChannelId;
      ids.channelIds = block.channelIds;
    }
    if (ids.ioChannelId === 0) throw new DecodeError('invalid', 'the target names no I/O channel');
    this.#ids = ids;
    const zero = { value: 0, size: 1 };
    this.#toTarget.push(mcsFrame({ kind: 'erectDomainRequest', subHeight: zero, subInterval: zero }));
    this.#toTarget.push(mcsFrame({ kind: 'attachUserRequest' }));
    this.#state = 'attachUserConfirm';
  }

  #mcs(pdu: McsPdu, frame: Uint8Array): void {
    if (pdu.kind === 'disconnectProviderUltimatum') {
      this.#toClient.push(frame.slice());
      return;
    }
    if (this.#state === 'attachUserConfirm' && pdu.kind === 'attachUserConfirm') this.#attached(pdu);
    else if (this.#state === 'channelJoinConfirm' && pdu.kind === 'channelJoinConfirm') this.#joinNext();
    else if (this.#state === 'licensing' && pdu.kind === 'sendDataIndication') this.#licensing(pdu, frame);
    else throw new DecodeError('invalid', `MCS ${pdu.kind} of the target while waiting for ${this.#state}`);
  }

  #attached({ result, initiator }: { result: number; initiator?: number }): void {
    if (result !== 0 || initiator === undefined)
      throw new DecodeError('invalid', `the target attaches no user: result ${result}`);
    const { ioChannelId, messageChannelId, channelIds } = this.#ids;
    this.#ids = { ...this.#ids, userId: initiator };
    this.#toJoin = this.#skipsJoins
      ? []
      : [initiator, ioChannelId, messageChannelId, ...channelIds].filter((id) => id !== 0);
    this.#state = 'channelJoinConfirm';
    this.#joinNext();
  }

  #joinNext(): void {
    const channelId = this.#toJoin.shift();
    const { userId, ioChannelId } = this.#ids;
    if (channelId !== undefined) {
      this.#toTarget.push(mcsFrame({ kind: 'channelJoinRequest', initiator: userId, channelId }));
      return;
    }
    const { ids, clientInfo, deactivate } = this.#client;
    this.#toTarget.push(requestFrame(userId, ioChannelId, clientInfo));
    this.#mappers = {
      client: new DomainMapper(domainMap(ids, this.#ids), 'client'),
      server: new DomainMapper(domainMap(this.#ids, ids), 'server'),
    };
    this.#state = deactivate === null ? 'joined' : 'licensing';
    if (this.#state === 'joined') this.#toTarget.push(this.#mappers.client.push(this.#fromClient.takeRest()));
  }

  /** The client has no licensing any more: it is ended in its place. Its desktop is taken from it when there is another. */
  #licensing({ channelId, data }: { channelId: number; data: Uint8Array }, frame: Uint8Array): void {
    if (channelId === this.#ids.ioChannelId && !isShareControl(data)) {
      const { flags } = decode(securityHeader, data.subarray(0, 4));
      if (flags & SecurityFlag.licensePkt) this.#license(data.subarray(4));
      return;
    }
    const isDemand = channelId === this.#ids.ioChannelId && ((data[2] ?? 0) & 15) === PduType.demandActive;
    if (isDemand && this.#client.deactivate !== null) {
      this.#toClient.push(this.#client.deactivate);
      this.#state = 'takeOver';
    }
    this.#toClient.push(this.#mapped.server.push(frame));
  }

  #license(bytes: Uint8Array): void {
    const { messageType, body } = decode(licensePdu, bytes);
    if (body.kind === 'error') {
      if (body.error.errorCode === LICENSE_STATUS_VALID_CLIENT) return;
      throw new DecodeError('unsupported', `the target ended licensing with error ${body.error.errorCode}`);
    }
    if (messageType !== LicenseMessageType.licenseRequest) return;
    const header = encode(securityHeader, { flags: SecurityFlag.licensePkt, flagsHi: 0 });
    const { userId, ioChannelId } = this.#ids;
    this.#toTarget.push(requestFrame(userId, ioChannelId, concat([header, encode(licensePdu, NO_LICENSE)])));
  }

  /** A client that has had a desktop of ours: what it still does on that is not the target's. */
  #sift(): void {
    for (;;) {
      if (this.#state === 'joined') {
        this.#toTarget.push(this.#mapped.client.push(this.#fromClient.takeRest()));
        return;
      }
      const frame = this.#fromClient.next();
      if (frame === null) return;
      if (frame[0] !== 3) continue;
      const pdu = decode(mcsPdu, decode(x224Data, decode(tpkt, frame).payload).payload);
      if (pdu.kind === 'disconnectProviderUltimatum') this.#toTarget.push(frame.slice());
      else if (pdu.kind === 'sendDataRequest' && this.#isForTarget(pdu))
        this.#toTarget.push(this.#mapped.client.push(frame));
    }
  }

  #isForTarget({ channelId, data }: { channelId: number; data: Uint8Array }): boolean {
    if (this.#mappers === null) return false;
    if (channelId !== this.#client.ids.ioChannelId) return true;
    const confirms = isShareControl(data) && ((data[2] ?? 0) & 15) === PduType.confirmActive;
    if (this.#state !== 'takeOver' || !confirms) return false;
    this.#state = 'joined';
    return true;
  }
}

function skipsJoins(connectInitial: Uint8Array): boolean {
  const { payload } = decode(x224Data, decode(tpkt, connectInitial).payload);
  const { blocks } = decode(conferenceCreateRequest, decode(mcsConnectInitial, payload).userData);
  return blocks.some(
    (block) =>
      block.kind === 'core' && ((block.earlyCapabilityFlags ?? 0) & ClientEarlyCapability.supportSkipChanneljoin) !== 0,
  );
}
