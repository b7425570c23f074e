import { attempt, DecodeError, encode } from '@lucid-sessions/wire';
import type { KerberosCrypto } from '../kerberos/etypes.ts';
import { KerberosClient, KerberosRefusal } from '../kerberos/kerberos-client.ts';
import type { KerberosProblem } from '../kerberos/problems.ts';
import type { KerberosTicket } from '../kerberos/ticket-request.ts';
import { type TsRequest, tsRequest } from '../pdu/credssp.ts';
import { TPKT_VERSION } from '../pdu/tpkt.ts';
import { concat, type Step } from '../sequence/frames.ts';
import { clientBinding, credsspVersion, hasNonce, NONCE_BYTES, serverBinding } from './credssp-binding.ts';
import { type LogonProblem, logonProblemOf, statusText } from './logon-status.ts';
import { NtlmClient, type NtlmClientOptions } from './ntlm-client.ts';
import { isNtlm } from './ntlm-messages.ts';
import { RequestStream } from './request-stream.ts';
import type { Sealing } from './sealing.ts';
import { Mechanism, mechTypesDer, NegState, type NegTokenResp, readSpnego, spnegoBytes } from './spnego.ts';
import { sameSecret } from './text.ts';
import { CredentialType, tsCredentials } from './ts-credentials.ts';

export interface CredSspClientOptions extends NtlmClientOptions {
  /** Content of the SubjectPublicKey BIT STRING of the target's certificate. */
  publicKey: Uint8Array;
  /** NTLM as it is (mstsc, all of Windows), or inside SPNEGO. */
  envelope: 'raw' | 'spnego';
  /** Kerberos is offered first, inside SPNEGO. */
  kerberos?: KerberosLogon | null;
  /** HYBRID_EX was chosen: the target ends with its EARLY_USER_AUTH_RESULT. */
  earlyAuthorization: boolean;
  /** Logs on without handing the password over. */
  restrictedAdmin: boolean;
  /** CredSSP versions below are refused. */
  minimumVersion: number;
}

export interface KerberosLogon {
  /** For `targetName`, in the name of whoever logs on. */
  ticket: KerberosTicket;
  crypto: KerberosCrypto;
  /** A target that takes no Kerberos gets NTLM. */
  mayUseNtlm: boolean;
}

/** What is waited for. */
export type CredSspClientState =
  | 'idle'
  | 'challenge'
  /** SPNEGO's last word, before anything is sealed. */
  | 'completion'
  | 'publicKey'
  | 'authorization'
  | 'done'
  | 'ended';

export type CredSspClientEvent =
  /** The target knows who logs on and has the credentials; RDP goes on. `version`: the target's. */
  | { kind: 'loggedOn'; method: 'ntlm' | 'kerberos'; envelope: 'raw' | 'spnego'; version: number }
  /**
   * The target refused, left, or what it sent is wrong: then `how` is `violation`. `code`: its own, where it gave one.
   */
  | { kind: 'ended'; how: CredSspClientEnding; at: CredSspClientState; code: number | null; problem: string };

/** `left`: before it was told who logs on. */
export type CredSspClientEnding = LogonProblem | `kerberos:${KerberosProblem}` | 'violation' | 'left';

/** EARLY_USER_AUTH_RESULT, [MS-RDPBCGR] 5.4.2.2. */
const RESULT_BYTES = 4;
const RESULT_GRANTED = 0;
const RESULT_DENIED = 5;
const DER_SEQUENCE = 0x30;
const ofKerberos: readonly string[] = [Mechanism.kerberosMicrosoft, Mechanism.kerberos];

/**
 * CredSSP towards a target, [MS-CSSP] 3.1, inside TLS that stands and whose certificate was accepted. I/O-free: `start`, then
 * `step` with whatever comes, in any pieces, until `loggedOn` or `ended`; `closed` when the connection ends before. Never throws on
 * input. The password leaves only sealed, and only after the target has proven that it holds the key of its certificate.
 */
export class CredSspClient {
  readonly #options: CredSspClientOptions;
  readonly #ntlm: NtlmClient;
  readonly #kerberos: KerberosClient | null;
  /** Offered in SPNEGO, and signed. */
  readonly #mechTypes: readonly string[];
  #method: 'ntlm' | 'kerberos';
  readonly #stream = new RequestStream();
  readonly #nonce: Uint8Array;
  #state: CredSspClientState = 'idle';
  #version = 0;
  #sealing: Sealing | null = null;
  #sent: Uint8Array = new Uint8Array(0);
  #output: Uint8Array[] = [];
  #events: CredSspClientEvent[] = [];

