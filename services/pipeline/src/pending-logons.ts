/** A recorder that died does not tell how a try ended. */
const pendingUsMax = 60_000_000;

/** Tries under way, by user: each may turn out to be wrong. In memory: they are over within moments. */
export class PendingLogons {
  readonly #nowUs: () => number;
  readonly #byUser = new Map<string, Map<string, number>>();

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  count(user: string): number {
    const since = this.#nowUs() - pendingUsMax;
    const tries = this.#byUser.get(user);
    for (const [connectionId, atUs] of tries ?? []) if (atUs < since) this.take(user, connectionId);
    return tries?.size ?? 0;
  }

  add(user: string, connectionId: string): void {
    const tries = this.#byUser.get(user) ?? new Map<string, number>();
    tries.set(connectionId, this.#nowUs());
    this.#byUser.set(user, tries);
  }

  /** False: it is not under way; its outcome was told already. */
  take(user: string, connectionId: string): boolean {
    const tries = this.#byUser.get(user);
    const known = tries?.delete(connectionId) === true;
    if (tries?.size === 0) this.#byUser.delete(user);
    return known;
  }
}
