import {
  noStatistics,
  type ProcessorPort,
  rdpConfigSchema,
  recordingConfigSchema,
  type SessionDocument,
  type StoragePort,
  storageConfigSchema,
} from '@lucid-sessions/contract';
import { type Frame, FrameWriter, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { loopedFrames } from './looped.ts';

/** As the recorder cuts chunks. */
const chunkUsMax = 30_000_000;
const chunkBytesMax = 10 << 20;

export interface LongRecording {
  sessionId: string;
  /** Capture that is looped, and how long. */
  capturePath: string;
  seconds: number;
  /** µs since 1970. */
  startedUs: number;
}

function* chunksOf(frames: Iterable<Frame>): Generator<Frame[], void, undefined> {
  let part: Frame[] = [];
  let bytes = 0;
  for (const frame of frames) {
    const first = part[0]?.timeUs ?? frame.timeUs;
    if (frame.timeUs - first >= chunkUsMax || bytes >= chunkBytesMax) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(frame);
    bytes += frame.body.length;
  }
  if (part.length > 0) yield part;
}

/** Writes a recording of any length into an installation, through its own chunk line, as fast as that takes it. */
export async function writeLongRecording(
  { storage, processor }: { storage: StoragePort; processor: ProcessorPort },
  { sessionId, capturePath, seconds, startedUs }: LongRecording,
): Promise<void> {
  const session = sessionOf(sessionId, startedUs, seconds);
  await storage.createSession({ session, routeTokenSha256: null });
  await processor.open({
    session,
    openedUs: startedUs,
    checkpoint: null,
    persistence: 'strict',
    graphics: 'passthrough',
  });
  let firstFrameNumber = 0;
  let index = 0;
  const seal = async (frames: readonly Frame[], final: boolean): Promise<void> => {
    const openedUs = startedUs + frames[0]!.timeUs;
    const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
    for (const { kind, flags, channelId, timeUs, body } of frames) writer.append(kind, flags, channelId, timeUs, body);
    await processor.seal({
      sessionId,
      index,
      final,
      recovered: false,
      gapBefore: false,
      openedUs,
      closedUs: startedUs + frames.at(-1)!.timeUs,
      monotonicNs: frames[0]!.timeUs * 1000,
      framesCount: frames.length,
      updatesCount: frames.length,
      payload: writer.payload({ firstFrameNumber, openedUs }),
    });
    firstFrameNumber += frames.length;
    index += 1;
  };
  let held: Frame[] | null = null;
  for (const part of chunksOf(loopedFrames(capturePath, seconds * 1e6))) {
    if (held !== null) await seal(held, false);
    held = part;
  }
  if (held !== null) await seal(held, true);
}

function sessionOf(sessionId: string, startedUs: number, seconds: number): SessionDocument {
  const at = (us: number): string => new Date(us / 1000).toISOString();
  return {
    session_id: sessionId,
    name: sessionId,
    description: null,
    status: 'completed',
    created_at: at(startedUs),
    started_at: at(startedUs),
    stopped_at: at(startedUs + seconds * 1e6),
    created_by: null,
    rdp_config: rdpConfigSchema.parse({ host: 'desk.example' }),
    recording_config: recordingConfigSchema.parse({}),
    storage_config: storageConfigSchema.parse({ max_size_gb: 1000 }),
    metadata: {},
    // What matters of them: that there is something to be seen.
    statistics: { ...noStatistics, duration_seconds: seconds, chunks_count: Math.ceil((seconds * 1e6) / chunkUsMax) },
    end_reason: null,
    end_message: null,
    merkle_root: null,
    version: 1,
    pipeline_state: 'stopped',
  };
}
