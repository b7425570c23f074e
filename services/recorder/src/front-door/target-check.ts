/** Asks a host for its certificate, on the way a session would take: what a pin is made of. Nothing is recorded, nobody logs on. */
import type { TLSSocket } from 'node:tls';
import { LucidError, type TargetCheck } from '@lucid-sessions/contract';
import { Protocol } from '@lucid-sessions/rdp';
import { type DialOptions, dialTarget, type TargetAddress } from './dial.ts';
import { ConnectFailure } from './failure.ts';

export interface TargetCheckOptions extends Pick<DialOptions, 'resolve' | 'denied' | 'wallUs'> {
  timeoutMs: number;
  log: (line: string) => void;
}

const atOnceMax = 4;
const nameCharactersMax = 500;
const offer = Protocol.ssl | Protocol.hybrid | Protocol.hybridEx;

/** The same words whatever forbids it: what is refused must not be a map of the network. */
const closed = 'sessions may not lead to this host and port here; ask whoever runs the gateway which targets are open';

const words: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'nothing listens there: the connection was refused'],
  [/EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL/, 'there is no way to it from here'],
  [/ETIMEDOUT|no answer in time|not answer in time/, 'it did not answer in time'],
  [/ENOTFOUND|ENODATA/, 'its name is not known (DNS)'],
  [/EAI_AGAIN|ESERVFAIL|ETIMEOUT/, 'the name service did not answer'],
  [/ECONNRESET|EPIPE/, 'it closed the connection'],
];

const nameOf = (distinguishedName: string): string =>
  distinguishedName
    .replaceAll(/\s*\n\s*/g, ', ')
    .replaceAll(/\p{Cc}/gu, '\ufffd')
    .slice(0, nameCharactersMax);

export class TargetChecks {
  readonly #options: TargetCheckOptions;
  #running = 0;

  constructor(options: TargetCheckOptions) {
    this.#options = options;
  }

  async check(request: { host: string; port: number; legacyTls: boolean }): Promise<TargetCheck> {
    if (this.#running >= atOnceMax)
      throw new LucidError('atCapacity', 'other hosts are being asked for their certificates; try again in a moment');
    this.#running += 1;
    try {
      return await this.#dial({
        host: request.host.replace(/^\[|\]$/g, ''),
        port: request.port,
        useTls: true,
        ignoreCert: true,
        ...(request.legacyTls ? { legacyTls: true } : {}),
      });
    } finally {
      this.#running -= 1;
    }
  }

  async #dial(target: TargetAddress): Promise<TargetCheck> {
    const { resolve, denied, wallUs, timeoutMs, log } = this.#options;
    const found: { certificate: TargetCheck['certificate']; address: string | null; refused: boolean } = {
      certificate: null,
      address: null,
      refused: false,
    };
    try {
      const { driver } = await dialTarget(target, {
        resolve,
        denied: (address, about) => {
          const problem = denied(address, about);
          found.refused ||= problem !== null;
          return problem;
        },
        credentials: null,
        kerberos: null,
        offer,
        wallUs,
        timeoutMs,
        signal: AbortSignal.timeout(2 * timeoutMs),
        onFact: (fact) => {
          if (fact.kind !== 'target_certificate' || found.certificate === null) return;
          found.certificate.trusted = fact.valid;
          found.certificate.problem = fact.problem ?? null;
          found.certificate.tls = fact.tls ?? '';
        },
        onTls: (tls) => {
          found.certificate = certificateOf(tls);
          found.address = tls.remoteAddress ?? null;
        },
      });
      driver.destroy('its certificate was all that was asked for');
    } catch (error) {
      if (!(error instanceof ConnectFailure)) throw error;
      if (found.certificate === null) {
        const name = `${target.host}:${target.port}`;
        log(`${name} was asked for its certificate: ${error.message} [${error.detail}]`);
        const isClosed = found.refused && !words.some(([pattern]) => pattern.test(error.detail));
        return { message: isClosed ? closed : wordsOf(error), address: null, certificate: null };
      }
    }
    const { trusted, problem } = found.certificate!;
    const message = trusted
      ? 'it answered by RDP, and its certificate is trusted without a pin'
      : `it answered by RDP; without a pin its certificate is not trusted: ${problem ?? 'unknown'}`;
    return { message, address: found.address, certificate: found.certificate };
  }
}

function wordsOf({ message, detail }: ConnectFailure): string {
  const known = words.find(([pattern]) => pattern.test(detail))?.[1];
  if (known !== undefined) return `${message}: ${known}`;
  return detail.startsWith('it does not answer as RDP') ? `${message}: what answers there does not speak RDP` : message;
}

function certificateOf(tls: TLSSocket): TargetCheck['certificate'] {
  const certificate = tls.getPeerX509Certificate()!;
  return {
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: nameOf(certificate.subject ?? ''),
    issuer: nameOf(certificate.issuer ?? ''),
    fromUs: certificate.validFromDate.getTime() * 1000,
    toUs: certificate.validToDate.getTime() * 1000,
    tls: '',
    trusted: false,
    problem: null,
  };
}
