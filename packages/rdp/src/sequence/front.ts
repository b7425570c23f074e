import { DecodeError, decode } from '@lucid-sessions/wire';
import type { CredSspServer, CredSspServerEnding, CredSspServerEvent } from '../auth/credssp-server.ts';
import { LogonStatus } from '../auth/logon-status.ts';
import type { ClaimedAccount } from '../auth/ntlm-server.ts';
import { frameLength } from '../pdu/frame-length.ts';
import { TPKT_VERSION, tpkt } from '../pdu/tpkt.ts';
import {
  NegotiationFailureCode,
  NegotiationResponseFlag,
  Protocol,
  type X224ConnectionRequest,
  x224ConnectionConfirm,
  x224ConnectionRequest,
  x224Data,
} from '../pdu/x224.ts';
import { concat, type Step, x224Frame } from './frames.ts';
import { Gathered } from './gathered.ts';
import { Refusal } from './refusal.ts';

/** Where a client stands before its session runs; what is waited for. */
export type FrontState =
  | 'connectionRequest'
  /** The driver's word: `accept` or `refuse`. */
  | 'decision'
  /** The driver does the TLS handshake, then calls `tlsEstablished`. */
  | 'tls'
  /** Network level authentication. On its event `account` the driver's word is waited for: `account` or `deny`. */
  | 'credssp'
  /** The client's first PDU after TLS: only now it has begun a session. */
  | 'connectInitial'
  /** The driver's word: `handOver` or `refuse`. */
  | 'begun'
  | 'handedOver'
  /** It is being told no, by an `Acceptor`. */
  | 'refusal'
  | 'ended';

export type FrontEnding =
  /** It closed the connection. */
  | 'left'
  /** It did not go on in time. */
  | 'late'
  /** It speaks something else, or far too much. */
  | 'garbage'
  /** It can't do TLS, and was told so by RDP_NEG_FAILURE. */
  | 'noTls'
  | 'tlsFailed'
  /** It does no network level authentication, and was told that it must. */
  | 'noNla'
  /** Its logon came to nothing (`logonEnding`), and it was told so in CredSSP. */
  | 'logonRefused'
  /** It was told why. */
  | 'refused';

export type FrontEvent =
  /** The client names what it wants. `bytes` are the whole TPKT. */
  | { kind: 'connectionRequest'; request: X224ConnectionRequest; bytes: Uint8Array }
  /** Send the output, then do TLS; `early` came behind the request and belongs to it. */
  | { kind: 'startTls'; early: Uint8Array }
  /** The client has begun. `bytes` are the whole TPKT of its MCS Connect Initial. */
  | { kind: 'connectInitial'; bytes: Uint8Array }
  /** Who wants to log on; nothing of it is proven yet. */
  | Extract<CredSspServerEvent, { kind: 'account' }>
  /** It knows the account's password. */
  | { kind: 'loggedOn'; claimed: ClaimedAccount }
  /** Send the output and close. `at`: how far the client had come. */
  | { kind: 'ended'; how: FrontEnding; at: FrontState; problem: string };

/** Requests with a routing token stay far below; whoever sends more is no RDP client. */
const helloBytesMax = 4096;
/** A ClientHello (2 KiB with post-quantum key shares) or a Connect Initial (31 channels, 16 monitors: 1.5 KiB), and room. */
const waitingBytesMax = 16 * 1024;
const TLS_HANDSHAKE = 0x16;
/** BER tag of MCS Connect Initial, T.125 section 7: application 101. */
const CONNECT_INITIAL = [0x7f, 0x65];
const OUR_REFERENCE = 0x1234;

/** What of network level authentication there is at this door. */
export type NlaPolicy = 'off' | 'offered' | 'required';
const hybrids = Protocol.hybrid | Protocol.hybridEx;
const acceptable: Record<NlaPolicy, number> = {
  off: Protocol.ssl,
  offered: Protocol.ssl | hybrids,
  required: hybrids,
};

/** How many bytes the TPKT that begins here has; 0 when more are needed to tell. Throws `DecodeError`. */
export function tpktLength(bytes: Uint8Array, bytesMax: number): number {
  if (bytes.length > 0 && bytes[0] !== TPKT_VERSION) throw new DecodeError('invalid', 'the peer does not speak RDP');
  if (bytes.length < 4) return 0;
  const length = frameLength(bytes, 0, bytes.length);
  if (!(length <= bytesMax)) throw new DecodeError('limit', `a PDU of ${length} bytes before the session`);
  return length;
}

/**
 * The gateway towards a client until its session runs or it has been told why not, [MS-RDPBCGR] 1.3.1.1, without sockets.
 * Input may come in any pieces. Never throws on input: what can't go on ends. Time limits are the driver's (`stop`).
 */
