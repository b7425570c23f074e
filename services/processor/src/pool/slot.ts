import { zstdBoundBytes } from './compress.ts';

/**
 * One slot: shared, page-aligned memory in which a chunk becomes a sealed file. Slots are made once and used again and again:
 * memory that was never touched costs as much to touch as a chunk costs to encrypt.
 *
 * ```
 * 0      key (32) and nonce (12) of the chunk, then the secret (48) of its typed and copied frames, zeroed by the worker as
 *        soon as it has read them
 * 4096   sealed file: the body is compressed in its place behind the prefix, then encrypted there; zeros up to the next multiple of 4096 (a writer with O_DIRECT may write them and truncate)
 * input  the payload, when its owner's memory is not shared; or a copy of it whose typed and copied frames are sealed
 * ```
 */
export const pageBytes = 4096;
const wasmPageBytes = 65536;
export const keyBytes = 32;
export const nonceBytes = 12;
export const inputsSecretBytes = 48;
export const tagBytes = 16;
/** The longest prefix a file may have before its ciphertext: header, salt, commitment. */
export const prefixBytesMax = 1024;
export const fileOffset = pageBytes;

export function alignToPage(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes;
}

/** Bytes the file region needs for a payload: zstd works in it, and nothing that is stored is longer. */
export function fileCapacityBytes(payloadBytes: number): number {
  return alignToPage(prefixBytesMax + zstdBoundBytes(payloadBytes) + tagBytes);
}

export interface Slot {
  readonly index: number;
  readonly memory: WebAssembly.Memory;
}

export function createSlot(index: number, payloadBytesMax: number): Slot {
  const pagesMax = Math.ceil((fileOffset + 2 * fileCapacityBytes(payloadBytesMax)) / wasmPageBytes);
  return { index, memory: new WebAssembly.Memory({ initial: 1, maximum: pagesMax, shared: true }) };
}

/** Makes the slot at least `bytes` long. Throws RangeError beyond the size it was created for. */
function reserve(slot: Slot, bytes: number): void {
  const missing = bytes - slot.memory.buffer.byteLength;
  if (missing > 0) slot.memory.grow(Math.ceil(missing / wasmPageBytes));
}

/** The offset of the payload's copy in the slot, or null when it lies in shared memory already and is not copied. */
export function placePayload(slot: Slot, payload: Uint8Array): number | null {
  const capacity = fileCapacityBytes(payload.length);
  // Room that is not touched costs nothing.
  reserve(slot, fileOffset + 2 * capacity);
  if (payload.buffer instanceof SharedArrayBuffer) return null;
  const offset = fileOffset + capacity;
  new Uint8Array(slot.memory.buffer, offset, payload.length).set(payload);
  return offset;
}

/** The slot's place for key and nonce. */
export function secretsView(memory: WebAssembly.Memory): Uint8Array {
  return new Uint8Array(memory.buffer, 0, keyBytes + nonceBytes);
}

export function inputsSecretView(memory: WebAssembly.Memory): Uint8Array {
  return new Uint8Array(memory.buffer, keyBytes + nonceBytes, inputsSecretBytes);
}

/** The slot's own place for a payload. */
export function payloadRoom(memory: WebAssembly.Memory, payloadBytes: number): Uint8Array {
  return new Uint8Array(memory.buffer, fileOffset + fileCapacityBytes(payloadBytes), payloadBytes);
}

/** Where the body of a file stands: what zstd writes here is encrypted in place. */
export function bodyRoom(memory: WebAssembly.Memory, prefixBytes: number, payloadBytes: number): Uint8Array {
  return new Uint8Array(memory.buffer, fileOffset + prefixBytes, zstdBoundBytes(payloadBytes));
}

export function fileView(memory: WebAssembly.Memory, bytes: number): Uint8Array {
  return new Uint8Array(memory.buffer, fileOffset, bytes);
}
