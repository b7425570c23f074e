import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import { connectFrameLength } from '../pdu/frame-length.ts';
import { RD_CLEAN_PATH_VERSION, RdCleanPathErrorCode, rdCleanPath } from '../pdu/rd-clean-path.ts';
import { tpkt } from '../pdu/tpkt.ts';
import { Protocol, type X224ConnectionRequest, x224ConnectionConfirm, x224ConnectionRequest } from '../pdu/x224.ts';
import { concat, type Step, x224Frame } from './frames.ts';
import { Gathered } from './gathered.ts';
import { Refusal } from './refusal.ts';

/** Where a browser stands before its session runs; what is waited for. */
export type BrowserFrontState =
  /** Its RDCleanPath message. */
  | 'connectionRequest'
  /** The driver's word: `accept` or `refuse`. */
  | 'decision'
  /** It logs on to the target itself (CredSSP), through the driver's hands. */
  | 'logon'
  /** The client's first PDU: only now it has begun a session. */
  | 'connectInitial'
  /** The driver's word: `handOver` or `refuse`. */
  | 'begun'
  | 'handedOver'
  /** It is being told no, by an `Acceptor`. */
  | 'refusal'
  | 'ended';

export type BrowserFrontEnding = 'left' | 'late' | 'garbage' | 'noTls' | 'tlsFailed' | 'refused';

export type BrowserFrontEvent =
  /** What it shows to be let in, and what it wants to ask the target for. `bytes`: the whole TPKT of its request. */
  | { kind: 'connectionRequest'; request: X224ConnectionRequest; bytes: Uint8Array; token: string; destination: string }
  /** Of its logon, for the target as they are. */
  | { kind: 'logon'; bytes: Uint8Array }
  | { kind: 'connectInitial'; bytes: Uint8Array }
  | { kind: 'ended'; how: BrowserFrontEnding; at: BrowserFrontState; problem: string };

/** What the client is told of the target. */
export interface BrowserAccepted {
  /** What the client goes on with: `Protocol.ssl`, or network level authentication by itself. */
  selectedProtocol: number;
  /** Of RDP_NEG_RSP. */
  negotiationFlags: number;
  /** DER, the target's own first. */
  certificates: Uint8Array[];
  serverAddress: string;
}

/** Tokens, names and an X.224 request. */
const helloBytesMax = 16 * 1024;
/** A Connect Initial (31 channels, 16 monitors: 1.5 KiB), and room. */
const waitingBytesMax = 16 * 1024;
/** Tokens of Kerberos in SPNEGO have some KiB, and there are few of them. */
const logonBytesMax = 256 * 1024;
const OUR_REFERENCE = 0x1234;
const DER_SEQUENCE = 0x30;
const TPKT = 0x03;

/**
 * The gateway towards a browser (RDCleanPath) until its session runs or it has been told why not, without sockets. Input may come
 * in any pieces. Never throws on input: what can't go on ends. Time limits are the driver's (`stop`).
 */
export class BrowserFront {
  #state: BrowserFrontState = 'connectionRequest';
  readonly #gathered = new Gathered(logonBytesMax);
  #request: X224ConnectionRequest | null = null;
  #answered: Uint8Array = new Uint8Array(0);
  #selectedProtocol: number = Protocol.ssl;
  #logonBytes = 0;
  #refusal: Refusal | null = null;
  #output: Uint8Array[] = [];
  #events: BrowserFrontEvent[] = [];
  #receivedBytes = 0;

