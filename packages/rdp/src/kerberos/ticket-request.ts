import { attempt, DecodeError, decode, encode } from '@lucid-sessions/wire';
import { checkKey, etypesWanted, type KerberosCrypto, KeyUsage, type StringToKey, stringToKey } from './etypes.ts';
import {
  apRequest,
  asReply,
  asRequest,
  authenticator,
  type EncryptionKey,
  encryptedData,
  encryptedTimestamp,
  errorText,
  etypeInfo2,
  type KdcReply,
  type KdcReplyPart,
  type KdcRequestBody,
  type KrbError,
  kdcReplyPart,
  kdcRequestBody,
  kerberosTime,
  krbError,
  MessageType,
  methodData,
  NameType,
  nameText,
  type PaData,
  type PrincipalName,
  tgsReply,
  tgsRequest,
} from './messages.ts';
import { KdcCode, type KerberosProblem, kerberosProblemOf } from './problems.ts';

/** A ticket and what its holder needs to use it; the key is a secret. */
export interface KerberosTicket {
  clientRealm: string;
  client: PrincipalName;
  service: PrincipalName;
  /** As the KDC gave it. */
  ticket: Uint8Array;
  key: EncryptionKey;
  endTime: string;
}

export interface TicketRequestOptions {
  realm: string;
  client: PrincipalName;
  /** Realm of the service where it is known; the client's own says where else otherwise. */
  serviceRealm: string;
  /** `['TERMSRV', host]` */
  service: readonly string[];
  crypto: KerberosCrypto;
  /** Of the keys there are, where there is no password; all that are spoken unless given. */
  etypes?: readonly number[];
}

export type TicketRequestEvent =
  /** Send it to a KDC of this realm, and hand `reply` what it answers. */
  | { kind: 'send'; realm: string; message: Uint8Array }
  /** Answer with `key`: PBKDF2 over the password; or with `useKey`. */
  | { kind: 'key'; from: StringToKey }
  | { kind: 'ticket'; ticket: KerberosTicket }
  | { kind: 'failed'; how: KerberosProblem; code: number | null; problem: string };

type State = 'idle' | 'first' | 'key' | 'account' | 'service' | 'over';

const VERSION = 5;
const PaType = { tgsRequest: 1, encryptedTimestamp: 2, etypeInfo2: 19 } as const;
/** Forwardable is not asked for: nothing is forwarded. Canonicalize: the KDC may name another realm. */
const OPTION_CANONICALIZE = 0x00010000;
const lifeMs = 10 * 3_600_000;
/** Realms asked on the way to the service. */
const realmsMax = 6;

/**
 * From a password to a ticket for one service, RFC 4120 sections 3.1 and 3.3, with the referrals of RFC 6806. I/O-free: `start`, then
 * `reply` and `key` as the events ask, until `ticket` or `failed`. Never throws on input. One event at a time.
 */
export class TicketRequest {
  readonly #options: TicketRequestOptions;
  readonly #crypto: KerberosCrypto;
  #state: State = 'idle';
  #realm: string;
  #nonce = 0;
  #key: EncryptionKey | null = null;
  /** An answer that waits for its key. */
  #waiting: KdcReply | null = null;
  #granting: KerberosTicket | null = null;
  readonly #asked = new Set<string>();

  constructor(options: TicketRequestOptions) {
    this.#options = options;
    this.#crypto = options.crypto;
    this.#realm = options.realm;
  }

  start(): TicketRequestEvent {
    this.#state = 'first';
    return this.#sendAs();
  }

