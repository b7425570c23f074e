/** Values others have published: RFC 1320, RFC 6229, [MS-NLMP] 4.2. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as auth from '../../src/auth/index.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

test('MD4 gives the values of RFC 1320, A.5', () => {
  const suite = {
    '': '31d6cfe0d16ae931b73c59d7e0c089c0',
    a: 'bde52cb31de33e46245e05fbdbd6fb24',
    abc: 'a448017aaf21d8525fc10ae87aa6729d',
    'message digest': 'd9130a8164549fe818874806e1c7014b',
    abcdefghijklmnopqrstuvwxyz: 'd79e1c308aa5bbcdeea8ed63df412da9',
    ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789: '043f8582f241db351ce627e153e7f0e4',
    '12345678901234567890123456789012345678901234567890123456789012345678901234567890':
      'e33b4ddc9c38f2199c3e7b164fcc0536',
  };
  for (const [text, digest] of Object.entries(suite)) assert.equal(hex(auth.md4(utf8(text))), digest, text);
});

test('RC4 gives the streams of RFC 6229', () => {
  const suite: [key: string, first: string, at1024: string][] = [
    ['0102030405', 'b2396305f03dc027ccc3524a0a1118a8', '30abbcc7c20b01609f23ee2d5f6bb7df'],
    ['0102030405060708090a0b0c0d0e0f10', '9ac7cc9a609d1ef7b2932899cde41b97', 'bdf0324e6083dcc6d3cedd3ca8c53c16'],
  ];
  for (const [key, first, at1024] of suite) {
    const stream = new auth.Rc4(bytes(key)).apply(new Uint8Array(1040));
    assert.equal(hex(stream.subarray(0, 16)), first);
    assert.equal(hex(stream.subarray(1024)), at1024);
  }
  assert.throws(() => new auth.Rc4(new Uint8Array(0)), RangeError);
});

const ofSpecification = {
  /** [MS-NLMP] 4.2.1 */
  exportedKey: bytes('55'.repeat(16)),
  serverChallenge: bytes('0123456789abcdef'),
  /** 4.2.4.1.3 */
  blob: bytes(
    `0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000
     0200 0c00 44006f006d00610069006e00 0100 0c00 530065007200760065007200 00000000 00000000`,
  ),
};

test('NTLMv2 computes what [MS-NLMP] 4.2.4 shows', () => {
  const { serverChallenge, blob, exportedKey } = ofSpecification;
  const ntHash = auth.ntHashOf('Password');
  assert.equal(hex(ntHash), 'a4f49c406510bdcab6824ee7c30fd852');
  const responseKey = auth.responseKeyOf(ntHash, 'User', 'Domain');
  assert.equal(hex(responseKey), '0c868a403bfd7a93a3001ef22ef02e3f');
  const proof = auth.proofOf(responseKey, serverChallenge, blob);
  assert.equal(hex(proof), '68cd0ab851e51c96aabc927bebef6a1c');
  const baseKey = auth.sessionBaseKeyOf(responseKey, proof);
  assert.equal(hex(baseKey), '8de40ccadbc14a82f15cb0ad0de95ca3');
  assert.equal(hex(auth.exchangeKey(baseKey, exportedKey)), 'c5dad2544fc9799094ce1ce90bc9d03e');
  assert.equal(hex(auth.exchangeKey(baseKey, auth.exchangeKey(baseKey, exportedKey))), hex(exportedKey));
  const lmResponse = auth.hmacMd5(responseKey, serverChallenge, bytes('aaaaaaaaaaaaaaaa'));
  assert.equal(hex(lmResponse), '86c35097ac9cec102554764a57cccc19');
});

test('NTLM seals as [MS-NLMP] 4.2.4.4 shows, and opens it', () => {
  const { exportedKey } = ofSpecification;
  const { sign, seal } = auth.directionKeys(exportedKey, 'client-to-server');
  assert.equal(hex(sign), '4788dc861b4782f35d43fd98fe1a2d39');
  assert.equal(hex(seal), '59f600973cc4960a25480a7c196e4c58');
  const plain = Buffer.from('Plaintext', 'utf16le');
  const wrapped = new auth.NtlmSealing(exportedKey, 'client').seal(plain);
  assert.equal(hex(wrapped), '010000007fb38ec5c55d4976000000005' + '4e50165bf1936dc996020c1811b0f06fb5f');
  assert.equal(hex(new auth.NtlmSealing(exportedKey, 'server').open(wrapped)), hex(plain));
});

test('a signature over the list of mechanisms leaves the cipher where it was, and the number behind', () => {
  const { exportedKey } = ofSpecification;
  const client = new auth.NtlmSealing(exportedKey, 'client');
  const server = new auth.NtlmSealing(exportedKey, 'server');
  const plain = new auth.NtlmSealing(exportedKey, 'client').seal(Buffer.from('text'));
  const list = auth.mechTypesDer([auth.Mechanism.ntlm]);
  assert.equal(hex(list), '300c060a2b06010401823702020a');
  server.verifyMic(list, client.mic(list));
  const wrapped = client.seal(Buffer.from('text'));
  assert.deepEqual(wrapped.subarray(16), plain.subarray(16));
  assert.equal(hex(wrapped.subarray(12, 16)), '01000000');
  assert.equal(Buffer.from(server.open(wrapped)).toString(), 'text');
});

test('user names become upper case unit by unit, and only where a unit stays one', () => {
  for (const [name, upper] of [
    ['alice', 'ALICE'],
    ['straße', 'STRAßE'],
    ['émile', 'ÉMILE'],
    ['ﬁx', 'ﬁX'],
    ['\u{1F600}a\ud800', '\u{1F600}A\ud800'],
    ['user@domain', 'USER@DOMAIN'],
  ] as const)
    assert.equal(auth.upperUnits(name), upper);
});

test('what has another signature, number or length is not opened', () => {
  const { exportedKey } = ofSpecification;
  const wrapped = new auth.NtlmSealing(exportedKey, 'client').seal(Buffer.from('text'));
  const spoiled = [
    wrapped.subarray(0, 15),
    wrapped.subarray(0, 16),
    ...[0, 4, 11, 12, 16, 19].map((at) => wrapped.map((byte, i) => (i === at ? byte ^ 1 : byte))),
  ];
  for (const one of spoiled)
    assert.throws(() => new auth.NtlmSealing(exportedKey, 'server').open(one), { name: 'DecodeError' });
  const server = new auth.NtlmSealing(exportedKey, 'server');
  server.open(wrapped);
  assert.throws(() => server.open(wrapped), { name: 'DecodeError' }, 'a repetition');
});
