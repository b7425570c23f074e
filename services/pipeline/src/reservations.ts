/**
 * Connections between `find` and their end: what each was told, in memory only. They hold nobody else up: several connections
 * may have the same session in view (clients look at the certificate first), and `admit` takes the one that is ready first.
 */
import type { ConnectionRequest, SessionDocument, SessionTicket } from '@lucid-sessions/contract';

export interface Reservation {
  request: ConnectionRequest;
  sessionId: string;
  /** It would continue a session that is being recorded. */
  reconnects: boolean;
  /** A listener's session, which is stored when it is admitted. */
  unsaved: SessionDocument | null;
  /** Who sits at it, where that is known: in a browser, whoever asked for its token. */
  userId: string | null;
  /** What the recorder was told, and does by: a session that has become another meanwhile is not recorded as that one. */
  ticket: SessionTicket;
}

/** Longer than any connect phase: RDP_HANDSHAKE_SECONDS is at most 600. */
const lifetimeUs = 660_000_000;

export class Reservations {
  readonly #max: number;
  readonly #nowUs: () => number;
  /** In the order of their making, which is that of their lapse. */
  readonly #held = new Map<string, Reservation & { untilUs: number }>();

  constructor(max: number, nowUs: () => number) {
    this.#max = max;
    this.#nowUs = nowUs;
  }

  get size(): number {
    return this.#held.size;
  }

  /** False when there are too many. */
  put(reservation: Reservation): boolean {
    this.#dropLapsed();
    if (this.#held.size >= this.#max) return false;
    this.#held.set(reservation.request.connectionId, { ...reservation, untilUs: this.#nowUs() + lifetimeUs });
    return true;
  }

  get(connectionId: string): Reservation | null {
    this.#dropLapsed();
    return this.#held.get(connectionId) ?? null;
  }

  release(connectionId: string): void {
    this.#held.delete(connectionId);
  }

  #dropLapsed(): void {
    const now = this.#nowUs();
    for (const [connectionId, { untilUs }] of this.#held) {
      if (untilUs > now) return;
      this.#held.delete(connectionId);
    }
  }
}
