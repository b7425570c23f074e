import { type Crypto, DecodeError, equalBytes, type SpkiSignature } from '@lucid-sessions/wire';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { fromHex, toHex } from '../text.ts';
import { type DerElement, derChildren, derContext, derTags, derTimeUs, expectTag, readDer, writeDer } from './der.ts';

/** OIDs as DER content, hex. */
const oids = {
  sha256: '608648016503040201',
  sha384: '608648016503040202',
  sha512: '608648016503040203',
  signedData: '2a864886f70d010702',
  tstInfo: '2a864886f70d0109100104',
  contentType: '2a864886f70d010903',
  messageDigest: '2a864886f70d010904',
  rsa: '2a864886f70d010101',
} as const;

const digests = { [oids.sha256]: 'sha256', [oids.sha384]: 'sha384', [oids.sha512]: 'sha512' } as const;
export const digestNames = ['sha256', 'sha384', 'sha512'] as const;
export type DigestName = (typeof digestNames)[number];
export const digestOf: Readonly<Record<DigestName, (bytes: Uint8Array) => Uint8Array>> = { sha256, sha384, sha512 };

/** What a timestamp stands on. */
export const stampAlgorithms = [...digestNames, 'rsa', 'ecdsa'] as const;
export type StampAlgorithm = (typeof stampAlgorithms)[number];

/** Signature algorithms that name their hash; plain RSA takes that of the signer's digest. */
const signatures: Record<string, SpkiSignature> = {
  '2a864886f70d01010b': { scheme: 'rsa', hash: 'sha256' },
  '2a864886f70d01010c': { scheme: 'rsa', hash: 'sha384' },
  '2a864886f70d01010d': { scheme: 'rsa', hash: 'sha512' },
  '2a8648ce3d040302': { scheme: 'ecdsa', hash: 'sha256' },
  '2a8648ce3d040303': { scheme: 'ecdsa', hash: 'sha384' },
  '2a8648ce3d040304': { scheme: 'ecdsa', hash: 'sha512' },
};

const TOKEN_BYTES_MAX = 64 * 1024;
const bad = (message: string): DecodeError => new DecodeError('invalid', `bad timestamp: ${message}`);
const oidOf = (element: DerElement | undefined): string => toHex(expectTag(element, derTags.oid).content);
/** OID of an AlgorithmIdentifier. */
const algorithmOf = (element: DerElement | undefined): string =>
  oidOf(derChildren(expectTag(element, derTags.sequence))[0]);

/** AlgorithmIdentifier of a hash. */
export const digestAlgorithm = (name: DigestName): Uint8Array =>
  writeDer(derTags.sequence, writeDer(derTags.oid, fromHex(oids[name], 9)), writeDer(derTags.null));

/** The hash an AlgorithmIdentifier names, of SHA-2. Throws `DecodeError`. */
export function readDigestAlgorithm(element: DerElement | undefined): DigestName {
  const name = digests[algorithmOf(element) as keyof typeof digests];
  if (name === undefined) throw new DecodeError('unsupported', 'a hash that is not SHA-256, SHA-384 or SHA-512');
  return name;
}

/** RFC 3161 section 2.4.1 TimeStampReq over a digest, asking for the certificate to be left out. */
export function timestampRequest(digest: Uint8Array, nonce: Uint8Array, hash: DigestName = 'sha256'): Uint8Array {
  const algorithm = digestAlgorithm(hash);
  return writeDer(
    derTags.sequence,
    writeDer(derTags.integer, Uint8Array.of(1)),
    writeDer(derTags.sequence, algorithm, writeDer(derTags.octetString, digest)),
    // A leading 01 keeps the nonce positive and of one length.
    writeDer(derTags.integer, Uint8Array.of(1), nonce),
  );
}

/** The token of a TimeStampResp that was granted (section 2.4.2). Throws `DecodeError`. */
export function timestampToken(response: Uint8Array): Uint8Array {
  if (response.length > TOKEN_BYTES_MAX) throw new DecodeError('limit', 'the timestamp response is too large');
  const [info, token] = derChildren(readDer(response, derTags.sequence));
  const [status] = derChildren(expectTag(info, derTags.sequence));
  const code = expectTag(status, derTags.integer).content;
  // 0 granted, 1 granted with modifications.
  if (code.length !== 1 || code[0]! > 1) throw bad(`the authority refused with status ${toHex(code)}`);
  return expectTag(token, derTags.sequence).raw;
}

/** What a token says, its signature not yet checked. */
export interface Timestamp {
  /** genTime, µs since 1970. */
  timeUs: number;
  /** What was stamped, and by which hash it was made. */
  digest: Uint8Array;
  digestHash: DigestName;
  /** Nonce as DER content, null when there is none. */
  nonce: Uint8Array | null;
  /** By which hash the signed attributes name what is said. */
  contentHash: DigestName;
  signature: SpkiSignature;
  /** What is signed: the attributes, which name the hash of the content. */
  signedBytes: Uint8Array;
  signatureBytes: Uint8Array;
}

