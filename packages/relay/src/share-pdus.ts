import { readShareControlPdus, type ShareControlPdu } from '@lucid-sessions/rdp';
import { DecodeError, Reader } from '@lucid-sessions/wire';

/** The share control PDUs in MCS data; none when the data holds something else. */
export function sharePdusOf(data: Uint8Array): ShareControlPdu[] {
  try {
    return readShareControlPdus(new Reader(data));
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}
