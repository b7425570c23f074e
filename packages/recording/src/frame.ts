import { DecodeError, Reader } from '@lucid-sessions/wire';

/** What a frame holds. 0 is one RDP PDU as it crossed the wire, 1 a note of the gateway (UTF-8 JSON, `note.ts`). */
export const frameKinds = { pdu: 0, note: 1 } as const;
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

/** Bits of a frame's `flags`. A bit not named here is refused: a reader that does not know it could misread the frame. */
export const frameFlags = {
  /** Server to client; without it client to server. */
  serverToClient: 0x01,
  /** Crossed the wire before TLS. */
  beforeTls: 0x02,
  /** The gateway received it and delivered something else. */
  receivedOnly: 0x04,
  /** The gateway delivered it in place of what it received. */
  deliveredOnly: 0x08,
  /** Password bytes are zeroed, lengths kept. */
  blanked: 0x10,
  fastPath: 0x20,
  /** What was typed, copied or redirected: the body is sealed a second time, under the inputs key. Readers who opened it clear the bit. */
  inputs: 0x40,
} as const;

const FLAGS_KNOWN = 0x7f;

export const PAYLOAD_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 16;
/** TPKT and fast-path PDUs end at 65,535 bytes; the room above is for CredSSP messages and notes. */
export const FRAME_BODY_BYTES_MAX = 1 << 20;
/** The largest payload a reader accepts (`CHUNK_SIZE_MB` may be set up to 64, one frame may overshoot). */
export const PAYLOAD_BYTES_MAX = (64 << 20) + FRAME_BODY_BYTES_MAX + 4096;

/** A chunk holds at most 30 seconds, so that silence is sealed too; µs. */
export const CHUNK_AGE_US_MAX = 30_000_000;

/** "LSP1" */
const PAYLOAD_MAGIC = 0x4c535031;
const U32 = 0x1_0000_0000;

/** One recorded PDU or note. `body` is a view of the payload it was read from. */
export interface Frame {
  kind: FrameKind;
  flags: number;
  /** MCS channel id, 0 where there is none. */
  channelId: number;
  /** µs since the session's start, monotonic clock. */
  timeUs: number;
  body: Uint8Array;
}

export interface PayloadHeader {
  framesCount: number;
  /** Number of the first frame in the session, 0-based. */
  firstFrameNumber: number;
  /** Wall clock at opening, µs since 1970. */
  openedUs: number;
}

function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / U32));
  view.setUint32(at + 4, value % U32);
}

function checkCount(value: number, what: string): void {
  if (!(Number.isSafeInteger(value) && value >= 0))
    throw new RangeError(`${what} must be a whole number from 0 to 2^53 - 1, got ${value}`);
}

/** Writes the 32-byte payload header at `at`. */
export function writePayloadHeader(bytes: Uint8Array, header: PayloadHeader, at = 0): void {
  checkCount(header.firstFrameNumber, 'firstFrameNumber');
  checkCount(header.openedUs, 'openedUs');
  if (!(header.framesCount >= 0 && header.framesCount < U32)) throw new RangeError('framesCount must fit 32 bits');
  if (!(at >= 0 && at + PAYLOAD_HEADER_BYTES <= bytes.length)) throw new RangeError('no room for a payload header');
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, PAYLOAD_HEADER_BYTES);
  view.setUint32(0, PAYLOAD_MAGIC);
  view.setUint32(4, header.framesCount);
  putU64(view, 8, header.firstFrameNumber);
  putU64(view, 16, header.openedUs);
  putU64(view, 24, 0);
}

/** Reads a payload header. Throws `DecodeError`. */
export function readPayloadHeader(bytes: Uint8Array): PayloadHeader {
  const reader = new Reader(bytes);
  reader.need(PAYLOAD_HEADER_BYTES, 'payload header');
  if (reader.u32be() !== PAYLOAD_MAGIC) throw new DecodeError('invalid', 'not a chunk payload: the magic is not LSP1');
  const framesCount = reader.u32be();
  const firstFrameNumber = reader.u64beNumber();
  const openedUs = reader.u64beNumber();
  if (reader.u64be() !== 0n) throw new DecodeError('unsupported', 'reserved payload header bytes are not zero', 24);
  return { framesCount, firstFrameNumber, openedUs };
}

/** Writes a frame's header at `at`, for the relay's hot path: five stores, no allocation, no BigInt. What it says is checked by who calls. */
export function writeFrameHeader(
  view: DataView,
  at: number,
  kind: number,
  flags: number,
  channelId: number,
  length: number,
  timeUs: number,
): void {
  view.setUint32(at, ((kind & 0xff) << 24) | ((flags & 0xff) << 16) | (channelId & 0xffff));
  view.setUint32(at + 4, length);
  putU64(view, at + 8, timeUs);
}

