/** The logon of a browser to its target (CredSSP), passed through as it comes; nothing of it is ever a frame. */
import type { Duplex } from 'node:stream';
import { type BrowserFront, type BrowserFrontEvent, ErrorInfo } from '@lucid-sessions/rdp';
import type { Driver } from '../front-door/driver.ts';
import { ConnectFailure } from '../front-door/failure.ts';

const left = (): ConnectFailure =>
  new ConnectFailure(
    'target_logon_failed',
    ErrorInfo.serverDeniedConnection.code,
    'the target closed the connection during the logon; often the user name or password is wrong',
  );

export class LogonPassage {
  readonly #front: BrowserFront;
  readonly #client: Driver<BrowserFrontEvent>;
  readonly #target: Duplex;
  readonly #gone = Promise.withResolvers<never>();
  #isGone = false;

  /** `target` is paused, and read from here on. */
  constructor(front: BrowserFront, client: Driver<BrowserFrontEvent>, target: Duplex) {
    this.#front = front;
    this.#client = client;
    this.#target = target;
    this.#gone.promise.catch(() => {});
    target.on('data', this.#onData).on('end', this.#onGone).on('close', this.#onGone);
    target.resume();
  }

  #onData = (bytes: Buffer): void => this.#client.run(this.#front.fromTarget(bytes));
  #onGone = (): void => {
    this.#isGone = true;
    this.#gone.reject(left());
  };

  /** Until the browser has logged on, as far as one can see, and begun. Rejects with `ConnectFailure`, or `SequenceEnded` of the client. */
  async done(): Promise<void> {
    for (;;) {
      const event = await Promise.race([this.#client.next(), this.#gone.promise]);
      if (event.kind === 'connectInitial') break;
      if (event.kind !== 'logon') throw new Error(`${event.kind} of the client during its logon`);
      this.#target.write(event.bytes);
    }
    this.#target.off('data', this.#onData).pause();
  }

  /** Throws where the target is gone. */
  checkAlive(): void {
    if (this.#isGone) throw left();
  }

  release(): void {
    this.#target.off('end', this.#onGone).off('close', this.#onGone);
  }
}
