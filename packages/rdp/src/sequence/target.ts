import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import {
  CredSspClient,
  type CredSspClientEvent,
  type CredSspClientOptions,
  type KerberosLogon,
} from '../auth/credssp-client.ts';
import { earlyRefusal } from '../auth/early-refusal.ts';
import { type LogonProblem, rdstlsProblemOf, statusText } from '../auth/logon-status.ts';
import type { KerberosProblem } from '../kerberos/problems.ts';
import { type PreconnectionPdu, preconnectionPdu } from '../pdu/preconnection.ts';
import {
  RDSTLS_CAPABILITIES_BYTES,
  RDSTLS_RESPONSE_BYTES,
  RDSTLS_VERSION_1,
  type RdstlsCredentials,
  type RdstlsPdu,
  RdstlsResult,
  rdstlsPdu,
} from '../pdu/rdstls.ts';
import { tpkt } from '../pdu/tpkt.ts';
import {
  NegotiationFailureCode,
  NegotiationRequestFlag,
  NegotiationResponseFlag,
  Protocol,
  x224ConnectionConfirm,
  x224ConnectionRequest,
} from '../pdu/x224.ts';
import { concat, type Step, x224Frame } from './frames.ts';
import { tpktLength } from './front.ts';
import { Gathered } from './gathered.ts';

/** Where the way to a target stands; what is waited for. */
export type TargetState =
  | 'idle'
  | 'connectionConfirm'
  /** The driver does the TLS handshake, then calls `tlsEstablished`. */
  | 'tls'
  /** Network level authentication is due, and its ticket is fetched: `useTicket`. */
  | 'ticket'
  /** Network level authentication: whether NTLM is spoken, and how. The target knows nobody yet. */
  | 'negotiation'
  /** It was told who logs on. */
  | 'credssp'
  /** RDSTLS: its capabilities, before it is told who logs on; then its answer. */
  | 'rdstlsCapabilities'
  | 'rdstlsResponse'
  /** It waits for the client's MCS Connect Initial. */
  | 'ready'
  | 'handedOver'
  | 'ended';

export type TargetEnding =
  | 'left'
  | 'late'
  | 'tlsFailed'
  /** What it sends is no RDP. */
  | 'notRdp'
  /** It has no TLS, or doesn't want it. */
  | 'noTls'
  /** It demands network level authentication, and nobody has said who logs on. */
  | 'nlaRequired'
  /** It has no restricted admin mode, which was asked for. */
  | 'noRestrictedAdmin'
  | 'negotiationFailed'
  /** It refused the logon. */
  | LogonProblem
  | `kerberos:${KerberosProblem}`
  /** What it sent in CredSSP is wrong; also when it does not hold the key of its certificate. */
  | 'credsspViolation'
  /** RDSTLS was asked for, and it chose something else. */
  | 'noRdstls'
  | 'rdstlsViolation';

/** Who logs on where a target wants network level authentication. */
export type TargetLogon = Omit<CredSspClientOptions, 'publicKey' | 'earlyAuthorization' | 'kerberos'>;

export interface TargetOptions {
  logon?: TargetLogon | null;
  /** Where the logon is due a ticket of Kerberos is asked for by `ticketWanted`. */
  wantsTicket?: boolean;
  preconnection?: PreconnectionPdu | null;
  /** A load balancer's, for the connection request. */
  routingLine?: string | null;
  /**
   * A redirection asks for RDSTLS, [MS-RDPBCGR] 5.4.5.3: nothing else is taken. Asked for once, when the target's certificate was
   * accepted and it said its capabilities; null: they were used.
   */
  rdstls?: (() => RdstlsCredentials | null) | null;
}

/** How the logon went. */
export type LoggedOn = Omit<Extract<CredSspClientEvent, { kind: 'loggedOn' }>, 'kind'>;

/** What was said before TLS. */
export interface TargetHello {
  /** What was said before RDP, [MS-RDPEPS]; empty where nothing was. */
  preconnection: Uint8Array;
  /** Whole TPKTs. */
  request: Uint8Array;
  confirm: Uint8Array;
  selectedProtocol: number;
  /** Flags of its RDP_NEG_RSP. */
  negotiationFlags: number;
  /** Null where there was no network level authentication. */
  logon: LoggedOn | null;
}

