import { concatBytes, DecodeError, decode, encode, Reader } from '@lucid-sessions/wire';
import { type AuthPlatform, fileTime } from './auth-platform.ts';
import { AV_FLAG_MIC, AvId, type AvPair, avFlags, avPairs, avValue } from './av-pairs.ts';
import { neededFlags, ntlmVersion } from './ntlm-client.ts';
import { exchangeKey, micOf, proofOf, responseKeyOf, sessionBaseKeyOf } from './ntlm-keys.ts';
import {
  authenticateBytes,
  challengeBytes,
  fieldOf,
  hasRoomForMic,
  layOut,
  micEnd,
  micOffset,
  NtlmFlag,
  ntlmAuthenticate,
  ntlmChallenge,
  ntlmNegotiate,
} from './ntlm-messages.ts';
import { NtlmSealing } from './ntlm-sealing.ts';
import { sameSecret, utf16Bytes, utf16Text } from './text.ts';

/** What a client says of itself in its AUTHENTICATE message; nothing of it is proven yet. */
export interface ClaimedAccount {
  /** As typed, which may be `user@domain`; compare names without case. */
  user: string;
  domain: string;
  workstation: string;
  /** The service it thinks it speaks to, `TERMSRV/address` as typed; empty when it doesn't say. */
  targetName: string;
}

const PROOF_BYTES = 16;
/** Bytes of NTLMv2_CLIENT_CHALLENGE before its AV pairs. */
const BLOB_HEAD_BYTES = 28;
const SESSION_KEY_BYTES = 16;
/** Names of Windows end far below. */
const NAME_BYTES_MAX = 1024;

/** What may be granted as the client asks for it. */
const optionalFlags = (NtlmFlag.version | NtlmFlag.key56 | NtlmFlag.alwaysSign) >>> 0;

interface Received {
  authenticate: Uint8Array;
  user: string;
  domain: string;
  blob: Uint8Array;
  proof: Uint8Array;
  sessionKey: Uint8Array;
  hasMic: boolean;
}

/** NTLMv2 towards a client, [MS-NLMP] 3.2.5. */
export class NtlmServer {
  readonly #name: string;
  readonly #platform: AuthPlatform;
  #negotiate: Uint8Array = new Uint8Array(0);
  #challenge: Uint8Array = new Uint8Array(0);
  #serverChallenge: Uint8Array = new Uint8Array(0);
  #received: Received | null = null;

  /** `name`: what this server calls itself. */
  constructor(name: string, platform: AuthPlatform) {
    this.#name = name;
    this.#platform = platform;
  }

  /** The CHALLENGE for a client's NEGOTIATE. Throws `DecodeError`. */
  challenge(negotiateMessage: Uint8Array): Uint8Array {
    const { flags } = decode(ntlmNegotiate, negotiateMessage);
    if ((flags & neededFlags) >>> 0 !== neededFlags)
      throw new DecodeError('unsupported', 'the client wants NTLM without sealing by 128 bits');
    this.#negotiate = negotiateMessage.slice();
    this.#serverChallenge = this.#platform.randomBytes(8);
    const name = utf16Bytes(this.#name.toUpperCase());
    const info = encode(avPairs, { pairs: this.#pairs(name), trailing: new Uint8Array(0) }).slice();
    const [targetName, targetInfo] = layOut(challengeBytes + ntlmVersion.length, [name, info]);
    const granted = neededFlags | (flags & optionalFlags) | NtlmFlag.requestTarget | NtlmFlag.ntlm;
    this.#challenge = encode(ntlmChallenge, {
      targetName: targetName!,
      flags: (granted | NtlmFlag.targetTypeServer | NtlmFlag.targetInfo) >>> 0,
      serverChallenge: this.#serverChallenge,
      reserved: new Uint8Array(8),
      targetInfo: targetInfo!,
      rest: concatBytes(ntlmVersion, name, info),
    }).slice();
    return this.#challenge;
  }

  #pairs(name: Uint8Array): AvPair[] {
    const dnsName = utf16Bytes(this.#name.toLowerCase());
    return [
      { id: AvId.nbDomainName, value: name },
      { id: AvId.nbComputerName, value: name },
      { id: AvId.dnsDomainName, value: dnsName },
      { id: AvId.dnsComputerName, value: dnsName },
      { id: AvId.timestamp, value: fileTime(this.#platform.nowMs()) },
    ];
  }

  /** Takes the AUTHENTICATE message and says who it is from. Throws `DecodeError`. */
  claim(authenticateMessage: Uint8Array): ClaimedAccount {
    const message = authenticateMessage.slice();
    const value = decode(ntlmAuthenticate, message);
    if ((value.flags & neededFlags) >>> 0 !== neededFlags)
      throw new DecodeError('unsupported', 'the client wants NTLM without sealing by 128 bits');
    const field = (of: 'domain' | 'user' | 'workstation'): string => {
      if (value[of].length > NAME_BYTES_MAX)
        throw new DecodeError('limit', `a ${of} name of ${value[of].length} bytes`);
      return utf16Text(fieldOf(message, value[of], authenticateBytes));
    };
    const response = fieldOf(message, value.ntResponse, authenticateBytes);
    const blob = response.slice(PROOF_BYTES);
    const pairs = pairsOf(blob);
    const claimed = { user: field('user'), domain: field('domain'), workstation: field('workstation') };
    this.#received = {
      authenticate: message,
      user: claimed.user,
      domain: claimed.domain,
      blob,
      proof: response.slice(0, PROOF_BYTES),
      sessionKey: fieldOf(message, value.sessionKey, authenticateBytes),
      hasMic: (avFlags(pairs) & AV_FLAG_MIC) !== 0 && hasRoomForMic(value, message.length),
    };
    return {
      ...claimed,
      targetName: utf16Text((avValue(pairs, AvId.targetName) ?? new Uint8Array(0)).subarray(0, NAME_BYTES_MAX)),
    };
  }

  /**
   * Whether the client knows the account's password, whose NT hash this is; null: it doesn't. An account that does not exist
   * (`ntHash` null) takes the same way and as long.
   */
  check(ntHash: Uint8Array | null): NtlmSealing | null {
    const received = this.#received;
    if (received === null) throw new Error('an account is checked before the client named it');
    const responseKey = responseKeyOf(ntHash ?? this.#platform.randomBytes(16), received.user, received.domain);
    const proof = proofOf(responseKey, this.#serverChallenge, received.blob);
    const isProven = sameSecret(proof, received.proof) && received.sessionKey.length === SESSION_KEY_BYTES;
    if (!isProven || ntHash === null) return null;
    const exportedKey = exchangeKey(sessionBaseKeyOf(responseKey, proof), received.sessionKey);
    const { authenticate, hasMic } = received;
    const mic = micOf(exportedKey, this.#negotiate, this.#challenge, authenticate);
    if (hasMic && !sameSecret(mic, authenticate.subarray(micOffset, micEnd)))
      throw new DecodeError('invalid', 'the messages of NTLM were changed on the way: the MIC is wrong');
    return new NtlmSealing(exportedKey, 'server');
  }
}

/** The AV pairs of an NTLMv2 response; none in a response of NTLMv1 or of nobody, which prove nothing here. */
function pairsOf(blob: Uint8Array): AvPair[] {
  if (blob.length <= BLOB_HEAD_BYTES) return [];
  return avPairs.decode(new Reader(blob, BLOB_HEAD_BYTES)).pairs;
}
