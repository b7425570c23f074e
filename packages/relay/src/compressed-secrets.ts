/** Secrets inside bulk compressed payloads of a server, taken out without breaking what is compressed behind them. */
import {
  compressionType8K,
  compressionType64K,
  compressionTypeMask,
  compressionTypeRdp6,
  compressionTypeRdp61,
  type Literal,
  MppcDecompressor,
  mppcLiterals,
  ncrushLiterals,
  packetCompressed,
} from '@lucid-sessions/rdp/bulk';
import { DecodeError, Reader } from '@lucid-sessions/wire';

/** Level-1 flags of RDP 6.1, [MS-RDPEGDI] 2.2.2.4.1. */
const LEVEL1_COMPRESSED = 0x01;
const LEVEL1_NO_COMPRESSION = 0x02;
const LEVEL1_INNER_COMPRESSION = 0x10;
const MATCH_BYTES = 8;

/**
 * RDP 4.0 to 6.0 say in their codes which bytes stand in a payload. RDP 6.1 compresses what says so once more, with a
 * history: that one (64 KB over what is compressed already) is followed, and only where the client offered RDP 6.1.
 */
export class CompressedSecrets {
  #level2: MppcDecompressor | null = null;
  #lost = false;

  /** A payload the server sent, in order. What it stands for is not looked at. */
  follow(data: Uint8Array, flags: number): void {
    if ((flags & packetCompressed) !== 0 && (flags & compressionTypeMask) === compressionTypeRdp61) this.#inner(data);
  }

  /**
   * The literals of a payload, the next the server sent, that stand before `end` of what it stands for. null where they
   * can't be told.
   */
  literals(data: Uint8Array, flags: number, end: number): Literal[] | null {
    try {
      switch (flags & compressionTypeMask) {
        case compressionType8K:
          return mppcLiterals(data, false, end);
        case compressionType64K:
          return mppcLiterals(data, true, end);
        case compressionTypeRdp6:
          return ncrushLiterals(data, end);
        case compressionTypeRdp61:
          return this.#rdp61Literals(data, end);
        default:
          return null;
      }
    } catch (error) {
      if (error instanceof DecodeError) return null;
      throw error;
    }
  }

  /** The level-1 payload; null where its history is lost. */
  #inner(data: Uint8Array): Uint8Array | null {
    const [level1 = 0, level2 = 0] = data;
    const rest = data.subarray(2);
    if ((level1 & LEVEL1_INNER_COMPRESSION) === 0) return rest;
    if (this.#lost) return null;
    this.#level2 ??= new MppcDecompressor(65536);
    try {
      return this.#level2.decompress(rest, level2);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#lost = true;
      return null;
    }
  }

  #rdp61Literals(data: Uint8Array, end: number): Literal[] | null {
    const inner = this.#inner(data);
    if (inner === null) return null;
    const places =
      (data[0]! & LEVEL1_COMPRESSED) !== 0 && (data[0]! & LEVEL1_NO_COMPRESSION) === 0
        ? literalPlaces(inner, end)
        : Array.from({ length: Math.min(end, inner.length) }, (_, position) => ({ position, at: position }));
    const isInnerCompressed = (data[0]! & LEVEL1_INNER_COMPRESSION) !== 0 && (data[1]! & packetCompressed) !== 0;
    const outer = isInnerCompressed ? mppcLiterals(data.subarray(2), true, inner.length) : null;
    const outerAt = new Map(outer?.map((literal) => [literal.position, literal]));
    return places.flatMap(({ position, at }): Literal[] => {
      const value = inner[at]!;
      if (outer === null) return [{ position, value, clear: () => void data.fill(0, 2 + at, 3 + at) }];
      // What is a match at this level was sent before, and is taken out there or nowhere.
      const literal = outerAt.get(at);
      return literal === undefined ? [] : [{ position, value, clear: literal.clear }];
    });
  }
}

/** Which bytes of a level-1 payload stand for themselves, [MS-RDPEGDI] 2.2.2.4.1.1: between the matches and behind them. */
function literalPlaces(inner: Uint8Array, end: number): { position: number; at: number }[] {
  const places: { position: number; at: number }[] = [];
  const reader = new Reader(inner);
  const matchCount = reader.u16le();
  const matches = reader.sub(matchCount * MATCH_BYTES);
  let position = 0;
  let { offset: at } = reader;
  const literalsUpTo = (next: number): void => {
    for (; position < next && at < inner.length; position += 1, at += 1)
      if (position < end) places.push({ position, at });
  };
  for (let index = 0; index < matchCount && position < end; index += 1) {
    const length = matches.u16le();
    literalsUpTo(matches.u16le());
    matches.skip(4);
    position += length;
  }
  literalsUpTo(end);
  return places;
}
