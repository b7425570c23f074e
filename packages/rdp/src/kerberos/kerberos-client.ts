import { DecodeError, decode, encode, Writer } from '@lucid-sessions/wire';
import type { Sealing } from '../auth/sealing.ts';
import { Mechanism } from '../auth/spnego.ts';
import { checkKey, type KerberosCrypto, KeyUsage } from './etypes.ts';
import { gssToken, gssTokenBytes, TokenId } from './gss-tokens.ts';
import { KerberosSealing } from './kerberos-sealing.ts';
import {
  ApOption,
  apReply,
  apReplyPart,
  apRequest,
  authenticator,
  type EncryptionKey,
  errorText,
  kerberosTime,
  krbError,
  MessageType,
} from './messages.ts';
import { type KerberosProblem, serviceProblemOf } from './problems.ts';
import type { KerberosTicket } from './ticket-request.ts';

/** The service would not have the ticket. */
export class KerberosRefusal extends Error {
  override readonly name = 'KerberosRefusal';
  readonly how: KerberosProblem;
  readonly code: number;

  constructor(how: KerberosProblem, code: number, message: string) {
    super(message);
    this.how = how;
    this.code = code;
  }
}

/** Flags of the checksum, RFC 4121 section 4.1.1.1: mutual, replay, sequence, confidentiality, integrity. Nothing is delegated by ticket. */
const contextFlags = 0x02 | 0x04 | 0x08 | 0x10 | 0x20;
const CHECKSUM_TYPE = 0x8003;
const bindingBytes = 16;

/** One logon by ticket as the initiator, RFC 4121 section 4.1: `first` goes to the service, `accept` takes its answer. */
export class KerberosClient {
  readonly #ticket: KerberosTicket;
  readonly #crypto: KerberosCrypto;
  readonly #subkey: EncryptionKey;
  readonly #sequence: number;
  readonly #time: string;
  readonly #micros: number;
  /** A token of GSS-API with the AP-REQ. */
  readonly first: Uint8Array;

  constructor(ticket: KerberosTicket, crypto: KerberosCrypto) {
    this.#ticket = ticket;
    this.#crypto = crypto;
    this.#subkey = crypto.randomKey(ticket.key.etype);
    const random = crypto.platform.randomBytes(4);
    // 30 bits: some take larger ones for negative.
    this.#sequence = new DataView(random.buffer, random.byteOffset, 4).getUint32(0) >>> 2;
    const ms = Math.floor(crypto.platform.nowMs());
    this.#time = kerberosTime(ms);
    this.#micros = (ms % 1000) * 1000;
    this.first = this.#request();
  }

  /** Throws `DecodeError`, or `KerberosRefusal` where it answers with an error. */
  accept(token: Uint8Array): Sealing {
    const { mechanism, id, body } = decode(gssToken, token);
    if (mechanism !== Mechanism.kerberos) throw new DecodeError('invalid', 'an answer of another mechanism');
    if (id === TokenId.error) {
      const error = decode(krbError, body);
      throw new KerberosRefusal(
        serviceProblemOf(error.code),
        error.code,
        `the target said ${error.code}${errorText(error)}`,
      );
    }
    if (id !== TokenId.apRep) throw new DecodeError('invalid', 'this is no AP-REP');
    const { key } = this.#ticket;
    const part = decode(apReplyPart, this.#crypto.open(key, KeyUsage.apReply, decode(apReply, body).encrypted));
    if (part.time !== this.#time || part.micros !== this.#micros)
      throw new DecodeError('invalid', 'the answer to another request: the target did not prove itself');
    if (part.subkey !== undefined) checkKey(part.subkey);
    return new KerberosSealing({
      crypto: this.#crypto,
      role: 'initiator',
      key: part.subkey ?? this.#subkey,
      isAcceptorKey: part.subkey !== undefined,
      sequences: { initiator: this.#sequence, acceptor: (part.sequence ?? 0) >>> 0 },
    });
  }

  #request(): Uint8Array {
    const { key, client, clientRealm, ticket } = this.#ticket;
    const bindings = new Uint8Array(bindingBytes);
    const value = new Writer().u32le(bindingBytes).slice(bindings).u32le(contextFlags).bytes();
    const plain = encode(authenticator, {
      version: 5,
      clientRealm,
      client,
      checksum: { type: CHECKSUM_TYPE, value },
      micros: this.#micros,
      time: this.#time,
      subkey: this.#subkey,
      sequence: this.#sequence,
    });
    const body = encode(apRequest, {
      version: 5,
      messageType: MessageType.apReq,
      options: ApOption.mutualRequired,
      ticket,
      authenticator: this.#crypto.seal(key, KeyUsage.apAuthenticator, plain),
    });
    return gssTokenBytes({ mechanism: Mechanism.kerberos, id: TokenId.apReq, body });
  }
}
