import { availableParallelism } from 'node:os';
import type { SearchedRecording } from '@lucid-sessions/contract';
import { type IndexSearch, searchedPart, TextFilter } from '@lucid-sessions/recording/session-index';
import { type Recording, type RecordingShelf, segmentName, wholeName } from './recording-shelf.ts';
import type { SearchRequest, SearchResult } from './search-messages.ts';
import { ThreadCalls } from './thread-calls.ts';

const threadsMax = 4;
/** Filters of some ten thousand recordings; those above have none. */
const filterBytesMax = 64 << 20;
/** Filters nobody asked for so long make room, such as those of deleted recordings. */
const idleMsMin = 3_600_000;

interface Kept {
  filter: TextFilter;
  chunks: number;
  sealed: boolean;
  usedMs: number;
}

/**
 * Looks through what is stored of indexes, in threads of their own. A recording that was looked through to its end leaves a filter in
 * memory, which says surely that a part is not in it: most recordings are then passed over unread. Nothing of it is on a disk.
 */
export class SessionSearch {
  readonly #shelf: RecordingShelf;
  readonly #threads: ThreadCalls<SearchRequest, SearchResult>[];
  /** Used last stand last. */
  readonly #kept = new Map<string, Kept>();
  #keptBytes = 0;

  constructor(shelf: RecordingShelf) {
    this.#shelf = shelf;
    const count = Math.min(threadsMax, availableParallelism());
    this.#threads = Array.from(
      { length: count },
      () => new ThreadCalls(new URL('./search-worker.ts', import.meta.url), 'lucid-search'),
    );
  }

  /** Throws `recordNotFound` when this host has no key to the recording. */
  async search(sessionId: string, search: IndexSearch): Promise<SearchedRecording> {
    const kept = this.#used(sessionId);
    const part = searchedPart(search.text);
    if (kept !== null && part !== null && !kept.filter.mayHold(part)) {
      // A filter must not outlive the key: it would go on telling.
      if (!kept.sealed || (await this.#shelf.isWrapped(sessionId)))
        return { found: [], more: false, searchedChunks: kept.chunks, chunks: kept.chunks };
      this.forget(sessionId);
    }
    const recording = await this.#shelf.recording(sessionId).catch((thrown: unknown) => {
      this.forget(sessionId);
      throw thrown;
    });
    const whole = await this.#shelf.get(recording, wholeName);
    if (whole !== null) {
      const result = await this.#ask({ files: [whole], whole: true, search, keep: kept === null });
      if (result.last) {
        this.#keep(recording, result);
        return answerOf(result, result.segments);
      }
    }
    return this.#searchSegments(recording, search);
  }

  async #searchSegments(recording: Recording, search: IndexSearch): Promise<SearchedRecording> {
    const chunks = await this.#shelf.chunksCount(recording.sessionId);
    const files: Uint8Array[] = [];
    while (files.length < chunks) {
      const file = await this.#shelf.get(recording, segmentName(files.length));
      if (file === null) break;
      files.push(file);
    }
    const result = await this.#ask({ files, whole: false, search, keep: files.length === chunks });
    this.#keep(recording, result);
    if (result.whole !== null) await this.#shelf.put(recording, wholeName, result.whole);
    return answerOf(result, chunks);
  }

  forget(sessionId: string): void {
    this.#keptBytes -= this.#kept.get(sessionId)?.filter.bytes.length ?? 0;
    this.#kept.delete(sessionId);
  }

  async dispose(): Promise<void> {
    this.#kept.clear();
    await Promise.all(this.#threads.map((thread) => thread.dispose()));
  }

  #used(sessionId: string): Kept | null {
    const kept = this.#kept.get(sessionId);
    if (kept === undefined) return null;
    this.#kept.delete(sessionId);
    this.#kept.set(sessionId, { ...kept, usedMs: performance.now() });
    return kept;
  }

  #ask(request: SearchRequest): Promise<SearchResult> {
    const thread = this.#threads.reduce((least, one) => (one.waiting < least.waiting ? one : least));
    return thread.ask(request);
  }

  #keep({ sessionId, dek }: Recording, { filter, segments }: SearchResult): void {
    if (filter === null) return;
    this.forget(sessionId);
    const usedMs = performance.now();
    for (const [longest, kept] of this.#kept) {
      // A search goes through all of them in turn: who was asked in this one is asked in the next.
      if (this.#keptBytes + filter.length <= filterBytesMax || usedMs - kept.usedMs < idleMsMin) break;
      this.forget(longest);
    }
    if (this.#keptBytes + filter.length > filterBytesMax) return;
    this.#kept.set(sessionId, { filter: new TextFilter(filter), chunks: segments, sealed: dek !== null, usedMs });
    this.#keptBytes += filter.length;
  }
}

const answerOf = ({ found, more, segments }: SearchResult, chunks: number): SearchedRecording => ({
  found,
  more,
  searchedChunks: segments,
  chunks,
});
