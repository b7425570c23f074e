import { type Codec, DecodeError, type Reader, type Writer } from '@lucid-sessions/wire';

/** NEGOTIATE flags, [MS-NLMP] 2.2.2.5. */
export const NtlmFlag = {
  unicode: 0x00000001,
  oem: 0x00000002,
  requestTarget: 0x00000004,
  sign: 0x00000010,
  seal: 0x00000020,
  lmKey: 0x00000080,
  ntlm: 0x00000200,
  alwaysSign: 0x00008000,
  targetTypeServer: 0x00020000,
  extendedSessionSecurity: 0x00080000,
  targetInfo: 0x00800000,
  version: 0x02000000,
  key128: 0x20000000,
  keyExchange: 0x40000000,
  key56: 0x80000000,
} as const;

/** Where one of a message's variable fields lies: bytes, from the message's first byte on. */
export interface NtlmField {
  length: number;
  lengthMax: number;
  offset: number;
}

/** NEGOTIATE_MESSAGE, [MS-NLMP] 2.2.1.1. */
export interface NtlmNegotiate {
  flags: number;
  domain: NtlmField;
  workstation: NtlmField;
  /** Version and payload, whatever of them there is. */
  rest: Uint8Array;
}

/** CHALLENGE_MESSAGE, [MS-NLMP] 2.2.1.2. */
export interface NtlmChallenge {
  targetName: NtlmField;
  flags: number;
  /** 8 bytes. */
  serverChallenge: Uint8Array;
  /** 8 bytes. */
  reserved: Uint8Array;
  targetInfo: NtlmField;
  rest: Uint8Array;
}

/** AUTHENTICATE_MESSAGE, [MS-NLMP] 2.2.1.3. */
export interface NtlmAuthenticate {
  lmResponse: NtlmField;
  ntResponse: NtlmField;
  domain: NtlmField;
  user: NtlmField;
  workstation: NtlmField;
  sessionKey: NtlmField;
  flags: number;
  rest: Uint8Array;
}

export const ntlmSignature = Uint8Array.of(0x4e, 0x54, 0x4c, 0x4d, 0x53, 0x53, 0x50, 0);
/** Fixed bytes of each message; what follows is `rest`. */
export const negotiateBytes = 32;
export const challengeBytes = 48;
export const authenticateBytes = 64;
/** Where a MIC stands in an AUTHENTICATE message that has one, and where its payload begins then at the earliest. */
export const micOffset = 72;
export const micEnd = 88;

/** Whether these bytes claim to be an NTLM message (SPNEGO's begin with an ASN.1 tag). */
export const isNtlm = (token: Uint8Array): boolean => ntlmSignature.every((byte, at) => token[at] === byte);

function readHead(reader: Reader, type: number): void {
  if (!isNtlm(reader.slice(ntlmSignature.length))) throw reader.error('invalid', 'this is no NTLM message');
  const found = reader.u32le();
  if (found !== type) throw reader.error('invalid', `NTLM message ${found} where ${type} was expected`);
}

const readField = (reader: Reader): NtlmField => ({
  length: reader.u16le(),
  lengthMax: reader.u16le(),
  offset: reader.u32le(),
});

const writeField = (writer: Writer, { length, lengthMax, offset }: NtlmField): Writer =>
  writer.u16le(length).u16le(lengthMax).u32le(offset);

export const ntlmNegotiate: Codec<NtlmNegotiate> = {
  name: 'NTLM NEGOTIATE',
  decode(reader) {
    readHead(reader, 1);
    const flags = reader.u32le();
    const domain = readField(reader);
    return { flags, domain, workstation: readField(reader), rest: reader.copy(reader.remaining) };
  },
  encode({ flags, domain, workstation, rest }, writer) {
    writer.slice(ntlmSignature).u32le(1).u32le(flags);
    writeField(writer, domain);
    writeField(writer, workstation).slice(rest);
  },
};

export const ntlmChallenge: Codec<NtlmChallenge> = {
  name: 'NTLM CHALLENGE',
  decode(reader) {
    readHead(reader, 2);
    return {
      targetName: readField(reader),
      flags: reader.u32le(),
      serverChallenge: reader.copy(8),
      reserved: reader.copy(8),
      targetInfo: readField(reader),
      rest: reader.copy(reader.remaining),
    };
  },
  encode(value, writer) {
    writer.slice(ntlmSignature).u32le(2);
    writeField(writer, value.targetName).u32le(value.flags).slice(value.serverChallenge).slice(value.reserved);
    writeField(writer, value.targetInfo).slice(value.rest);
  },
};

export const ntlmAuthenticate: Codec<NtlmAuthenticate> = {
  name: 'NTLM AUTHENTICATE',
  decode(reader) {
    readHead(reader, 3);
    return {
      lmResponse: readField(reader),
      ntResponse: readField(reader),
      domain: readField(reader),
      user: readField(reader),
      workstation: readField(reader),
      sessionKey: readField(reader),
      flags: reader.u32le(),
      rest: reader.copy(reader.remaining),
    };
  },
  encode(value, writer) {
    writer.slice(ntlmSignature).u32le(3);
    const { lmResponse, ntResponse, domain, user, workstation, sessionKey } = value;
    for (const field of [lmResponse, ntResponse, domain, user, workstation, sessionKey]) writeField(writer, field);
    writer.u32le(value.flags).slice(value.rest);
  },
};

/** What a field names in its whole message. Throws `DecodeError` when it lies outside. */
export function fieldOf(message: Uint8Array, field: NtlmField, headBytes: number): Uint8Array {
  if (field.length === 0) return new Uint8Array(0);
  if (!(field.offset >= headBytes && field.offset + field.length <= message.length))
    throw new DecodeError('invalid', 'a field of an NTLM message lies outside of it', field.offset);
  return message.slice(field.offset, field.offset + field.length);
}

/** Lays fields out one behind the other from `offset` on. */
export function layOut(offset: number, values: readonly Uint8Array[]): NtlmField[] {
  let at = offset;
  return values.map(({ length }) => {
    const field = { length, lengthMax: length, offset: at };
    at += length;
    return field;
  });
}

/** Whether an AUTHENTICATE message leaves room for a MIC: some peers announce one and have none. */
export function hasRoomForMic(value: NtlmAuthenticate, messageBytes: number): boolean {
  const fields = [value.lmResponse, value.ntResponse, value.domain, value.user, value.workstation, value.sessionKey];
  const begins = fields.filter(({ length }) => length > 0).map(({ offset }) => offset);
  return messageBytes >= micEnd && Math.min(...begins) >= micEnd;
}
