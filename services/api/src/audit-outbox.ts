/**
 * Audit entries that storage did not take: what they tell has happened, so none may be lost without a word. Each is written to the
 * operator's log as a whole, kept, and tried again until it is stored.
 */
import type { AuditEvent } from '@lucid-sessions/contract';

export interface AuditOutboxOptions {
  store: (event: AuditEvent) => Promise<void>;
  /** The operator's log. */
  say: (where: string, thrown: unknown) => void;
  retryMs?: number;
}

const eventsMax = 10_000;
const retryMsDefault = 2000;

export class AuditOutbox {
  readonly #options: AuditOutboxOptions;
  readonly #events: AuditEvent[] = [];
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;

  constructor(options: AuditOutboxOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#events.length;
  }

  /** Stored now, or kept and said. Resolves either way. */
  async put(event: AuditEvent): Promise<void> {
    try {
      await this.#options.store(event);
    } catch (thrown) {
      this.#keep(event, thrown);
    }
  }

  #keep(event: AuditEvent, thrown: unknown): void {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    this.#say('is not stored yet', event, why);
    if (this.#events.length >= eventsMax) this.#say('stands only here', this.#events.shift()!, 'too many wait');
    this.#events.push(event);
    this.#schedule();
  }

  #say(what: string, event: AuditEvent, why: string): void {
    this.#options.say('audit', new Error(`this audit entry ${what} (${why}): ${JSON.stringify(event)}`));
  }

  #schedule(): void {
    if (this.#timer !== null || this.#events.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.flush();
    }, this.#options.retryMs ?? retryMsDefault);
    this.#timer.unref();
  }

  /** One try for everything that waits. */
  flush(): Promise<void> {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
      this.#schedule();
    });
    return this.#sending;
  }

  async #send(): Promise<void> {
    for (let event = this.#events[0]; event !== undefined; event = this.#events[0]) {
      try {
        await this.#options.store(event);
      } catch {
        return;
      }
      const at = this.#events.indexOf(event);
      if (at >= 0) this.#events.splice(at, 1);
    }
  }

  /** A last try; what is still refused stands in the operator's log. */
  async dispose(): Promise<void> {
    await this.flush();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
