const followedMax = 10_000;

/** Sessions with new chunks, looked at one after the other; one that is named again meanwhile is looked at again. */
export class Followed {
  readonly #look: (sessionId: string) => Promise<void>;
  readonly #onError: (thrown: unknown) => void;
  readonly #urgent = new Set<string>();
  readonly #sessionIds = new Set<string>();
  #running = false;
  #disposed = false;

  constructor(look: (sessionId: string) => Promise<void>, onError: (thrown: unknown) => void) {
    this.#look = look;
    this.#onError = onError;
  }

  /** Never waits, and forgets what is too much. Urgent ones are looked at before all others. */
  add(sessionId: string, urgent = false): void {
    const ids = urgent ? this.#urgent : this.#sessionIds;
    if (this.#disposed || ids.size >= followedMax) return;
    ids.add(sessionId);
    if (!this.#running) void this.#drain();
  }

  /** It is still to be looked at. */
  has(sessionId: string): boolean {
    return this.#urgent.has(sessionId) || this.#sessionIds.has(sessionId);
  }

  /** Somebody waits for another than this one. */
  hasUrgentBeside(sessionId: string): boolean {
    return this.#urgent.size > (this.#urgent.has(sessionId) ? 1 : 0);
  }

  dispose(): void {
    this.#disposed = true;
    this.#urgent.clear();
    this.#sessionIds.clear();
  }

  #next(): string | undefined {
    const [sessionId] = this.#urgent.size > 0 ? this.#urgent : this.#sessionIds;
    if (sessionId === undefined) return undefined;
    this.#urgent.delete(sessionId);
    this.#sessionIds.delete(sessionId);
    return sessionId;
  }

  async #drain(): Promise<void> {
    this.#running = true;
    for (let sessionId = this.#next(); sessionId !== undefined; sessionId = this.#next()) {
      try {
        await this.#look(sessionId);
      } catch (thrown) {
        if (!this.#disposed) this.#onError(thrown);
      }
    }
    this.#running = false;
  }
}
