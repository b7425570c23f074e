import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  checkRecord,
  decodeDsse,
  ed25519Signer,
  encodeDsse,
  encodeJson,
  formatPublicKey,
  fromBase64,
  fromHex,
  keyIdOf,
  parseCanonicalJson,
  parseJson,
  parsePublicKey,
  type RecordBody,
  readRecord,
  readRecordOf,
  recordBase,
  recordPayloadType,
  type Signer,
  signDsse,
  signRecord,
  spkiOf,
  toBase64,
  utf8,
} from '../src/index.ts';

const text = (value: string): Uint8Array => utf8(value);
const signer = await ed25519Signer(nodeCrypto, new Uint8Array(32).fill(1));
const other = await ed25519Signer(nodeCrypto, new Uint8Array(32).fill(2));

const erase: RecordBody = {
  ...recordBase('erase', 'demo'),
  at_us: 5,
  actor: 'retention',
  reason: '30 days are over',
  erased: 'keys',
  dek_id: null,
  merkle_root: 'ab'.repeat(32),
};

describe('strict JSON', () => {
  it('writes and reads the canonical form', () => {
    const value = { b: [1, -2, true, null], a: 'é\u0001"\\', é: {}, ['__proto__']: 3 };
    const bytes = encodeJson(value);
    assert.equal(new TextDecoder().decode(bytes), '{"__proto__":3,"a":"é\\u0001\\"\\\\","b":[1,-2,true,null],"é":{}}');
    assert.deepEqual(encodeJson(parseCanonicalJson(bytes, 1000)), bytes);
  });

  it('agrees with JSON.parse on everything it takes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const json = JSON.stringify(value);
        let parsed: unknown;
        try {
          parsed = parseJson(text(json), 1 << 20);
        } catch (error) {
          assert.ok(error instanceof DecodeError);
          return;
        }
        assert.equal(JSON.stringify(parsed), json);
      }),
    );
  });

  for (const bad of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '1.5',
    '1e3',
    '-0',
    '01',
    '9007199254740992',
    '"\\ud800"',
    '"a\nb"',
    '"open',
    '"\\',
    '[1,]',
    '{"a"}',
    '{"a":1',
    '{a:1}',
    '[1 2]',
    '1 2',
    '',
    'nul',
    '['.repeat(40) + ']'.repeat(40),
  ])
    it(`refuses ${bad.slice(0, 30).replaceAll('\n', '\\n')}`, () =>
      assert.throws(() => parseJson(text(bad), 1000), DecodeError));

  it('refuses what is not canonical, not UTF-8 or too large', () => {
    for (const bad of ['{ "a":1}', '{"b":1,"a":2}', '"\\u0041"']) {
      parseJson(text(bad), 100);
      assert.throws(() => parseCanonicalJson(text(bad), 100), DecodeError);
    }
    assert.throws(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), 100), DecodeError);
    assert.throws(() => parseJson(text('"0123456789"'), 5), DecodeError);
  });

  it('takes for canonical what it would write again, and nothing else', () => {
    const isRewritten = (bytes: Uint8Array): boolean => {
      try {
        return Buffer.from(encodeJson(parseJson(bytes, 1 << 20))).equals(bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
        return false;
      }
    };
    const isTaken = (bytes: Uint8Array): boolean => {
      try {
        parseCanonicalJson(bytes, 1 << 20);
        return true;
      } catch (error) {
        assert.ok(error instanceof DecodeError);
        return false;
      }
    };
    const key = fc.oneof(
      fc.constantFrom('a', 'b', '1', '10', '2', '__proto__', 'é', '\ufb33', '\u{1f600}'),
      fc.string(),
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.maxSafeInteger(),
        fc.string({ unit: 'binary' }),
        fc.constantFrom(null, true, false),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map((pairs) => Object.fromEntries(pairs)),
      ),
    }));
    const put = fc.constantFrom(' ', '\n', '\ufeff', '\\u0041', '\\/', '\\u001F', '"a":1,', ',', '-0', '0', '\u2028');
    let taken = 0;
    fc.assert(
      fc.property(value, fc.boolean(), fc.nat(), put, (json, isCanonical, at, more) => {
        const bytes = isCanonical ? encodeJson(json) : text(JSON.stringify(json));
        const whole = new TextDecoder().decode(bytes);
        const place = at % (whole.length + 1);
        const changed = text(`${whole.slice(0, place)}${more}${whole.slice(place)}`);
        for (const given of [bytes, changed]) assert.equal(isTaken(given), isRewritten(given));
        if (isTaken(bytes)) taken += 1;
      }),
      { numRuns: 2000 },
    );
    assert.ok(taken > 1000, String(taken));
    assert.ok(!isTaken(text('\ufeff{}')));
  });

  it('takes strings of megabytes', () => {
    const long = 'x'.repeat(3_000_000);
    assert.equal(parseCanonicalJson(encodeJson(long), 4_000_000), long);
  });

  it('writes no value it could not read', () => {
    for (const bad of [
      1.5,
      Number.NaN,
      2 ** 53,
      -0,
      undefined,
      1n,
      { a: undefined },
      ['\ud800'],
      { '\ud800': 1 },
      () => 0,
    ])
      assert.throws(() => encodeJson(bad), RangeError);
    let deep: unknown = 1;
    for (let i = 0; i < 40; i += 1) deep = [deep];
    assert.throws(() => encodeJson(deep), RangeError);
  });
});