/** Sets the time of the frame whose header is at `at` anew. */
export const writeFrameTime = (view: DataView, at: number, timeUs: number): void => putU64(view, at + 8, timeUs);

/** Bytes from the header at `at` to the frame's end; of frames that were written here. */
export const frameBytesAt = (frames: Uint8Array, at: number): number => FRAME_HEADER_BYTES + u32be(frames, at + 4);

/** The frame at the reader's position. Throws `DecodeError`. */
function readFrame(reader: Reader): Frame {
  reader.need(FRAME_HEADER_BYTES, 'frame header');
  const kind = reader.u8();
  if (kind !== frameKinds.pdu && kind !== frameKinds.note)
    throw new DecodeError('unsupported', `frame kind ${kind} is not known`, reader.offset - 1);
  const flags = reader.u8();
  if ((flags & ~FLAGS_KNOWN) !== 0)
    throw new DecodeError('unsupported', `frame flags 0x${flags.toString(16)} are not all known`, reader.offset - 1);
  const channelId = reader.u16be();
  const length = reader.u32be();
  if (length > FRAME_BODY_BYTES_MAX)
    throw new DecodeError(
      'limit',
      `a frame of ${length} bytes is larger than ${FRAME_BODY_BYTES_MAX}`,
      reader.offset - 4,
    );
  const timeUs = reader.u64beNumber();
  return { kind, flags, channelId, timeUs, body: reader.slice(length) };
}

/** Frames back to back without a payload header (a batch on its way to the spool). Throws `DecodeError` while iterating. */
export function* readFrames(bytes: Uint8Array, offset = 0): Generator<Frame, void, undefined> {
  const reader = new Reader(bytes, offset);
  while (reader.remaining > 0) yield readFrame(reader);
}

/**
 * The frames of a chunk payload, in order, views of `bytes`. Throws `DecodeError` while iterating on bad bytes, on a
 * count that is not the header's and on bytes behind the last frame.
 */
export function* readPayload(bytes: Uint8Array): Generator<Frame, PayloadHeader, undefined> {
  if (bytes.length > PAYLOAD_BYTES_MAX)
    throw new DecodeError('limit', `a payload of ${bytes.length} bytes is larger than ${PAYLOAD_BYTES_MAX}`);
  const header = readPayloadHeader(bytes);
  const reader = new Reader(bytes, PAYLOAD_HEADER_BYTES);
  for (let i = 0; i < header.framesCount; i += 1) yield readFrame(reader);
  reader.expectEnd(`${header.framesCount} frames of the payload`);
  return header;
}

/**
 * Where frames with `inputs` stand: calls `found` with the place of each header and of its body. Looks at headers only and
 * ends at the first that does not fit: those who seal and those who open find the same ones, in bad bytes too.
 */
export function eachInput(
  frames: Uint8Array,
  offset: number,
  found: (headerAt: number, bodyAt: number, bodyEnd: number) => void,
): void {
  let at = offset;
  while (at + FRAME_HEADER_BYTES <= frames.length) {
    const bodyAt = at + FRAME_HEADER_BYTES;
    const end = at + frameBytesAt(frames, at);
    if (end > frames.length) return;
    if ((frames[at + 1]! & frameFlags.inputs) !== 0) found(at, bodyAt, end);
    at = end;
  }
}

const u32be = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

/** Clears the flag of frames whose bodies are open, in place: a frame still flagged is one to skip. */
export function clearInputFlags(frames: Uint8Array, offset = 0): void {
  eachInput(frames, offset, (headerAt) => {
    frames[headerAt + 1]! &= ~frameFlags.inputs;
  });
}

/** Zeroes what was typed and copied in encoded frames, in place, and flags it so. */
export function blankInputs(frames: Uint8Array, offset = 0): void {
  eachInput(frames, offset, (headerAt, bodyAt, bodyEnd) => {
    frames[headerAt + 1]! |= frameFlags.blanked;
    frames.fill(0, bodyAt, bodyEnd);
  });
}

/** Counts the frames of a batch and checks every bound on the way. Throws `DecodeError`. */
export function countFrames(bytes: Uint8Array, offset = 0): { framesCount: number; lastTimeUs: number } {
  let framesCount = 0;
  let lastTimeUs = 0;
  for (const frame of readFrames(bytes, offset)) {
    framesCount += 1;
    lastTimeUs = frame.timeUs;
  }
  return { framesCount, lastTimeUs };
}
