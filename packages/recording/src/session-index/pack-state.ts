import { DecodeError, joinBytes } from '@lucid-sessions/wire';

/** A state unpacked: the largest screens, their surfaces and caches with room to spare. */
export const STATE_BYTES_MAX = 512 << 20;

/**
 * A decoder's state as bytes: plain values, maps, sets and typed arrays, with memory that several views share kept shared.
 * Only for what this code packed itself (its own memory, or a sidecar that authenticated): bytes of anyone else are never unpacked.
 *
 * `u32 JSON length, JSON, zeros, buffers`: large ones begin at multiples of 512, the others of 8, so that a picture lies on the
 * same blocks in every state (`packDelta`).
 */
const arrayTypes = [
  Uint8Array,
  Uint8ClampedArray,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
] as const;
type TypedArray = InstanceType<(typeof arrayTypes)[number]>;

type Json = string | number | boolean | null | Json[];
const blockAlign = 512;
const largeBytesMin = 4096;
const aligned = (length: number): number => (length + 7) & ~7;
/** Where a buffer of a length begins when the one before ended at `at`. */
const startOf = (at: number, length: number): number =>
  length < largeBytesMin ? aligned(at) : Math.ceil(at / blockAlign) * blockAlign;

/** The part of one buffer that views of the state really cover. */
interface Part {
  buffer: ArrayBufferLike;
  start: number;
  end: number;
}

class Packer {
  readonly #parts = new Map<ArrayBufferLike, { index: number; part: Part }>();

  /** First pass: which bytes of which buffers are used. */
  scan(value: unknown): void {
    if (typeof value !== 'object' || value === null) return;
    if (ArrayBuffer.isView(value)) this.#cover(value as TypedArray);
    else for (const child of childrenOf(value)) this.scan(child);
  }

  #cover({ buffer, byteOffset, byteLength }: TypedArray): void {
    const known = this.#parts.get(buffer);
    // Starts are aligned, so that a view of any element size fits again.
    const start = byteOffset & ~7;
    const end = byteOffset + byteLength;
    if (!known) this.#parts.set(buffer, { index: this.#parts.size, part: { buffer, start, end } });
    else {
      known.part.start = Math.min(known.part.start, start);
      known.part.end = Math.max(known.part.end, end);
    }
  }

  get parts(): Part[] {
    return [...this.#parts.values()].map(({ part }) => part);
  }

  encode(value: unknown): Json {
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
    if (typeof value === 'number') return Number.isFinite(value) ? value : ['n', String(value)];
    if (typeof value === 'bigint') return ['b', String(value)];
    if (value === undefined) return ['u'];
    if (typeof value !== 'object') throw new TypeError(`a ${typeof value} is no state`);
    if (ArrayBuffer.isView(value)) return this.#view(value as TypedArray);
    if (Array.isArray(value)) return ['a', value.map((child) => this.encode(child))];
    if (value instanceof Map) return ['m', [...value].map(([key, child]) => [this.encode(key), this.encode(child)])];
    if (value instanceof Set) return ['s', [...value].map((child) => this.encode(child))];
    return ['o', Object.entries(value).map(([key, child]) => [key, this.encode(child)])];
  }

  #view(view: TypedArray): Json {
    const type = (arrayTypes as readonly unknown[]).indexOf(view.constructor);
    if (type < 0) throw new TypeError(`a ${view.constructor.name} is no state`);
    const { index, part } = this.#parts.get(view.buffer)!;
    return ['t', type, index, view.byteOffset - part.start, view.length];
  }
}

function childrenOf(value: object): Iterable<unknown> {
  if (value instanceof Map) return [...value].flat();
  if (value instanceof Set || Array.isArray(value)) return value;
  return Object.values(value);
}

export function packState(state: unknown): Uint8Array<ArrayBuffer> {
  const packer = new Packer();
  packer.scan(state);
  const { parts } = packer;
  const lengths = parts.map(({ start, end }) => end - start);
  const json = new TextEncoder().encode(JSON.stringify([lengths, packer.encode(state)]));
  const first = 4 + json.length;
  const bytes = new Uint8Array(lengths.reduce((at, length) => startOf(at, length) + length, first));
  new DataView(bytes.buffer).setUint32(0, json.length);
  bytes.set(json, 4);
  let at = first;
  for (const { buffer, start, end } of parts) {
    at = startOf(at, end - start);
    bytes.set(new Uint8Array(buffer, start, end - start), at);
    at += end - start;
  }
  return bytes;
}

/** The state again; its arrays are its own memory. */
export function unpackState(bytes: Uint8Array): unknown {
  const jsonLength = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const text = new TextDecoder().decode(bytes.subarray(4, 4 + jsonLength));
  const [lengths, tree] = JSON.parse(text) as [number[], Json];
  let at = 4 + jsonLength;
  const buffers = lengths.map((length) => {
    const start = startOf(at, length);
    at = start + length;
    return bytes.slice(start, at).buffer;
  });
  return decode(tree, buffers);
}

function decode(value: Json, buffers: readonly ArrayBuffer[]): unknown {
  if (!Array.isArray(value)) return value;
  const [tag, content, ...rest] = value;
  const children = (): Json[] => content as Json[];
  switch (tag) {
    case 'n':
      return Number(content);
    case 'b':
      return BigInt(content as string);
    case 'a':
      return children().map((child) => decode(child, buffers));
    case 's':
      return new Set(children().map((child) => decode(child, buffers)));
    case 'm':
      return new Map((content as [Json, Json][]).map(([key, child]) => [decode(key, buffers), decode(child, buffers)]));
    case 'o':
      return Object.fromEntries((content as [string, Json][]).map(([key, child]) => [key, decode(child, buffers)]));
    case 't': {
      const [index, offset, length] = rest as [number, number, number];
      return new arrayTypes[content as number]!(buffers[index]!, offset, length);
    }
    default:
      return undefined;
  }
}

/** Raw deflate by the platform. Desktop pictures are mostly flat: packed states get many times smaller. */
export async function deflate(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const source = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  return new Uint8Array(await new Response(source.pipeThrough(new CompressionStream('deflate-raw'))).arrayBuffer());
}

/** Throws `DecodeError`: bad data, or more than `lengthMax`. */
export async function inflate(bytes: Uint8Array, lengthMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    const source = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
    for await (const part of source.pipeThrough(new DecompressionStream('deflate-raw'))) {
      length += part.length;
      if (length > lengthMax) throw new DecodeError('limit', `packed data is larger than ${lengthMax} bytes`);
      parts.push(part);
    }
  } catch (cause) {
    throw cause instanceof DecodeError ? cause : new DecodeError('invalid', 'packed data is damaged');
  }
  return joinBytes(parts);
}

export const compressState = (state: unknown): Promise<Uint8Array<ArrayBuffer>> => deflate(packState(state));

export const decompressState = async (bytes: Uint8Array): Promise<unknown> =>
  unpackState(await inflate(bytes, STATE_BYTES_MAX));
