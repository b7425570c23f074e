import { Writer } from '@lucid-sessions/wire';

/** UTF-16LE with every unit as it is: a name that is not well-formed has to hash to the same bytes again. */
export function utf16Bytes(text: string): Uint8Array {
  return new Writer(text.length * 2).utf16le(text).bytes();
}

/** The reverse; an odd last byte is left out. */
export function utf16Text(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at + 1 < bytes.length; at += 2) text += String.fromCharCode(bytes[at]! | (bytes[at + 1]! << 8));
  return text;
}

/** As Windows makes user names upper case: each UTF-16 unit by itself, and only where that gives one unit (ß stays). */
export function upperUnits(text: string): string {
  return text.replace(/[\s\S]/g, (unit) => {
    const upper = unit.toUpperCase();
    return upper.length === 1 ? upper : unit;
  });
}

/** Takes as long for wrong bytes as for right ones. */
export function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at += 1) difference |= a[at]! ^ (b[at] ?? 0);
  return difference === 0;
}
