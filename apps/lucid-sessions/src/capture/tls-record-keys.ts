/** Keys of TLS records and how a record is opened with them: RFC 5246 6.2.3 and 6.3, RFC 8446 5.2 and 7, RFC 7366, RFC 7627. */
import { createDecipheriv, createHash, createHmac } from 'node:crypto';
import { CaptureError } from './packet-file.ts';
import type { CipherSuite, Mac } from './tls-suites.ts';

const macBytes: Record<Mac, number> = { sha1: 20, sha256: 32, sha384: 48 };
const tagBytes = 16;
const tls10 = 0x0301;
export const tls12 = 0x0303;
export const tls13 = 0x0304;

export interface RecordContext {
  version: number;
  suite: CipherSuite;
  /** RFC 7366. */
  encryptThenMac: boolean;
}

/** Opens the records of one direction under one key, in their order. */
export class RecordOpener {
  readonly #context: RecordContext;
  readonly #key: Uint8Array;
  readonly #iv: Uint8Array;
  /** CBC in TLS 1.0: the last block of the record before. */
  #lastBlock: Uint8Array;
  #sequence = 0n;

  constructor(context: RecordContext, key: Uint8Array, iv: Uint8Array) {
    this.#context = context;
    this.#key = key;
    this.#iv = iv;
    this.#lastBlock = iv;
  }

  /** Content type and bytes of a protected record. Throws `CaptureError` when it does not open. */
  open(type: number, body: Uint8Array): { type: number; bytes: Uint8Array } {
    try {
      const { version, suite } = this.#context;
      if (suite.cipher === 'cbc') return { type, bytes: this.#cbc(body) };
      const opened = version === tls13 ? this.#aead13(type, body) : { type, bytes: this.#aead12(type, body) };
      this.#sequence += 1n;
      return opened;
    } catch {
      throw new CaptureError('a TLS record does not open with the keys given: they are of another connection');
    }
  }

  #nonce(): Uint8Array {
    const nonce = new Uint8Array(this.#iv);
    for (let i = 0; i < 8; i += 1) {
      const at = nonce.length - 1 - i;
      nonce[at] = (nonce[at] ?? 0) ^ Number((this.#sequence >> BigInt(8 * i)) & 0xffn);
    }
    return nonce;
  }

  #aead(nonce: Uint8Array, additional: Uint8Array, sealed: Uint8Array): Uint8Array {
    const { cipher, keyBytes } = this.#context.suite;
    const name = cipher === 'chacha20' ? 'chacha20-poly1305' : keyBytes === 16 ? 'aes-128-gcm' : 'aes-256-gcm';
    const options = { authTagLength: tagBytes };
    const decipher = createDecipheriv(name as 'aes-128-gcm', this.#key, nonce, options);
    decipher.setAAD(additional, { plaintextLength: sealed.length - tagBytes });
    decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
    return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - tagBytes)), decipher.final()]);
  }

  #aead12(type: number, body: Uint8Array): Uint8Array {
    const explicit = this.#context.suite.cipher === 'gcm' ? 8 : 0;
    const nonce = explicit === 0 ? this.#nonce() : Buffer.concat([this.#iv, body.subarray(0, 8)]);
    const additional = Buffer.alloc(13);
    additional.writeBigUInt64BE(this.#sequence);
    additional.writeUInt8(type, 8);
    additional.writeUInt16BE(this.#context.version, 9);
    additional.writeUInt16BE(body.length - explicit - tagBytes, 11);
    return this.#aead(nonce, additional, body.subarray(explicit));
  }

  /** The content type stands behind the content, before padding of zeros. */
  #aead13(type: number, body: Uint8Array): { type: number; bytes: Uint8Array } {
    const header = Buffer.from([type, 3, 3, body.length >> 8, body.length & 255]);
    const inner = this.#aead(this.#nonce(), header, body);
    let end = inner.length - 1;
    while (end >= 0 && inner[end] === 0) end -= 1;
    return { type: inner[end] ?? 0, bytes: inner.subarray(0, Math.max(0, end)) };
  }

  /** The MAC is not checked: it says nothing about where a capture came from. Padding shows a wrong key. */
  #cbc(body: Uint8Array): Uint8Array {
    const { suite, version, encryptThenMac } = this.#context;
    const mac = macBytes[suite.mac ?? 'sha1'];
    const sealed = encryptThenMac ? body.subarray(0, body.length - mac) : body;
    const implicit = version <= tls10;
    const [iv, blocks] = implicit ? [this.#lastBlock, sealed] : [sealed.subarray(0, 16), sealed.subarray(16)];
    const decipher = createDecipheriv(suite.keyBytes === 16 ? 'aes-128-cbc' : 'aes-256-cbc', this.#key, iv);
    decipher.setAutoPadding(false);
    const plain = Buffer.concat([decipher.update(blocks), decipher.final()]);
    this.#lastBlock = sealed.slice(sealed.length - 16);
    const padding = (plain.at(-1) ?? 0) + 1;
    const end = plain.length - padding - (encryptThenMac ? 0 : mac);
    if (end < 0 || plain.subarray(plain.length - padding).some((byte) => byte !== padding - 1))
      throw new Error('bad padding');
    return plain.subarray(0, end);
  }
}

