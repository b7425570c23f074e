import { concatBytes, DecodeError, decode, encode } from '@lucid-sessions/wire';
import { type AuthPlatform, fileTime } from './auth-platform.ts';
import { AV_FLAG_MIC, AvId, type AvPair, avFlags, avPairs, avValue } from './av-pairs.ts';
import { exchangeKey, hmacMd5, micOf, ntHashOf, proofOf, responseKeyOf, sessionBaseKeyOf } from './ntlm-keys.ts';
import {
  challengeBytes,
  fieldOf,
  layOut,
  micEnd,
  micOffset,
  NtlmFlag,
  ntlmAuthenticate,
  ntlmChallenge,
  ntlmNegotiate,
} from './ntlm-messages.ts';
import { NtlmSealing } from './ntlm-sealing.ts';
import { utf16Bytes } from './text.ts';

/** Who somebody is to a target. `domain` is empty for local accounts and for `user@domain`. */
export interface Credentials {
  username: string;
  domain: string;
  password: string;
}

export interface NtlmClientOptions {
  credentials: Credentials;
  /** Service principal name as the user would have typed it: `TERMSRV/host`. */
  targetName: string;
  /** Name of this machine, for the target's own log; may be empty. */
  workstation: string;
  platform: AuthPlatform;
}

/** Version 10.0 build 19041, NTLM revision 15, [MS-NLMP] 2.2.2.10. */
export const ntlmVersion = Uint8Array.of(10, 0, 0x61, 0x4a, 0, 0, 0, 15);

/** What sealing with 128 bits and a fresh key needs; a server that takes less away is not spoken to. */
export const neededFlags =
  (NtlmFlag.unicode |
    NtlmFlag.sign |
    NtlmFlag.seal |
    NtlmFlag.extendedSessionSecurity |
    NtlmFlag.key128 |
    NtlmFlag.keyExchange) >>>
  0;

/** As mstsc offers. */
const offeredFlags =
  (neededFlags |
    NtlmFlag.oem |
    NtlmFlag.requestTarget |
    NtlmFlag.lmKey |
    NtlmFlag.ntlm |
    NtlmFlag.alwaysSign |
    NtlmFlag.version |
    NtlmFlag.key56) >>>
  0;

const ours: ReadonlySet<number> = new Set([AvId.flags, AvId.targetName, AvId.channelBindings]);

/** NTLMv2 towards a server, [MS-NLMP] 3.1.5. */
export class NtlmClient {
  readonly #options: NtlmClientOptions;
  readonly #negotiate: Uint8Array;

  constructor(options: NtlmClientOptions) {
    this.#options = options;
    const [domain, workstation] = layOut(0, [new Uint8Array(0), new Uint8Array(0)]);
    const value = { flags: offeredFlags, domain: domain!, workstation: workstation!, rest: ntlmVersion };
    this.#negotiate = encode(ntlmNegotiate, value).slice();
  }

  /** The first message. */
  get negotiate(): Uint8Array {
    return this.#negotiate;
  }

  /** Answers the server's CHALLENGE. Throws `DecodeError`. */
  authenticate(challengeMessage: Uint8Array): { message: Uint8Array; sealing: NtlmSealing } {
    const challenge = decode(ntlmChallenge, challengeMessage);
    if ((challenge.flags & neededFlags) >>> 0 !== neededFlags)
      throw new DecodeError('unsupported', 'the target wants NTLM without sealing by 128 bits');
    const info = fieldOf(challengeMessage, challenge.targetInfo, challengeBytes);
    if (info.length === 0) throw new DecodeError('unsupported', 'the target does not know NTLMv2');
    const { credentials, platform } = this.#options;
    const responseKey = responseKeyOf(ntHashOf(credentials.password), credentials.username, credentials.domain);
    const { pairs } = decode(avPairs, info);
    const hasTime = avValue(pairs, AvId.timestamp)?.length === 8;
    const clientChallenge = platform.randomBytes(8);
    const blob = this.#blob(pairs, hasTime, clientChallenge);
    const proof = proofOf(responseKey, challenge.serverChallenge, blob);
    const exportedKey = platform.randomBytes(16);
    const message = this.#message(
      hasTime
        ? new Uint8Array(24)
        : concatBytes(hmacMd5(responseKey, challenge.serverChallenge, clientChallenge), clientChallenge),
      concatBytes(proof, blob),
      exchangeKey(sessionBaseKeyOf(responseKey, proof), exportedKey),
      (challenge.flags & offeredFlags) | NtlmFlag.targetInfo,
    );
    if (hasTime) message.set(micOf(exportedKey, this.#negotiate, challengeMessage, message), micOffset);
    return { message, sealing: new NtlmSealing(exportedKey, 'client') };
  }

  /** NTLMv2_CLIENT_CHALLENGE, [MS-NLMP] 2.2.2.7. */
  #blob(pairs: readonly AvPair[], hasTime: boolean, clientChallenge: Uint8Array): Uint8Array {
    const time = hasTime ? avValue(pairs, AvId.timestamp)! : fileTime(this.#options.platform.nowMs());
    const flags = new Uint8Array(4);
    new DataView(flags.buffer).setUint32(0, (avFlags(pairs) | (hasTime ? AV_FLAG_MIC : 0)) >>> 0, true);
    const answered = [
      ...pairs.filter(({ id }) => !ours.has(id)),
      { id: AvId.flags, value: flags },
      { id: AvId.channelBindings, value: new Uint8Array(16) },
      { id: AvId.targetName, value: utf16Bytes(this.#options.targetName) },
    ];
    const head = Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0);
    const trailing = new Uint8Array(4);
    return concatBytes(head, time, clientChallenge, new Uint8Array(4), encode(avPairs, { pairs: answered, trailing }));
  }

  #message(lm: Uint8Array, nt: Uint8Array, sessionKey: Uint8Array, flags: number): Uint8Array {
    const { credentials, workstation } = this.#options;
    const names = [credentials.domain, credentials.username, workstation].map(utf16Bytes);
    const payload = [...names, lm, nt, sessionKey];
    const [domainAt, userAt, workstationAt, lmAt, ntAt, keyAt] = layOut(micEnd, payload);
    return encode(ntlmAuthenticate, {
      lmResponse: lmAt!,
      ntResponse: ntAt!,
      domain: domainAt!,
      user: userAt!,
      workstation: workstationAt!,
      sessionKey: keyAt!,
      flags: flags >>> 0,
      rest: concatBytes(ntlmVersion, new Uint8Array(16), ...payload),
    }).slice();
  }
}
