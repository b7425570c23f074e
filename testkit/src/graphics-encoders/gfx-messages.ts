import { type GfxPdu, gfxPdu } from '@lucid-sessions/graphics';
import { encode, Writer } from '@lucid-sessions/wire';

/** Commands as the server sends them: RDP_SEGMENTED_DATA of uncompressed segments, [MS-RDPEGFX] 2.2.5.1. */
export function gfxMessage(...pdus: readonly GfxPdu[]): Uint8Array {
  const commands = new Writer();
  for (const pdu of pdus) commands.slice(encode(gfxPdu, pdu));
  return segmented(commands.bytes());
}

export function segmented(bytes: Uint8Array): Uint8Array {
  const segments = new Writer();
  let count = 0;
  for (let at = 0; at < bytes.length; at += 65_535, count += 1) {
    const segment = bytes.subarray(at, at + 65_535);
    segments
      .u32le(segment.length + 1)
      .u8(0x04)
      .slice(segment);
  }
  return new Writer().u8(0xe1).u16le(count).u32le(bytes.length).slice(segments.bytes()).bytes();
}

/** A command without flags. */
export function pdu<K extends GfxPdu['kind']>(
  kind: K,
  body: Extract<GfxPdu, { kind: K }>['body'],
): Extract<GfxPdu, { kind: K }> {
  return { kind, flags: 0, body } as Extract<GfxPdu, { kind: K }>;
}

export function rect(left: number, top: number, right: number, bottom: number) {
  return { left, top, right, bottom };
}
