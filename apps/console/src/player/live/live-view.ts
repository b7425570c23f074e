import type { SessionStatus } from '@lucid-sessions/contract';
import type { ApiClient } from '../../api/client.ts';
import type { ChunkTable } from '../worker/chunk-table.ts';
import type { ChunkLoader } from '../worker/engine.ts';
import { LiveChunks } from './live-chunks.ts';
import { followLive, type LiveState } from './live-feed.ts';

/** Memory for frames that are not stored yet. */
const bytesMax = 64 << 20;
/** How often it is asked what was stored meanwhile. */
const refreshMs = 2000;
const runningStatuses: readonly SessionStatus[] = ['created', 'starting', 'recording', 'paused'];
const storedStatuses: readonly SessionStatus[] = ['completed', 'failed', 'deleted'];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface LiveViewHooks {
  /** Brings the table of stored chunks up to date. */
  refresh(): Promise<void>;
  /** Chunks were stored. */
  onStored(): void;
  /** What keeps the stream from going on; null when it does. */
  onNotice(text: string | null): void;
}

/** A running session, from now until all of it is stored. */
export class LiveView {
  readonly chunks: LiveChunks;
  readonly #api: ApiClient;
  readonly #sessionId: string;
  readonly #table: ChunkTable;
  readonly #hooks: LiveViewHooks;
  readonly #stop = new AbortController();
  #state: LiveState['kind'] = 'waiting';
  #notice: string | null = null;
  /** When the last frame came, by this page's clock, and its time. */
  #arrivedMs = 0;
  #arrivedUs = 0;
  #edgeUs = 0;

  constructor(api: ApiClient, sessionId: string, table: ChunkTable, stored: ChunkLoader, hooks: LiveViewHooks) {
    this.#api = api;
    this.#sessionId = sessionId;
    this.#table = table;
    this.#hooks = hooks;
    this.chunks = new LiveChunks(table, stored, bytesMax);
  }

  /** The session's time now: that of the last frame and what passed since it came. Never goes back. */
  edgeUs(nowMs: number): number {
    const sinceUs = this.#state === 'live' && this.#arrivedUs > 0 ? (nowMs - this.#arrivedMs) * 1000 : 0;
    this.#edgeUs = Math.max(this.#edgeUs, this.#table.durationUs, this.#arrivedUs + sinceUs);
    return this.#edgeUs;
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Settled when the session is over and stored, or after `stop`. */
  async follow(): Promise<void> {
    const { signal } = this.#stop;
    const feed = followLive(
      {
        connect: (afterFrame, stop) => this.#connect(afterFrame, stop),
        refresh: () => this.#refresh(),
        running: async () => runningStatuses.includes(await this.#status()),
        sleep,
        random: Math.random,
      },
      this.chunks,
      (state) => this.#setState(state),
      signal,
    );
    for (let over = false; !signal.aborted && !over; await sleep(refreshMs)) {
      // What is not stored yet may be by now; while the stream brings nothing there may be chunks it did not announce.
      if (this.#state === 'live' && this.#table.length - this.#table.storedLength <= 1) continue;
      // Asked before the chunks are: those of a session that was stored before are all there.
      const asked = this.#state === 'ended' || this.#state === 'refused';
      over = asked && storedStatuses.includes(await this.#status().catch(() => 'recording' as const));
      await this.#refresh().catch(() => {
        over = false;
      });
    }
    await feed;
    this.#table.settle();
  }

  async #connect(afterFrame: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const params = { session_id: this.#sessionId };
    const { body } = await this.#api.rest.liveSession({ params, query: { after_frame: afterFrame }, signal });
    if (body === null) throw new Error('the live view has no content');
    return body;
  }

  async #refresh(): Promise<void> {
    const before = this.#table.storedLength;
    await this.#hooks.refresh();
    if (this.#table.storedLength === before) return;
    this.chunks.release();
    this.#hooks.onStored();
  }

  /** Asked this way it leaves no trail of accesses. A session that is not listed was deleted. */
  async #status(): Promise<SessionStatus> {
    return ((await this.#api.refreshSession(this.#sessionId))?.status as SessionStatus | undefined) ?? 'deleted';
  }

  #setState(state: LiveState): void {
    this.#state = state.kind;
    if (this.chunks.lastFrameUs > this.#arrivedUs) {
      this.#arrivedUs = this.chunks.lastFrameUs;
      this.#arrivedMs = performance.now();
    }
    const notice = noticeOf(state);
    if (notice === this.#notice) return;
    this.#notice = notice;
    this.#hooks.onNotice(notice);
  }
}

function noticeOf(state: LiveState): string | null {
  switch (state.kind) {
    case 'live':
      return null;
    case 'ended':
      return 'The session has ended. The rest of it is being stored.';
    default:
      return state.message;
  }
}
