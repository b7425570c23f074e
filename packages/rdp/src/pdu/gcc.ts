import { type Codec, DecodeError, type Reader, Writer } from '@lucid-sessions/wire';
import { type ClientDataBlock, clientDataBlocks } from './gcc-client.ts';
import { type ServerDataBlock, serverDataBlocks } from './gcc-server.ts';
import { perLengthIsOdd, readPerLength, writePerLength } from './per.ts';

/**
 * GCC Conference Create in aligned PER, T.124 section 8.7 as profiled by [MS-RDPBCGR] 2.2.1.3 and 2.2.1.4. Everything
 * but lengths, node id and the data blocks is constant in RDP.
 */

/** t124Identifier { itu-t recommendation t(20) t124(124) version(0) 1 } as a Key. */
const T124_KEY = Uint8Array.of(0x00, 0x05, 0x00, 0x14, 0x7c, 0x00, 0x01);
/** ConferenceCreateRequest: choice, options (user data), conference name "1", lock bits, one user data set. */
const CREATE_REQUEST = Uint8Array.of(0x00, 0x08, 0x00, 0x10, 0x00, 0x01, 0xc0, 0x00);
const CLIENT_KEY = Uint8Array.of(0x44, 0x75, 0x63, 0x61); // "Duca"
const SERVER_KEY = Uint8Array.of(0x4d, 0x63, 0x44, 0x6e); // "McDn"
const CREATE_RESPONSE = 0x14;
const USER_DATA_SET = Uint8Array.of(0x01, 0xc0, 0x00);

/** How a peer wrote the two PER lengths, where that is not what the encoder would choose. */
interface GccForms {
  /** The connectPDU length on the wire when it is not the true one (Windows servers write 0x2A). */
  connectPduLength?: { length: number; wide: boolean };
  /** Present when the user data length takes two bytes without need. */
  wideUserData?: true;
}

/** GCC Conference Create Request: the client's data blocks in their order. */
export interface ConferenceCreateRequest extends GccForms {
  blocks: ClientDataBlock[];
}

/** GCC Conference Create Response: the server's data blocks in their order. */
export interface ConferenceCreateResponse extends GccForms {
  nodeId: number;
  /** The response's tag, big-endian, as many bytes as the server sent. */
  tag: Uint8Array;
  /** 0 is success. */
  result: number;
  blocks: ServerDataBlock[];
}

function expectBytes(reader: Reader, expected: Uint8Array, what: string): void {
  const at = reader.offset;
  const found = reader.slice(expected.length);
  if (!expected.every((byte, i) => byte === found[i])) throw new DecodeError('invalid', `unexpected ${what}`, at);
}

function readConnectLength(reader: Reader): { length: number; wide: boolean; isTrue: boolean } {
  const { length, wide } = readPerLength(reader);
  return { length, wide, isTrue: length === reader.remaining && !perLengthIsOdd(length, wide) };
}

function writeGcc(writer: Writer, connectPdu: Uint8Array, forms: GccForms): void {
  writer.slice(T124_KEY);
  const kept = forms.connectPduLength;
  writePerLength(writer, kept?.length ?? connectPdu.length, kept?.wide ?? false);
  writer.slice(connectPdu);
}

function readUserData(reader: Reader): { content: Reader; odd: boolean } {
  const { length, wide } = readPerLength(reader);
  return { content: reader.sub(length), odd: perLengthIsOdd(length, wide) };
}

function writeUserData(writer: Writer, content: Uint8Array, forms: GccForms): void {
  writePerLength(writer, content.length, forms.wideUserData === true);
  writer.slice(content);
}

export const conferenceCreateRequest: Codec<ConferenceCreateRequest> = {
  name: 'GCC Conference Create Request',
  decode(reader) {
    expectBytes(reader, T124_KEY, 'GCC key');
    const { length, wide, isTrue } = readConnectLength(reader);
    expectBytes(reader, CREATE_REQUEST, 'GCC Conference Create Request');
    expectBytes(reader, CLIENT_KEY, 'client-to-server H.221 key');
    const { content, odd } = readUserData(reader);
    const value: ConferenceCreateRequest = { blocks: clientDataBlocks.decode(content) };
    if (!isTrue) value.connectPduLength = { length, wide };
    if (odd) value.wideUserData = true;
    return value;
  },
  encode(value, writer) {
    const blocks = new Writer();
    clientDataBlocks.encode(value.blocks, blocks);
    const pdu = new Writer();
    pdu.slice(CREATE_REQUEST).slice(CLIENT_KEY);
    writeUserData(pdu, blocks.bytes(), value);
    writeGcc(writer, pdu.bytes(), value);
  },
};

export const conferenceCreateResponse: Codec<ConferenceCreateResponse> = {
  name: 'GCC Conference Create Response',
  decode(reader) {
    expectBytes(reader, T124_KEY, 'GCC key');
    const { length, wide, isTrue } = readConnectLength(reader);
    const choice = reader.u8();
    if (choice !== CREATE_RESPONSE) throw reader.error('invalid', 'expected a GCC Conference Create Response');
    const nodeId = reader.u16be();
    const tag = reader.slice(reader.u8());
    const result = reader.u8();
    expectBytes(reader, USER_DATA_SET, 'GCC user data set');
    expectBytes(reader, SERVER_KEY, 'server-to-client H.221 key');
    const { content, odd } = readUserData(reader);
    const value: ConferenceCreateResponse = { nodeId, tag, result, blocks: serverDataBlocks.decode(content) };
    if (!isTrue) value.connectPduLength = { length, wide };
    if (odd) value.wideUserData = true;
    return value;
  },
  encode(value, writer) {
    const blocks = new Writer();
    serverDataBlocks.encode(value.blocks, blocks);
    const pdu = new Writer();
    pdu.u8(CREATE_RESPONSE).u16be(value.nodeId).u8(value.tag.length).slice(value.tag).u8(value.result);
    pdu.slice(USER_DATA_SET).slice(SERVER_KEY);
    writeUserData(pdu, blocks.bytes(), value);
    writeGcc(writer, pdu.bytes(), value);
  },
};
