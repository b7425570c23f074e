import { isIP } from 'node:net';
import { type KerberosProblem, TicketRequest, type TicketRequestEvent } from '@lucid-sessions/rdp/kerberos';
import type { KerberosPort, TicketAnswer, TicketAsked } from '@lucid-sessions/recorder';
import { accountOf } from './accounts.ts';
import { askKdc } from './kdc.ts';
import { type Krb5Conf, realmOfHost } from './krb5-conf.ts';
import { deriveKey, kerberosCrypto } from './platform.ts';

export interface KerberosTicketsOptions {
  conf: Krb5Conf;
  /** Realms by the domains people write (`CORP`, a suffix of user names), in lower case. */
  realms: ReadonlyMap<string, string>;
}

/** Steps of one request: a first try, its key, a proof, and as many realms as are gone through. */
const stepsMax = 40;

/**
 * Tickets by password from a realm's KDCs (MIT, Heimdal, Active Directory). Each is asked for anew: neither keys nor tickets are kept,
 * here or in a credential cache.
 */
export class KerberosTickets implements KerberosPort {
  readonly #options: KerberosTicketsOptions;

  constructor(options: KerberosTicketsOptions) {
    this.#options = options;
  }

  async ticket({ credentials, host, timeoutMs, signal }: TicketAsked): Promise<TicketAnswer> {
    const { conf, realms } = this.#options;
    if (isIP(host) !== 0)
      return { kind: 'notApplicable', problem: `a realm knows targets by name, and this one is ${host}` };
    const account = accountOf(credentials, { realms, defaultRealm: conf.defaultRealm });
    if (account === null)
      return { kind: 'notApplicable', problem: 'the account belongs to no realm that is configured' };
    const request = new TicketRequest({
      ...account,
      serviceRealm: realmOfHost(conf, host),
      service: ['TERMSRV', host.replace(/\.$/, '')],
      crypto: kerberosCrypto,
    });
    const untilMs = performance.now() + timeoutMs;
    let event = request.start();
    for (let step = 0; step < stepsMax; step += 1) {
      if (event.kind === 'ticket') return { kind: 'ticket', ticket: event.ticket, crypto: kerberosCrypto };
      if (event.kind === 'failed') return event;
      try {
        event = await this.#step(request, event, credentials.password, { untilMs, signal });
      } catch (error) {
        return failed('unreachable', `no KDC answers: ${(error as Error).message}`.slice(0, 500));
      }
    }
    return failed('refused', 'the KDCs send us on and on');
  }

  async #step(
    request: TicketRequest,
    event: Exclude<TicketRequestEvent, { kind: 'ticket' | 'failed' }>,
    password: string,
    wait: { untilMs: number; signal: AbortSignal },
  ): Promise<TicketRequestEvent> {
    if (event.kind === 'send') return request.reply(await askKdc(event.realm, event.message, this.#options.conf, wait));
    const derived = await deriveKey(password, event.from);
    try {
      return request.key(event.from.etype, derived);
    } finally {
      derived.fill(0);
    }
  }
}

const failed = (how: KerberosProblem, problem: string): TicketAnswer => ({ kind: 'failed', how, code: null, problem });