describe('text forms', () => {
  it('base64 and hex have one form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => assert.deepEqual(fromBase64(toBase64(bytes)), bytes)),
    );
    for (const bad of ['YQ', 'YR==', 'YQ== ', 'Y Q=', '*']) assert.throws(() => fromBase64(bad), DecodeError);
    for (const bad of ['AB', 'a', 'zz', 'abcd']) assert.throws(() => fromHex(bad, 1), DecodeError);
  });

  it('public keys are what OpenSSL knows', () => {
    const key = createPublicKey({ key: Buffer.from(spkiOf(signer.publicKey)), format: 'der', type: 'spki' });
    assert.equal(key.asymmetricKeyType, 'ed25519');
    assert.deepEqual(parsePublicKey(formatPublicKey(signer.publicKey)), signer.publicKey);
    for (const bad of ['ed25519:AAAA', 'rsa:AAAA', 'ed25519:', 'x'])
      assert.throws(() => parsePublicKey(bad), DecodeError);
  });
});

describe('signed records', () => {
  it('are DSSE: the signature is over the pre-authentication encoding', async () => {
    const bytes = await signRecord(signer, erase);
    const { payload, payloadType, signatures } = JSON.parse(Buffer.from(bytes).toString());
    const body = Buffer.from(payload, 'base64');
    const pae = Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `), body]);
    const key = createPublicKey({ key: Buffer.from(spkiOf(signer.publicKey)), format: 'der', type: 'spki' });
    assert.ok(verify(null, pae, key, Buffer.from(signatures[0].sig, 'base64')));
    assert.equal(payloadType, 'application/vnd.lucid-sessions.erase+json;v=1');
    assert.equal(signatures[0].keyid, keyIdOf(signer.publicKey));
  });

  it('come back, and tell whose they are', async () => {
    const record = readRecordOf('erase', await signRecord(signer, erase));
    assert.deepEqual(record.body, erase);
    assert.deepEqual(await checkRecord(nodeCrypto, record, [other.publicKey, signer.publicKey]), {
      signedBy: signer.publicKey,
      finding: null,
    });
    assert.equal((await checkRecord(nodeCrypto, record, [other.publicKey])).finding, 'KEY_UNTRUSTED');
    record.envelope.payload = utf8('{}');
    assert.equal((await checkRecord(nodeCrypto, record, [signer.publicKey])).finding, 'SIG_BAD');
  });

  it('can be signed with P-256', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const p256: Signer = {
      publicKey: {
        algorithm: 'p256',
        bytes: new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' })).subarray(-65),
      },
      sign: (message) => new Uint8Array(sign('sha256', message, { key: pair.privateKey, dsaEncoding: 'ieee-p1363' })),
    };
    const record = readRecord(await signRecord(p256, erase));
    assert.equal((await checkRecord(nodeCrypto, record, [p256.publicKey])).finding, null);
    record.envelope.signatures[0]!.signature = new Uint8Array(70);
    assert.equal((await checkRecord(nodeCrypto, record, [p256.publicKey])).finding, 'SIG_BAD');
  });

  it('are refused when any field is missing, unknown or odd', async () => {
    for (const name of Object.keys(erase).filter((key) => key !== 'kind')) {
      const { [name as keyof RecordBody]: _, ...rest } = erase;
      await assert.rejects(signRecord(signer, rest as never), DecodeError, `without ${name}`);
      await assert.rejects(signRecord(signer, { ...erase, [name]: { odd: 1 } } as never), DecodeError, `odd ${name}`);
    }
    await assert.rejects(signRecord(signer, { ...erase, more: 1 } as never), /unknown field/);
    await assert.rejects(signRecord(signer, { ...erase, session_uuid: '00'.repeat(16) }), /does not belong/);
    await assert.rejects(signRecord(signer, { ...erase, reason: 'x'.repeat(3000) }), DecodeError);
  });

  it('are refused under a type that is not theirs', async () => {
    const payload = encodeJson(erase);
    for (const type of ['text/plain', recordPayloadType('open'), 'application/vnd.lucid-sessions.erase+json;v=2'])
      assert.throws(
        () =>
          readRecord(
            encodeDsse({
              payloadType: type,
              payload,
              signatures: [{ keyId: 'ab'.repeat(32), signature: new Uint8Array(64) }],
            }),
          ),
        DecodeError,
      );
    const bytes = await signDsse(signer, recordPayloadType('erase'), payload);
    assert.throws(() => readRecordOf('open', bytes), DecodeError);
    assert.throws(() => decodeDsse(encodeDsse({ payloadType: 'x', payload, signatures: [] })), DecodeError);
    assert.throws(() => decodeDsse(text('[]')), DecodeError);
    assert.throws(() => decodeDsse(text('{"payload":[],"payloadType":"","signatures":{}}')), DecodeError);
  });

  it('throw nothing but DecodeError on mutated bytes', async () => {
    const good = await signRecord(signer, erase);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const bytes = good.slice();
        bytes[at] = value;
        try {
          readRecord(bytes);
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});
