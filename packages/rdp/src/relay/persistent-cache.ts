/**
 * Bitmaps a client keeps on its disk between sessions: their pixels never cross the wire. The server is not told that there are
 * any, and not which: [MS-RDPBCGR] 2.2.7.1.4.2 and 2.2.1.17.
 */
import { DecodeError, Reader } from '@lucid-sessions/wire';
import { CapabilitySetType } from '../pdu/capability-sets.ts';
import { PduType, PduType2, SHARE_CONTROL_HEADER_BYTES, shareControlPdu } from '../pdu/share.ts';
import { joinBytes } from './join-bytes.ts';

const PERSISTENT_KEYS_EXPECTED = 0x0001;
/** Of the revision 2 set, from its header on: cacheFlags, then five TS_BITMAPCACHE_CELL_CACHE_INFO, whose top bit says persistent. */
const CACHE_FLAGS_AT = 4;
const CELLS_AT = 8;
const CELLS_COUNT = 5;
const PERSISTENT_CELL = 0x80;
/** pduType2, behind share control header and share id, pad, stream id and length. */
const PDU_TYPE_2_AT = SHARE_CONTROL_HEADER_BYTES + 8;

/**
 * For MCS data of a client on the I/O channel: what stays of it, the data itself where nothing had to change. What can't be read is
 * passed on as it is: without keys the server can't use any.
 */
export function withoutPersistentCache(data: Uint8Array): Uint8Array {
  const copy = new Uint8Array(data);
  const kept: Uint8Array[] = [];
  let changed = false;
  let at = 0;
  for (const end of shareEnds(copy)) {
    const share = copy.subarray(at, end);
    const type = (share[2] ?? 0) & 15;
    const isKeyList = type === PduType.data && share[PDU_TYPE_2_AT] === PduType2.bitmapCachePersistentList;
    if (!isKeyList) kept.push(share);
    if (isKeyList || (type === PduType.confirmActive && clearFlags(share))) changed = true;
    at = end;
  }
  return changed ? joinBytes([...kept, copy.subarray(at)]) : data;
}

/** Where each share control PDU ends, up to the first that can't be read. */
function shareEnds(data: Uint8Array): number[] {
  const ends: number[] = [];
  const reader = new Reader(data);
  try {
    while (reader.remaining > 0) {
      shareControlPdu.decode(reader);
      ends.push(reader.offset);
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return ends;
}

/** In place, in every revision 2 set of a Confirm Active. */
function clearFlags(share: Uint8Array): boolean {
  let changed = false;
  const reader = new Reader(share, Math.min(share.length, SHARE_CONTROL_HEADER_BYTES));
  try {
    reader.skip(6);
    const sourceLength = reader.u16le();
    reader.skip(2 + sourceLength + 4);
    while (reader.remaining >= 4) {
      const { offset } = reader;
      const type = reader.u16le();
      const length = reader.u16le();
      reader.skip(Math.max(0, length - 4));
      if (type !== CapabilitySetType.bitmapCacheV2) continue;
      const set = share.subarray(offset, reader.offset);
      if (((set[CACHE_FLAGS_AT] ?? 0) & PERSISTENT_KEYS_EXPECTED) === 0) continue;
      clearSet(set);
      changed = true;
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return changed;
}

function clearSet(set: Uint8Array): void {
  set[CACHE_FLAGS_AT]! &= ~PERSISTENT_KEYS_EXPECTED;
  for (let cell = 0; cell < CELLS_COUNT; cell += 1) {
    const top = CELLS_AT + 4 * cell + 3;
    if (top < set.length) set[top]! &= ~PERSISTENT_CELL;
  }
}
