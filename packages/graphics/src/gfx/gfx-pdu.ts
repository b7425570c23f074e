import { type Codec, Reader } from '@lucid-sessions/wire';
import type { Value } from '@lucid-sessions/wire/struct';
import { type GfxKind, gfxBodies, gfxCmdId } from './bodies.ts';

/** A graphics command: RDPGFX_HEADER ([MS-RDPEGFX] 2.2.1.5) and its body. `trailing` keeps bytes no field claims. */
export type GfxPdu =
  | { [K in GfxKind]: { kind: K; flags: number; body: Value<(typeof gfxBodies)[K]>; trailing?: Uint8Array } }[GfxKind]
  | { kind: 'unknown'; cmdId: number; flags: number; body: Uint8Array };

export type GfxBody<K extends GfxKind> = Value<(typeof gfxBodies)[K]>;

const headerBytes = 8;
const kindOfCmdId = new Map<number, GfxKind>(
  (Object.keys(gfxCmdId) as GfxKind[]).map((kind) => [gfxCmdId[kind], kind]),
);

/** One command of the graphics channel, after decompression. Byte slices in it share memory with the input. */
export const gfxPdu: Codec<GfxPdu> = {
  name: 'RDPGFX command',
  decode(reader) {
    const cmdId = reader.u16le();
    const flags = reader.u16le();
    const pduLength = reader.u32le();
    if (pduLength < headerBytes) throw reader.error('invalid', 'a graphics command is shorter than its header');
    return decodeBody(cmdId, flags, reader.sub(pduLength - headerBytes));
  },
  encode(value, writer) {
    const start = writer.length;
    writer
      .u16le(value.kind === 'unknown' ? value.cmdId : gfxCmdId[value.kind])
      .u16le(value.flags)
      .u32le(0);
    if (value.kind === 'unknown') {
      writer.slice(value.body);
    } else {
      (gfxBodies[value.kind] as Codec<unknown>).encode(value.body, writer);
      if (value.trailing !== undefined) writer.slice(value.trailing);
    }
    writer.patchU32le(start + 4, writer.length - start);
  },
};

/** Steps over the next command, whatever is in it, and gives a reader of its bytes. Throws `DecodeError`. */
export function takeGfxCommand(reader: Reader): Reader {
  reader.need(headerBytes, 'graphics command');
  const header = new Reader(reader.bytes, reader.offset + 4, reader.end);
  return reader.sub(Math.max(header.u32le(), headerBytes));
}

function decodeBody(cmdId: number, flags: number, reader: Reader): GfxPdu {
  const kind = kindOfCmdId.get(cmdId);
  if (kind === undefined) return { kind: 'unknown', cmdId, flags, body: reader.rest() };
  const body = (gfxBodies[kind] as Codec<unknown>).decode(reader);
  const pdu = { kind, flags, body } as GfxPdu;
  return reader.remaining === 0 ? pdu : ({ ...pdu, trailing: reader.rest() } as GfxPdu);
}
