const followedMax = 10_000;

/** Sessions with new chunks, looked at one after the other; one that is named again meanwhile is looked at again. */
export class Followed {
  readonly #look: (sessionId: string) => Promise<void>;
  readonly #onError: (thrown: unknown) => void;
  readonly #sessionIds = new Set<string>();
  #running = false;
  #disposed = false;

  constructor(look: (sessionId: string) => Promise<void>, onError: (thrown: unknown) => void) {
    this.#look = look;
    this.#onError = onError;
  }

  /** Never waits, and forgets what is too much. */
  add(sessionId: string): void {
    if (this.#disposed || this.#sessionIds.size >= followedMax) return;
    this.#sessionIds.add(sessionId);
    if (!this.#running) void this.#drain();
  }

  dispose(): void {
    this.#disposed = true;
    this.#sessionIds.clear();
  }

  async #drain(): Promise<void> {
    this.#running = true;
    for (const sessionId of this.#sessionIds) {
      this.#sessionIds.delete(sessionId);
      try {
        await this.#look(sessionId);
      } catch (thrown) {
        if (!this.#disposed) this.#onError(thrown);
      }
    }
    this.#running = false;
  }
}
