import type { Codec } from '@lucid-sessions/wire';
import { textOfUtf16 } from '@lucid-sessions/wire/struct';

/** RDP_PRECONNECTION_PDU, [MS-RDPEPS] 2.2.1: said before RDP begins, to a host that lends its port to others (Hyper-V). */
export interface PreconnectionPdu {
  flags: number;
  id: number;
  /** Version 2: what names the machine, with what may stand behind it (`;EnhancedMode=1`). Version 1 has none. */
  blob: string | null;
}

const headerBytes = 16;

export const preconnectionPdu: Codec<PreconnectionPdu> = {
  name: 'RDP_PRECONNECTION_PDU',
  decode(reader) {
    const size = reader.u32le();
    const [flags, version, id] = [reader.u32le(), reader.u32le(), reader.u32le()];
    if (version === 1 && size === headerBytes) return { flags, id, blob: null };
    if (version !== 2) throw reader.error('unsupported', `a preconnection PDU of version ${version}, ${size} bytes`);
    const text = textOfUtf16(reader.slice(2 * reader.u16le()));
    if (!text.endsWith('\0') || size !== headerBytes + 2 + 2 * text.length)
      throw reader.error('invalid', `a preconnection blob of ${text.length} characters in ${size} bytes`);
    return { flags, id, blob: text.slice(0, -1) };
  },
  encode({ flags, id, blob }, writer) {
    const text = blob === null ? '' : `${blob}\0`;
    writer.u32le(blob === null ? headerBytes : headerBytes + 2 + 2 * text.length);
    writer
      .u32le(flags)
      .u32le(blob === null ? 1 : 2)
      .u32le(id);
    if (blob !== null) writer.u16le(text.length).utf16le(text);
  },
};
