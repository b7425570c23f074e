/** What servers sent compressed, and the same updates as FreeRDP's compressors pack them (where gcc and freerdp2-dev are). */
import { StreamInspector } from '@lucid-sessions/rdp';
import { BulkDecompressor, packetCompressed, packetFlushed } from '@lucid-sessions/rdp/bulk';
import { FreeRdpCodecs } from '@lucid-sessions/testkit';
import { records } from './decoder-pictures.ts';

export interface BulkPayload {
  readonly data: Uint8Array;
  /** Compression type and flags. */
  readonly flags: number;
}

export interface BulkStream {
  readonly decoder: string;
  readonly session: string;
  readonly payloads: readonly BulkPayload[];
  readonly begin: () => BulkDecompressor;
}

/** Of FreeRDP's compressors: which, its level, the type of what it makes, and how much it takes at a time. */
const compressors = [
  { decoder: 'MPPC 8K', operation: 'mppcEncode', level: 0, type: 0, bytesMax: 8000 },
  { decoder: 'MPPC 64K', operation: 'mppcEncode', level: 1, type: 1, bytesMax: 16_000 },
  { decoder: 'NCRUSH', operation: 'ncrushEncode', level: 0, type: 2, bytesMax: 16_000 },
] as const;
type Compressor = (typeof compressors)[number];
/** Its RDP 6.0 compressor does not survive every stream: those it is given are short, and each begins anew. */
const piecesTogether = 4;

export function* bulkStreams(): Generator<BulkStream> {
  const begin = (): BulkDecompressor => new BulkDecompressor();
  const freeRdp = FreeRdpCodecs.build();
  for (const [decoder, session] of [
    ['MPPC 64K', 'xorg-default'],
    ['XCRUSH', 'shadow-bpp32'],
  ] as const) {
    const { payloads, outputs } = sentPayloads(session);
    yield { decoder, session, payloads, begin };
    if ('missing' in freeRdp) continue;
    for (const compressor of compressors) {
      const packed = compressed(freeRdp, compressor, outputs);
      yield { decoder: compressor.decoder, session: `${session}, FreeRDP's compressor`, payloads: packed, begin };
    }
  }
  if (!('missing' in freeRdp)) freeRdp.close();
}

function compressed(freeRdp: FreeRdpCodecs, compressor: Compressor, outputs: readonly Uint8Array[]): BulkPayload[] {
  const { operation, level, type, bytesMax } = compressor;
  const commands = outputs
    .flatMap((bytes) => piecesOf(bytes, bytesMax))
    .map((bytes) => ({ operation, a: level, bytes }));
  const streams = Array.from({ length: Math.ceil(commands.length / piecesTogether) }, (_, index) =>
    commands.slice(index * piecesTogether, (index + 1) * piecesTogether),
  );
  return freeRdp.run(streams).flatMap((answers, index) => {
    if (answers.length !== streams[index]!.length || answers.some(({ status }) => status < 0)) return [];
    const payloads = answers.map(({ status, bytes }) => ({ data: bytes, flags: (status & 0xe0) | type }));
    payloads[0]!.flags |= packetFlushed;
    return payloads.filter(({ flags }) => flags & packetCompressed);
  });
}

function piecesOf(bytes: Uint8Array, bytesMax: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / bytesMax);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * bytesMax, (index + 1) * bytesMax));
}

/** The server's compressed payloads of a session, in order, and what they stand for. */
function sentPayloads(name: string): { payloads: BulkPayload[]; outputs: Uint8Array[] } {
  const payloads: BulkPayload[] = [];
  const outputs: Uint8Array[] = [];
  const bulk = new BulkDecompressor();
  const inspector = new StreamInspector({
    server: (data, flags) => {
      const output = bulk.decompress(data, flags);
      payloads.push({ data: data.slice(), flags });
      outputs.push(output.slice());
      return output;
    },
  });
  for (const { fromServer, bytes } of records(name)) inspector.push(fromServer ? 'server' : 'client', bytes);
  return { payloads, outputs };
}
