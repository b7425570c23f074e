import { randomBytes } from 'node:crypto';
import { type AnchorReceipt, LucidError } from '@lucid-sessions/contract';
import {
  type DigestName,
  fromHex,
  readTimestamp,
  TIMESTAMP_BACKEND,
  type TimestampAuthority,
  timestampRequest,
  timestampSigner,
  timestampToken,
  toHex,
} from '@lucid-sessions/evidence';
import { nodeCrypto, readBounded } from '@lucid-sessions/node';
import type { Anchor, AnchorRequest, Stamper } from '@lucid-sessions/pipeline';
import { DecodeError, equalBytes } from '@lucid-sessions/wire';

export interface TimestampAnchorOptions {
  /** Where the authority takes RFC 3161 requests over HTTP. */
  url: string;
  /** Its certificates: what an answer must be signed by. */
  authorities: readonly TimestampAuthority[];
  fetch?: typeof fetch;
  timeoutMs?: number;
  /** µs since 1970. */
  nowUs?(): number;
}

const ANSWER_BYTES_MAX = 64 * 1024;
const unusable = (message: string, cause?: unknown): LucidError =>
  new LucidError('anchoring', `the timestamp authority can not be used now: ${message}`, { status: 502, cause });

/**
 * Has session roots stamped by an RFC 3161 authority. What comes back is checked before it counts, and can be checked by
 * anybody later without a server. A second request makes a second, equally good stamp, so a lost answer is asked for again.
 */
export class TimestampAnchor implements Anchor, Stamper {
  readonly backend = TIMESTAMP_BACKEND;
  readonly isFinal = true;
  readonly #options: Required<TimestampAnchorOptions>;

  constructor(options: TimestampAnchorOptions) {
    this.#options = { fetch, timeoutMs: 15_000, nowUs: () => Date.now() * 1000, ...options };
  }

  async submit(request: AnchorRequest): Promise<AnchorReceipt> {
    const submittedAtUs = this.#options.nowUs();
    const { token, timeUs, nonce } = await this.stamp(fromHex(request.merkleRoot, 32, 'Merkle root'));
    return {
      backend: this.backend,
      status: 'confirmed',
      submittedAtUs,
      confirmedAtUs: timeUs,
      blockHeight: null,
      transactionId: toHex(nonce),
      merkleRoot: request.merkleRoot,
      detail: Buffer.from(token).toString('base64'),
    };
  }

  /** A checked timestamp of a digest. Throws a LucidError `anchoring`. */
  async stamp(
    digest: Uint8Array,
    hash: DigestName = 'sha256',
  ): Promise<{ token: Uint8Array; timeUs: number; nonce: Uint8Array }> {
    const nonce = new Uint8Array(randomBytes(16));
    const response = await this.#post(timestampRequest(digest, nonce, hash));
    try {
      const token = timestampToken(response);
      const timestamp = readTimestamp(token, [hash]);
      const asked = Buffer.concat([Uint8Array.of(1), nonce]);
      if (!equalBytes(timestamp.digest, digest) || timestamp.nonce === null || !equalBytes(timestamp.nonce, asked))
        throw unusable('the stamp is for another request');
      if ((await timestampSigner(nodeCrypto, timestamp, this.#options.authorities)) === null)
        throw unusable('the stamp is not signed by a certificate that was configured');
      return { token, timeUs: timestamp.timeUs, nonce };
    } catch (error) {
      throw error instanceof DecodeError ? unusable(error.message, error) : error;
    }
  }

  /** A stamp does not change: what was confirmed stays so. */
  async check(_request: AnchorRequest, receipt: AnchorReceipt): Promise<AnchorReceipt | null> {
    return receipt.status === 'confirmed' ? receipt : null;
  }

  async #post(query: Uint8Array): Promise<Uint8Array> {
    const { timeoutMs, url } = this.#options;
    try {
      const response = await this.#options.fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
        body: Buffer.from(query),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      // Sigstore's authority answers 201: it made something.
      if (response.status !== 200 && response.status !== 201) throw new Error(`it answered ${response.status}`);
      const body = await readBounded(response, ANSWER_BYTES_MAX);
      if (body === null) throw new Error('its answer is too large');
      return new Uint8Array(body);
    } catch (error) {
      throw unusable(error instanceof Error ? error.message : 'the request failed', error);
    }
  }
}
