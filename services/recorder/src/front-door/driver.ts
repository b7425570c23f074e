/** Runs one sequence of the connect phase (`Front`, `Target`) over one socket: bytes in, its output out, TLS where it asks. */
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Step } from '@lucid-sessions/rdp';
import { closeGently } from '../peer/closing.ts';
import { tlsProblem } from './tls-problem.ts';

export type EndedEvent = { kind: 'ended'; how: string; at: string; problem: string; code?: number };
/** What the driver itself acts on; all other events are for whoever asks `next`. */
type OwnEvent = { kind: 'startTls'; early: Uint8Array } | EndedEvent;
type EventFor<E> = Exclude<E, OwnEvent>;

export interface Sequence<E> {
  step(input: Uint8Array): Step<E>;
  /** `publicKey`: of the certificate the other side showed (`DriverOptions.publicKey`). */
  tlsEstablished(publicKey: Uint8Array): Step<E>;
  stop(how: 'left' | 'late' | 'tlsFailed', problem: string): Step<E>;
  handOver(): Uint8Array;
}

export interface DriverOptions {
  /** Begins TLS on the connection. */
  secure: (tcp: Duplex) => TLSSocket;
  /** Looks at finished TLS; what is wrong with it, in plain words, or null. */
  judge?: (tls: TLSSocket) => string | null;
  /** Its public key, for sequences that need one. */
  publicKey?: (tls: TLSSocket) => Uint8Array;
}

/** The sequence came to its end before the driver was released. */
export class SequenceEnded extends Error {
  override readonly name = 'SequenceEnded';
  readonly event: EndedEvent;

  constructor(event: EndedEvent) {
    super(event.problem);
    this.event = event;
  }
}

/** Nobody needs so much before a session; who does not read what is drawn for what it types must not fill our memory. */
const unreadBytesMax = 8 * 1024 * 1024;
const noKey = new Uint8Array(0);
const isOwn = (event: { kind: string }): event is OwnEvent => event.kind === 'startTls' || event.kind === 'ended';

export class Driver<E extends { kind: string }> {
  readonly #sequence: Sequence<E>;
  readonly #options: DriverOptions;
  readonly #events: EventFor<E>[] = [];
  readonly #over = Promise.withResolvers<never>();
  readonly #abort = new AbortController();
  #stream: Duplex;
  #wake: () => void = () => {};
  #timer: NodeJS.Timeout | null = null;
  #isDriving = true;
  #ended: SequenceEnded | null = null;

  constructor(tcp: Duplex, sequence: Sequence<E>, options: DriverOptions) {
    this.#sequence = sequence;
    this.#options = options;
    this.#stream = tcp;
    this.#over.promise.catch(() => {});
    // Whatever comes later, also when nobody drives any more: an error also closes, and who uses the socket listens for that.
    tcp.on('error', () => {});
    this.#listen(tcp);
  }

  /** Aborted when the sequence ends. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Neither ended nor released. */
  get isDriving(): boolean {
    return this.#isDriving;
  }

  /** The end of the sequence, once it has come. */
  get ended(): SequenceEnded | null {
    return this.#ended;
  }

  /** The connection as it is now: TCP, later TLS. */
  get stream(): Duplex {
    return this.#stream;
  }

