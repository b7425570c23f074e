/** A WebSocket as a stream of bytes: binary messages one behind the other, no faster than either side takes them. */
import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { PduCuts } from './pdu-cuts.ts';

/** A client that sends pings is answered; one that sends nothing else is none. */
const pingsPerTurnMax = 20;
/** It is asked so often whether it is still there, and given up when it has not answered by the next time. */
const askMs = 30_000;
/** For the far end to say goodbye too. */
const closeMs = 1000;
/** [RFC 6455] 5.5.1: a control frame has 125 bytes, its code 2 of them. */
const reasonBytesMax = 123;

/** [RFC 6455] 7.4.1. */
const closeCode = { normal: 1000, unsupportedData: 1003, policyViolation: 1008 } as const;

export class WebSocketStream extends Duplex {
  readonly #webSocket: WebSocket;
  readonly #asking: NodeJS.Timeout;
  #isPaused = false;
  #isAlive = true;
  #pingsCount = 0;
  #reason = '';
  #onClosed: (() => void) | null = null;
  #cuts: PduCuts | null = null;

  constructor(webSocket: WebSocket) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 });
    this.#webSocket = webSocket;
    webSocket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    webSocket.on('pong', () => this.#onHeard());
    webSocket.on('ping', () => this.#onPing());
    // An error also closes, and says why.
    webSocket.on('error', () => this.#cutLater());
    webSocket.once('close', () => this.#onClose());
    this.#asking = setInterval(() => this.#ask(), askMs);
    this.#asking.unref();
  }

  /** When it ends from here, a client can read why. */
  set reason(text: string) {
    let cut = Buffer.from(text).subarray(0, reasonBytesMax).toString();
    // Cut in the middle of a character.
    while (Buffer.byteLength(cut) > reasonBytesMax || cut.endsWith('\ufffd')) cut = cut.slice(0, -1);
    this.#reason = cut;
  }

  /** From the first PDU on no message holds bytes of two. */
  sendByPdu(): void {
    this.#cuts ??= new PduCuts();
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    this.#onHeard();
    if (!isBinary) {
      this.#webSocket.close(closeCode.unsupportedData, 'only binary messages are taken here');
      this.#cutLater();
      return;
    }
    const bytes = data as Buffer;
    if (bytes.length === 0 || this.destroyed || this.push(bytes)) return;
    this.#isPaused = true;
    this.#webSocket.pause();
  }

  #onHeard(): void {
    this.#isAlive = true;
  }

  /** Pongs are queued whether it reads them or not: there must be few. */
  #onPing(): void {
    this.#onHeard();
    this.#pingsCount += 1;
    if (this.#pingsCount > pingsPerTurnMax) this.#webSocket.terminate();
  }

  #ask(): void {
    this.#pingsCount = 0;
    // Its answer would not be read.
    if (this.#isPaused) return;
    if (!this.#isAlive) {
      this.#webSocket.terminate();
      return;
    }
    this.#isAlive = false;
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.ping();
  }

  #onClose(): void {
    clearInterval(this.#asking);
    this.#onClosed?.();
    if (!this.destroyed) this.push(null);
  }

  #cutLater(): void {
    const timer = setTimeout(() => this.#webSocket.terminate(), closeMs);
    this.#webSocket.once('close', () => clearTimeout(timer));
  }

  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#webSocket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // IronRDP's client takes a message with nothing in it for the end.
    if (chunk.length === 0 || this.#webSocket.readyState !== this.#webSocket.OPEN) {
      done();
      return;
    }
    const pieces = this.#cuts?.cut(chunk) ?? [chunk];
    // What can't be sent any more is told by the close.
    for (const [at, piece] of pieces.entries())
      this.#webSocket.send(piece, { binary: true, compress: false }, () => at === pieces.length - 1 && done());
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#webSocket.readyState === this.#webSocket.CLOSED) {
      done();
      return;
    }
    this.#onClosed = done;
    this.#webSocket.resume();
    if (this.#reason === '') this.#webSocket.close(closeCode.normal);
    else this.#webSocket.close(closeCode.policyViolation, this.#reason);
    this.#cutLater();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#asking);
    this.#webSocket.terminate();
    done(error);
  }
}