  constructor(options: CredSspClientOptions) {
    this.#options = options;
    this.#ntlm = new NtlmClient(options);
    const { kerberos = null } = options;
    this.#kerberos = kerberos === null ? null : new KerberosClient(kerberos.ticket, kerberos.crypto);
    this.#method = kerberos === null ? 'ntlm' : 'kerberos';
    const ntlm = kerberos === null || kerberos.mayUseNtlm ? [Mechanism.ntlm] : [];
    this.#mechTypes = kerberos === null ? ntlm : [...ofKerberos, ...ntlm];
    this.#nonce = options.platform.randomBytes(NONCE_BYTES);
  }

  get state(): CredSspClientState {
    return this.#state;
  }

  start(): Step<CredSspClientEvent> {
    const mechToken = this.#kerberos?.first ?? this.#ntlm.negotiate;
    const mechTypes = [...this.#mechTypes];
    this.#send({ negoTokens: [this.#isRaw ? mechToken : spnegoBytes({ kind: 'init', mechTypes, mechToken })] });
    this.#state = 'challenge';
    return this.#flush();
  }

  /** Takes bytes of the target. */
  step(input: Uint8Array): Step<CredSspClientEvent> {
    if (this.#state === 'ended') return this.#flush();
    try {
      this.#stream.push(input);
      while (this.#isWaiting && this.#take());
    } catch (error) {
      if (error instanceof KerberosRefusal) this.#end(`kerberos:${error.how}`, error.message, error.code);
      else if (!(error instanceof DecodeError)) throw error;
      else
        this.#end(
          error.code === 'unsupported' && this.#state === 'challenge' && this.#method === 'ntlm'
            ? 'ntlmRefused'
            : 'violation',
          error.message,
        );
    }
    return this.#flush();
  }

  /** The connection ended. A target that closes on AUTHENTICATE has refused the logon: older FreeRDP says it no other way. */
  closed(): Step<CredSspClientEvent> {
    if (this.#isWaiting)
      this.#end(
        this.#state === 'challenge' ? 'left' : 'refused',
        `the target closed the connection while ${waitingFor[this.#state] ?? this.#state} was due`,
      );
    return this.#flush();
  }

  /** What came behind the last message. */
  takeRest(): Uint8Array {
    return this.#stream.takeRest();
  }

  get #isRaw(): boolean {
    return this.#options.envelope === 'raw' && this.#kerberos === null;
  }

  get #isWaiting(): boolean {
    return this.#state !== 'done' && this.#state !== 'ended' && this.#state !== 'idle';
  }

