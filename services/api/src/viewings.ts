/** Somebody who looks at a recording picture by picture: one viewing, however many pictures it has. */
const pauseUsMax = 600_000_000;
const viewingsMax = 10_000;

export class Viewings {
  /** When each viewer last saw a picture of a session, in order of that. */
  readonly #seenUs = new Map<string, number>();

  /** Whether a picture seen now belongs to a viewing that has begun; `note` is to be called when it is seen. */
  goesOn(userId: string, sessionId: string, nowUs: number): boolean {
    const seenUs = this.#seenUs.get(keyOf(userId, sessionId));
    return seenUs !== undefined && nowUs - seenUs <= pauseUsMax;
  }

  note(userId: string, sessionId: string, nowUs: number): void {
    const key = keyOf(userId, sessionId);
    this.#seenUs.delete(key);
    this.#seenUs.set(key, nowUs);
    const [oldest] = this.#seenUs.keys();
    // Forgotten too early, a viewing is told once more.
    if (oldest !== undefined && this.#seenUs.size > viewingsMax) this.#seenUs.delete(oldest);
  }
}

const keyOf = (userId: string, sessionId: string): string => `${sessionId} ${userId}`;
