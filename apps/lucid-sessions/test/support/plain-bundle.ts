import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleNames, type ChunkHeader, chunkSuites, encodeJson, sealChunk } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { FrameWriter, frameFlags, frameKinds, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { type CaptureRecord, readCapture } from '@lucid-sessions/testkit';

export const sessionId = '00000000-0000-4000-8000-000000000001';

export const capturePath = (name: string): string =>
  join(import.meta.dirname, '../../../../testkit/captures', `${name}.rdpcap.gz`);

const header = (index: number): ChunkHeader => ({
  suite: chunkSuites.plain,
  recovered: false,
  gapBefore: false,
  stored: false,
  compression: 'none',
  sessionId: new Uint8Array(16).fill(7),
  index,
  openedUs: 0,
  monotonicNs: 0n,
  previousLeafHash: new Uint8Array(32),
  dekId: new Uint8Array(16),
});

async function chunkFile(index: number, records: readonly CaptureRecord[], slowDown: number): Promise<Uint8Array> {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  for (const { fromServer, timeMs, bytes } of records)
    writer.append(frameKinds.pdu, fromServer ? frameFlags.serverToClient : 0, 0, timeMs * 1000 * slowDown, bytes);
  const compressed = writer.payload({ firstFrameNumber: 0, openedUs: 0 });
  return sealChunk(nodeCrypto, { header: header(index), dek: new Uint8Array(0), compressed });
}

export interface PlainBundleOptions {
  chunks?: number;
  /** Makes the recording so much longer. */
  slowDown?: number;
  /** Of a part. */
  firstChunk?: number;
}

/** A bundle, neither encrypted nor signed, that holds a capture: enough to look at it. */
export async function writePlainBundle(
  directory: string,
  records: readonly CaptureRecord[],
  { chunks = 2, slowDown = 1, firstChunk = 0 }: PlainBundleOptions = {},
): Promise<string> {
  mkdirSync(join(directory, 'chunks'), { recursive: true });
  const partial = firstChunk === 0 ? null : { first_chunk: firstChunk, last_chunk: chunks - 1 };
  const description = {
    v: 2,
    kind: 'lucid-sessions-evidence',
    session_id: sessionId,
    partial,
    leaves: { count: 0, last_hash: null },
    files: [],
  };
  writeFileSync(join(directory, bundleNames.bundle), encodeJson(description));
  const size = Math.ceil(records.length / chunks);
  for (let index = 0; index < chunks; index += 1) {
    const part = records.slice(index * size, (index + 1) * size);
    writeFileSync(join(directory, bundleNames.chunk(index)), await chunkFile(index, part, slowDown));
  }
  return directory;
}

export const recordsOf = (name: string): CaptureRecord[] => readCapture(capturePath(name)).records;

/** TS_BITMAP_CAPABILITYSET's type and length, [MS-RDPBCGR] 2.2.7.1.2; desktopWidth stands 12 bytes on. */
const bitmapCapability = Buffer.from([0x02, 0x00, 0x1c, 0x00]);

/** The same session, and at its end the server begins a share of another size. */
export function withDesktopSize(records: readonly CaptureRecord[], width: number, height: number): CaptureRecord[] {
  const demand = records.flatMap(({ fromServer, bytes }) => (fromServer ? tpkts(bytes) : [])).find(isDemandActive);
  if (demand === undefined) throw new Error('the capture holds no Demand Active in one piece');
  const bytes = Buffer.from(demand);
  const at = bytes.indexOf(bitmapCapability) + 12;
  bytes.writeUInt16LE(width, at);
  bytes.writeUInt16LE(height, at + 2);
  const timeMs = (records.at(-1)?.timeMs ?? 0) + 500;
  return [...records, { fromServer: true, beforeTls: false, timeMs, bytes }];
}

const isDemandActive = (pdu: Buffer): boolean => pdu.includes('RDP\0') && pdu.includes(bitmapCapability);

/** The TPKT PDUs a piece of the stream begins with. */
function tpkts(bytes: Uint8Array): Buffer[] {
  const piece = Buffer.from(bytes);
  const found: Buffer[] = [];
  for (let at = 0; at + 4 <= piece.length && piece[at] === 3; at += Math.max(4, piece.readUInt16BE(at + 2)))
    found.push(piece.subarray(at, at + piece.readUInt16BE(at + 2)));
  return found;
}
