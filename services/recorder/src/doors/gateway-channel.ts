/** What an RD Gateway's channel carries, as a stream; the packets around it go over another one, a message each where it has messages. */
import { Duplex } from 'node:stream';
import {
  dataPackets,
  GatewayError,
  type GatewayErrorCode,
  type GatewayEvent,
  GatewayServer,
  type GatewayStep,
} from '@lucid-sessions/rdp';
import { closeGently } from '../peer/closing.ts';

export type GatewayAsking = Extract<GatewayEvent, { kind: 'tunnel' | 'channel' }>;
export type GatewayEnd = Extract<GatewayEvent, { kind: 'ended' }>;

export class GatewayChannel extends Duplex {
  readonly #outer: Duplex;
  readonly #server = new GatewayServer();
  readonly #askings: GatewayAsking[] = [];
  #wake: () => void = () => {};
  #ended: GatewayEnd | null = null;
  #receivedBytes = 0;

  /** `outer` is read from here on. */
  constructor(outer: Duplex) {
    super({ allowHalfOpen: true });
    this.#outer = outer;
    outer.on('data', this.#onData).once('end', this.#onGone).once('close', this.#onGone);
    // An error also closes.
    outer.on('error', () => {});
    this.on('error', () => {});
  }

  get ended(): GatewayEnd | null {
    return this.#ended;
  }

  /** Bytes the client sent. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** What the client asks for next; null when it is over, or not in `ms`. */
  async next(ms: number): Promise<GatewayAsking | null> {
    const timer = setTimeout(() => this.#run(this.#server.stop('late', 'the client said nothing in time')), ms);
    while (this.#askings.length === 0 && this.#ended === null)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    clearTimeout(timer);
    return this.#ended === null ? this.#askings.shift()! : null;
  }

  acceptTunnel(): void {
    this.#run(this.#server.acceptTunnel());
  }

  /** From here on the stream is what the client's RDP says. */
  acceptChannel(): void {
    this.#run(this.#server.acceptChannel());
  }

  /** Says no, and closes. */
  refuse(code: GatewayErrorCode, problem: string): void {
    this.#run(this.#server.finish(code, problem));
  }

  #onData = (bytes: Buffer): void => {
    this.#receivedBytes += bytes.length;
    this.#run(this.#server.step(bytes));
  };
  #onGone = (): void => this.#run(this.#server.stop('left', 'the connection was closed'));

  #run({ packets, events }: GatewayStep): void {
    if (this.#outer.writable) for (const packet of packets) this.#outer.write(packet);
    for (const event of events)
      if (event.kind === 'data') this.#receive(event.bytes);
      else if (event.kind === 'ended') this.#end(event);
      else {
        this.#askings.push(event);
        this.#wake();
      }
  }

  #receive(bytes: Uint8Array): void {
    if (!this.push(bytes)) this.#outer.pause();
  }

  #end(event: GatewayEnd): void {
    this.#ended = event;
    this.#wake();
    this.push(null);
    closeGently(this.#outer);
  }

  override _read(): void {
    this.#outer.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const packets = this.#server.state === 'open' && this.#outer.writable ? dataPackets(bytes) : [];
    const last = packets.pop();
    for (const packet of packets) this.#outer.write(packet);
    if (last === undefined) done();
    else this.#outer.write(last, () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#run(this.#server.finish(GatewayError.ok, 'the connection inside ended'));
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const isCut = this.#ended === null;
    this.#run(this.#server.stop('left', 'the connection inside was cut'));
    // After an end of its own the last words are on their way.
    if (isCut) this.#outer.destroy();
    done(error);
  }
}
