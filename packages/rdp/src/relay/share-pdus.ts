import { DecodeError, Reader } from '@lucid-sessions/wire';
import { readShareControlPdus, type ShareControlPdu } from '../pdu/share.ts';

/** The share control PDUs in MCS data; none when the data holds something else. */
export function sharePdusOf(data: Uint8Array): ShareControlPdu[] {
  try {
    return readShareControlPdus(new Reader(data));
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}
