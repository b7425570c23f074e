import type { PipelinePort } from '@lucid-sessions/contract';
import { type Recording, type RecordingShelf, segmentName } from '../recording-shelf.ts';
import { ThreadCalls } from '../thread-calls.ts';
import type { JudgeRequest, JudgeResult } from './judge-messages.ts';

/** Who keeps the rules, and is told what they say. */
export type AlertKeeper = Pick<PipelinePort, 'alertRules' | 'alertsFound'>;

/**
 * Holds the index of sessions against the rules, chunk by chunk, in a thread of its own. How far it came the keeper knows: what was told
 * twice, or is told again after a crash, is the same.
 */
export class SessionAlerts {
  readonly #shelf: RecordingShelf;
  readonly #keeper: AlertKeeper;
  readonly #thread = new ThreadCalls<JudgeRequest, JudgeResult>(
    new URL('./judge-worker.ts', import.meta.url),
    'lucid-alerts',
  );

  constructor(shelf: RecordingShelf, keeper: AlertKeeper) {
    this.#shelf = shelf;
    this.#keeper = keeper;
  }

  /** What is indexed and was not judged. False: a segment can't be read. */
  async judge(recording: Recording, count: number): Promise<boolean> {
    const { sessionId } = recording;
    const { rules, next, progress: begun } = await this.#keeper.alertRules({ sessionId });
    if (rules.length === 0) return true;
    let progress = begun;
    for (let chunkIndex = next; chunkIndex < count; chunkIndex += 1) {
      const { last, openedUs } = await this.#shelf.chunk(sessionId, chunkIndex);
      const file = await this.#shelf.get(recording, segmentName(chunkIndex));
      const judged = file && (await this.#thread.ask({ file, openedUs, rules, progress }));
      if (judged === null) return false;
      progress = judged.progress;
      await this.#keeper.alertsFound({ sessionId, chunkIndex, last, ...judged });
    }
    return true;
  }

  dispose(): Promise<void> {
    return this.#thread.dispose();
  }
}