  /** From now on the sequence has `ms` to go on; replaces the limit before. */
  limit(ms: number, problem: string): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stop('late', problem), Math.max(0, ms));
  }

  /** Carries out a step that its owner made. */
  run({ output, events }: Step<E>): void {
    if (!this.#isDriving) return;
    if (output.length > 0 && this.#stream.writable) this.#stream.write(output);
    for (const event of events) {
      if (!isOwn(event)) {
        this.#events.push(event as EventFor<E>);
        this.#wake();
      } else if (event.kind === 'startTls') this.#startTls(event.early);
      else this.#end(event, output.length > 0);
    }
    if (this.#isDriving && this.#stream.writableLength > unreadBytesMax)
      this.#stop('late', 'it does not read what it is sent');
  }

  /** The next event. Rejects with `SequenceEnded`. */
  async next(): Promise<EventFor<E>> {
    while (this.#events.length === 0) await this.during(this.#woken());
    return this.#events.shift()!;
  }

  /** The same; null: none came within `waitMs`. One that comes later is the next one's. */
  async nextWithin(waitMs: number): Promise<EventFor<E> | null> {
    const late = Promise.withResolvers<void>();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      late.resolve();
    }, waitMs);
    try {
      while (this.#events.length === 0 && !isLate) await this.during(Promise.race([this.#woken(), late.promise]));
      return this.#events.shift() ?? null;
    } finally {
      clearTimeout(timer);
    }
  }

  #woken(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Waits for something else, and no longer than the sequence goes on: then rejects with `SequenceEnded`. */
  during<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#over.promise]);
  }

  /** Rejects with `SequenceEnded` at the end of the sequence; never resolves. */
  get over(): Promise<never> {
    return this.#over.promise;
  }

  /** Gives the connection up to its next reader: paused, with the bytes in it that the sequence kept. */
  release(): Duplex {
    const rest = this.#sequence.handOver();
    this.#ignore();
    this.#stream.pause();
    if (rest.length > 0 && !this.#stream.readableEnded) this.#stream.unshift(rest);
    return this.#stream;
  }

  /** Ends it without a word. */
  destroy(problem: string): void {
    if (this.#isDriving) this.#stop('left', problem);
    this.#stream.destroy();
  }

  #onData = (bytes: Buffer): void => this.#guard(() => this.run(this.#sequence.step(bytes)));
  #onGone = (): void => this.#stop('left', 'the connection was closed');
  #onTlsError = (error: Error): void => this.#stop('tlsFailed', tlsProblem(error));

  #listen(stream: Duplex): void {
    stream.on('data', this.#onData).on('end', this.#onGone).on('close', this.#onGone);
    stream.resume();
  }

  #ignore(): void {
    this.#isDriving = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#stream
      .off('data', this.#onData)
      .off('end', this.#onGone)
      .off('close', this.#onGone)
      .off('error', this.#onTlsError);
  }

  /** A fault of ours costs this connection, not the process. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#stop('left', `the gateway failed: ${(error as Error).message}`);
      this.#stream.destroy();
    }
  }

  #stop(how: 'left' | 'late' | 'tlsFailed', problem: string): void {
    this.run(this.#sequence.stop(how, problem));
  }

  #startTls(early: Uint8Array): void {
    const tcp = this.#stream;
    tcp.off('data', this.#onData).off('end', this.#onGone).off('close', this.#onGone);
    // Paused first: what is put back into a flowing socket would be lost.
    tcp.pause();
    if (early.length > 0 && !tcp.readableEnded) tcp.unshift(early);
    this.#guard(() => {
      const tls = this.#options.secure(tcp);
      this.#stream = tls;
      tls.on('error', () => {}).on('error', this.#onTlsError);
      tls.once('secure', () => this.#guard(() => this.#secured(tls)));
      // Read from the start: a client that hangs up in the middle would go unnoticed.
      this.#listen(tls);
    });
  }

  #secured(tls: TLSSocket): void {
    if (!this.#isDriving) return;
    const problem = this.#options.judge?.(tls) ?? null;
    const publicKey = this.#options.publicKey?.(tls) ?? noKey;
    if (problem === null) this.run(this.#sequence.tlsEstablished(publicKey));
    else this.#stop('tlsFailed', problem);
  }

  #end(event: EndedEvent, hasLastWords: boolean): void {
    this.#ignore();
    this.#ended = new SequenceEnded(event);
    this.#over.reject(this.#ended);
    this.#abort.abort();
    if (hasLastWords) closeGently(this.#stream);
    else this.#stream.destroy();
  }
}
