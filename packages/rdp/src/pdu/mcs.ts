import { type Codec, DecodeError, type Reader, type Writer } from '@lucid-sessions/wire';
import { type PerInteger, perInteger, perLengthIsOdd, readPerLength, writePerLength } from './per.ts';

/** User ids start here on the wire, T.125 section 7 (DynamicChannelId is 1001 and up). */
export const MCS_BASE_CHANNEL_ID = 1001;
/** The I/O channel every RDP server uses. */
export const MCS_GLOBAL_CHANNEL_ID = 1003;

/** DomainMCSPDU choices, T.125 section 7: those RDP uses, and those some peers send when they leave. */
export const McsChoice = {
  erectDomainRequest: 1,
  disconnectProviderUltimatum: 8,
  rejectMcsPduUltimatum: 9,
  attachUserRequest: 10,
  attachUserConfirm: 11,
  detachUserRequest: 12,
  detachUserIndication: 13,
  channelJoinRequest: 14,
  channelJoinConfirm: 15,
  channelLeaveRequest: 16,
  sendDataRequest: 25,
  sendDataIndication: 26,
} as const;

/** T.125 Reason of a Disconnect Provider Ultimatum. */
export const McsReason = {
  domainDisconnected: 0,
  providerInitiated: 1,
  tokenPurged: 2,
  userRequested: 3,
  channelPurged: 4,
} as const;

/** MCS Send Data Request (client) or Indication (server), [MS-RDPBCGR] 2.2.8.1.1.1 and 2.2.9.1.1.1. */
export interface McsSendData {
  initiator: number;
  channelId: number;
  /** dataPriority and segmentation; 0x70 is high priority, begin and end. */
  priority: number;
  data: Uint8Array;
  /** Present when the peer used two length bytes where one would do. */
  wideLength?: true;
}

const leavingKinds = [
  'rejectMcsPduUltimatum',
  'detachUserRequest',
  'detachUserIndication',
  'channelLeaveRequest',
] as const;
type LeavingKind = (typeof leavingKinds)[number];

export type McsPdu =
  /** `trailing` keeps what rdesktop leaves over: it writes two plain 16-bit numbers. */
  | { kind: 'erectDomainRequest'; subHeight: PerInteger; subInterval: PerInteger; trailing?: Uint8Array }
  /** `spare` are the seven bits after the reason. */
  | { kind: 'disconnectProviderUltimatum'; reason: number; spare: number; trailing?: Uint8Array }
  /** What peers say on their way out, or by mistake; nobody here needs what stands in it. `options` are the low two bits. */
  | { kind: LeavingKind; options: number; data: Uint8Array }
  | { kind: 'attachUserRequest' }
  | { kind: 'attachUserConfirm'; result: number; initiator?: number }
  | { kind: 'channelJoinRequest'; initiator: number; channelId: number }
  | { kind: 'channelJoinConfirm'; result: number; initiator: number; requested: number; channelId?: number }
  | ({ kind: 'sendDataRequest' } & McsSendData)
  | ({ kind: 'sendDataIndication' } & McsSendData);

/** High priority, unsegmented: what every RDP peer sends. */
export const MCS_PRIORITY_HIGH_WHOLE = 0x70;

function readUserId(reader: Reader): number {
  return reader.u16be() + MCS_BASE_CHANNEL_ID;
}

function writeUserId(writer: Writer, id: number): void {
  writer.u16be(id - MCS_BASE_CHANNEL_ID);
}

function decodeSendData(reader: Reader): McsSendData {
  const initiator = readUserId(reader);
  const channelId = reader.u16be();
  const priority = reader.u8();
  const { length, wide } = readPerLength(reader);
  const value = { initiator, channelId, priority, data: reader.slice(length) };
  return perLengthIsOdd(length, wide) ? { ...value, wideLength: true } : value;
}

function encodeSendData(value: McsSendData, writer: Writer): void {
  writeUserId(writer, value.initiator);
  writer.u16be(value.channelId).u8(value.priority);
  writePerLength(writer, value.data.length, value.wideLength === true);
  writer.slice(value.data);
}

/** Rejects choice options this codec has no place for, so nothing is lost silently. */
function noOptions(options: number, at: number): void {
  if (options !== 0) throw new DecodeError('unsupported', `MCS options ${options}`, at);
}