/** Reads a token: CMS SignedData (RFC 5652) with one signer over TSTInfo, of a SHA-256 digest unless said. Throws `DecodeError`. */
export function readTimestamp(token: Uint8Array, taken: readonly DigestName[] = ['sha256']): Timestamp {
  if (token.length > TOKEN_BYTES_MAX) throw new DecodeError('limit', 'the timestamp is too large');
  const [type, wrapped] = derChildren(readDer(token, derTags.sequence));
  if (oidOf(type) !== oids.signedData) throw bad('not signed data');
  const [signedData] = derChildren(expectTag(wrapped, derContext(0)));
  const parts = derChildren(expectTag(signedData, derTags.sequence));
  const [contentType, contentWrapped] = derChildren(expectTag(parts[2], derTags.sequence));
  if (oidOf(contentType) !== oids.tstInfo) throw bad('the signed content is not a TSTInfo');
  const [octets] = derChildren(expectTag(contentWrapped, derContext(0)));
  const content = expectTag(octets, derTags.octetString).content;
  const signers = derChildren(expectTag(parts.at(-1), derTags.set));
  if (signers.length !== 1) throw bad('a timestamp has one signer');
  return { ...readSigner(expectTag(signers[0], derTags.sequence), content), ...readInfo(content, taken) };
}

function readInfo(
  content: Uint8Array,
  taken: readonly DigestName[],
): Pick<Timestamp, 'timeUs' | 'digest' | 'digestHash' | 'nonce'> {
  const [version, policy, imprint, serial, time, ...rest] = derChildren(readDer(content, derTags.sequence));
  if (toHex(expectTag(version, derTags.integer).content) !== '01') throw bad('its version is not 1');
  expectTag(policy, derTags.oid);
  expectTag(serial, derTags.integer);
  const [algorithm, digest] = derChildren(expectTag(imprint, derTags.sequence));
  const digestHash = readDigestAlgorithm(algorithm);
  if (!taken.includes(digestHash)) throw bad('the digest it stamps is not SHA-256');
  return {
    timeUs: derTimeUs(expectTag(time, derTags.generalizedTime)),
    digest: expectTag(digest, derTags.octetString).content,
    digestHash,
    nonce: rest.find(({ tag }) => tag === derTags.integer)?.content ?? null,
  };
}

function readSigner(
  signer: DerElement,
  content: Uint8Array,
): Pick<Timestamp, 'contentHash' | 'signature' | 'signedBytes' | 'signatureBytes'> {
  const [, , digestAlgorithm, attributes, signatureAlgorithm, signatureBytes] = derChildren(signer);
  const digest = digests[algorithmOf(digestAlgorithm) as keyof typeof digests];
  if (digest === undefined) throw new DecodeError('unsupported', 'the timestamp uses a digest that is not SHA-2');
  const raw = expectTag(attributes, derContext(0)).raw;
  checkAttributes(derChildren(attributes!), digestOf[digest](content));
  const name = algorithmOf(signatureAlgorithm);
  const signature = name === oids.rsa ? ({ scheme: 'rsa', hash: digest } as const) : signatures[name];
  if (signature === undefined)
    throw new DecodeError('unsupported', 'the timestamp is signed with an algorithm not known here');
  // RFC 5652 section 5.4: the attributes are signed as a SET, not under the tag they stand with.
  const signedBytes = raw.slice();
  signedBytes[0] = derTags.set;
  return {
    contentHash: digest,
    signature,
    signedBytes,
    signatureBytes: expectTag(signatureBytes, derTags.octetString).content,
  };
}

function checkAttributes(attributes: DerElement[], contentHash: Uint8Array): void {
  const values = new Map<string, DerElement>();
  for (const attribute of attributes) {
    const [type, set] = derChildren(expectTag(attribute, derTags.sequence));
    const [value] = derChildren(expectTag(set, derTags.set));
    if (value !== undefined) values.set(oidOf(type), value);
  }
  if (oidOf(values.get(oids.contentType)) !== oids.tstInfo) throw bad('the signed attributes are about other content');
  if (!equalBytes(expectTag(values.get(oids.messageDigest), derTags.octetString).content, contentHash))
    throw bad('the signed hash is not that of the content');
}

/** What is needed of an authority's certificate (RFC 5280). */
export interface TimestampAuthority {
  name: string;
  /** SubjectPublicKeyInfo, DER. */
  spki: Uint8Array;
  validFromUs: number;
  validToUs: number;
}

/** Reads a certificate in DER. It is trusted because the caller names it: no chain is built. Throws `DecodeError`. */
export function readAuthority(name: string, certificate: Uint8Array): TimestampAuthority {
  const [tbs] = derChildren(readDer(certificate, derTags.sequence));
  const fields = derChildren(expectTag(tbs, derTags.sequence));
  if (fields[0]?.tag === derContext(0)) fields.shift();
  const [from, to] = derChildren(expectTag(fields[3], derTags.sequence));
  return {
    name,
    spki: expectTag(fields[5], derTags.sequence).raw,
    validFromUs: derTimeUs(from),
    validToUs: derTimeUs(to),
  };
}

/** Whether one of the authorities signed the token, at a time its certificate was valid. */
export async function timestampSigner(
  crypto: Crypto,
  timestamp: Timestamp,
  authorities: readonly TimestampAuthority[],
): Promise<TimestampAuthority | null> {
  const { signature, signedBytes, signatureBytes, timeUs } = timestamp;
  for (const authority of authorities) {
    const good = await crypto.spkiVerify(authority.spki, signature, signedBytes, signatureBytes);
    if (good && timeUs >= authority.validFromUs && timeUs <= authority.validToUs) return authority;
  }
  return null;
}
