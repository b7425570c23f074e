import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import { type TsRequest, tsRequest } from '../pdu/credssp.ts';
import { concat, type Step } from '../sequence/frames.ts';
import type { AuthPlatform } from './auth-platform.ts';
import {
  clientBinding,
  credsspVersion,
  ERROR_CODE_FROM_VERSION,
  hasNonce,
  NONCE_BYTES,
  serverBinding,
} from './credssp-binding.ts';
import { LogonStatus } from './logon-status.ts';
import { isNtlm } from './ntlm-messages.ts';
import type { NtlmSealing } from './ntlm-sealing.ts';
import { type ClaimedAccount, NtlmServer } from './ntlm-server.ts';
import { RequestStream } from './request-stream.ts';
import { Mechanism, mechTypesDer, NegState, type NegTokenResp, readSpnego, spnegoBytes } from './spnego.ts';
import { sameSecret } from './text.ts';
import { CredentialType, tsCredentials } from './ts-credentials.ts';

export interface CredSspServerOptions {
  /** Content of the SubjectPublicKey BIT STRING of our certificate (RSA: PKCS#1). */
  publicKey: Uint8Array;
  /** What this server calls itself towards clients: at most 15 characters, as a NetBIOS name. */
  name: string;
  /** HYBRID_EX was chosen: the client waits for an EARLY_USER_AUTH_RESULT. */
  earlyAuthorization: boolean;
  /** CredSSP versions below are refused: 2 to 6. */
  minimumVersion: number;
  platform: AuthPlatform;
}

/** What is waited for. */
export type CredSspServerState =
  | 'negotiate'
  | 'authenticate'
  /** The owner's word: `account`. */
  | 'account'
  | 'publicKey'
  | 'credentials'
  | 'done'
  | 'ended';

export type CredSspServerEnding =
  /** The password is wrong, or there is no such account; the client was told the same for both. */
  | 'wrongPassword'
  /** Its owner said no, with a status of its own. */
  | 'denied'
  /** It can't or won't do NTLMv2 with sealing. */
  | 'noNtlm'
  | 'versionTooOld'
  /** What it sent is no CredSSP, or not what was due. */
  | 'violation';

/** What a client delegated in its last message; the secret itself is thrown away unread. */
export type Delegated = 'password' | 'restrictedAdmin' | 'other';

export type CredSspServerEvent =
  /** Answer with `account`. The client waits. */
  | { kind: 'account'; claimed: ClaimedAccount; envelope: 'raw' | 'spnego'; version: number }
  /** It knows the password, over the TLS of this certificate: RDP goes on, with `takeRest` first. */
  | { kind: 'authenticated'; claimed: ClaimedAccount; delegated: Delegated }
  /** Send the output and close. */
  | { kind: 'ended'; how: CredSspServerEnding; at: CredSspServerState; problem: string };

interface Spnego {
  /** DER of the client's list. */
  mechTypes: Uint8Array;
  /** NTLM was not its first choice: it has to sign the list. */
  needsMic: boolean;
}

/**
 * CredSSP towards a client, [MS-CSSP] 3.1, inside TLS that stands: raw NTLM and SPNEGO, answered in kind. I/O-free:
 *
 *     const server = new CredSspServer({ publicKey, name, earlyAuthorization, minimumVersion: 5, platform });
 *     run(server.step(bytes))                 // whatever comes, in any pieces; send the output, look at the events
 *     // on `account`: look its NT hash up (`ntHashOf(password)`), without case, as long as it takes, then
 *     run(server.account(ntHash))             // or null when there is none: the client is told the same as for a wrong password
 *     // `account(ntHash, status)`: who knows the password is told no with that status; `deny(status)`: whoever it is
 *     // on `authenticated`: server.takeRest() are the first bytes of MCS
 *     // on `ended`: send the output, close
 *
 * Never throws on input; keeps at most 64 KiB; checks one password in its life. Time limits are the owner's.
 */
export class CredSspServer {
  readonly #options: CredSspServerOptions;
  readonly #ntlm: NtlmServer;
  readonly #stream = new RequestStream();
  #state: CredSspServerState = 'negotiate';
  #version = 0;
  #spnego: Spnego | null = null;
  #claimed: ClaimedAccount | null = null;
  /** The message with AUTHENTICATE, while its account is looked up. */
  #pending: { request: TsRequest; mechListMic: Uint8Array | undefined } | null = null;
  #sealing: NtlmSealing | null = null;
  #output: Uint8Array[] = [];
  #events: CredSspServerEvent[] = [];

  constructor(options: CredSspServerOptions) {
    this.#options = options;
    this.#ntlm = new NtlmServer(options.name, options.platform);
  }

  get state(): CredSspServerState {
    return this.#state;
  }

