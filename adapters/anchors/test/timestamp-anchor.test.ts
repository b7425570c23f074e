import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { LucidError } from '@lucid-sessions/contract';
import {
  fromBase64,
  fromHex,
  readAuthority,
  readTimestamp,
  timestampRequest,
  timestampSigner,
  timestampToken,
  toHex,
  webCrypto,
} from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import type { AnchorRequest } from '@lucid-sessions/pipeline';
import { FakeTimestampAuthority } from '@lucid-sessions/testkit';
import { TimestampAnchor } from '../src/index.ts';

const request: AnchorRequest = {
  sessionId: 's',
  merkleRoot: 'ab'.repeat(32),
  chunksCount: 3,
  totalBytes: 1000,
  createdAtUs: 1,
  checkpoint: null,
};
const browser = webCrypto(crypto as unknown as Parameters<typeof webCrypto>[0]);
const retryable = (error: unknown): boolean =>
  error instanceof LucidError && error.code === 'LUCID_ERR_3013' && error.status === 502;

const authority = new FakeTimestampAuthority();
const url = await authority.start();
after(() => authority.stop());
const trusted = readAuthority('test', authority.certificate);
const anchorOf = (change: object = {}) => new TimestampAnchor({ url, authorities: [trusted], ...change });

describe('timestamp anchor', () => {
  it('is confirmed once the stamp checks out, and stays so', async () => {
    const receipt = await anchorOf().submit(request);
    assert.equal(receipt.status, 'confirmed');
    const timestamp = readTimestamp(fromBase64(receipt.detail!));
    assert.equal(toHex(timestamp.digest), request.merkleRoot);
    assert.equal(timestamp.timeUs, receipt.confirmedAtUs);
    assert.equal(await anchorOf().check(request, receipt), receipt);
    assert.equal(await anchorOf().check(request, { ...receipt, status: 'failed' }), null);
  });

  it('takes a stamp that was "created", and one of another hash', async () => {
    authority.status = 201;
    try {
      assert.equal((await anchorOf().submit(request)).status, 'confirmed');
      const digest = new Uint8Array(64).fill(7);
      const { token } = await anchorOf().stamp(digest, 'sha512');
      assert.deepEqual(readTimestamp(token, ['sha512']).digest, digest);
      await assert.rejects(anchorOf().stamp(digest, 'sha256'), retryable);
    } finally {
      authority.status = 200;
    }
  });

  it('takes no stamp that is refused, for something else, by somebody else, damaged or absent', async () => {
    const other = new FakeTimestampAuthority();
    await assert.rejects(
      anchorOf({ authorities: [readAuthority('other', other.certificate)] }).submit(request),
      retryable,
    );
    const digest = fromHex(request.merkleRoot, 32);
    const answers: [number, Uint8Array][] = [
      [200, authority.respond(timestampRequest(digest, new Uint8Array(16)))],
      [200, fromHex('30053003020102', 7)],
      [200, new Uint8Array(0)],
      [200, new Uint8Array(100_000)],
      [500, new Uint8Array(0)],
    ];
    for (const [status, body] of answers) {
      authority.nextAnswer = { status, body };
      await assert.rejects(anchorOf().submit(request), retryable);
    }
    await assert.rejects(anchorOf({ url: 'http://127.0.0.1:1' }).submit(request), retryable);
  });
});

const folder = mkdtempSync(join(tmpdir(), 'lucid-tsa-'));
after(() => rmSync(folder, { recursive: true }));
const missing = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';
const skip = missing !== false && process.env.REQUIRE_PEERS !== '1' ? missing : false;

describe("openssl's timestamp authority", { skip }, () => {
  const run = (...parts: string[]): void => {
    const result = spawnSync('openssl', parts, { cwd: folder, encoding: 'utf8' });
    assert.equal(result.status, 0, result.stderr);
  };
  const config = `
[tsa]
default_tsa = one
[one]
serial = serial
crypto_device = builtin
signer_cert = cert.pem
signer_key = key.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
`;

  for (const [kind, ...options] of [
    ['rsa', '-newkey', 'rsa:2048'],
    ['ec', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    ['ec384', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  ])
    it(`answers our request, and its ${kind} stamp checks out`, async () => {
      assert.equal(missing, false, 'REQUIRE_PEERS=1 and openssl is missing');
      const digest = fromHex('cd'.repeat(32), 32);
      writeFileSync(join(folder, 'query.tsq'), timestampRequest(digest, nodeCrypto.randomBytes(16)));
      writeFileSync(join(folder, 'tsa.cnf'), config);
      const subject = ['-subj', '/CN=tsa', '-addext', 'extendedKeyUsage=critical,timeStamping', '-days', '2'];
      run('req', '-x509', ...options, '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem', ...subject);
      run('x509', '-in', 'cert.pem', '-outform', 'DER', '-out', 'cert.der');
      run('ts', '-reply', '-config', 'tsa.cnf', '-queryfile', 'query.tsq', '-out', 'reply.tsr');
      const token = timestampToken(new Uint8Array(readFileSync(join(folder, 'reply.tsr'))));
      const timestamp = readTimestamp(token);
      assert.deepEqual(timestamp.digest, digest);
      const tsa = readAuthority('openssl', new Uint8Array(readFileSync(join(folder, 'cert.der'))));
      for (const crypto of [nodeCrypto, browser]) {
        assert.equal((await timestampSigner(crypto, timestamp, [trusted, tsa]))?.name, 'openssl');
        assert.equal(await timestampSigner(crypto, timestamp, [trusted]), null);
        const signedBytes = timestamp.signedBytes.slice();
        signedBytes[signedBytes.length - 1]! ^= 1;
        assert.equal(await timestampSigner(crypto, { ...timestamp, signedBytes }, [tsa]), null);
        assert.equal(await timestampSigner(crypto, { ...timestamp, timeUs: tsa.validToUs + 1 }, [tsa]), null);
      }
    });
});
