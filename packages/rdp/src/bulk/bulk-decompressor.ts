import { DecodeError } from '@lucid-sessions/wire';
import {
  compressionType8K,
  compressionType64K,
  compressionTypeMask,
  compressionTypeRdp6,
  compressionTypeRdp61,
  packetAtFront,
  packetCompressed,
  packetFlushed,
} from './flags.ts';
import { type HistorySnapshot, MppcDecompressor } from './mppc.ts';
import { NcrushDecompressor, type NcrushSnapshot } from './ncrush.ts';
import { XcrushDecompressor, type XcrushSnapshot } from './xcrush.ts';

export interface BulkSnapshot {
  readonly mppc8K: HistorySnapshot | null;
  readonly mppc64K: HistorySnapshot | null;
  readonly ncrush: NcrushSnapshot | null;
  readonly xcrush: XcrushSnapshot | null;
}

/**
 * One direction's bulk decompression ([MS-RDPBCGR] 3.1.8): one history over slow-path updates, fast-path updates and
 * static channel chunks, so every compressed payload of the direction must come here, in order.
 */
export class BulkDecompressor {
  #mppc8K: MppcDecompressor | null = null;
  #mppc64K: MppcDecompressor | null = null;
  #ncrush: NcrushDecompressor | null = null;
  #xcrush: XcrushDecompressor | null = null;

  /**
   * The payload behind `data`. `flags` is the header's compression byte: type in the low four bits, PACKET_COMPRESSED
   * 0x20, PACKET_AT_FRONT 0x40, PACKET_FLUSHED 0x80. Payload that isn't compressed comes back as it is, compressed
   * payload as a copy of at most 64 KiB. Throws `DecodeError`.
   */
  decompress(data: Uint8Array, flags: number): Uint8Array {
    if (!(flags & (packetCompressed | packetAtFront | packetFlushed))) return data;
    return this.#engine(flags & compressionTypeMask).decompress(data, flags);
  }

  /** Engines are made when first used: the histories of all four would be 2.2 MB a session. */
  #engine(type: number): { decompress(data: Uint8Array, flags: number): Uint8Array } {
    switch (type) {
      case compressionType8K:
        this.#mppc8K ??= new MppcDecompressor(8192);
        return this.#mppc8K;
      case compressionType64K:
        this.#mppc64K ??= new MppcDecompressor(65536);
        return this.#mppc64K;
      case compressionTypeRdp6:
        this.#ncrush ??= new NcrushDecompressor();
        return this.#ncrush;
      case compressionTypeRdp61:
        this.#xcrush ??= new XcrushDecompressor();
        return this.#xcrush;
      default:
        throw new DecodeError('unsupported', `bulk compression type ${type} is not defined for this header`);
    }
  }

  snapshot(): BulkSnapshot {
    return {
      mppc8K: this.#mppc8K?.snapshot() ?? null,
      mppc64K: this.#mppc64K?.snapshot() ?? null,
      ncrush: this.#ncrush?.snapshot() ?? null,
      xcrush: this.#xcrush?.snapshot() ?? null,
    };
  }

  restore(snapshot: BulkSnapshot): void {
    this.#mppc8K = snapshot.mppc8K && restored(new MppcDecompressor(8192), snapshot.mppc8K);
    this.#mppc64K = snapshot.mppc64K && restored(new MppcDecompressor(65536), snapshot.mppc64K);
    this.#ncrush = snapshot.ncrush && restored(new NcrushDecompressor(), snapshot.ncrush);
    this.#xcrush = snapshot.xcrush && restored(new XcrushDecompressor(), snapshot.xcrush);
  }
}

function restored<S, T extends { restore(snapshot: S): void }>(engine: T, snapshot: S): T {
  engine.restore(snapshot);
  return engine;
}
