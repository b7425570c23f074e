import { constants, gzipSync } from 'node:zlib';
import type { CompressionName } from '@lucid-sessions/recording';
import { zstdCompressInto } from './zstd-into.ts';

export type Compression = CompressionName;

/** How hard to try: 'fast' never costs the pace of the line, a number is the codec's own level. */
export type Effort = 'fast' | number;

export interface CompressionResult {
  compression: Compression;
  /** The input itself (same memory) when `compression` is 'none'. */
  bytes: Uint8Array;
}

const sampleBytes = 16 * 1024;
const samplesCount = 8;

/**
 * zstd for desktop pictures: a window over the whole chunk finds the same tile again, seven-byte matches and a hash table
 * that stays in the second-level cache keep it fast. Better ratio and pace than the codec's own levels 1–3 here.
 */
const zstdFast: Record<number, number> = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_strategy]: constants.ZSTD_fast,
  [constants.ZSTD_c_windowLog]: 24,
  [constants.ZSTD_c_hashLog]: 17,
  [constants.ZSTD_c_minMatch]: 7,
};

/** Upper bound of a zstd frame (`ZSTD_COMPRESSBOUND`) with room to spare: with less the codec works in small pieces. */
export function zstdBoundBytes(inputBytes: number): number {
  return inputBytes + (inputBytes >>> 8) + 1024;
}

function zstd(input: Uint8Array, effort: Effort, room: Uint8Array): Uint8Array {
  const params =
    effort === 'fast' ? zstdFast : { [constants.ZSTD_c_compressionLevel]: effort, [constants.ZSTD_c_windowLog]: 24 };
  return zstdCompressInto(input, params, room);
}

function gzip(input: Uint8Array, effort: Effort): Uint8Array {
  const level = effort === 'fast' ? 1 : Math.min(effort, 9);
  return gzipSync(input, { level, memLevel: 9, chunkSize: input.length + (input.length >>> 8) + 1024 });
}

let lz4: typeof import('lz4-napi') | null = null;

/**
 * Loads what `compress` needs for this codec: LZ4 is a native addon that few sessions ask for, and that a platform may lack.
 * Named literally in an import, so that the published package lists it too.
 */
export async function loadCodec(compression: Compression): Promise<void> {
  if (compression !== 'lz4') return;
  try {
    lz4 ??= (await import('lz4-napi')).default;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n', 1)[0] : String(error);
    throw new Error(`the LZ4 codec (npm package lz4-napi) can't be loaded on this machine: ${why}`, { cause: error });
  }
}

/** LZ4 frame format. The addon wants a Buffer. */
function lz4Frame(input: Uint8Array): Uint8Array {
  if (lz4 === null) throw new Error('loadCodec comes before compress');
  return lz4.compressFrameSync(Buffer.from(input.buffer, input.byteOffset, input.byteLength));
}

const samples = new Uint8Array(sampleBytes * samplesCount);
const samplesRoom = new Uint8Array(zstdBoundBytes(samples.length));

/** Eight pieces spread over the input, together 128 KiB. */
function sample(input: Uint8Array): Uint8Array {
  const out = samples;
  const step = Math.floor((input.length - sampleBytes) / (samplesCount - 1));
  for (let i = 0; i < samplesCount; i += 1) {
    out.set(input.subarray(i * step, i * step + sampleBytes), i * sampleBytes);
  }
  return out;
}

/**
 * Whether compressing `input` is worth its time, judged by eight samples. Video and already coded pictures, the normal case
 * of a modern session, would cost a third of the line's pace for nothing. Short inputs are always tried.
 */
export function isCompressible(input: Uint8Array, savingMin: number): boolean {
  if (input.length < 2 * sampleBytes * samplesCount) return input.length > 0;
  return zstd(sample(input), 'fast', samplesRoom).length <= samples.length * (1 - savingMin);
}

/**
 * Compresses with the codec asked for, which `loadCodec` has loaded. `room` (at least `zstdBoundBytes`) is where zstd works; the result may be a view of it.
 * Input that does not get smaller comes back as it is, with compression 'none'.
 */
export function compress(
  input: Uint8Array,
  request: { compression: Compression; effort: Effort; savingMin: number },
  room: Uint8Array,
): CompressionResult {
  const { compression, effort, savingMin } = request;
  if (compression === 'none' || !isCompressible(input, savingMin)) return { compression: 'none', bytes: input };
  const bytes =
    compression === 'zstd' ? zstd(input, effort, room) : compression === 'gzip' ? gzip(input, effort) : lz4Frame(input);
  return bytes.length < input.length ? { compression, bytes } : { compression: 'none', bytes: input };
}
