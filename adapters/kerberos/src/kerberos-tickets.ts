import { isIP } from 'node:net';
import {
  type EncryptionKey,
  etypesWanted,
  type KerberosProblem,
  nameText,
  TicketRequest,
  type TicketRequestEvent,
} from '@lucid-sessions/rdp/kerberos';
import type { KerberosPort, TicketAnswer, TicketAsked } from '@lucid-sessions/recorder';
import { type Account, accountOf } from './accounts.ts';
import { askKdc } from './kdc.ts';
import { type Krb5Conf, realmOfHost } from './krb5-conf.ts';
import { deriveKey, kerberosCrypto } from './platform.ts';

export interface KerberosTicketsOptions {
  conf: Krb5Conf;
  /** Realms by the domains people write (`CORP`, a suffix of user names), in lower case. */
  realms: ReadonlyMap<string, string>;
  /** The gateway's own account, and its keys. */
  own?: OwnAccount | null;
}

export interface OwnAccount extends Account {
  keys: readonly EncryptionKey[];
}

/** Steps of one request: a first try, its key, a proof, and as many realms as are gone through. */
const stepsMax = 40;

/**
 * Tickets by password, or by the keys of the gateway's own account, from a realm's KDCs. Each is asked for anew: neither keys nor tickets are kept,
 * here or in a credential cache.
 */
export class KerberosTickets implements KerberosPort {
  readonly #options: KerberosTicketsOptions;

  constructor(options: KerberosTicketsOptions) {
    this.#options = options;
  }

  async ticket({ credentials, host, timeoutMs, signal }: TicketAsked): Promise<TicketAnswer> {
    const { conf } = this.#options;
    if (isIP(host) !== 0)
      return { kind: 'notApplicable', problem: `a realm knows targets by name, and this one is ${host}` };
    const account = this.#accountOf(credentials);
    if (account === null)
      return { kind: 'notApplicable', problem: 'the account belongs to no realm that is configured' };
    const { keys, ...whose } = account;
    const request = new TicketRequest({
      ...whose,
      serviceRealm: realmOfHost(conf, host),
      service: ['TERMSRV', host.replace(/\.$/, '')],
      crypto: kerberosCrypto,
      ...(keys === null ? {} : { etypes: etypesWanted.filter((wanted) => keys.some(({ etype }) => etype === wanted)) }),
    });
    const untilMs = performance.now() + timeoutMs;
    let event = request.start();
    for (let step = 0; step < stepsMax; step += 1) {
      if (event.kind === 'ticket') return { kind: 'ticket', ticket: event.ticket, crypto: kerberosCrypto };
      if (event.kind === 'failed') return event;
      try {
        event = await this.#step(request, event, keys ?? credentials.password, { untilMs, signal });
      } catch (error) {
        return failed('unreachable', `no KDC answers: ${(error as Error).message}`.slice(0, 500));
      }
    }
    return failed('refused', 'the KDCs send us on and on');
  }

  /** Without a password it is the gateway's own account, or none. */
  #accountOf({
    password,
    ...name
  }: TicketAsked['credentials']): (Account & { keys: OwnAccount['keys'] | null }) | null {
    const { conf, realms, own = null } = this.#options;
    const account = accountOf(name, { realms, defaultRealm: conf.defaultRealm });
    if (account === null || password !== '') return account && { ...account, keys: null };
    const isOwn = own?.realm === account.realm && nameText(own.client) === nameText(account.client);
    return isOwn ? own : null;
  }

  /** Who the gateway is where no session says who logs on. */
  get own(): { username: string; domain: string } | null {
    const { own = null } = this.#options;
    return own && { username: nameText(own.client), domain: own.realm };
  }

  async #step(
    request: TicketRequest,
    event: Exclude<TicketRequestEvent, { kind: 'ticket' | 'failed' }>,
    secret: string | readonly EncryptionKey[],
    wait: { untilMs: number; signal: AbortSignal },
  ): Promise<TicketRequestEvent> {
    if (event.kind === 'send') return request.reply(await askKdc(event.realm, event.message, this.#options.conf, wait));
    const { etype } = event.from;
    if (typeof secret !== 'string') return request.useKey(secret.find((key) => key.etype === etype)!);
    const derived = await deriveKey(secret, event.from);
    try {
      return request.key(etype, derived);
    } finally {
      derived.fill(0);
    }
  }
}

const failed = (how: KerberosProblem, problem: string): TicketAnswer => ({ kind: 'failed', how, code: null, problem });