function decodeErectDomain(reader: Reader): McsPdu {
  const subHeight = perInteger.decode(reader);
  const value = { kind: 'erectDomainRequest', subHeight, subInterval: perInteger.decode(reader) } as const;
  return reader.remaining > 0 ? { ...value, trailing: reader.rest() } : value;
}

function decodeBody(choice: number, options: number, reader: Reader): McsPdu {
  const at = reader.offset - 1;
  if (choice === McsChoice.disconnectProviderUltimatum) {
    const second = reader.u8();
    const value = {
      kind: 'disconnectProviderUltimatum',
      reason: (options << 1) | (second >> 7),
      spare: second & 0x7f,
    } as const;
    return reader.remaining > 0 ? { ...value, trailing: reader.rest() } : value;
  }
  const leaving = leavingKinds.find((kind) => McsChoice[kind] === choice);
  if (leaving !== undefined) return { kind: leaving, options, data: reader.rest() };
  if (choice === McsChoice.attachUserConfirm) {
    noOptions(options & 1, at);
    const result = reader.u8();
    return options & 2
      ? { kind: 'attachUserConfirm', result, initiator: readUserId(reader) }
      : { kind: 'attachUserConfirm', result };
  }
  if (choice === McsChoice.channelJoinConfirm) {
    noOptions(options & 1, at);
    const confirm = { result: reader.u8(), initiator: readUserId(reader), requested: reader.u16be() };
    return options & 2
      ? { kind: 'channelJoinConfirm', ...confirm, channelId: reader.u16be() }
      : { kind: 'channelJoinConfirm', ...confirm };
  }
  noOptions(options, at);
  switch (choice) {
    case McsChoice.erectDomainRequest:
      return decodeErectDomain(reader);
    case McsChoice.attachUserRequest:
      return { kind: 'attachUserRequest' };
    case McsChoice.channelJoinRequest:
      return { kind: 'channelJoinRequest', initiator: readUserId(reader), channelId: reader.u16be() };
    case McsChoice.sendDataRequest:
      return { kind: 'sendDataRequest', ...decodeSendData(reader) };
    case McsChoice.sendDataIndication:
      return { kind: 'sendDataIndication', ...decodeSendData(reader) };
    default:
      throw new DecodeError('unsupported', `MCS domain PDU ${choice}`, at);
  }
}

/** One DomainMCSPDU in aligned PER, T.125 section 7; what X.224 Data carries after the MCS connection. */
export const mcsPdu: Codec<McsPdu> = {
  name: 'MCS domain PDU',
  decode(reader) {
    const first = reader.u8();
    return decodeBody(first >> 2, first & 3, reader);
  },
  encode(value, writer) {
    const choice = McsChoice[value.kind] << 2;
    switch (value.kind) {
      case 'erectDomainRequest':
        writer.u8(choice);
        perInteger.encode(value.subHeight, writer);
        perInteger.encode(value.subInterval, writer);
        if (value.trailing) writer.slice(value.trailing);
        return;
      case 'disconnectProviderUltimatum':
        writer.u8(choice | (value.reason >> 1)).u8(((value.reason & 1) << 7) | value.spare);
        if (value.trailing) writer.slice(value.trailing);
        return;
      case 'rejectMcsPduUltimatum':
      case 'detachUserRequest':
      case 'detachUserIndication':
      case 'channelLeaveRequest':
        writer.u8(choice | value.options).slice(value.data);
        return;
      case 'attachUserRequest':
        writer.u8(choice);
        return;
      case 'attachUserConfirm':
        writer.u8(choice | (value.initiator === undefined ? 0 : 2)).u8(value.result);
        if (value.initiator !== undefined) writeUserId(writer, value.initiator);
        return;
      case 'channelJoinRequest':
        writer.u8(choice);
        writeUserId(writer, value.initiator);
        writer.u16be(value.channelId);
        return;
      case 'channelJoinConfirm':
        writer.u8(choice | (value.channelId === undefined ? 0 : 2)).u8(value.result);
        writeUserId(writer, value.initiator);
        writer.u16be(value.requested);
        if (value.channelId !== undefined) writer.u16be(value.channelId);
        return;
      case 'sendDataRequest':
      case 'sendDataIndication':
        writer.u8(choice);
        encodeSendData(value, writer);
    }
  },
};
