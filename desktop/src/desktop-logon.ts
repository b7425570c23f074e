/** Network level authentication of the desktop: CredSSP inside TLS, for one account. */
import { randomBytes, X509Certificate } from 'node:crypto';
import { CredSspServer, ntHashOf, subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';

/** Whom a desktop lets in. */
export interface DesktopAccount {
  username: string;
  password: string;
}

export class DesktopLogon {
  readonly #server: CredSspServer;
  readonly #account: DesktopAccount;

  /** `cert`: of the desktop, PEM. */
  constructor(cert: string, account: DesktopAccount) {
    this.#account = account;
    this.#server = new CredSspServer({
      publicKey: subjectPublicKeyOf(new Uint8Array(new X509Certificate(cert).raw)),
      name: 'DESKTOP',
      earlyAuthorization: false,
      minimumVersion: 5,
      platform: { randomBytes: (length) => new Uint8Array(randomBytes(length)), nowMs: Date.now },
    });
  }

  /** Takes a message of the client; what it is answered, and what became of it. */
  step(message: Uint8Array): { output: Uint8Array; state: 'pending' | 'loggedOn' | 'refused' } {
    const first = this.#server.step(message);
    const [event] = first.events;
    if (event?.kind !== 'account') return { output: first.output, state: this.#state };
    const isKnown = event.claimed.user.toLowerCase() === this.#account.username.toLowerCase();
    const { output } = this.#server.account(isKnown ? ntHashOf(this.#account.password) : null);
    return { output: Buffer.concat([first.output, output]), state: this.#state };
  }

  get #state(): 'pending' | 'loggedOn' | 'refused' {
    if (this.#server.state === 'done') return 'loggedOn';
    return this.#server.state === 'ended' ? 'refused' : 'pending';
  }
}
