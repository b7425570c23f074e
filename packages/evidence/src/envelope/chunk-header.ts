import { type CompressionName, compressionIds, compressionName } from '@lucid-sessions/recording';
import { DecodeError, Reader, Writer } from '@lucid-sessions/wire';

export const CHUNK_HEADER_BYTES = 96;
/** "LSC1" */
const MAGIC = 0x4c534331;
const VERSION = 1;

/** How the bytes behind the header are protected. */
export const chunkSuites = { plain: 0, aes256GcmHkdfSha256: 1 } as const;
export type ChunkSuite = (typeof chunkSuites)[keyof typeof chunkSuites];

const FLAG_RECOVERED = 0x0001;
const FLAG_GAP_BEFORE = 0x0002;
const FLAG_STORED = 0x0004;
const COMPRESSION_SHIFT = 8;
const FLAGS_KNOWN = 0x0f07;

/** The 96-byte header H of a chunk file. */
export interface ChunkHeader {
  suite: ChunkSuite;
  /** Sealed from the spool after a crash. */
  recovered: boolean;
  /** Frames were lost right before this chunk. */
  gapBefore: boolean;
  /** The compression asked for would not have made it smaller: the frames stand as they are, `compression` is `none`. */
  stored: boolean;
  compression: CompressionName;
  /** 16 bytes, see `sessionIdBytes`. */
  sessionId: Uint8Array;
  /** 0-based position in the session. */
  index: number;
  /** Wall clock at opening, µs since 1970. */
  openedUs: number;
  /** Monotonic clock at opening, ns since the recorder started. */
  monotonicNs: bigint;
  /** Leaf hash of the chunk before, 32 zero bytes for the first. */
  previousLeafHash: Uint8Array;
  /** 16 bytes that name the DEK, zero in suite 0. */
  dekId: Uint8Array;
}

function fixed(bytes: Uint8Array, length: number, what: string): Uint8Array {
  if (bytes.length !== length) throw new RangeError(`${what} must be ${length} bytes, got ${bytes.length}`);
  return bytes;
}

export function encodeChunkHeader(header: ChunkHeader): Uint8Array {
  if (header.stored && header.compression !== 'none') throw new RangeError('a stored chunk has compression none');
  const flags =
    (header.recovered ? FLAG_RECOVERED : 0) |
    (header.gapBefore ? FLAG_GAP_BEFORE : 0) |
    (header.stored ? FLAG_STORED : 0) |
    (compressionIds[header.compression] << COMPRESSION_SHIFT);
  return new Writer(CHUNK_HEADER_BYTES)
    .u32be(MAGIC)
    .u8(VERSION)
    .u8(header.suite)
    .u16be(flags)
    .slice(fixed(header.sessionId, 16, 'sessionId'))
    .u64be(BigInt(header.index))
    .u64be(BigInt(header.openedUs))
    .u64be(header.monotonicNs)
    .slice(fixed(header.previousLeafHash, 32, 'previousLeafHash'))
    .slice(fixed(header.dekId, 16, 'dekId'))
    .bytes();
}

/** Reads the first 96 bytes. Throws `DecodeError`. */
export function decodeChunkHeader(bytes: Uint8Array): ChunkHeader {
  const reader = new Reader(bytes);
  reader.need(CHUNK_HEADER_BYTES, 'chunk header');
  if (reader.u32be() !== MAGIC) throw new DecodeError('invalid', 'not a chunk file: the magic is not LSC1');
  if (reader.u8() !== VERSION) throw new DecodeError('unsupported', 'chunk file version is not 1', 4);
  const suite = reader.u8();
  if (suite !== chunkSuites.plain && suite !== chunkSuites.aes256GcmHkdfSha256)
    throw new DecodeError('unsupported', `chunk suite ${suite} is not known`, 5);
  const flags = reader.u16be();
  if ((flags & ~FLAGS_KNOWN) !== 0) throw new DecodeError('unsupported', 'chunk flags are not all known', 6);
  const compression = compressionName((flags >> COMPRESSION_SHIFT) & 0x0f);
  const stored = (flags & FLAG_STORED) !== 0;
  if (stored && compression !== 'none') throw new DecodeError('invalid', 'a stored chunk names a compression', 6);
  return {
    suite,
    recovered: (flags & FLAG_RECOVERED) !== 0,
    gapBefore: (flags & FLAG_GAP_BEFORE) !== 0,
    stored,
    compression,
    sessionId: reader.copy(16),
    index: reader.u64beNumber(),
    openedUs: reader.u64beNumber(),
    monotonicNs: reader.u64be(),
    previousLeafHash: reader.copy(32),
    dekId: reader.copy(16),
  };
}
