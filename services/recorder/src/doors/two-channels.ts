/** Two HTTP connections of one client as one stream: what it is sent goes out on the first, what it says comes in on the second. */
import { Duplex } from 'node:stream';

export class TwoChannels extends Duplex {
  readonly #out: Duplex;
  #in: Duplex | null = null;

  constructor(out: Duplex) {
    super({ allowHalfOpen: true });
    this.#out = out;
    out.on('error', () => {}).once('close', () => this.destroy());
    // Nothing comes on it; its end is seen only by who reads.
    out.resume();
    this.on('error', () => {});
  }

  /** False where the second has come already. */
  attach(incoming: Duplex): boolean {
    if (this.#in !== null || this.destroyed) return false;
    this.#in = incoming;
    incoming
      .on('error', () => {})
      .on('data', (bytes: Buffer) => {
        if (!this.push(bytes)) incoming.pause();
      })
      .once('end', () => this.push(null))
      .once('close', () => this.push(null));
    return true;
  }

  override _read(): void {
    this.#in?.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#out.write(bytes, () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#out.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#out.destroy();
    this.#in?.destroy();
    done(error);
  }
}