  /** The target knows who logs on, and has the proof of the password to judge. */
  get #hasTold(): boolean {
    return this.#state === 'completion' || this.#state === 'publicKey';
  }

  #flush(): Step<CredSspClientEvent> {
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  #send(request: Omit<TsRequest, 'version'>): void {
    this.#output.push(encode(tsRequest, { version: credsspVersion, ...request }).slice());
  }

  #end(how: CredSspClientEnding, problem: string, code: number | null = null): void {
    this.#events.push({ kind: 'ended', how, at: this.#state, code, problem });
    this.#state = 'ended';
    this.#output = [];
    this.#sealing = null;
  }

  #loggedOn(): void {
    this.#state = 'done';
    this.#sealing = null;
    const envelope = this.#isRaw ? 'raw' : 'spnego';
    this.#events.push({ kind: 'loggedOn', method: this.#method, envelope, version: this.#version });
  }

  /** One message of the target; false when more bytes are needed. */
  #take(): boolean {
    // An error may come in place of the result.
    if (this.#state === 'authorization' && this.#stream.peek !== DER_SEQUENCE) return this.#authorization();
    // GNOME Remote Desktop 43 answers a wrong password with a Deactivate All.
    if (this.#hasTold && this.#stream.peek === TPKT_VERSION) {
      this.#end('refused', 'the target broke the logon off');
      return true;
    }
    const request = this.#stream.next();
    if (request === null) return false;
    if (request.errorCode) {
      this.#refused(request.errorCode);
      return true;
    }
    if (this.#checkVersion(request.version)) this.#request(request);
    return true;
  }

  /** Before anybody spoke of NTLM it is Kerberos that is not taken. */
  #refused(code: number): void {
    const how = logonProblemOf(code);
    const isOfKerberos = how === 'ntlmRefused' && this.#method === 'kerberos' && this.#state === 'challenge';
    this.#end(isOfKerberos ? 'kerberos:notTaken' : how, `the target refused with ${statusText(code)}`, code);
  }

  #checkVersion(version: number): boolean {
    if (this.#version !== 0 && this.#version !== version)
      throw new DecodeError('invalid', `the target changed its CredSSP version from ${this.#version} to ${version}`);
    this.#version = version;
    if (version >= this.#options.minimumVersion) return true;
    this.#end(
      'versionTooOld',
      `the target speaks CredSSP version ${version}, and at least ${this.#options.minimumVersion} is wanted`,
    );
    return false;
  }

  get #agreedVersion(): number {
    return Math.min(this.#version, credsspVersion);
  }

  #request(request: TsRequest): void {
    switch (this.#state) {
      case 'challenge':
        this.#authenticate(request);
        return;
      case 'completion':
        this.#complete(request);
        return;
      case 'publicKey':
        this.#publicKey(request);
        return;
      default:
        throw new DecodeError('invalid', `a CredSSP message while ${this.#state} is waited for`);
    }
  }

  #token({ negoTokens }: TsRequest): Uint8Array {
    const [token, ...more] = negoTokens ?? [];
    if (token === undefined || more.length > 0)
      throw new DecodeError('invalid', 'a CredSSP message without its one token');
    return token;
  }

  #spnego(request: TsRequest): NegTokenResp {
    const token = readSpnego(this.#token(request));
    if (token.kind !== 'resp') throw new DecodeError('invalid', 'a target may not begin SPNEGO anew');
    return token;
  }

  #authenticate(request: TsRequest): void {
    if (request.pubKeyAuth !== undefined) throw new DecodeError('invalid', 'pubKeyAuth before its time');
    if (this.#isRaw) {
      const { message, sealing } = this.#ntlm.authenticate(this.#token(request));
      this.#sealing = sealing;
      this.#sendPublicKey([message]);
      return;
    }
    if (this.#method === 'ntlm') {
      this.#answerNtlm(this.#spnego(request));
      return;
    }
    // What FreeRDP 3 says where it can't open the ticket is no SPNEGO.
    const token = attempt(() => this.#spnego(request));
    if (token === null) throw new KerberosRefusal('notTaken', 0, 'the target answered the ticket with no SPNEGO');
    this.#answered(token);
  }

  #answerNtlm({ negState, supportedMech, responseToken }: NegTokenResp): void {
    if (negState === NegState.reject) throw new DecodeError('unsupported', 'the target takes no NTLM');
    if (supportedMech !== undefined && supportedMech !== Mechanism.ntlm)
      throw new DecodeError('unsupported', 'the target chose a mechanism that was not offered');
    if (responseToken === undefined || !isNtlm(responseToken))
      throw new DecodeError('invalid', 'SPNEGO without the CHALLENGE of NTLM');
    const { message, sealing } = this.#ntlm.authenticate(responseToken);
    this.#sealing = sealing;
    this.#sendMic(message);
  }

  #sendMic(responseToken?: Uint8Array): void {
    this.#send({ negoTokens: [this.#micToken(responseToken ? { responseToken } : {})] });
    this.#state = 'completion';
  }

  #micToken(more: Partial<NegTokenResp>): Uint8Array {
    return spnegoBytes({ kind: 'resp', ...more, mechListMic: this.#sealing!.mic(mechTypesDer(this.#mechTypes)) });
  }

  /** The target's word on the ticket: AP-REP, an error, or that it would rather have something else. */
  #answered({ negState, supportedMech, responseToken, mechListMic }: NegTokenResp): void {
    if (supportedMech === Mechanism.kerberosUserToUser)
      throw new KerberosRefusal('userToUser', 0, 'the target wants Kerberos from user to user');
    if (supportedMech !== undefined && !ofKerberos.includes(supportedMech)) {
      this.#fallBack(supportedMech);
      return;
    }
    if (responseToken === undefined) throw new KerberosRefusal('notTaken', 0, 'the target rejected the ticket');
    this.#sealing = this.#kerberos!.accept(responseToken);
    if (negState === NegState.reject) throw new KerberosRefusal('refused', 0, 'the target rejected the logon');
    const isOver = negState === NegState.acceptCompleted;
    if (mechListMic !== undefined) this.#sealing.verifyMic(mechTypesDer(this.#mechTypes), mechListMic);
    else if (!isOver) {
      this.#sendMic();
      return;
    }
    // Windows signs first, and takes our signature beside the proof of the key.
    this.#sendPublicKey(isOver ? undefined : [this.#micToken({ negState: NegState.acceptCompleted })]);
  }

  #fallBack(supportedMech: string): void {
    if (!this.#mechTypes.includes(supportedMech))
      throw new KerberosRefusal('notTaken', 0, 'the target chose a mechanism that was not offered');
    this.#method = 'ntlm';
    this.#send({ negoTokens: [spnegoBytes({ kind: 'resp', responseToken: this.#ntlm.negotiate })] });
  }

  /** The target has checked the logon: SPNEGO is complete, and what is sealed may go. */
  #complete(request: TsRequest): void {
    const { negState, mechListMic } = this.#spnego(request);
    if (negState !== NegState.acceptCompleted || request.pubKeyAuth !== undefined)
      throw new DecodeError('invalid', 'SPNEGO did not come to its end');
    if (mechListMic !== undefined) this.#sealing!.verifyMic(mechTypesDer(this.#mechTypes), mechListMic);
    else if (this.#needsMic) throw new DecodeError('invalid', 'the target did not sign the list of mechanisms');
    this.#sendPublicKey();
  }

  /** Not what was wanted most: somebody may have taken that out on the way. */
  get #needsMic(): boolean {
    return this.#kerberos !== null && this.#method === 'ntlm';
  }

  #sendPublicKey(negoTokens?: Uint8Array[]): void {
    const version = this.#agreedVersion;
    this.#sent = this.#sealing!.seal(clientBinding(version, this.#nonce, this.#options.publicKey));
    this.#send({
      ...(negoTokens ? { negoTokens } : {}),
      pubKeyAuth: this.#sent,
      ...(hasNonce(version) ? { clientNonce: this.#nonce } : {}),
    });
    this.#state = 'publicKey';
  }

  /** A nonce of the target's own (shadow 2.11 sends one) counts for nothing. */
  #publicKey({ pubKeyAuth }: TsRequest): void {
    if (pubKeyAuth === undefined) throw new DecodeError('invalid', 'the target did not prove its public key');
    if (sameSecret(pubKeyAuth, this.#sent)) throw new DecodeError('invalid', 'the target sent our own pubKeyAuth back');
    const expected = serverBinding(this.#agreedVersion, this.#nonce, this.#options.publicKey);
    if (!sameSecret(this.#sealing!.open(pubKeyAuth), expected))
      throw new DecodeError('invalid', 'the target does not hold the key of the certificate that TLS showed');
    this.#sendCredentials();
  }

  #sendCredentials(): void {
    const { credentials, restrictedAdmin, earlyAuthorization } = this.#options;
    const { domain, username: user, password } = restrictedAdmin ? nobody : credentials;
    const plain = encode(tsCredentials, { credType: CredentialType.password, domain, user, password });
    this.#send({ authInfo: this.#sealing!.seal(plain) });
    plain.fill(0);
    if (earlyAuthorization) this.#state = 'authorization';
    else this.#loggedOn();
  }

  #authorization(): boolean {
    const bytes = this.#stream.take(RESULT_BYTES);
    if (bytes === null) return false;
    const result = new DataView(bytes.buffer, bytes.byteOffset, RESULT_BYTES).getUint32(0, true);
    if (result === RESULT_GRANTED) this.#loggedOn();
    else if (result === RESULT_DENIED)
      this.#end('logonNotGranted', 'the account may not log on by Remote Desktop there', result);
    else this.#end('refused', `the target's authorization result is ${statusText(result)}`, result);
    return true;
  }
}

const nobody = { domain: '', username: '', password: '' };

const waitingFor: Partial<Record<CredSspClientState, string>> = {
  challenge: 'its NTLM challenge',
  completion: 'its answer to the logon',
  publicKey: 'its answer to the logon',
  authorization: 'its authorization result',
};
