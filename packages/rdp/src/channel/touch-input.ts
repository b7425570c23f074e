import { type Codec, decode, encode, type Reader, Writer } from '@lucid-sessions/wire';
import { structWithTail, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** Touch and pen, [MS-RDPEI] 2.1. */
export const TOUCH_INPUT_CHANNEL = 'Microsoft::Windows::RDS::Input';

const HEADER_BYTES = 6;
const EVENT_TOUCH = 3;
const EVENT_PEN = 8;

/** An integer of as many bytes as its sender took, [MS-RDPEI] 2.2.2.1–2.2.2.5. */
export interface VariableInteger {
  magnitude: number;
  /** Of signed ones. */
  negative?: boolean;
  bytes: number;
}

/** What a signed integer says. */
export const signedValue = ({ magnitude, negative }: VariableInteger): number => (negative ? -magnitude : magnitude);

/** The first byte holds the number of those that follow in its upper bits, then the sign, then the most significant bits. */
function variable(name: string, lengthBits: number, signed: boolean): Codec<VariableInteger> {
  const valueBits = 8 - lengthBits - (signed ? 1 : 0);
  return {
    name,
    decode(reader) {
      const first = reader.u8();
      const more = first >> (8 - lengthBits);
      let magnitude = first & ((1 << valueBits) - 1);
      for (let i = 0; i < more; i += 1) magnitude = magnitude * 256 + reader.u8();
      if (!Number.isSafeInteger(magnitude)) throw reader.error('limit', `${name} above 2^53`);
      const value: VariableInteger = { magnitude, bytes: 1 + more };
      if (signed) value.negative = (first & (1 << valueBits)) !== 0;
      return value;
    },
    encode({ magnitude, negative, bytes }, writer) {
      const sign = signed && negative ? 1 << valueBits : 0;
      const top = Math.floor(magnitude / 256 ** (bytes - 1));
      if (top >= 1 << valueBits) throw new RangeError(`${magnitude} does not fit ${bytes} bytes of ${name}`);
      writer.u8(((bytes - 1) << (8 - lengthBits)) | sign | top);
      for (let i = bytes - 2; i >= 0; i -= 1) writer.u8(Math.floor(magnitude / 256 ** i) & 255);
    },
  };
}

const twoBytes = variable('TWO_BYTE_UNSIGNED_INTEGER', 1, false);
const twoBytesSigned = variable('TWO_BYTE_SIGNED_INTEGER', 1, true);
const fourBytes = variable('FOUR_BYTE_UNSIGNED_INTEGER', 2, false);
const fourBytesSigned = variable('FOUR_BYTE_SIGNED_INTEGER', 2, true);
const eightBytes = variable('EIGHT_BYTE_UNSIGNED_INTEGER', 3, false);

/** contactFlags of touch and pen contacts. */
export const ContactFlag = { down: 1, update: 2, up: 4, inRange: 8, inContact: 0x10, canceled: 0x20 } as const;

/** Optional fields in the order in which they follow, by the bit of fieldsPresent that announces them. */
type Optional = readonly (readonly [bit: number, names: readonly string[], codec: Codec<VariableInteger>])[];
const touchFields: Optional = [
  [1, ['contactRectLeft', 'contactRectTop', 'contactRectRight', 'contactRectBottom'], twoBytesSigned],
  [2, ['orientation'], fourBytes],
  [4, ['pressure'], fourBytes],
];
const penFields: Optional = [
  [1, ['penFlags'], fourBytes],
  [2, ['pressure'], fourBytes],
  [4, ['rotation'], twoBytes],
  [8, ['tiltX'], twoBytesSigned],
  [16, ['tiltY'], twoBytesSigned],
];

/** RDPINPUT_TOUCH_CONTACT or RDPINPUT_PEN_CONTACT, [MS-RDPEI] 2.2.3.3.1.1 and 2.2.3.7.1.1. */
export interface InputContact {
  /** contactId of a finger, deviceId of a pen. */
  id: number;
  fieldsPresent: VariableInteger;
  x: VariableInteger;
  y: VariableInteger;
  contactFlags: VariableInteger;
  /** Those that are present, by their names in the specification. */
  optional: Record<string, VariableInteger>;
}

/** RDPINPUT_TOUCH_FRAME or RDPINPUT_PEN_FRAME. */
export interface InputFrame {
  contactCount: VariableInteger;
  /** µs since the frame before. */
  frameOffset: VariableInteger;
  contacts: InputContact[];
}

const scReady = structWithTail('RDPINPUT_SC_READY_PDU', { protocolVersion: u32le }, { supportedFeatures: u32le });
const csReady = structWithTail(
  'RDPINPUT_CS_READY_PDU',
  { flags: u32le, protocolVersion: u32le, maxTouchContacts: u16le },
  {},
);
const nothing = structWithTail('RDPINPUT_SUSPEND_INPUT_PDU', {}, {});
const dismiss = structWithTail('RDPINPUT_DISMISS_HOVERING_TOUCH_CONTACT_PDU', { contactId: u8 }, {});

const plain = {
  scReady: { eventId: 1, codec: scReady },
  csReady: { eventId: 2, codec: csReady },
  suspendInput: { eventId: 4, codec: nothing },
  resumeInput: { eventId: 5, codec: nothing },
  dismissHoveringTouchContact: { eventId: 6, codec: dismiss },
} as const;
type Plain = typeof plain;

/** A message of the channel: RDPINPUT_HEADER, [MS-RDPEI] 2.2.2.6, and its body. */
export type TouchInputPdu =
  | { [K in keyof Plain]: { kind: K } & Value<Plain[K]['codec']> }[keyof Plain]
  | {
      kind: 'touch' | 'pen';
      /** ms since the oldest frame. */
      encodeTime: VariableInteger;
      frameCount: VariableInteger;
      frames: InputFrame[];
      trailing?: Uint8Array;
    };

export const touchInputPdu: Codec<TouchInputPdu> = {
  name: 'touch input PDU',
  decode(reader) {
    const eventId = reader.u16le();
    const pduLength = reader.u32le();
    if (pduLength !== HEADER_BYTES + reader.remaining)
      throw reader.error('invalid', `touch input PDU of ${pduLength} bytes in ${HEADER_BYTES + reader.remaining}`);
    if (eventId === EVENT_TOUCH) return readFrames(reader, 'touch', touchFields);
    if (eventId === EVENT_PEN) return readFrames(reader, 'pen', penFields);
    for (const [kind, entry] of Object.entries(plain))
      if (entry.eventId === eventId)
        return { kind, ...decode(entry.codec as Codec<object>, reader.rest()) } as TouchInputPdu;
    throw reader.error('unsupported', `touch input PDU of event ${eventId}`);
  },
  encode(value, writer) {
    const [eventId, body] =
      value.kind === 'touch' || value.kind === 'pen'
        ? ([value.kind === 'touch' ? EVENT_TOUCH : EVENT_PEN, writeFrames(value)] as const)
        : ([plain[value.kind].eventId, encode(plain[value.kind].codec as Codec<unknown>, value)] as const);
    writer
      .u16le(eventId)
      .u32le(HEADER_BYTES + body.length)
      .slice(body);
  },
};

function readFrames(reader: Reader, kind: 'touch' | 'pen', fields: Optional): TouchInputPdu {
  const encodeTime = fourBytes.decode(reader);
  const frameCount = twoBytes.decode(reader);
  reader.need(frameCount.magnitude, 'frames');
  const frames = Array.from({ length: frameCount.magnitude }, () => readFrame(reader, fields));
  const value = { kind, encodeTime, frameCount, frames };
  return reader.remaining === 0 ? value : { ...value, trailing: reader.rest() };
}

function readFrame(reader: Reader, fields: Optional): InputFrame {
  const contactCount = twoBytes.decode(reader);
  const frameOffset = eightBytes.decode(reader);
  reader.need(contactCount.magnitude, 'contacts');
  const contacts = Array.from({ length: contactCount.magnitude }, () => readContact(reader, fields));
  return { contactCount, frameOffset, contacts };
}

function readContact(reader: Reader, fields: Optional): InputContact {
  const id = reader.u8();
  const fieldsPresent = twoBytes.decode(reader);
  const known = fields.reduce((bits, [bit]) => bits | bit, 0);
  if ((fieldsPresent.magnitude & ~known) !== 0)
    throw reader.error('unsupported', `contact with fields 0x${fieldsPresent.magnitude.toString(16)}`);
  const x = fourBytesSigned.decode(reader);
  const y = fourBytesSigned.decode(reader);
  const contactFlags = fourBytes.decode(reader);
  const optional: Record<string, VariableInteger> = {};
  for (const [bit, names, codec] of fields)
    if ((fieldsPresent.magnitude & bit) !== 0) for (const name of names) optional[name] = codec.decode(reader);
  return { id, fieldsPresent, x, y, contactFlags, optional };
}

function writeFrames(value: Extract<TouchInputPdu, { frames: InputFrame[] }>): Uint8Array {
  const writer = new Writer();
  fourBytes.encode(value.encodeTime, writer);
  twoBytes.encode(value.frameCount, writer);
  for (const frame of value.frames) writeFrame(frame, value.kind === 'touch' ? touchFields : penFields, writer);
  if (value.trailing !== undefined) writer.slice(value.trailing);
  return writer.bytes();
}

function writeFrame({ contactCount, frameOffset, contacts }: InputFrame, fields: Optional, writer: Writer): void {
  twoBytes.encode(contactCount, writer);
  eightBytes.encode(frameOffset, writer);
  for (const { id, fieldsPresent, x, y, contactFlags, optional } of contacts) {
    writer.u8(id);
    twoBytes.encode(fieldsPresent, writer);
    fourBytesSigned.encode(x, writer);
    fourBytesSigned.encode(y, writer);
    fourBytes.encode(contactFlags, writer);
    for (const [, names, codec] of fields)
      for (const name of names) if (optional[name] !== undefined) codec.encode(optional[name], writer);
  }
}
