/** The capability sets of a client's Confirm Active, changed where they stand: lengths and everything else stay as they came. */
import {
  BitmapCodecGuid,
  type CapabilitySet,
  CapabilitySetType,
  SHARE_CONTROL_HEADER_BYTES,
} from '@lucid-sessions/rdp';
import { DecodeError, Reader } from '@lucid-sessions/wire';

/** Clears something in one set, from its header on; whether there was anything. */
export type SetChange = (type: number, set: Uint8Array) => boolean;

/** `share` is a whole Confirm Active with its share control header. Stops where it can't read on. */
export function changeSets(share: Uint8Array, change: SetChange): boolean {
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
      if (change(type, share.subarray(offset, reader.offset))) changed = true;
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return changed;
}

const PERSISTENT_KEYS_EXPECTED = 0x0001;
/** Of the revision 2 set: cacheFlags, then five TS_BITMAPCACHE_CELL_CACHE_INFO, whose top bit says persistent. */
const CACHE_FLAGS_AT = 4;
const CELLS_AT = 8;
const CELLS_COUNT = 5;
const PERSISTENT_CELL = 0x80;

/** [MS-RDPBCGR] 2.2.7.1.4.2: no bitmaps on the client's disk. */
export const clearPersistentCache: SetChange = (type, set) => {
  if (type !== CapabilitySetType.bitmapCacheV2 || ((set[CACHE_FLAGS_AT] ?? 0) & PERSISTENT_KEYS_EXPECTED) === 0)
    return false;
  set[CACHE_FLAGS_AT]! &= ~PERSISTENT_KEYS_EXPECTED;
  for (let cell = 0; cell < CELLS_COUNT; cell += 1) {
    const top = CELLS_AT + 4 * cell + 3;
    if (top < set.length) set[top]! &= ~PERSISTENT_CELL;
  }
  return true;
};

/** VCCAPS_COMPR_SC of TS_VIRTUALCHANNEL_CAPABILITYSET, [MS-RDPBCGR] 2.2.7.1.10. */
const COMPRESSES_TO_CLIENT = 0x0000_0001;

/** What the server sends on static channels is not compressed. */
export const clearChannelCompression: SetChange = (type, set) => {
  if (type !== CapabilitySetType.virtualChannel || ((set[4] ?? 0) & COMPRESSES_TO_CLIENT) === 0) return false;
  set[4]! &= ~COMPRESSES_TO_CLIENT;
  return true;
};

/** What a server says it can draw with and replay can't. */
export interface Undrawable {
  nineGrid: boolean;
  gdiPlus: boolean;
  /** [MS-RDPCR2], of Windows Vista and 7. */
  composition: boolean;
}

const NINE_GRID_ORDER = 7;
const MULTI_NINE_GRID_ORDER = 9;
const ORDER_SUPPORT_AT = 36;

export function undrawableOf(sets: readonly CapabilitySet[]): Undrawable {
  const found: Undrawable = { nineGrid: false, gdiPlus: false, composition: false };
  for (const set of sets)
    if (set.kind === 'order')
      found.nineGrid ||= set.orderSupport[NINE_GRID_ORDER] !== 0 || set.orderSupport[MULTI_NINE_GRID_ORDER] !== 0;
    else if (set.kind === 'drawGdiPlus') found.gdiPlus ||= set.drawGdiPlusSupportLevel !== 0;
    else if (set.kind === 'desktopComposition') found.composition ||= set.compDeskSupportLevel !== 0;
  return found;
}

const drawnCodecs: ReadonlySet<string> = new Set(Object.values(BitmapCodecGuid));
const IGNORED_CODEC = bytesOf(BitmapCodecGuid.ignore);

/**
 * What the server could use and codecs replay does not have: these become CODEC_GUID_IGNORE, which servers pass over. What the
 * server does not have stays as it is.
 */
export const clearUndrawable =
  ({ nineGrid, gdiPlus, composition }: Undrawable): SetChange =>
  (type, set) => {
    switch (type) {
      case CapabilitySetType.order:
        return (
          nineGrid &&
          [NINE_GRID_ORDER, MULTI_NINE_GRID_ORDER].filter((at) => clear(set, ORDER_SUPPORT_AT + at, 1)).length > 0
        );
      case CapabilitySetType.drawNineGrid:
        return nineGrid && clear(set, 4, 4);
      case CapabilitySetType.drawGdiPlus:
        return gdiPlus && clear(set, 4, 4);
      case CapabilitySetType.desktopComposition:
        return composition && clear(set, 4, 2);
      case CapabilitySetType.bitmapCodecs:
        return ignoreCodecs(set);
      default:
        return false;
    }
  };

function clear(set: Uint8Array, at: number, length: number): boolean {
  const field = set.subarray(at, at + length);
  if (field.every((byte) => byte === 0)) return false;
  field.fill(0);
  return true;
}

/** TS_BITMAPCODECS, [MS-RDPBCGR] 2.2.7.2.10. */
function ignoreCodecs(set: Uint8Array): boolean {
  let changed = false;
  const reader = new Reader(set, Math.min(4, set.length));
  try {
    for (let count = reader.u8(); count > 0; count -= 1) {
      const guid = reader.slice(16);
      if (!drawnCodecs.has(hexOf(guid))) {
        guid.set(IGNORED_CODEC);
        changed = true;
      }
      reader.skip(1);
      reader.skip(reader.u16le());
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return changed;
}

const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16));
}
