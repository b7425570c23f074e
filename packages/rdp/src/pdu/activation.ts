import { type Codec, encode, type Reader, type Writer } from '@lucid-sessions/wire';
import { counted, structWithTail, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';
import { type CapabilitySet, capabilitySet } from './capability-sets.ts';

/** Most capability sets accepted; about thirty kinds exist. */
const CAPABILITY_SETS_MAX = 256;

/** originatorId of a Confirm Active: the server's channel. */
export const ORIGINATOR_SERVER_CHANNEL_ID = 0x03ea;

interface CapabilityFields {
  /** Padding after the count. */
  pad2Octets: number;
  capabilitySets: CapabilitySet[];
  /** lengthCombinedCapabilities when it isn't the true length. */
  lengthCombinedCapabilities?: number;
  trailing?: Uint8Array;
}

/** TS_DEMAND_ACTIVE_PDU after the share control header, [MS-RDPBCGR] 2.2.1.13.1.1. */
export interface DemandActive extends CapabilityFields {
  shareId: number;
  sourceDescriptor: Uint8Array;
  /** Absent from some servers. */
  sessionId?: number;
}

/** TS_CONFIRM_ACTIVE_PDU after the share control header, [MS-RDPBCGR] 2.2.1.13.2.1. */
export interface ConfirmActive extends CapabilityFields {
  shareId: number;
  originatorId: number;
  sourceDescriptor: Uint8Array;
}

function readSets(reader: Reader, declared: number): CapabilityFields {
  const at = reader.offset;
  const count = reader.u16le();
  if (count > CAPABILITY_SETS_MAX) throw reader.error('limit', `${count} capability sets`);
  const pad2Octets = reader.u16le();
  const capabilitySets = Array.from({ length: count }, () => capabilitySet.decode(reader));
  const value: CapabilityFields = { pad2Octets, capabilitySets };
  if (declared !== reader.offset - at) value.lengthCombinedCapabilities = declared;
  return value;
}

const setsCodec: Codec<CapabilityFields> = {
  name: 'capability sets',
  decode: (reader) => readSets(reader, reader.remaining),
  encode(value, writer) {
    writer.u16le(value.capabilitySets.length).u16le(value.pad2Octets);
    for (const set of value.capabilitySets) capabilitySet.encode(set, writer);
  },
};

function writeSets(value: CapabilityFields & { sourceDescriptor: Uint8Array }, writer: Writer): void {
  const sets = encode(setsCodec, value);
  writer.u16le(value.sourceDescriptor.length).u16le(value.lengthCombinedCapabilities ?? sets.length);
  writer.slice(value.sourceDescriptor).slice(sets);
}

export const demandActive: Codec<DemandActive> = {
  name: 'Demand Active',
  decode(reader) {
    const shareId = reader.u32le();
    const descriptorLength = reader.u16le();
    const declared = reader.u16le();
    const sourceDescriptor = reader.slice(descriptorLength);
    const value: DemandActive = { shareId, sourceDescriptor, ...readSets(reader, declared) };
    if (reader.remaining >= 4) value.sessionId = reader.u32le();
    if (reader.remaining > 0) value.trailing = reader.rest();
    return value;
  },
  encode(value, writer) {
    writer.u32le(value.shareId);
    writeSets(value, writer);
    if (value.sessionId !== undefined) writer.u32le(value.sessionId);
    if (value.trailing) writer.slice(value.trailing);
  },
};

export const confirmActive: Codec<ConfirmActive> = {
  name: 'Confirm Active',
  decode(reader) {
    const shareId = reader.u32le();
    const originatorId = reader.u16le();
    const descriptorLength = reader.u16le();
    const declared = reader.u16le();
    const sourceDescriptor = reader.slice(descriptorLength);
    const value: ConfirmActive = { shareId, originatorId, sourceDescriptor, ...readSets(reader, declared) };
    if (reader.remaining > 0) value.trailing = reader.rest();
    return value;
  },
  encode(value, writer) {
    writer.u32le(value.shareId).u16le(value.originatorId);
    writeSets(value, writer);
    if (value.trailing) writer.slice(value.trailing);
  },
};

/** TS_DEACTIVATE_ALL_PDU after the share control header, [MS-RDPBCGR] 2.2.3.1.1; some servers send no body at all. */
export const deactivateAll = structWithTail('Deactivate All', {}, { shareId: u32le, sourceDescriptor: counted(u16le) });
export type DeactivateAll = Value<typeof deactivateAll>;
