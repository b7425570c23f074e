/**
 * Connections between `find` and `admit`, which no crash needs to remember. They hold nobody up: several connections may have the
 * same session in view (clients look at the certificate first), and `admit` takes the one that is ready first.
 */
import type { ConnectionRequest, Route, SessionDocument, SessionTicket } from '@lucid-sessions/contract';
import { AgreedSpace } from './agreed-space.ts';
import type { Coordination } from './ports.ts';

export interface Reservation extends Omit<ConnectionRequest, 'route'> {
  /** How it found the session; tokens are not kept. */
  routeKind: Route['kind'];
  /** User name of the gateway credential it showed. */
  credentialUser: string | null;
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
  readonly #held: AgreedSpace<Reservation>;
  readonly #max: number;
  readonly #nowUs: () => number;

  constructor(coordination: Coordination, max: number, nowUs: () => number) {
    this.#held = new AgreedSpace(coordination, 'reservation', nowUs);
    this.#max = max;
    this.#nowUs = nowUs;
  }

  /** The one that is held then: an earlier one of this connection stays. Null when there are too many. */
  async put(reservation: Reservation): Promise<Reservation | null> {
    const { connectionId } = reservation;
    const known = await this.get(connectionId);
    if (known !== null) return known;
    if ((await this.#held.count()) >= this.#max) return null;
    const isFirst = await this.#held.add(connectionId, reservation, this.#nowUs() + lifetimeUs);
    return isFirst ? reservation : this.get(connectionId);
  }

  get(connectionId: string): Promise<Reservation | null> {
    return this.#held.get(connectionId);
  }

  release(connectionId: string): Promise<void> {
    return this.#held.remove(connectionId);
  }
}
