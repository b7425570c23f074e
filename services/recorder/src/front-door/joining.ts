/** The two ways in which a client and its target come together: what `connection.ts` needs of either. */
import type { RecordingFact, SessionTicket } from '@lucid-sessions/contract';
import type { Front, FrontEvent } from '@lucid-sessions/rdp';
import type { Asked } from './asked.ts';
import type { Driver } from './driver.ts';
import type { HeldClient } from './held-client.ts';
import type { ConnectionContext, ReadyConnection } from './ready-connection.ts';

/** A client that has asked for something, and what it has been given so far. */
export interface Arrival {
  readonly connectionId: string;
  readonly context: ConnectionContext;
  readonly front: Front;
  readonly client: Driver<FrontEvent>;
  readonly clientAddress: string;
  readonly asked: Asked;
  /** It logged on to the gateway: what it would log on to a target with is of no use there. */
  readonly hasLoggedOn: boolean;
  /** `performance.now()` by which the client must have begun. */
  readonly untilMs: number;
  /** What is found out on the way. */
  readonly facts: RecordingFact[];
}

/** The two ends of a session, and what was said before it. */
export type Joined = Pick<
  ReadyConnection,
  | 'client'
  | 'target'
  | 'splice'
  | 'targetAddress'
  | 'credentials'
  | 'beforeTls'
  | 'selectedProtocol'
  | 'clientTls'
  | 'isBrowser'
>;

export interface Joining {
  /** Until the client has begun and the target waits for it. Rejects with `ConnectFailure`, or `SequenceEnded` of the client. */
  begin(ticket: SessionTicket): Promise<void>;
  /** Throws where one of them is gone. */
  checkAlive(ticket: SessionTicket): void;
  /** Both ends, which nobody else reads or writes from here on. */
  release(request: Uint8Array): Joined;
  /** The client, once it is held: then it is nobody else's. */
  readonly heldClient: HeldClient | null;
  /** Lets the target go. */
  abandon(): void;
}