export type TargetEvent =
  /** The same as the client's, so that one driver does both; a target's `early` is always empty. */
  | { kind: 'startTls'; early: Uint8Array }
  /** The target stands, and wants to know who logs on: answer with `useTicket`. */
  | { kind: 'ticketWanted' }
  | { kind: 'ready'; hello: TargetHello }
  /** `code`: what the target gave for a reason. */
  | { kind: 'ended'; how: TargetEnding; at: TargetState; problem: string; code?: number };

/** Confirms have 11 to 19 bytes. */
const confirmBytesMax = 512;
/** An RDP server waits for the client; what it says before that is kept within this. */
const earlyBytesMax = 4096;
const NLA = Protocol.hybrid | Protocol.hybridEx;
const NLA_OR_TLS = Protocol.ssl | NLA;
/** As other clients ask; TLS alone is then not taken. */
const RDSTLS_OR_TLS = Protocol.ssl | Protocol.rdstls;

/**
 * The gateway towards a target until the client's first PDU can be passed on, [MS-RDPBCGR] 1.3.1.1, without sockets.
 * Input may come in any pieces. Never throws on input: what can't go on ends. Time limits are the driver's (`stop`).
 */
export class Target {
  readonly #requestedProtocols: number;
  readonly #preconnection: Uint8Array;
  readonly #routingLine: string | null;
  /** Forgotten once it was used. */
  #logon: TargetLogon | null;
  readonly #wantsTicket: boolean;
  #rdstls: (() => RdstlsCredentials | null) | null;
  #publicKey: Uint8Array = new Uint8Array(0);
  #credssp: CredSspClient | null = null;
  #state: TargetState = 'idle';
  readonly #gathered = new Gathered(earlyBytesMax);
  #hello: TargetHello | null = null;
  #request: Uint8Array = new Uint8Array(0);
  #output: Uint8Array[] = [];
  #events: TargetEvent[] = [];

  /**
   * `Protocol.rdp`: without negotiation, for targets that know nothing but standard RDP security. With a logon and `Protocol.ssl`
   * network level authentication is offered besides; the target chooses.
   */
  constructor(
    requestedProtocols: number,
    { logon = null, wantsTicket = false, preconnection = null, routingLine = null, rdstls = null }: TargetOptions = {},
  ) {
    this.#wantsTicket = wantsTicket;
    this.#rdstls = rdstls;
    this.#routingLine = routingLine;
    const isOffered = rdstls === null && logon !== null && requestedProtocols === Protocol.ssl;
    this.#logon = isOffered ? logon : null;
    this.#requestedProtocols = rdstls !== null ? RDSTLS_OR_TLS : isOffered ? NLA_OR_TLS : requestedProtocols;
    this.#preconnection = preconnection === null ? new Uint8Array(0) : encode(preconnectionPdu, preconnection);
  }

  get state(): TargetState {
    return this.#state;
  }