  /** Takes bytes of the client. */
  step(input: Uint8Array): Step<CredSspServerEvent> {
    return this.#guarded(() => {
      if (this.#state !== 'ended') this.#stream.push(input);
    });
  }

  /**
   * The NT hash of the account asked for; null: there is none. `denial`: the account is no good any more, which who knows its password
   * is told by this status; others have the password wrong.
   */
  account(ntHash: Uint8Array | null, denial?: number): Step<CredSspServerEvent> {
    return this.#guarded(() => {
      if (this.#state === 'account') this.#check(ntHash, denial);
    });
  }

  /** No, whether it knows the password or not. */
  deny(status: number): Step<CredSspServerEvent> {
    return this.#guarded(() => {
      if (this.#state === 'account') this.#refuse('denied', status, deniedText);
    });
  }

  /** What came behind the last message. */
  takeRest(): Uint8Array {
    return this.#stream.takeRest();
  }

  #guarded(run: () => void): Step<CredSspServerEvent> {
    try {
      run();
      while (this.#isReading && this.#take());
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (error.code === 'unsupported') this.#refuse('noNtlm', LogonStatus.unsupportedFunction, error.message);
      else this.#end('violation', error.message);
    }
    const step = { output: concat(this.#output), events: this.#events };
    this.#output = [];
    this.#events = [];
    return step;
  }

  get #isReading(): boolean {
    return this.#state !== 'account' && this.#state !== 'done' && this.#state !== 'ended';
  }

  #send(request: Omit<TsRequest, 'version'>): void {
    this.#output.push(encode(tsRequest, { version: credsspVersion, ...request }).slice());
  }

  #end(how: CredSspServerEnding, problem: string): void {
    this.#events.push({ kind: 'ended', how, at: this.#state, problem });
    this.#state = 'ended';
    this.#sealing = null;
    this.#pending = null;
  }

  #refuse(how: CredSspServerEnding, errorCode: number, problem: string): void {
    if (this.#version >= ERROR_CODE_FROM_VERSION) this.#send({ errorCode });
    this.#end(how, problem);
  }

  get #agreedVersion(): number {
    return Math.min(this.#version, credsspVersion);
  }

  /** One message of the client; false when more bytes are needed. */
  #take(): boolean {
    const request = this.#stream.next();
    if (request === null) return false;
    if (request.errorCode) this.#end('violation', 'the client broke the logon off');
    else if (this.#checkVersion(request.version)) this.#request(request);
    return true;
  }

  #checkVersion(version: number): boolean {
    if (this.#version !== 0 && this.#version !== version)
      throw new DecodeError('invalid', `the client changed its CredSSP version from ${this.#version} to ${version}`);
    this.#version = version;
    const { minimumVersion } = this.#options;
    if (version >= minimumVersion) return true;
    const problem = `the client speaks CredSSP version ${version}, and at least ${minimumVersion} is wanted`;
    this.#refuse('versionTooOld', LogonStatus.notSupported, problem);
    return false;
  }

  #request(request: TsRequest): void {
    switch (this.#state) {
      case 'negotiate':
        this.#negotiate(tokenOf(request));
        return;
      case 'authenticate':
        this.#authenticate(request);
        return;
      case 'publicKey':
        this.#publicKey(request, []);
        return;
      default:
        this.#credentials(request);
    }
  }

  #negotiate(token: Uint8Array): void {
    if (isNtlm(token)) {
      if (this.#spnego !== null) throw new DecodeError('invalid', 'raw NTLM in the middle of SPNEGO');
      this.#send({ negoTokens: [this.#ntlm.challenge(token)] });
      this.#state = 'authenticate';
      return;
    }
    const spnego = readSpnego(token);
    if (spnego.kind === 'init') this.#beginSpnego(spnego.mechTypes, spnego.mechToken);
    else if (this.#spnego === null || spnego.responseToken === undefined)
      throw new DecodeError('invalid', 'SPNEGO that does not begin');
    else this.#challenge(spnego.responseToken);
  }

  #beginSpnego(mechTypes: readonly string[], mechToken: Uint8Array | undefined): void {
    if (this.#spnego !== null) throw new DecodeError('invalid', 'SPNEGO that begins twice');
    if (!mechTypes.includes(Mechanism.ntlm)) throw new DecodeError('unsupported', 'the client offers no NTLM');
    const needsMic = mechTypes[0] !== Mechanism.ntlm;
    this.#spnego = { mechTypes: mechTypesDer(mechTypes), needsMic };
    if (!needsMic && mechToken !== undefined) {
      this.#challenge(mechToken);
      return;
    }
    // Its optimistic token is for a mechanism that we don't have.
    const negState = needsMic ? NegState.requestMic : NegState.acceptIncomplete;
    this.#sendSpnego({ kind: 'resp', negState, supportedMech: Mechanism.ntlm });
  }

  #sendSpnego(token: NegTokenResp, more: Partial<TsRequest> = {}): void {
    this.#send({ negoTokens: [spnegoBytes(token)], ...more });
  }

  #challenge(negotiate: Uint8Array): void {
    const responseToken = this.#ntlm.challenge(negotiate);
    const negState = NegState.acceptIncomplete;
    this.#sendSpnego({ kind: 'resp', negState, supportedMech: Mechanism.ntlm, responseToken });
    this.#state = 'authenticate';
  }

  #authenticate(request: TsRequest): void {
    const token = tokenOf(request);
    let message = token;
    let mechListMic: Uint8Array | undefined;
    if (this.#spnego !== null) {
      const spnego = readSpnego(token);
      if (spnego.kind !== 'resp' || spnego.responseToken === undefined)
        throw new DecodeError('invalid', 'SPNEGO without the AUTHENTICATE of NTLM');
      message = spnego.responseToken;
      mechListMic = spnego.mechListMic;
    }
    const claimed = this.#ntlm.claim(message);
    this.#claimed = claimed;
    this.#pending = { request, mechListMic };
    this.#state = 'account';
    const envelope = this.#spnego === null ? 'raw' : 'spnego';
    this.#events.push({ kind: 'account', claimed, envelope, version: this.#version });
  }

  #check(ntHash: Uint8Array | null, denial: number | undefined): void {
    const { request, mechListMic } = this.#pending!;
    this.#pending = null;
    this.#sealing = this.#ntlm.check(ntHash);
    if (this.#sealing === null) {
      this.#refuse('wrongPassword', LogonStatus.logonFailure, 'wrong user name or password');
      return;
    }
    if (denial !== undefined) {
      this.#refuse('denied', denial, deniedText);
      return;
    }
    const negoTokens = this.#spnego === null ? [] : [this.#completion(this.#spnego, mechListMic, this.#sealing)];
    if (request.pubKeyAuth !== undefined) {
      this.#publicKey(request, negoTokens);
      return;
    }
    if (negoTokens.length > 0) this.#send({ negoTokens });
    this.#state = 'publicKey';
  }

  /** SPNEGO's last word; the list is signed in answer to the client's signature. */
  #completion({ mechTypes, needsMic }: Spnego, mechListMic: Uint8Array | undefined, sealing: NtlmSealing): Uint8Array {
    const negState = NegState.acceptCompleted;
    if (mechListMic === undefined) {
      if (needsMic) throw new DecodeError('invalid', 'the client did not sign its list of mechanisms');
      return spnegoBytes({ kind: 'resp', negState });
    }
    sealing.verifyMic(mechTypes, mechListMic);
    return spnegoBytes({ kind: 'resp', negState, mechListMic: sealing.mic(mechTypes) });
  }

  #publicKey({ pubKeyAuth, clientNonce }: TsRequest, negoTokens: Uint8Array[]): void {
    const version = this.#agreedVersion;
    const nonce = clientNonce ?? new Uint8Array(0);
    if (pubKeyAuth === undefined) throw new DecodeError('invalid', 'the client did not bind itself to our certificate');
    if (hasNonce(version) && nonce.length !== NONCE_BYTES)
      throw new DecodeError('invalid', 'the client sent no nonce beside its pubKeyAuth');
    const { publicKey } = this.#options;
    if (!sameSecret(this.#sealing!.open(pubKeyAuth), clientBinding(version, nonce, publicKey)))
      throw new DecodeError('invalid', 'the client speaks to another certificate: somebody is in between');
    const answer = this.#sealing!.seal(serverBinding(version, nonce, publicKey));
    this.#send({ ...(negoTokens.length > 0 ? { negoTokens } : {}), pubKeyAuth: answer });
    this.#state = 'credentials';
  }

  #credentials({ authInfo }: TsRequest): void {
    if (authInfo === undefined) throw new DecodeError('invalid', 'the client delegated nothing');
    const plain = this.#sealing!.open(authInfo);
    const delegated = delegatedOf(plain);
    plain.fill(0);
    // EARLY_USER_AUTH_RESULT: AUTHZ_SUCCESS.
    if (this.#options.earlyAuthorization) this.#output.push(new Uint8Array(4));
    this.#state = 'done';
    this.#sealing = null;
    this.#events.push({ kind: 'authenticated', claimed: this.#claimed!, delegated });
  }
}

const deniedText = 'the account may not log on';

function tokenOf({ negoTokens }: TsRequest): Uint8Array {
  const [token, ...more] = negoTokens ?? [];
  if (token === undefined || more.length > 0)
    throw new DecodeError('invalid', 'a CredSSP message without its one token');
  return token;
}

function delegatedOf(plain: Uint8Array): Delegated {
  const value = decode(tsCredentials, plain);
  if (value.credType !== CredentialType.password || 'credentials' in value) return 'other';
  return value.user === '' && value.password === '' ? 'restrictedAdmin' : 'password';
}