  /** A whole message of the KDC. */
  reply(message: Uint8Array): TicketRequestEvent {
    return this.#guarded(() => {
      const error = attempt(() => decode(krbError, message));
      if (error !== null) return this.#error(error);
      switch (this.#state) {
        case 'first':
        case 'account':
          return this.#account(decode(asReply, message));
        case 'service':
          return this.#service(decode(tgsReply, message));
        default:
          throw new DecodeError('invalid', 'an answer that nobody waits for');
      }
    });
  }

  /** PBKDF2 as the event asked for it. */
  key(etype: number, derived: Uint8Array): TicketRequestEvent {
    return this.useKey(this.#crypto.keyOfPbkdf2(etype, derived));
  }

  /** A key of the type that was asked for; it is copied. */
  useKey({ etype, value }: EncryptionKey): TicketRequestEvent {
    return this.#guarded(() => {
      if (this.#state !== 'key') throw new DecodeError('invalid', 'a key that nobody waits for');
      const key = { etype, value: value.slice() };
      checkKey(key);
      this.#key = key;
      const waiting = this.#waiting;
      this.#waiting = null;
      this.#state = 'account';
      return waiting === null ? this.#sendAs([this.#timestamp(key)]) : this.#opened(waiting, key);
    });
  }

  #guarded(work: () => TicketRequestEvent): TicketRequestEvent {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return this.#failed(error.code === 'unsupported' ? 'encryption' : 'refused', null, error.message);
    }
  }

  #failed(how: KerberosProblem, code: number | null, problem: string): TicketRequestEvent {
    this.#state = 'over';
    this.#forget();
    return { kind: 'failed', how, code, problem };
  }

  #forget(): void {
    this.#key?.value.fill(0);
    this.#key = null;
    this.#granting = null;
    this.#waiting = null;
  }

  #sendAs(paData?: PaData[]): TicketRequestEvent {
    const { client } = this.#options;
    const body = this.#body({ client, service: serviceOf('krbtgt', this.#realm) }, this.#ownEtypes);
    const value = { version: VERSION, messageType: MessageType.asReq, ...(paData ? { paData } : {}), body };
    return { kind: 'send', realm: this.#realm, message: encode(asRequest, value).slice() };
  }

  get #ownEtypes(): readonly number[] {
    return this.#options.etypes ?? etypesWanted;
  }

  #body(asked: Pick<KdcRequestBody, 'client' | 'service'>, etypes = etypesWanted): KdcRequestBody {
    const { platform } = this.#crypto;
    const random = platform.randomBytes(4);
    this.#nonce = new DataView(random.buffer, random.byteOffset, 4).getUint32(0) >>> 1;
    return {
      options: OPTION_CANONICALIZE,
      ...asked,
      realm: this.#realm,
      till: kerberosTime(platform.nowMs() + lifeMs),
      nonce: this.#nonce,
      etypes: [...etypes],
    };
  }

  #timestamp(key: EncryptionKey): PaData {
    const ms = this.#crypto.platform.nowMs();
    const plain = encode(encryptedTimestamp, { time: kerberosTime(ms), micros: microsOf(ms) });
    const sealed = this.#crypto.seal(key, KeyUsage.asTimestamp, plain);
    return { type: PaType.encryptedTimestamp, value: encode(encryptedData, sealed).slice() };
  }

  #error(error: KrbError): TicketRequestEvent {
    const { code } = error;
    if (code === KdcCode.preauthRequired && this.#state === 'first' && error.data !== undefined)
      return this.#askKey(decode(methodData, error.data));
    if (code === KdcCode.wrongRealm && this.#state === 'first' && error.clientRealm)
      return this.#moved(error.clientRealm);
    return this.#failed(kerberosProblemOf(code), code, `the KDC of ${this.#realm} said ${code}${errorText(error)}`);
  }

  #moved(realm: string): TicketRequestEvent {
    this.#enter(realm);
    return this.#sendAs();
  }

  #enter(realm: string): void {
    this.#asked.add(this.#realm);
    if (this.#asked.has(realm) || this.#asked.size >= realmsMax)
      throw new DecodeError(
        'invalid',
        `the realms send us in a circle, or too far: ${[...this.#asked, realm].join(', ')}`,
      );
    this.#realm = realm;
  }

  #askKey(found: readonly PaData[] | undefined, wanted?: number): TicketRequestEvent {
    const info = found?.find(({ type }) => type === PaType.etypeInfo2);
    const offered = info === undefined ? [] : decode(etypeInfo2, info.value);
    const chosen = offered.find(({ etype }) =>
      wanted === undefined ? this.#ownEtypes.includes(etype) : etype === wanted,
    );
    if (wanted === undefined ? chosen === undefined : !this.#ownEtypes.includes(wanted))
      throw new DecodeError('unsupported', 'the KDC offers this account no encryption that there is a key for (AES)');
    this.#state = 'key';
    const salt = chosen?.salt ?? this.#realm + this.#options.client.parts.join('');
    return { kind: 'key', from: stringToKey(chosen?.etype ?? wanted!, salt, chosen?.parameters) };
  }

  /** Without preauthentication the answer comes at once, and says by itself what key opens it. */
  #account(reply: KdcReply): TicketRequestEvent {
    if (this.#key !== null) return this.#opened(reply, this.#key);
    this.#waiting = reply;
    return this.#askKey(reply.paData, reply.encrypted.etype);
  }

  #opened(reply: KdcReply, key: EncryptionKey): TicketRequestEvent {
    const plain = attempt(() => this.#crypto.open(key, KeyUsage.asReply, reply.encrypted));
    // Where nobody asked for a proof before, that the password is wrong shows here.
    if (plain === null)
      return this.#failed('wrongPassword', null, 'what the KDC answered does not open with this password');
    const part = this.#part(plain);
    key.value.fill(0);
    this.#key = null;
    if (part.service.parts[0] !== 'krbtgt') throw new DecodeError('invalid', 'a ticket for something else');
    this.#granting = ticketOf(reply, part);
    this.#realm = part.realm;
    this.#state = 'service';
    const { serviceRealm, service } = this.#options;
    return this.#sendTgs(serviceRealm === '' || serviceRealm === this.#realm ? service : ['krbtgt', serviceRealm]);
  }

  #part(plain: Uint8Array): KdcReplyPart {
    const part = decode(kdcReplyPart, plain);
    plain.fill(0);
    if (part.nonce !== this.#nonce) throw new DecodeError('invalid', 'an answer to another question');
    checkKey(part.key);
    return part;
  }

  #sendTgs([type, ...names]: readonly string[]): TicketRequestEvent {
    const granting = this.#granting!;
    const body = this.#body({ service: serviceOf(type!, ...names) });
    const checksum = this.#crypto.checksum(granting.key, KeyUsage.tgsChecksum, encode(kdcRequestBody, body));
    const ms = this.#crypto.platform.nowMs();
    const plain = encode(authenticator, {
      version: VERSION,
      clientRealm: granting.clientRealm,
      client: granting.client,
      checksum,
      micros: microsOf(ms),
      time: kerberosTime(ms),
    });
    const sealed = this.#crypto.seal(granting.key, KeyUsage.tgsAuthenticator, plain);
    const request = {
      version: VERSION,
      messageType: MessageType.apReq,
      options: 0,
      ticket: granting.ticket,
      authenticator: sealed,
    };
    const paData = [{ type: PaType.tgsRequest, value: encode(apRequest, request).slice() }];
    const value = { version: VERSION, messageType: MessageType.tgsReq, paData, body };
    return { kind: 'send', realm: this.#realm, message: encode(tgsRequest, value).slice() };
  }

  #service(reply: KdcReply): TicketRequestEvent {
    const part = this.#part(this.#crypto.open(this.#granting!.key, KeyUsage.tgsReply, reply.encrypted));
    const ticket = ticketOf(reply, part);
    if (!isSame(ticket, this.#granting!)) throw new DecodeError('invalid', 'a ticket of somebody else');
    const [type, realm] = part.service.parts;
    const { service } = this.#options;
    if (type === 'krbtgt' && realm !== undefined) {
      this.#enter(realm);
      this.#granting = ticket;
      return this.#sendTgs(service);
    }
    if (nameText(part.service).toLowerCase() !== service.join('/').toLowerCase())
      throw new DecodeError('invalid', 'a ticket for another service');
    this.#state = 'over';
    this.#forget();
    return { kind: 'ticket', ticket };
  }
}

const microsOf = (ms: number): number => (Math.floor(ms) % 1000) * 1000;
const serviceOf = (...parts: string[]): PrincipalName => ({ nameType: NameType.serviceInstance, parts });

const ticketOf = (
  { client, clientRealm, ticket }: KdcReply,
  { key, service, endTime }: KdcReplyPart,
): KerberosTicket => ({
  client,
  clientRealm,
  ticket,
  key,
  service,
  endTime,
});

const isSame = (a: KerberosTicket, b: KerberosTicket): boolean =>
  a.clientRealm === b.clientRealm && nameText(a.client) === nameText(b.client);
