import { sealChunk, sessionIdBytes } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { type Frame, FrameWriter, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';

/** A chunk file of these frames as a processor seals one, uncompressed. */
export async function chunkFile(
  session: { sessionId: string; dek: Uint8Array; dekId: Uint8Array },
  index: number,
  frames: readonly Frame[],
): Promise<Uint8Array> {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  for (const { kind, flags, channelId, timeUs, body } of frames) writer.append(kind, flags, channelId, timeUs, body);
  const header = {
    suite: 1 as const,
    recovered: false,
    gapBefore: false,
    stored: false,
    compression: 'none' as const,
    sessionId: sessionIdBytes(session.sessionId),
    index,
    openedUs: 1,
    monotonicNs: 1n,
    previousLeafHash: new Uint8Array(32),
    dekId: session.dekId,
  };
  const compressed = writer.payload({ firstFrameNumber: 0, openedUs: 1 });
  return sealChunk(nodeCrypto, { header, dek: session.dek, compressed });
}
