/** NAL units in a byte stream: ITU-T H.264, clause 7.4.1 and Annex B. */

export const nalSlice = 1;
export const nalIdrSlice = 5;
export const nalSps = 7;
export const nalPps = 8;
export const nalAccessUnitDelimiter = 9;

export function nalType(nal: Uint8Array): number {
  return nal.length === 0 ? 0 : nal[0]! & 0x1f;
}

export function isSlice(nal: Uint8Array): boolean {
  return nalType(nal) === nalSlice || nalType(nal) === nalIdrSlice;
}

/** Whether an access unit begins anew: nothing behind its picture refers to anything before it. */
export function isIdr(accessUnit: Uint8Array): boolean {
  const slice = splitNals(accessUnit).find(isSlice);
  return slice !== undefined && nalType(slice) === nalIdrSlice;
}

/** The NAL units of an Annex B byte stream, without start codes and trailing zeros. Views of `bytes`. */
export function splitNals(bytes: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  let start = -1;
  for (let i = 0; i + 2 < bytes.length; i += 1) {
    if (bytes[i] !== 0 || bytes[i + 1] !== 0 || bytes[i + 2] !== 1) continue;
    if (start >= 0) nals.push(withoutTrailingZeros(bytes.subarray(start, i)));
    start = i + 3;
    i += 2;
  }
  if (start >= 0) nals.push(withoutTrailingZeros(bytes.subarray(start)));
  return nals.filter((nal) => nal.length > 0);
}

function withoutTrailingZeros(nal: Uint8Array): Uint8Array {
  let end = nal.length;
  while (end > 0 && nal[end - 1] === 0) end -= 1;
  return nal.subarray(0, end);
}

/** An Annex B byte stream of NAL units. */
export function joinNals(nals: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(nals.reduce((sum, { length }) => sum + 4 + length, 0));
  let at = 0;
  for (const nal of nals) {
    bytes[at + 3] = 1;
    bytes.set(nal, at + 4);
    at += 4 + nal.length;
  }
  return bytes;
}

/** Pictures whose first slice is among `nals`: what a decoder will give for them. */
export function picturesCount(nals: readonly Uint8Array[]): number {
  // first_mb_in_slice is 0: a single 1 bit in Exp-Golomb code.
  return nals.filter((nal) => isSlice(nal) && nal.length > 1 && nal[1]! & 0x80).length;
}

/** A NAL unit's payload: what follows its first byte, without the 3 of every 0 0 3, clause 7.4.1.1. */
export function nalPayload(nal: Uint8Array): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(nal.length);
  let length = 0;
  let zeros = 0;
  for (let i = 1; i < nal.length; i += 1) {
    const byte = nal[i]!;
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    payload[length] = byte;
    length += 1;
  }
  return payload.subarray(0, length);
}

/** A NAL unit of a first byte and a payload, with a 3 wherever two zeros would run on into a small byte. */
export function createNal(firstByte: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  // Three bytes for every two where all are zero.
  const nal = new Uint8Array(1 + payload.length + (payload.length >> 1) + 1);
  nal[0] = firstByte;
  let length = 1;
  let zeros = 0;
  for (let i = 0; i < payload.length; i += 1) {
    const byte = payload[i]!;
    if (zeros === 2 && byte <= 3) {
      nal[length] = 3;
      length += 1;
      zeros = 0;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    nal[length] = byte;
    length += 1;
  }
  return nal.subarray(0, length);
}
