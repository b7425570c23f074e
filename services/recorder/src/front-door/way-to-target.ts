/** One connection's way to its target: dialled while the client waits, watched until the session runs. */
import type { Duplex } from 'node:stream';
import type { SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import { Protocol } from '@lucid-sessions/rdp';
import { type DialledTarget, dialTarget, failureOf } from './dial.ts';
import { SequenceEnded } from './driver.ts';
import type { Arrival } from './joining.ts';

/** The client, as far as a target must know of it. */
interface Waiting {
  signal: AbortSignal;
  during<T>(work: Promise<T>): Promise<T>;
}

type Bound = Pick<Arrival, 'context' | 'asked' | 'untilMs' | 'facts'>;

export class WayToTarget {
  readonly #arrival: Bound;
  #target: DialledTarget | null = null;

  constructor(arrival: Bound) {
    this.#arrival = arrival;
  }

  /** Rejects with `ConnectFailure`, or as soon as the client is gone. */
  async dial(
    ticket: SessionTicket,
    client: Waiting,
    credentials: TargetCredentials | null,
    { offer = Protocol.ssl, untilMs = this.#arrival.untilMs }: { offer?: number; untilMs?: number } = {},
  ): Promise<DialledTarget> {
    const { context, asked, facts } = this.#arrival;
    const { dial, handshakeMs, wallUs } = context;
    const dialling = dialTarget(ticket.target, {
      ...dial,
      // What the operator's own configuration names is not asked about.
      ...(asked.route?.kind === 'listener' ? { denied: () => null } : {}),
      credentials,
      offer,
      wallUs,
      timeoutMs: Math.min(handshakeMs / 2, Math.max(1, untilMs - performance.now())),
      signal: client.signal,
      onFact: (fact) => facts.push(fact),
    });
    try {
      this.#target = await client.during(dialling);
      return this.#target;
    } catch (error) {
      dialling.then(
        ({ driver }) => driver.destroy('the client left'),
        () => {},
      );
      throw error;
    }
  }

  /** A target that closes meanwhile ends the wait. */
  orGone<T>(ticket: SessionTicket, work: Promise<T>): Promise<T> {
    const gone = this.#dialled.driver.over.catch((error: unknown) => {
      throw error instanceof SequenceEnded ? failureOf(ticket.target, error.event) : error;
    });
    return Promise.race([work, gone]);
  }

  checkAlive(ticket: SessionTicket): void {
    const { ended } = this.#dialled.driver;
    if (ended !== null) throw failureOf(ticket.target, ended.event);
  }

  release(): DialledTarget & { socket: Duplex } {
    return { ...this.#dialled, socket: this.#dialled.driver.release() };
  }

  abandon(): void {
    this.#target?.driver.destroy('the connection came to nothing');
  }

  get #dialled(): DialledTarget {
    if (this.#target === null) throw new Error('the target was not dialled');
    return this.#target;
  }
}