export class Front {
  readonly #nla: NlaPolicy;
  #credssp: CredSspServer | null = null;
  #logonEnding: CredSspServerEnding | null = null;
  #state: FrontState = 'connectionRequest';
  #gathered = new Gathered(helloBytesMax + waitingBytesMax);
  #request: X224ConnectionRequest | null = null;
  #answered: Uint8Array = new Uint8Array(0);
  #begun: Uint8Array = new Uint8Array(0);
  /** It is to be told no with this. */
  #errorInfo: number | null = null;
  #refusal: Refusal | null = null;
  #output: Uint8Array[] = [];
  #events: FrontEvent[] = [];
  #receivedBytes = 0;

  constructor(nla: NlaPolicy = 'off') {
    this.#nla = nla;
  }

  get state(): FrontState {
    return this.#state;
  }

  /** How the logon ended that did not succeed. */
  get logonEnding(): CredSspServerEnding | null {
    return this.#logonEnding;
  }

  /** Bytes the client sent in clear or in TLS, in all. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The whole TPKT of the client's MCS Connect Initial; empty before it has begun. */
  get connectInitial(): Uint8Array {
    return this.#begun;
  }

  /** What the connection request was answered; empty before. */
  get confirm(): Uint8Array {
    return this.#answered;
  }

  /** Takes bytes of the client: before TLS, then out of it. */
  step(input: Uint8Array): Step<FrontEvent> {
    this.#receivedBytes += input.length;
    if (this.#state === 'ended' || this.#state === 'handedOver') return this.#flush();
    return this.#guarded(() => {
      if (this.#state === 'refusal') this.#refuse(input);
      else this.#gather(input);
    });
  }

