import { BitmapCodecGuid, type CapabilitySet, type ConfirmActive, type DemandActive } from '@lucid-sessions/rdp';
import type { CacheLimits } from '../orders/index.ts';
import type { SurfaceCodec } from './surface-commands.ts';

/** What server and client agreed on that says how updates are to be read. */
export interface GraphicsCapabilities {
  desktopWidth: number;
  desktopHeight: number;
  /** Of the session: how colours and bitmaps without a depth of their own are to be read. */
  bitsPerPixel: number;
  /** Client-assigned ids: [MS-RDPBCGR] 2.2.7.2.10.1.1. */
  codecs: Map<number, SurfaceCodec>;
}

const codecOfGuid = new Map<string, SurfaceCodec>([
  [BitmapCodecGuid.nsCodec, 'nsCodec'],
  [BitmapCodecGuid.remoteFx, 'remoteFx'],
  [BitmapCodecGuid.imageRemoteFx, 'imageRemoteFx'],
]);

/** The desktop's size and depth are the server's word: Demand Active, bitmap capability set. */
export function readDemandActive(capabilities: GraphicsCapabilities, demand: DemandActive): void {
  for (const set of demand.capabilitySets) {
    if (set.kind !== 'bitmap') continue;
    capabilities.desktopWidth = set.desktopWidth;
    capabilities.desktopHeight = set.desktopHeight;
    capabilities.bitsPerPixel = set.preferredBitsPerPixel;
  }
}

/** Codec ids are the client's word. Ids of codecs this project doesn't know are kept as such, to be counted. */
export function readConfirmActive(capabilities: GraphicsCapabilities, confirm: ConfirmActive): void {
  for (const set of confirm.capabilitySets) if (set.kind === 'bitmapCodecs') readCodecs(capabilities.codecs, set);
}

function readCodecs(codecs: Map<number, SurfaceCodec>, set: Extract<CapabilitySet, { kind: 'bitmapCodecs' }>): void {
  codecs.clear();
  for (const codec of set.bitmapCodecs) {
    const guid = Array.from(codec.codecGuid, (byte) => byte.toString(16).padStart(2, '0')).join('');
    codecs.set(codec.codecId, codecOfGuid.get(guid) ?? 'unknown');
  }
}

/** How many entries the client's caches have: the server may fill no more. */
export function readCacheLimits(limits: CacheLimits, confirm: ConfirmActive): void {
  for (const set of confirm.capabilitySets) {
    if (set.kind === 'bitmapCache') {
      limits.bitmapEntries = [set.cache0Entries, set.cache1Entries, set.cache2Entries];
    } else if (set.kind === 'bitmapCacheV2') {
      const cells = [set.cell0Info, set.cell1Info, set.cell2Info, set.cell3Info, set.cell4Info];
      // The high bit says that the cache is persistent.
      limits.bitmapEntries = cells.slice(0, set.numCellCaches).map((info) => info & 0x7fffffff);
    } else if (set.kind === 'offscreenCache') {
      limits.offscreenEntries = set.offscreenCacheEntries;
    } else if (set.kind === 'glyphCache') {
      limits.glyphEntries = set.glyphCache.map((cache) => cache.cacheEntries);
    }
  }
}
