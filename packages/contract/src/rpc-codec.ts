/**
 * One RPC value as bytes: `u32be length of the JSON ‖ JSON ‖ binaries`. The JSON is
 * `{"value": …, "binaries": [{"path": […], "length": n}, …]}`: every Uint8Array is taken out of the value, `null` stands
 * in its place, and its bytes follow the JSON in the order of the list. Nothing is base64, so a 10 MiB chunk file costs
 * one copy. Paths, not magic objects, name the places, so no user data can look like a binary.
 */
import { LucidError } from './errors.ts';

export const rpcContentType = 'application/x-lucid-rpc';

export const rpcJsonBytesMax = 32 * 1024 * 1024;
const binariesMax = 10_000;
const depthMax = 16;

interface BinaryPlace {
  path: (string | number)[];
  length: number;
}

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true });

function takeBinariesOut(
  value: unknown,
  path: (string | number)[],
  places: BinaryPlace[],
  binaries: Uint8Array[],
): unknown {
  if (value instanceof Uint8Array) {
    places.push({ path, length: value.length });
    binaries.push(value);
    return null;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (path.length >= depthMax)
    throw new LucidError('internal', `an RPC value is nested deeper than ${depthMax} levels`);
  if (Array.isArray(value)) return value.map((item, at) => takeBinariesOut(item, [...path, at], places, binaries));
  const result: [string, unknown][] = [];
  for (const [key, item] of Object.entries(value))
    result.push([key, takeBinariesOut(item, [...path, key], places, binaries)]);
  return Object.fromEntries(result);
}

export function encodeRpc(value: unknown): Uint8Array<ArrayBuffer> {
  const places: BinaryPlace[] = [];
  const binaries: Uint8Array[] = [];
  const bare = takeBinariesOut(value, [], places, binaries);
  const json = utf8Encoder.encode(JSON.stringify({ value: bare, binaries: places }));
  let length = 4 + json.length;
  for (const binary of binaries) length += binary.length;
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, json.length);
  bytes.set(json, 4);
  let at = 4 + json.length;
  for (const binary of binaries) {
    bytes.set(binary, at);
    at += binary.length;
  }
  return bytes;
}

const malformed = (what: string) => new LucidError('invalidRequest', `malformed RPC body: ${what}`);

/** Binaries of the result are views of `bytes`. */
export function decodeRpc(bytes: Uint8Array): unknown {
  if (bytes.length < 4) throw malformed('shorter than its length field');
  const jsonLength = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
  if (jsonLength > rpcJsonBytesMax || jsonLength > bytes.length - 4) throw malformed('JSON longer than the body');
  let envelope: { value?: unknown; binaries?: unknown };
  try {
    envelope = JSON.parse(utf8Decoder.decode(bytes.subarray(4, 4 + jsonLength)));
  } catch {
    throw malformed('not JSON');
  }
  if (typeof envelope !== 'object' || envelope === null || !Array.isArray(envelope.binaries))
    throw malformed('no list of binaries');
  if (envelope.binaries.length > binariesMax) throw malformed('too many binaries');
  let at = 4 + jsonLength;
  for (const place of envelope.binaries as BinaryPlace[]) {
    const length = place?.length;
    if (!(Number.isSafeInteger(length) && length >= 0 && length <= bytes.length - at))
      throw malformed('a binary ends past the body');
    putBinaryBack(envelope, place.path, bytes.subarray(at, at + length));
    at += length;
  }
  if (at !== bytes.length) throw malformed('bytes follow the last binary');
  return envelope.value;
}

function putBinaryBack(envelope: { value?: unknown }, path: unknown, binary: Uint8Array): void {
  if (!Array.isArray(path) || path.length > depthMax) throw malformed('bad path');
  let holder: object = envelope;
  let key: string | number = 'value';
  for (const step of path as (string | number)[]) {
    // Own properties only: a path can't reach a prototype.
    const next: unknown = Object.hasOwn(holder, key) ? (holder as Record<string, unknown>)[key] : undefined;
    if (typeof next !== 'object' || next === null) throw malformed('a path leads nowhere');
    holder = next;
    key = step;
  }
  if (!Object.hasOwn(holder, key) || (holder as Record<string, unknown>)[key] !== null)
    throw malformed('a path leads nowhere');
  Object.defineProperty(holder, key, { value: binary, writable: true, enumerable: true, configurable: true });
}
