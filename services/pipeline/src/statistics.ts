/** The contract's statistics out of what recorder and storage count. */
import type { FinalStatistics, SessionStatistics } from '@lucid-sessions/contract';
import type { Context } from './context.ts';

const round = (value: number, digits: number) => Number(value.toFixed(digits));

export async function sessionStatistics(
  context: Context,
  sessionId: string,
  recorded: FinalStatistics | null,
): Promise<SessionStatistics> {
  const totals = await context.deps.storage.sessionTotals({ sessionId });
  const { framesCount, updatesCount } = recorded ?? totals;
  const seconds = (recorded?.durationUs ?? 0) / 1_000_000;
  return {
    duration_seconds: round(seconds, 3),
    chunks_count: totals.chunksCount,
    size_bytes: totals.storedBytes,
    frame_count: framesCount,
    dropped_frames: recorded?.framesDropped ?? 0,
    error_count: recorded?.errorsCount ?? 0,
    average_fps: updatesCount === null ? null : seconds > 0 ? round(updatesCount / seconds, 2) : 0,
    compression_ratio: totals.payloadBytes > 0 ? Math.min(1, round(totals.storedBytes / totals.payloadBytes, 4)) : 0,
  };
}
