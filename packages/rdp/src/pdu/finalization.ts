import { rest, structWithTail, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** The connection finalization PDUs, [MS-RDPBCGR] 2.2.1.14 to 2.2.1.22, without their share headers. */

/** TS_SYNCHRONIZE_PDU 2.2.1.14.1; rdesktop and others vary in nothing but `targetUser`. */
export const synchronize = structWithTail('Synchronize', { messageType: u16le, targetUser: u16le }, {});
export type Synchronize = Value<typeof synchronize>;

/** action of a Control PDU. */
export const ControlAction = { requestControl: 1, grantedControl: 2, detach: 3, cooperate: 4 } as const;
/** TS_CONTROL_PDU 2.2.1.15.1 */
export const control = structWithTail('Control', { action: u16le, grantId: u16le, controlId: u32le }, {});
export type Control = Value<typeof control>;

/** TS_BITMAPCACHE_PERSISTENT_LIST_PDU 2.2.1.17.1 */
export const persistentKeyList = structWithTail(
  'Persistent Key List',
  {
    numEntriesCache0: u16le,
    numEntriesCache1: u16le,
    numEntriesCache2: u16le,
    numEntriesCache3: u16le,
    numEntriesCache4: u16le,
    totalEntriesCache0: u16le,
    totalEntriesCache1: u16le,
    totalEntriesCache2: u16le,
    totalEntriesCache3: u16le,
    totalEntriesCache4: u16le,
    bBitMask: u8,
    pad2: u8,
    pad3: u16le,
    /** Entries of eight bytes each, of all caches one after another. */
    entries: rest,
  },
  {},
);
export type PersistentKeyList = Value<typeof persistentKeyList>;
/** TS_FONT_LIST_PDU 2.2.1.18.1 */
export const fontList = structWithTail(
  'Font List',
  { numberFonts: u16le, totalNumFonts: u16le, listFlags: u16le, entrySize: u16le },
  {},
);
export type FontList = Value<typeof fontList>;

/** TS_FONT_MAP_PDU 2.2.1.22.1 */
export const fontMap = structWithTail(
  'Font Map',
  { numberEntries: u16le, totalNumEntries: u16le, mapFlags: u16le, entrySize: u16le },
  {},
);
export type FontMap = Value<typeof fontMap>;
