import { DecodeError } from '@lucid-sessions/wire';

/**
 * What the gateway itself has to say inside a recording: the body of a frame of kind 1, UTF-8 JSON. Times are the frame's;
 * `atUs` is the wall clock beside it (µs since 1970). Hashes are lower-case hex.
 */
export type GatewayNote =
  /** `tls`: version and suite of the client's TLS. */
  | { type: 'connected'; atUs: number; clientAddress: string; targetAddress: string; tls?: string }
  | {
      type: 'client';
      /** Name and build the client gave (TS_UD_CS_CORE), negotiated desktop and channels. */
      clientName: string;
      clientBuild: number;
      desktopWidth: number;
      desktopHeight: number;
      colorDepth: number;
      keyboardLayout: number;
      /** MCS channel id and static channel name. */
      channels: { channelId: number; name: string }[];
      security: 'rdp' | 'tls' | 'nla' | 'rdstls';
    }
  | {
      type: 'target_certificate';
      sha256: string;
      check: 'system_roots' | 'pinned' | 'ignored';
      valid: boolean;
      problem?: string;
      /** Version and suite of the target's TLS. */
      tls?: string;
    }
  /**
   * The client logged on to the gateway by network level authentication. That is between those two, with keys of their own: nothing of it
   * is a frame.
   */
  /** The client's user acknowledged a text before the session; its SHA-256. */
  | { type: 'approval'; by: string; reason: string }
  | { type: 'consent'; textSha256: string; user: string }
  | { type: 'client_logon'; user: string; workstation: string; targetName: string; version: number }
  /** The gateway logged on to the target in its user's place, by network level authentication. */
  | {
      type: 'target_logon';
      user: string;
      method: 'ntlm' | 'kerberos';
      envelope: 'raw' | 'spnego';
      credsspVersion: number;
    }
  | { type: 'downgrade'; what: string }
  /** The client was held: the ids by which it and the target know the same user and channels. Frames have the target's. */
  | { type: 'joined'; client: MappedIds; target: MappedIds }
  /** The policy of channels is in force, or refused this for the first time. */
  | { type: 'policy'; what: string }
  /** Somebody told the session's user something, in their desktop. */
  | { type: 'message'; from: string; text: string }
  /** Somebody asks to steer the session in its user's place, does so from here on, was refused, or does no more. `reason` is empty for the first two. */
  | { type: 'steering'; state: 'asked' | 'began' | 'refused' | 'ended'; by: string; reason: string }
  | { type: 'pause'; atUs: number }
  | { type: 'resume'; atUs: number }
  | { type: 'gap'; fromUs: number; toUs: number; reason: string; framesLost: number }
  | { type: 'clock_step'; atUs: number; stepUs: number }
  | { type: 'ended'; atUs: number; reason: string; message: string };

/** Ids of one MCS domain; 0 where there is none, channels in the order in which the client asked for them. */
export interface MappedIds {
  userId: number;
  ioChannelId: number;
  messageChannelId: number;
  channelIds: readonly number[];
}

export const NOTE_BYTES_MAX = 64 * 1024;
const NOTE_TEXT_MAX = 4096;
const CHANNELS_MAX = 64;

type Fields = Record<string, unknown>;
type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === 'string' && value.length <= NOTE_TEXT_MAX;
const whole: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const integer: Check = (value) => Number.isSafeInteger(value);
const flag: Check = (value) => typeof value === 'boolean';
const hash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const oneOf =
  (...choices: string[]): Check =>
  (value) =>
    choices.includes(value as string);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const channels: Check = (value) =>
  Array.isArray(value) &&
  value.length <= CHANNELS_MAX &&
  value.every((item) => isFields(item) && whole(item.channelId) && text(item.name) && Object.keys(item).length === 2);

const mappedIds: Check = (value) =>
  isFields(value) &&
  Object.keys(value).length === 4 &&
  whole(value.userId) &&
  whole(value.ioChannelId) &&
  whole(value.messageChannelId) &&
  Array.isArray(value.channelIds) &&
  value.channelIds.length <= CHANNELS_MAX &&
  value.channelIds.every(whole);

const shapes: Record<GatewayNote['type'], Record<string, Check>> = {
  connected: { atUs: whole, clientAddress: text, targetAddress: text, tls: optional(text) },
  client: {
    clientName: text,
    clientBuild: whole,
    desktopWidth: whole,
    desktopHeight: whole,
    colorDepth: whole,
    keyboardLayout: whole,
    channels,
    security: oneOf('rdp', 'tls', 'nla', 'rdstls'),
  },
  target_certificate: {
    sha256: hash,
    check: oneOf('system_roots', 'pinned', 'ignored'),
    valid: flag,
    problem: optional(text),
    tls: optional(text),
  },
  approval: { by: text, reason: text },
  consent: { textSha256: hash, user: text },
  client_logon: { user: text, workstation: text, targetName: text, version: whole },
  target_logon: {
    user: text,
    method: oneOf('ntlm', 'kerberos'),
    envelope: oneOf('raw', 'spnego'),
    credsspVersion: whole,
  },
  downgrade: { what: text },
  joined: { client: mappedIds, target: mappedIds },
  policy: { what: text },
  message: { from: text, text },
  steering: { state: oneOf('asked', 'began', 'refused', 'ended'), by: text, reason: text },
  pause: { atUs: whole },
  resume: { atUs: whole },
  gap: { fromUs: whole, toUs: whole, reason: text, framesLost: whole },
  clock_step: { atUs: whole, stepUs: integer },
  ended: { atUs: whole, reason: text, message: text },
};

const shapeOf = (type: unknown): Record<string, Check> | undefined =>
  typeof type === 'string' && Object.hasOwn(shapes, type) ? shapes[type as GatewayNote['type']] : undefined;

/** Why `value` is not a note, or null when it is one. */
function problemOf(value: unknown): string | null {
  if (!isFields(value)) return 'a gateway note must be a JSON object';
  const shape = shapeOf(value.type);
  if (shape === undefined) return 'the gateway note is of an unknown type';
  for (const [name, check] of Object.entries(shape))
    if (!check(value[name])) return `field ${name} of the ${value.type} note is not what it must be`;
  const extra = Object.keys(value).find((name) => name !== 'type' && !Object.hasOwn(shape, name));
  return extra === undefined ? null : `the ${value.type} note has an unknown field`;
}

/** The body of a note frame. RangeError on a note no reader would accept. */
export function encodeNote(note: GatewayNote): Uint8Array {
  const problem = problemOf(note);
  if (problem !== null) throw new RangeError(problem);
  const bytes = new TextEncoder().encode(JSON.stringify(note));
  if (bytes.length > NOTE_BYTES_MAX)
    throw new RangeError(`a note of ${bytes.length} bytes is larger than readers accept`);
  return bytes;
}

/** Reads a note frame's body. Throws `DecodeError`; a type this version does not know is `unsupported`. */
export function decodeNote(body: Uint8Array): GatewayNote {
  if (body.length > NOTE_BYTES_MAX) throw new DecodeError('limit', `a note of ${body.length} bytes is too large`);
  let value: unknown;
  try {
    // The copy is for bodies in shared memory, which TextDecoder refuses in browsers.
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body.slice()));
  } catch {
    throw new DecodeError('invalid', 'the gateway note is not JSON in UTF-8');
  }
  if (isFields(value) && typeof value.type === 'string' && shapeOf(value.type) === undefined)
    throw new DecodeError('unsupported', 'the gateway note is of a type this version does not know');
  const problem = problemOf(value);
  if (problem !== null) throw new DecodeError('invalid', problem);
  return value as GatewayNote;
}
