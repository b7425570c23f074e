import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import { type PreconnectionPdu, preconnectionPdu } from '../pdu/preconnection.ts';
import { tpkt } from '../pdu/tpkt.ts';
import { NegotiationFailureCode, Protocol, x224ConnectionConfirm, x224ConnectionRequest } from '../pdu/x224.ts';
import { concat, type Step, x224Frame } from './frames.ts';
import { tpktLength } from './front.ts';
import { Gathered } from './gathered.ts';

/** Where the way to a target stands; what is waited for. */
export type TargetState =
  | 'idle'
  | 'connectionConfirm'
  /** The driver does the TLS handshake, then calls `tlsEstablished`. */
  | 'tls'
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
  /** It demands network level authentication. */
  | 'nlaRequired'
  | 'negotiationFailed';

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
}

export type TargetEvent =
  /** The same as the client's, so that one driver does both; a target's `early` is always empty. */
  | { kind: 'startTls'; early: Uint8Array }
  | { kind: 'ready'; hello: TargetHello }
  | { kind: 'ended'; how: TargetEnding; at: TargetState; problem: string };

/** Confirms have 11 to 19 bytes. */
const confirmBytesMax = 512;
/** An RDP server waits for the client; what it says before that is kept within this. */
const earlyBytesMax = 4096;

/**
 * The gateway towards a target until the client's first PDU can be passed on, [MS-RDPBCGR] 1.3.1.1, without sockets.
 * Input may come in any pieces. Never throws on input: what can't go on ends. Time limits are the driver's (`stop`).
 */
export class Target {
  readonly #requestedProtocols: number;
  readonly #preconnection: Uint8Array;
  #state: TargetState = 'idle';
  readonly #gathered = new Gathered(earlyBytesMax);
  #hello: TargetHello | null = null;
  #request: Uint8Array = new Uint8Array(0);
  #output: Uint8Array[] = [];
  #events: TargetEvent[] = [];

  /** `Protocol.rdp`: without negotiation, for targets that know nothing but standard RDP security. */
  constructor(requestedProtocols: number, preconnection: PreconnectionPdu | null = null) {
    this.#requestedProtocols = requestedProtocols;
    this.#preconnection = preconnection === null ? new Uint8Array(0) : encode(preconnectionPdu, preconnection);
  }

  get state(): TargetState {
    return this.#state;
  }

  /** The first bytes. Without the client's routing line: its token is for the gateway alone. */
  start(): Step<TargetEvent> {
    const request = { destinationReference: 0, sourceReference: 0, classOption: 0 };
    const requestedProtocols = this.#requestedProtocols;
    const negotiation = { flags: 0, requestedProtocols };
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
      this.#gathered.push(input);
      if (this.#state === 'connectionConfirm') this.#connectionConfirm();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end('notRdp', error.message);
    }
    return this.#flush();
  }

  tlsEstablished(): Step<TargetEvent> {
    if (this.#state === 'tls') this.#ready();
    return this.#flush();
  }

  /** The session runs from here: bytes that came before their time, for it. */
  handOver(): Uint8Array {
    this.#state = 'handedOver';
    return this.#gathered.take();
  }

  /** The driver saw the connection end, or lost patience. */
  stop(how: 'left' | 'late' | 'tlsFailed', problem: string): Step<TargetEvent> {
    if (this.#state !== 'ended' && this.#state !== 'handedOver') this.#end(how, problem);
    return this.#flush();
  }

  #flush(): Step<TargetEvent> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #end(how: TargetEnding, problem: string): void {
    this.#events.push({ kind: 'ended', how, at: this.#state, problem });
    this.#state = 'ended';
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
    if (selectedProtocol !== this.#requestedProtocols) {
      this.#end('noTls', `it chose protocol ${selectedProtocol}`);
      return;
    }
    // A server is silent until TLS begins: what it says here would be taken for TLS.
    if (this.#gathered.length > 0) throw new DecodeError('invalid', 'it goes on behind its connection confirm');
    this.#hello = {
      preconnection: this.#preconnection,
      request: this.#request,
      confirm,
      selectedProtocol,
      negotiationFlags: answer?.flags ?? 0,
    };
    if (selectedProtocol === Protocol.rdp) {
      this.#ready();
      return;
    }
    this.#events.push({ kind: 'startTls', early: new Uint8Array(0) });
    this.#state = 'tls';
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