  get state(): BrowserFrontState {
    return this.#state;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** What the connection request was answered, as an X.224 confirm; empty before. */
  get confirm(): Uint8Array {
    return this.#answered;
  }

  step(input: Uint8Array): Step<BrowserFrontEvent> {
    this.#receivedBytes += input.length;
    if (this.#state === 'ended' || this.#state === 'handedOver') return this.#flush();
    return this.#guarded(() => {
      if (this.#state === 'refusal') this.#refuse(input);
      else this.#gather(input);
    });
  }

  /** Yes: the target has answered. */
  accept({
    selectedProtocol,
    negotiationFlags,
    certificates,
    serverAddress,
  }: BrowserAccepted): Step<BrowserFrontEvent> {
    if (this.#state !== 'decision') return this.#flush();
    const negotiation = { kind: 'response', flags: negotiationFlags, selectedProtocol } as const;
    const destinationReference = this.#request?.sourceReference ?? 0;
    const confirm = { destinationReference, sourceReference: OUR_REFERENCE, classOption: 0, negotiation };
    this.#answered = x224Frame(x224ConnectionConfirm, confirm);
    this.#selectedProtocol = selectedProtocol;
    const answer = { version: RD_CLEAN_PATH_VERSION, x224: this.#answered, certificates, serverAddress };
    this.#output.push(encode(rdCleanPath, answer));
    this.#state = selectedProtocol === Protocol.ssl ? 'connectInitial' : 'logon';
    return this.#guarded(() => this.#checkWaiting());
  }

  /** Bytes of the target for a client that logs on to it. */
  fromTarget(bytes: Uint8Array): Step<BrowserFrontEvent> {
    if (this.#state === 'logon' || this.#state === 'connectInitial')
      return this.#guarded(() => {
        this.#countLogon(bytes.length);
        this.#output.push(bytes);
      });
    return this.#flush();
  }

  /** No: `httpStatus` while it waits for an answer, `errorInfo` once it speaks RDP. */
  refuse(errorInfo: number, httpStatus: number): Step<BrowserFrontEvent> {
    switch (this.#state) {
      case 'connectionRequest':
      case 'decision':
        this.#output.push(
          encode(rdCleanPath, {
            version: RD_CLEAN_PATH_VERSION,
            error: { code: RdCleanPathErrorCode.general, httpStatus },
          }),
        );
        this.#end('refused', '');
        return this.#flush();
      case 'connectInitial':
      case 'begun':
        return this.#guarded(() => this.#beginRefusal(errorInfo));
      default:
        // Nothing between the messages of a logon could say why: the driver closes.
        return this.#flush();
    }
  }

  /** There is no TLS of its own here: the WebSocket's is somebody else's. */
  tlsEstablished(): Step<BrowserFrontEvent> {
    return this.#flush();
  }

  handOver(): Uint8Array {
    if (this.#state !== 'begun') return new Uint8Array(0);
    this.#state = 'handedOver';
    return this.#gathered.take();
  }

  stop(how: 'left' | 'late' | 'tlsFailed', problem: string): Step<BrowserFrontEvent> {
    if (this.#state !== 'ended' && this.#state !== 'handedOver') this.#end(how, problem);
    return this.#flush();
  }

  #flush(): Step<BrowserFrontEvent> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #guarded(run: () => void): Step<BrowserFrontEvent> {
    try {
      run();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end('garbage', error.message);
    }
    return this.#flush();
  }

  #end(how: BrowserFrontEnding, problem: string): void {
    this.#events.push({ kind: 'ended', how, at: this.#state, problem });
    this.#state = 'ended';
    this.#gathered.take();
  }

  #gather(input: Uint8Array): void {
    this.#gathered.push(input);
    if (this.#state === 'connectionRequest') this.#connectionRequest();
    else this.#checkWaiting();
    while (this.#state === 'logon' && this.#logon());
    if (this.#state === 'connectInitial') this.#connectInitial();
  }

  #checkWaiting(): void {
    if (this.#state !== 'logon' && this.#gathered.length > waitingBytesMax)
      throw new DecodeError('limit', 'the client does not wait for answers');
  }

  #connectionRequest(): void {
    const { bytes } = this.#gathered;
    if (bytes.length > 0 && bytes[0] !== DER_SEQUENCE)
      throw new DecodeError('invalid', 'this is no RDCleanPath message');
    const length = connectFrameLength(bytes, 0, bytes.length);
    if (length > helloBytesMax) throw new DecodeError('limit', `an RDCleanPath message of ${length} bytes`);
    if (length === 0 || bytes.length < length) return;
    const { version, x224, proxyAuth, destination = '' } = decode(rdCleanPath, this.#gathered.take(length));
    if (version !== RD_CLEAN_PATH_VERSION) throw new DecodeError('unsupported', `RDCleanPath version ${version}`);
    if (x224 === undefined) throw new DecodeError('invalid', 'an RDCleanPath request without a connection request');
    const request = decode(x224ConnectionRequest, decode(tpkt, x224).payload);
    this.#request = request;
    this.#state = 'decision';
    this.#checkWaiting();
    this.#events.push({ kind: 'connectionRequest', request, bytes: x224, token: proxyAuth ?? '', destination });
  }

  #countLogon(bytes: number): void {
    this.#logonBytes += bytes;
    if (this.#logonBytes > logonBytesMax) throw new DecodeError('limit', 'a logon without an end');
  }

  /** One message of it; false: more bytes are needed. */
  #logon(): boolean {
    const { bytes } = this.#gathered;
    const [first] = bytes;
    if (first === TPKT) {
      this.#state = 'connectInitial';
      this.#checkWaiting();
      return false;
    }
    if (first !== undefined && first !== DER_SEQUENCE) throw new DecodeError('invalid', 'this is no CredSSP message');
    const length = connectFrameLength(bytes, 0, bytes.length);
    if (length === 0 || bytes.length < length) return false;
    this.#countLogon(length);
    this.#events.push({ kind: 'logon', bytes: this.#gathered.take(length) });
    return true;
  }

  #connectInitial(): void {
    const { bytes } = this.#gathered;
    if (bytes.length > 0 && bytes[0] !== TPKT) throw new DecodeError('invalid', 'the client does not speak RDP');
    const length = bytes.length < 4 ? 0 : connectFrameLength(bytes, 0, bytes.length);
    if (length > waitingBytesMax) throw new DecodeError('limit', `a PDU of ${length} bytes before the session`);
    if (length === 0 || bytes.length < length) return;
    this.#state = 'begun';
    this.#events.push({ kind: 'connectInitial', bytes: bytes.slice(0, length) });
  }

  #beginRefusal(errorInfo: number): void {
    const requestedProtocols = this.#request?.negotiation?.requestedProtocols ?? Protocol.ssl;
    this.#refusal = new Refusal(errorInfo, this.#selectedProtocol, requestedProtocols);
    this.#state = 'refusal';
    this.#refuse(this.#gathered.take());
  }

  #refuse(input: Uint8Array): void {
    const { output, ended } = this.#refusal!.step(input);
    this.#output.push(output);
    if (ended !== null) this.#end(ended, ended === 'left' ? 'the client left' : '');
  }
}
