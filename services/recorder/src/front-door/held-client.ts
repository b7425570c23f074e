/** A client that is held: what it says of itself, what its user is shown and answers, and how it is told no. */
import type { Duplex } from 'node:stream';
import { type ClientInfo, Hold, type HoldEvent, Protocol, Splice } from '@lucid-sessions/rdp';
import { type DialogAnswer, DialogDisplay, type DialogSpec } from '@lucid-sessions/screens';
import { Driver } from './driver.ts';
import type { Arrival } from './joining.ts';
import { flagsFor, flagsForAny } from './negotiation-flags.ts';
import { refusalMs } from './straight-joining.ts';

/** What the client is given to come back with an answer, beyond what its user has. */
export const graceMs = 30_000;

export class HeldClient {
  readonly #hold: Hold<DialogAnswer>;
  readonly #driver: Driver<HoldEvent<DialogAnswer>>;
  #display: DialogDisplay | null = null;
  #info: ClientInfo | null = null;
  /** Of the dialog that is shown. */
  #shownId = '';

  constructor(stream: Duplex, requestedProtocols: number, connectInitial: Uint8Array) {
    this.#hold = new Hold(requestedProtocols, connectInitial);
    this.#driver = new Driver<HoldEvent<DialogAnswer>>(stream, this.#hold, {
      secure: () => {
        throw new Error('TLS is there already');
      },
    });
  }

  get signal(): AbortSignal {
    return this.#driver.signal;
  }

  /** Waits for something else, and no longer than the client stays. */
  during<T>(work: Promise<T>): Promise<T> {
    return this.#driver.during(work);
  }

  /** It has a desktop of ours. */
  get isShown(): boolean {
    return this.#display !== null;
  }

  checkAlive(): void {
    if (this.#driver.ended !== null) throw this.#driver.ended;
  }

  limit(ms: number, problem: string): void {
    this.#driver.limit(ms, problem);
  }

  /** What it says last before a server answers. Holds a password. */
  async clientInfo(): Promise<ClientInfo> {
    if (this.#info !== null) return this.#info;
    const event = await this.#driver.next();
    if (event.kind !== 'clientInfo') throw new Error(`${event.kind} of a client that has said nothing of itself`);
    this.#info = event.info;
    return event.info;
  }

  /** Shows a dialog, and goes on. */
  show(spec: DialogSpec): void {
    this.#shownId = spec.id;
    if (this.#display === null) this.#display = new DialogDisplay(spec);
    else this.#display.show(spec);
    this.#driver.run(this.#hold.show(this.#display));
  }

  /** Shows a dialog until it is answered; null: it was not in time. */
  async ask(spec: DialogSpec, answerMs: number): Promise<DialogAnswer | null> {
    this.show(spec);
    this.limit(answerMs + graceMs, 'nobody answered');
    return this.answer(answerMs);
  }

  /** The answer to what is shown; null: none came in time. */
  async answer(answerMs: number): Promise<DialogAnswer | null> {
    const untilMs = performance.now() + answerMs;
    for (;;) {
      const event = await this.#driver.nextWithin(Math.max(0, untilMs - performance.now()));
      if (event === null) return null;
      // To a dialog before this one, it comes too late.
      if (event.kind === 'answered' && event.answer.id === this.#shownId) return event.answer;
    }
  }

  /** Ends it, by an error code that its user may read in the client's own words. Resolves when it has listened. Never rejects. */
  async end(errorInfo: number): Promise<void> {
    this.#driver.run(this.#hold.refuse(errorInfo));
    this.limit(refusalMs, 'the client was too slow to be told');
    if (this.#driver.isDriving) await this.#driver.over.catch(() => {});
  }

  /** Gives it up to a session: its connection, and what stands between that and the relay. */
  release(): { stream: Duplex; splice: Splice } {
    const splice = new Splice(this.#hold.state);
    return { stream: this.#driver.release(), splice };
  }
}

/** Takes over a client that has asked for something. Rejects with `SequenceEnded`. */
export async function holdClient(
  { client, front, asked, untilMs }: Pick<Arrival, 'client' | 'front' | 'asked' | 'untilMs'>,
  graphics: 'passthrough' | 'classic',
): Promise<HeldClient> {
  if (front.state === 'decision') client.run(front.accept(flagsFor({ graphics }, flagsForAny)));
  while (front.state !== 'begun') await client.next();
  const { connectInitial } = front;
  const requestedProtocols = asked.request.negotiation?.requestedProtocols ?? Protocol.rdp;
  const held = new HeldClient(client.release(), requestedProtocols, connectInitial);
  held.limit(untilMs - performance.now(), 'the client did not go on in time');
  return held;
}