  /** Yes: confirms TLS with `flags` of RDP_NEG_RSP. After a logon it is confirmed already. */
  accept(flags: number): Step<FrontEvent> {
    if (this.#state === 'decision') this.#confirm(flags, Protocol.ssl);
    return this.#flush();
  }

  /**
   * Yes, and who is it? Confirms CredSSP with `flags`; behind TLS the server of `make` asks. HYBRID_EX only where the client offers
   * nothing else: all clients know HYBRID.
   */
  logOn(flags: number, make: (earlyAuthorization: boolean) => CredSspServer): Step<FrontEvent> {
    if (this.#state !== 'decision') return this.#flush();
    const isOld = (this.#requestedProtocols & Protocol.hybrid) !== 0;
    this.#credssp = make(!isOld);
    this.#confirm(flags, isOld ? Protocol.hybrid : Protocol.hybridEx);
    return this.#flush();
  }

  /** The account of the event of that name, as `CredSspServer.account` takes it. */
  account(ntHash: Uint8Array | null, denial?: number): Step<FrontEvent> {
    return this.#guarded(() => {
      if (this.#state === 'credssp') this.#logon((server) => server.account(ntHash, denial));
    });
  }

  /** No, with this status, to whom it may be. */
  deny(status: number): Step<FrontEvent> {
    return this.#guarded(() => {
      if (this.#state === 'credssp') this.#logon((server) => server.deny(status));
    });
  }

  /**
   * No, at any time before `handOver`, in a way its user gets to read: the connection sequence is finished on the
   * gateway's own account and ends with Set Error Info. Who waits to be let in by a logon is told that nobody can look it up.
   */
  refuse(errorInfo: number): Step<FrontEvent> {
    if (this.#errorInfo !== null) return this.#flush();
    this.#errorInfo = errorInfo;
    if (this.#state === 'decision') {
      if ((this.#requestedProtocols & Protocol.ssl) === 0) return this.#guarded(() => this.#refuseProtocols());
      this.#confirm(NegotiationResponseFlag.extendedClientDataSupported, Protocol.ssl);
    }
    if (this.#state === 'credssp') return this.deny(LogonStatus.noLogonServers);
    if (this.#state !== 'connectInitial' && this.#state !== 'begun') return this.#flush();
    return this.#guarded(() => this.#beginRefusal());
  }

  tlsEstablished(): Step<FrontEvent> {
    if (this.#state !== 'tls') return this.#flush();
    this.#state = this.#credssp === null ? 'connectInitial' : 'credssp';
    if (this.#state === 'credssp') return this.#flush();
    if (this.#errorInfo === null) return this.#flush();
    return this.#guarded(() => this.#beginRefusal());
  }

  /**
   * The session runs from here: all bytes that came after TLS, for it. Before any answer somebody else goes on: all that came behind
   * the connection request.
   */
  handOver(): Uint8Array {
    if (this.#state !== 'begun' && this.#state !== 'decision') return new Uint8Array(0);
    this.#state = 'handedOver';
    return this.#gathered.take();
  }

  /** The driver saw the connection end, or lost patience. */
  stop(how: 'left' | 'late' | 'tlsFailed', problem: string): Step<FrontEvent> {
    if (this.#state !== 'ended' && this.#state !== 'handedOver') this.#end(how, problem);
    return this.#flush();
  }

  #flush(): Step<FrontEvent> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #guarded(run: () => void): Step<FrontEvent> {
    try {
      run();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end('garbage', error.message);
    }
    return this.#flush();
  }

  #end(how: FrontEnding, problem: string): void {
    this.#events.push({ kind: 'ended', how, at: this.#state, problem });
    this.#state = 'ended';
    this.#gathered.take();
  }

  #gather(input: Uint8Array): void {
    this.#gathered.push(input);
    switch (this.#state) {
      case 'connectionRequest':
        this.#connectionRequest();
        return;
      case 'credssp': {
        const bytes = this.#gathered.take();
        this.#logon((server) => server.step(bytes));
        return;
      }
      case 'connectInitial':
        this.#connectInitial();
        return;
      default:
        this.#checkWaiting();
    }
  }

  /** While others are asked a client may say a little already: the start of TLS, PDUs behind its first. */
  #checkWaiting(): void {
    if (this.#gathered.length > waitingBytesMax) throw new DecodeError('limit', 'the client does not wait for answers');
    if (this.#state === 'decision' && this.#gathered.length > 0 && this.#gathered.bytes[0] !== TLS_HANDSHAKE)
      throw new DecodeError('invalid', 'what came behind the connection request is not TLS');
  }

  #connectionRequest(): void {
    const length = tpktLength(this.#gathered.bytes, helloBytesMax);
    if (length === 0 || this.#gathered.length < length) return;
    const bytes = this.#gathered.take(length);
    const request = decode(x224ConnectionRequest, decode(tpkt, bytes).payload);
    this.#request = request;
    if ((this.#requestedProtocols & acceptable[this.#nla]) === 0) {
      this.#refuseProtocols();
      return;
    }
    this.#state = 'decision';
    this.#checkWaiting();
    this.#events.push({ kind: 'connectionRequest', request, bytes });
  }

  get #requestedProtocols(): number {
    return this.#request?.negotiation?.requestedProtocols ?? Protocol.rdp;
  }

  #refuseProtocols(): void {
    const isRequired = this.#nla === 'required';
    const { hybridRequiredByServer, sslRequiredByServer } = NegotiationFailureCode;
    const failureCode = isRequired ? hybridRequiredByServer : sslRequiredByServer;
    this.#answer({ kind: 'failure', flags: 0, failureCode });
    if (isRequired) this.#end('noNla', 'the client does not offer network level authentication');
    else this.#end('noTls', 'the client does not offer TLS');
  }

  /** What the server of the logon answers is sent; RDP goes on behind its last message. */
  #logon(run: (server: CredSspServer) => Step<CredSspServerEvent>): void {
    const server = this.#credssp!;
    const { output, events } = run(server);
    if (output.length > 0) this.#output.push(output);
    for (const event of events) {
      if (event.kind === 'account') this.#events.push(event);
      else if (event.kind === 'ended') this.#logonEnded(event.how, event.problem);
      else {
        this.#state = 'connectInitial';
        this.#events.push({ kind: 'loggedOn', claimed: event.claimed });
        this.#gathered.push(server.takeRest());
        if (this.#errorInfo === null) this.#connectInitial();
        else this.#beginRefusal();
      }
    }
  }

  #logonEnded(how: CredSspServerEnding, problem: string): void {
    this.#logonEnding = how;
    this.#end(how === 'violation' ? 'garbage' : 'logonRefused', problem);
  }

  #confirm(flags: number, selectedProtocol: number): void {
    this.#answer({ kind: 'response', flags, selectedProtocol });
    this.#events.push({ kind: 'startTls', early: this.#gathered.take() });
    this.#state = 'tls';
  }

  #answer(
    negotiation:
      | { kind: 'response'; flags: number; selectedProtocol: number }
      | { kind: 'failure'; flags: number; failureCode: number },
  ): void {
    const destinationReference = this.#request?.sourceReference ?? 0;
    const confirm = { destinationReference, sourceReference: OUR_REFERENCE, classOption: 0, negotiation };
    this.#answered = x224Frame(x224ConnectionConfirm, confirm);
    this.#output.push(this.#answered);
  }

  #connectInitial(): void {
    const length = tpktLength(this.#gathered.bytes, waitingBytesMax);
    if (length === 0 || this.#gathered.length < length) return;
    const bytes = this.#gathered.bytes.slice(0, length);
    const { payload } = decode(x224Data, decode(tpkt, bytes).payload);
    if (!CONNECT_INITIAL.every((byte, at) => payload[at] === byte))
      throw new DecodeError('invalid', 'the first PDU after TLS is no MCS Connect Initial');
    this.#state = 'begun';
    this.#begun = bytes;
    this.#checkWaiting();
    this.#events.push({ kind: 'connectInitial', bytes });
  }

  #beginRefusal(): void {
    this.#refusal = new Refusal(this.#errorInfo!, Protocol.ssl, this.#requestedProtocols);
    this.#state = 'refusal';
    this.#refuse(this.#gathered.take());
  }

  #refuse(input: Uint8Array): void {
    const { output, ended } = this.#refusal!.step(input);
    this.#output.push(output);
    if (ended !== null) this.#end(ended, ended === 'left' ? 'the client left' : '');
  }
}