  /** The first bytes. Without the client's routing line: its token is for the gateway alone. */
  start(): Step<TargetEvent> {
    const routing = this.#routingLine === null ? {} : { routing: { kind: 'other', line: this.#routingLine } as const };
    const request = { destinationReference: 0, sourceReference: 0, classOption: 0, ...routing };
    const requestedProtocols = this.#requestedProtocols;
    const flags = this.#logon?.restrictedAdmin ? NegotiationRequestFlag.restrictedAdminModeRequired : 0;
    const negotiation = { flags, requestedProtocols };
    this.#request = x224Frame(
      x224ConnectionRequest,
      requestedProtocols === Protocol.rdp ? request : { ...request, negotiation },
    );
    this.#output.push(this.#preconnection, this.#request);
    this.#state = 'connectionConfirm';
    return this.#flush();
  }

  /** Takes bytes of the target: before TLS, then out of it. */
  step(input: Uint8Array): Step<TargetEvent> {
    if (this.#state === 'ended' || this.#state === 'handedOver') return this.#flush();
    try {
      if (this.#credssp !== null) this.#take(this.#credssp.step(input));
      else this.#gather(input);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end(this.#isInRdstls ? 'rdstlsViolation' : 'notRdp', error.message);
    }
    return this.#flush();
  }

  get #isInRdstls(): boolean {
    return this.#state === 'rdstlsCapabilities' || this.#state === 'rdstlsResponse';
  }

  /** TLS stands and the target's certificate was accepted. `publicKey`: the content of its SubjectPublicKey BIT STRING. */
  tlsEstablished(publicKey: Uint8Array): Step<TargetEvent> {
    if (this.#state !== 'tls') return this.#flush();
    const { selectedProtocol } = this.#hello!;
    if (selectedProtocol === Protocol.rdstls) {
      this.#state = 'rdstlsCapabilities';
      return this.#flush();
    }
    // Without a logon of ours the client does it by itself, through us.
    if ((selectedProtocol & NLA) === 0 || this.#logon === null) {
      this.#ready();
      return this.#flush();
    }
    this.#publicKey = publicKey;
    if (this.#wantsTicket) {
      this.#state = 'ticket';
      this.#events.push({ kind: 'ticketWanted' });
    } else this.#logOn(this.#logon, null);
    return this.#flush();
  }

  /** The ticket asked for; null: there is none, and the logon goes on by NTLM. */
  useTicket(kerberos: KerberosLogon | null): Step<TargetEvent> {
    if (this.#state === 'ticket') this.#logOn(this.#logon!, kerberos);
    return this.#flush();
  }

  #logOn(logon: TargetLogon, kerberos: KerberosLogon | null): void {
    const earlyAuthorization = this.#hello!.selectedProtocol === Protocol.hybridEx;
    this.#credssp = new CredSspClient({ ...logon, kerberos, publicKey: this.#publicKey, earlyAuthorization });
    this.#state = 'negotiation';
    this.#take(this.#credssp.start());
  }

  /** The session runs from here: bytes that came before their time, for it. */
  handOver(): Uint8Array {
    this.#state = 'handedOver';
    return this.#gathered.take();
  }

  /** The driver saw the connection end, or lost patience. */
  stop(how: 'left' | 'late' | 'tlsFailed', problem: string): Step<TargetEvent> {
    // Some say no to a logon by closing, or by resetting the connection, which TLS calls a fault.
    if (this.#credssp !== null && how !== 'late') this.#take(this.#credssp.closed());
    if (this.#state !== 'ended' && this.#state !== 'handedOver') this.#end(how, problem);
    return this.#flush();
  }

  #flush(): Step<TargetEvent> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #end(how: TargetEnding, problem: string, code: number | null = null): void {
    this.#events.push({ kind: 'ended', how, at: this.#state, problem, ...(code === null ? {} : { code }) });
    this.#state = 'ended';
    this.#credssp = null;
    this.#logon = null;
    this.#rdstls = null;
  }

  #gather(input: Uint8Array): void {
    this.#gathered.push(input);
    if (this.#state === 'connectionConfirm') this.#connectionConfirm();
    if (this.#state === 'rdstlsCapabilities') this.#rdstlsCapabilities();
    else if (this.#state === 'rdstlsResponse') this.#rdstlsResponse();
    // Without an authorization result the target says only now that the account may not log on.
    if (this.#state !== 'ready' || this.#hello?.logon === null) return;
    const refusal = earlyRefusal(this.#gathered.bytes);
    if (refusal !== null) this.#end(refusal.how, refusal.problem, refusal.code);
  }

  /** One of the server's; null: it is not whole yet. It waits for an answer behind each. */
  #rdstlsPdu<K extends RdstlsPdu['kind']>(length: number, kind: K): Extract<RdstlsPdu, { kind: K }> | null {
    if (this.#gathered.length < length) return null;
    const pdu = decode(rdstlsPdu, this.#gathered.take(length));
    if (pdu.kind !== kind) throw new DecodeError('invalid', `RDSTLS ${pdu.kind} where ${kind} is due`);
    if (pdu.version !== RDSTLS_VERSION_1) throw new DecodeError('unsupported', `RDSTLS of version ${pdu.version}`);
    if (this.#gathered.length > 0) throw new DecodeError('invalid', `it goes on behind its RDSTLS ${kind}`);
    return pdu as Extract<RdstlsPdu, { kind: K }>;
  }

  #rdstlsCapabilities(): void {
    const capabilities = this.#rdstlsPdu(RDSTLS_CAPABILITIES_BYTES, 'capabilities');
    if (capabilities === null) return;
    const { supportedVersions } = capabilities;
    if ((supportedVersions & RDSTLS_VERSION_1) === 0)
      throw new DecodeError('unsupported', `it supports versions 0x${supportedVersions.toString(16)} of RDSTLS`);
    const credentials = this.#rdstls?.() ?? null;
    this.#rdstls = null;
    if (credentials === null) {
      this.#end('left', 'the redirection’s logon was used before');
      return;
    }
    this.#output.push(encode(rdstlsPdu, { version: RDSTLS_VERSION_1, kind: 'passwordRequest', ...credentials }));
    this.#state = 'rdstlsResponse';
  }

  #rdstlsResponse(): void {
    const response = this.#rdstlsPdu(RDSTLS_RESPONSE_BYTES, 'response');
    if (response === null) return;
    const { resultCode } = response;
    if (resultCode === RdstlsResult.success) this.#ready();
    else this.#end(rdstlsProblemOf(resultCode), `RDSTLS result ${statusText(resultCode)}`, resultCode);
  }

  #take({ output, events }: Step<CredSspClientEvent>): void {
    this.#output.push(output);
    const isTold = this.#credssp?.state !== 'challenge' && events.every(({ kind }) => kind !== 'ended');
    if (this.#state === 'negotiation' && isTold) this.#state = 'credssp';
    for (const event of events)
      if (event.kind === 'ended')
        this.#end(event.how === 'violation' ? 'credsspViolation' : event.how, event.problem, event.code);
      else this.#loggedOn(event);
  }

  #loggedOn({ method, envelope, version }: LoggedOn): void {
    const rest = this.#credssp!.takeRest();
    this.#credssp = null;
    this.#logon = null;
    this.#hello!.logon = { method, envelope, version };
    this.#ready();
    if (rest.length > 0) this.#gather(rest);
  }

  #ready(): void {
    this.#state = 'ready';
    this.#events.push({ kind: 'ready', hello: this.#hello! });
  }

  #connectionConfirm(): void {
    const length = tpktLength(this.#gathered.bytes, confirmBytesMax);
    if (length === 0 || this.#gathered.length < length) return;
    const confirm = this.#gathered.take(length);
    const answer = decode(x224ConnectionConfirm, decode(tpkt, confirm).payload).negotiation;
    if (answer?.kind === 'failure') {
      this.#end(endingOf(answer.failureCode), `negotiation failure ${answer.failureCode}`);
      return;
    }
    const selectedProtocol = answer?.selectedProtocol ?? Protocol.rdp;
    if (this.#rdstls !== null && selectedProtocol !== Protocol.rdstls) {
      this.#end('noRdstls', `it chose protocol ${selectedProtocol}`);
      return;
    }
    if (!this.#hasOffered(selectedProtocol)) {
      this.#end('noTls', `it chose protocol ${selectedProtocol}`);
      return;
    }
    const negotiationFlags = answer?.flags ?? 0;
    // Without it the password would be handed over, in one way or another.
    const isRestricted =
      (selectedProtocol & NLA) !== 0 && (negotiationFlags & NegotiationResponseFlag.restrictedAdminModeSupported) !== 0;
    if (this.#logon?.restrictedAdmin === true && !isRestricted) {
      this.#end('noRestrictedAdmin', 'it has no restricted admin mode');
      return;
    }
    // A server is silent until TLS begins: what it says here would be taken for TLS.
    if (this.#gathered.length > 0) throw new DecodeError('invalid', 'it goes on behind its connection confirm');
    this.#hello = {
      preconnection: this.#preconnection,
      request: this.#request,
      confirm,
      selectedProtocol,
      negotiationFlags,
      logon: null,
    };
    if (selectedProtocol === Protocol.rdp) {
      this.#ready();
      return;
    }
    this.#events.push({ kind: 'startTls', early: new Uint8Array(0) });
    this.#state = 'tls';
  }

  /** One of the protocols asked for, and not several. */
  #hasOffered(selected: number): boolean {
    if (this.#requestedProtocols === Protocol.rdp) return selected === Protocol.rdp;
    return [Protocol.ssl, Protocol.hybrid, Protocol.hybridEx, Protocol.rdstls].some(
      (protocol) => selected === protocol && (this.#requestedProtocols & protocol) !== 0,
    );
  }
}

function endingOf(failureCode: number): TargetEnding {
  switch (failureCode) {
    case NegotiationFailureCode.hybridRequiredByServer:
    case NegotiationFailureCode.sslWithUserAuthRequiredByServer:
      return 'nlaRequired';
    case NegotiationFailureCode.sslNotAllowedByServer:
    case NegotiationFailureCode.sslCertNotOnServer:
      return 'noTls';
    default:
      return 'negotiationFailed';
  }
}
