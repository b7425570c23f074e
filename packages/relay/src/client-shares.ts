/** Share PDUs of a client without what replay can't show: of Confirm Active parts, of Persistent Key Lists all. */
import { PduType, PduType2, SHARE_CONTROL_HEADER_BYTES, shareControlPdu } from '@lucid-sessions/rdp';
import { DecodeError, joinBytes, Reader } from '@lucid-sessions/wire';
import {
  changeSets,
  clearChannelCompression,
  clearPersistentCache,
  clearUndrawable,
  type Undrawable,
} from './confirm-active.ts';
import type { Downgrade } from './downgrades.ts';

/** pduType2, behind share control header and share id, pad, stream id and length. */
const PDU_TYPE_2_AT = SHARE_CONTROL_HEADER_BYTES + 8;

export interface ClientSharesPolicy {
  /** Bitmaps on the client's disk stay announced, and its key lists ([MS-RDPBCGR] 2.2.1.17) pass. */
  leavesCache: boolean;
  /** What the server may draw with; null: all of it stays. */
  undrawable: Undrawable | null;
  /** The server may compress what it sends on static channels. */
  compressesChannels: boolean;
  tell: (what: Downgrade) => void;
}

/**
 * For MCS data of a client on the I/O channel: what stays of it, the data itself where nothing had to change. What can't be read is
 * passed on as it is: without keys the server can't use any.
 */
export function clientShares(data: Uint8Array, policy: ClientSharesPolicy): Uint8Array {
  const { leavesCache, undrawable, compressesChannels, tell } = policy;
  const copy = new Uint8Array(data);
  const kept: Uint8Array[] = [];
  let changed = false;
  const change = (isChanged: boolean, what: Downgrade): void => {
    if (!isChanged) return;
    changed = true;
    tell(what);
  };
  let at = 0;
  for (const end of shareEnds(copy)) {
    const share = copy.subarray(at, end);
    at = end;
    const isKeys = !leavesCache && isKeyList(share);
    change(isKeys, 'bitmap_cache');
    if (!isKeys) kept.push(share);
    if (typeOf(share) !== PduType.confirmActive) continue;
    if (!leavesCache) change(changeSets(share, clearPersistentCache), 'bitmap_cache');
    if (undrawable !== null) change(changeSets(share, clearUndrawable(undrawable)), 'drawing');
    if (!compressesChannels) change(changeSets(share, clearChannelCompression), 'channelsCompressed');
  }
  return changed ? joinBytes([...kept, copy.subarray(at)]) : data;
}

/** A key list is among the share PDUs, whatever stands behind it. */
export function hasKeyList(data: Uint8Array): boolean {
  return shareEnds(data).some((end, index, ends) => isKeyList(data.subarray(ends[index - 1] ?? 0, end)));
}

const typeOf = (share: Uint8Array): number => (share[2] ?? 0) & 15;

const isKeyList = (share: Uint8Array): boolean =>
  typeOf(share) === PduType.data && share[PDU_TYPE_2_AT] === PduType2.bitmapCachePersistentList;

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
