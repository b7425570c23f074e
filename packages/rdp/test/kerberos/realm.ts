/** A realm in memory: a KDC and a service of ours, made of the same codecs, to be lied through. What is real stands in adapters/kerberos. */
import { attempt, DecodeError, decode, encode } from '@lucid-sessions/wire';
import type { Sealing } from '../../src/auth/index.ts';
import * as k from '../../src/kerberos/index.ts';
import { passwordKey } from './platform.ts';

export interface RealmOptions {
  name?: string;
  etype?: number;
  /** By principal. */
  passwords?: Record<string, string>;
  services?: string[];
  /** A service's realm that is somewhere else: a referral. */
  elsewhere?: Record<string, string>;
  preauth?: boolean;
  /** Is let in with another name. */
  wrongRealm?: string;
}

const ticketPart = (realm: string, name: string): k.PrincipalName => ({ nameType: 2, parts: [name, realm] });

export class Realm {
  readonly crypto: k.KerberosCrypto;
  readonly name: string;
  readonly #options: RealmOptions;
  /** Of `krbtgt/REALM`, which two realms share, and of services. */
  readonly keys = new Map<string, k.EncryptionKey>();

  constructor(crypto: k.KerberosCrypto, options: RealmOptions = {}) {
    this.crypto = crypto;
    this.#options = options;
    this.name = options.name ?? 'LAB.TEST';
    for (const name of [`krbtgt/${this.name}`, ...(options.services ?? ['TERMSRV/target.test'])])
      this.keys.set(name, crypto.randomKey(this.#etype));
  }

  get #etype(): number {
    return this.#options.etype ?? 18;
  }

  error(code: number, more: Partial<k.KrbError> = {}): Uint8Array {
    const service = ticketPart(this.name, 'krbtgt');
    const times = { serverTime: k.kerberosTime(this.crypto.platform.nowMs()), serverMicros: 0 };
    const value = { version: 5, messageType: 30, ...times, code, realm: this.name, service, ...more };
    return encode(k.krbError, value).slice();
  }

  answer(message: Uint8Array): Uint8Array {
    const read = () =>
      message[0] === 0x6a ? this.#as(decode(k.asRequest, message)) : this.#tgs(decode(k.tgsRequest, message));
    // A client that was lied to brings what does not open.
    return attempt(read) ?? this.error(41);
  }

  #as({ paData = [], body }: k.KdcRequest): Uint8Array {
    const user = k.nameText(body.client!);
    const password = (this.#options.passwords ?? { alice: 'correct horse' })[user];
    if (this.#options.wrongRealm !== undefined) return this.error(68, { clientRealm: this.#options.wrongRealm });
    if (password === undefined) return this.error(6);
    const salt = `${this.name}${user}`;
    const etypeInfo = encode(k.etypeInfo2, [{ etype: 23 }, { etype: this.#etype, salt }]);
    const key = passwordKey(this.crypto, this.#etype, password, salt);
    const proof = paData.find(({ type }) => type === 2);
    if (proof === undefined && this.#options.preauth !== false)
      return this.error(25, { data: encode(k.methodData, [{ type: 19, value: etypeInfo }]).slice() });
    if (proof !== undefined)
      try {
        decode(k.encryptedTimestamp, this.crypto.open(key, 1, decode(k.encryptedData, proof.value)));
      } catch {
        return this.error(24);
      }
    const hint = [{ type: 19, value: encode(k.etypeInfo2, [{ etype: this.#etype, salt }]).slice() }];
    return this.#reply(k.asReply, 11, body, body.client!, this.name, { key, usage: 3 }, body.service, hint);
  }

  #tgs({ paData = [], body }: k.KdcRequest): Uint8Array {
    const request = decode(k.apRequest, paData.find(({ type }) => type === 1)!.value);
    const granting = this.openTicket(request.ticket);
    const sent = decode(k.authenticator, this.crypto.open(granting.key, 7, request.authenticator));
    const sum = this.crypto.checksum(granting.key, 6, encode(k.kdcRequestBody, body));
    if (Buffer.compare(sum.value, sent.checksum!.value) !== 0) return this.error(41);
    const service = k.nameText(body.service);
    const other = this.#options.elsewhere?.[service];
    const named = other === undefined ? body.service : ticketPart(other, 'krbtgt');
    if (!this.keys.has(k.nameText(named))) return this.error(7);
    const { client, clientRealm } = granting;
    return this.#reply(k.tgsReply, 13, body, client, clientRealm, { key: granting.key, usage: 8 }, named);
  }

  #reply(
    codec: typeof k.asReply,
    messageType: number,
    { nonce, till }: k.KdcRequestBody,
    client: k.PrincipalName,
    clientRealm: string,
    { key, usage }: { key: k.EncryptionKey; usage: number },
    service: k.PrincipalName,
    hint: k.PaData[] = [],
  ): Uint8Array {
    const session = this.crypto.randomKey(this.#etype);
    const authTime = k.kerberosTime(this.crypto.platform.nowMs());
    const none = Uint8Array.of(0x30, 0);
    const part = {
      key: session,
      lastRequest: none,
      nonce,
      flags: 0,
      authTime,
      endTime: till,
      realm: this.name,
      service,
    };
    const sealed = this.crypto.seal(
      this.keys.get(k.nameText(service))!,
      2,
      ticketContent({ key: session, client, clientRealm }),
    );
    return encode(codec, {
      version: 5,
      messageType,
      ...(hint.length > 0 ? { paData: hint } : {}),
      clientRealm,
      client,
      ticket: encode(k.ticket, { version: 5, realm: this.name, service, encrypted: sealed }).slice(),
      encrypted: this.crypto.seal(key, usage, encode(k.kdcReplyPart, part)),
    }).slice();
  }

  openTicket(bytes: Uint8Array): TicketContent {
    const { service, encrypted } = decode(k.ticket, bytes);
    const key = this.keys.get(k.nameText(service));
    if (key === undefined) throw new DecodeError('invalid', 'a ticket for nobody');
    return readContent(this.crypto.open(key, 2, encrypted));
  }

  /** Runs one request to its end. `spoil`: what becomes of an answer. */
  static run(
    request: k.TicketRequest,
    realms: readonly Realm[],
    password: string,
    derive: (password: string, from: k.StringToKey) => Uint8Array,
    spoil: (answer: Uint8Array, at: number) => Uint8Array = (answer) => answer,
  ): Exclude<k.TicketRequestEvent, { kind: 'send' | 'key' }> {
    let event = request.start();
    for (let at = 0; ; at += 1) {
      if (event.kind === 'key') event = request.key(event.from.etype, derive(password, event.from));
      else if (event.kind === 'send') {
        const { realm, message } = event;
        const asked = realms.find(({ name }) => name === realm);
        event = request.reply(spoil(asked?.answer(message) ?? new Uint8Array(0), at));
      } else return event;
    }
  }
}

/** What a ticket of this realm holds: no EncTicketPart, because nobody but the realm reads it. */
interface TicketContent {
  key: k.EncryptionKey;
  client: k.PrincipalName;
  clientRealm: string;
}

const ticketContent = ({ key, ...rest }: TicketContent): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ ...rest, etype: key.etype, value: [...key.value] }));

function readContent(bytes: Uint8Array): TicketContent {
  const { etype, value, ...rest } = JSON.parse(new TextDecoder().decode(bytes));
  return { ...rest, key: { etype, value: Uint8Array.from(value) } };
}

export interface AcceptOptions {
  /** Whether it chooses a key of its own, as Windows and MIT do. */
  hasSubkey?: boolean;
  /** What becomes of the AP-REP's text. */
  spoil?: (part: k.ApReplyPart) => k.ApReplyPart;
}

/** The service's side of a context: its answer to an AP-REQ in GSS-API, and how it speaks from then on. */
export function accept(
  realm: Realm,
  token: Uint8Array,
  { hasSubkey = true, spoil = (part) => part }: AcceptOptions = {},
): { token: Uint8Array; sealing: Sealing; sent: k.Authenticator; request: k.ApRequest } {
  const { crypto } = realm;
  const { mechanism, body } = decode(k.gssToken, token);
  const request = decode(k.apRequest, body);
  const { key } = realm.openTicket(request.ticket);
  const sent = decode(k.authenticator, crypto.open(key, 11, request.authenticator));
  const subkey = crypto.randomKey(key.etype);
  const part = { time: sent.time, micros: sent.micros, ...(hasSubkey ? { subkey } : {}), sequence: 77 };
  const encrypted = crypto.seal(key, 12, encode(k.apReplyPart, spoil(part)));
  const reply = encode(k.apReply, { version: 5, messageType: 15, encrypted }).slice();
  const sequences = { initiator: sent.sequence!, acceptor: 77 };
  const used = hasSubkey ? subkey : sent.subkey!;
  return {
    token: k.gssTokenBytes({ mechanism, id: k.TokenId.apRep, body: reply }),
    sealing: new k.KerberosSealing({ crypto, role: 'acceptor', key: used, isAcceptorKey: hasSubkey, sequences }),
    sent,
    request,
  };
}