/** The pseudorandom function of TLS 1.0 to 1.2 (RFC 2246 5, RFC 5246 5). */
export function prf(
  { version, suite }: Pick<RecordContext, 'version' | 'suite'>,
  secret: Uint8Array,
  label: string,
  seed: Uint8Array,
  length: number,
): Buffer {
  const whole = Buffer.concat([Buffer.from(label), seed]);
  if (version >= tls12) return expand(suite.hash, secret, whole, length);
  const half = Math.ceil(secret.length / 2);
  const md5 = expand('md5', secret.subarray(0, half), whole, length);
  const sha1 = expand('sha1', secret.subarray(secret.length - half), whole, length);
  return Buffer.from(md5.map((byte, i) => byte ^ (sha1[i] ?? 0)));
}

function expand(hash: string, secret: Uint8Array, seed: Uint8Array, length: number): Buffer {
  const pieces: Buffer[] = [];
  const hmac = (data: Uint8Array): Buffer => createHmac(hash, secret).update(data).digest();
  for (let a = hmac(seed), bytes = 0; bytes < length; a = hmac(a)) {
    const piece = hmac(Buffer.concat([a, seed]));
    pieces.push(piece);
    bytes += piece.length;
  }
  return Buffer.concat(pieces).subarray(0, length);
}

/** Openers of both directions from a master secret. */
export function openersOf(
  context: RecordContext,
  master: Uint8Array,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
): { client: RecordOpener; server: RecordOpener } {
  const { suite } = context;
  const mac = suite.cipher === 'cbc' ? macBytes[suite.mac ?? 'sha1'] : 0;
  const iv = { gcm: 4, chacha20: 12, cbc: 16 }[suite.cipher];
  const block = prf(
    context,
    master,
    'key expansion',
    Buffer.concat([serverRandom, clientRandom]),
    2 * (mac + suite.keyBytes + iv),
  );
  const key = (i: number): Uint8Array => block.subarray(2 * mac + i * suite.keyBytes).subarray(0, suite.keyBytes);
  const ivOf = (i: number): Uint8Array => block.subarray(2 * (mac + suite.keyBytes) + i * iv).subarray(0, iv);
  return { client: new RecordOpener(context, key(0), ivOf(0)), server: new RecordOpener(context, key(1), ivOf(1)) };
}

/** HKDF-Expand-Label (RFC 8446 7.1). */
function expandLabel(hash: string, secret: Uint8Array, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([length >> 8, length & 255, name.length]), name, Buffer.from([0])]);
  const pieces: Buffer[] = [];
  for (
    let previous: Uint8Array = Buffer.alloc(0), i = 1;
    i <= Math.ceil(length / createHash(hash).digest().length);
    i += 1
  ) {
    previous = createHmac(hash, secret).update(previous).update(info).update(Uint8Array.of(i)).digest();
    pieces.push(Buffer.from(previous));
  }
  return Buffer.concat(pieces).subarray(0, length);
}

/** The opener of a TLS 1.3 traffic secret. */
export const openerOfSecret = (context: RecordContext, secret: Uint8Array): RecordOpener =>
  new RecordOpener(
    context,
    expandLabel(context.suite.hash, secret, 'key', context.suite.keyBytes),
    expandLabel(context.suite.hash, secret, 'iv', 12),
  );

/** The next traffic secret after a KeyUpdate (RFC 8446 7.2). */
export const updatedSecret = ({ suite }: RecordContext, secret: Uint8Array): Buffer =>
  expandLabel(suite.hash, secret, 'traffic upd', secret.length);

/** The master secret of an RSA key exchange. `sessionHash` with the extended master secret (RFC 7627). */
export function masterSecret(
  context: Pick<RecordContext, 'version' | 'suite'>,
  preMaster: Uint8Array,
  randoms: Uint8Array,
  transcript: Uint8Array | null,
): Buffer {
  if (transcript === null) return prf(context, preMaster, 'master secret', randoms, 48);
  const digest = (hash: string): Buffer => createHash(hash).update(transcript).digest();
  const sessionHash =
    context.version >= tls12 ? digest(context.suite.hash) : Buffer.concat([digest('md5'), digest('sha1')]);
  return prf(context, preMaster, 'extended master secret', sessionHash, 48);
}
