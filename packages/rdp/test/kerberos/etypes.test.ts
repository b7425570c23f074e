/** The encryption of Kerberos against the values of RFC 3961, 3962 and 8009. */
import assert from 'node:assert/strict';
import { pbkdf2Sync } from 'node:crypto';
import { test } from 'node:test';
import { concatBytes, DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { Etype, etypesWanted, nFold, stringToKey } from '../../src/kerberos/index.ts';
import { nodeCrypto, passwordKey } from './platform.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const crypto = nodeCrypto();
const counted = (length: number): Uint8Array => new Uint8Array(length).map((_, at) => at);

test('n-fold of RFC 3961, A.1', () => {
  assert.equal(hex(nFold(ascii('012345'), 8)), 'be072631276b1955');
  assert.equal(hex(nFold(ascii('password'), 7)), '78a07b6caf85fa');
  assert.equal(hex(nFold(ascii('kerberos'), 16)), '6b65726265726f737b9b5b2b93132b93');
  assert.equal(hex(nFold(ascii('password'), 21)), '59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e');
});

test('keys from passwords: RFC 3962, B, and RFC 8009, A', () => {
  const salt = 'ATHENA.MIT.EDUraeburn';
  const sha1 = (etype: number, length: number) =>
    hex(crypto.keyOfPbkdf2(etype, pbkdf2Sync('password', salt, 1200, length, 'sha1')).value);
  assert.equal(sha1(Etype.aes128Sha1, 16), '4c01cd46d632d01e6dbe230a01ed642a');
  assert.equal(sha1(Etype.aes256Sha1, 32), '55a6ac740ad17b4846941051e1e8b0a7548d93b0ab30a8bc3ff16280382b8c2a');
  const sha2 = (etype: number, length: number, hash: string, name: string) => {
    const whole = concatBytes(ascii(name), bytes('00'), bytes('10df9dd783e5bc8acea1730e74355f61'), ascii(salt));
    return hex(crypto.keyOfPbkdf2(etype, pbkdf2Sync('password', whole, 32768, length, hash)).value);
  };
  assert.equal(
    sha2(Etype.aes128Sha256, 16, 'sha256', 'aes128-cts-hmac-sha256-128'),
    '089bca48b105ea6ea77ca5d2f39dc5e7',
  );
  assert.equal(
    sha2(Etype.aes256Sha384, 32, 'sha384', 'aes256-cts-hmac-sha384-192'),
    '45bd806dbf6a833a9cffc1c94589a222367a79bc21c413718906e9f578a78467',
  );
});

test('encryption and checksums of RFC 8009, A', () => {
  const key128 = { etype: Etype.aes128Sha256, value: bytes('3705d96080c17728a0e800eab6e0d23c') };
  const key256 = {
    etype: Etype.aes256Sha384,
    value: bytes('6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52'),
  };
  const cases = [
    [key128, 0, '7e5895eaf2672435bad817f545a37148', 'ef85fb890bb8472f4dab20394dca781dad877eda39d50c870c0d5a0a8e48c718'],
    [
      ...([key128, 6, '7bca285e2fd4130fb55b1a5c83bc5b24'] as const),
      '84d7f30754ed987bab0bf3506beb09cfb55402cef7e6877ce99e247e52d16ed4421dfdf8976c',
    ],
    [
      ...([key128, 16, '56ab21713ff62c0a1457200f6fa9948f'] as const),
      '3517d640f50ddc8ad3628722b3569d2ae07493fa8263254080ea65c1008e8fc295fb4852e7d83e1e7c48c37eebe6b0d3',
    ],
    [
      ...([key256, 0, 'f764e9fa15c276478b2c7d0c4e5f58e4'] as const),
      '41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c',
    ],
  ] as const;
  for (const [key, length, confounder, cipher] of cases) {
    assert.equal(hex(crypto.encrypt(key, 2, counted(length), bytes(confounder))), cipher);
    assert.deepEqual(crypto.decrypt(key, 2, bytes(cipher)), counted(length));
  }
  assert.equal(hex(crypto.checksum(key128, 2, counted(21)).value), 'd78367186643d67b411cba9139fc1dee');
  assert.equal(hex(crypto.checksum(key256, 2, counted(21)).value), '45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a');
});

test('what is sealed opens again, by this key, for this use, unchanged, and by nothing else', () => {
  const cases = fc.record({
    etype: fc.constantFrom(...etypesWanted),
    plain: fc.uint8Array({ maxLength: 100 }),
    usage: fc.integer({ min: 1, max: 1000 }),
    at: fc.nat(),
    flip: fc.integer({ min: 1, max: 255 }),
  });
  fc.assert(
    fc.property(cases, ({ etype, plain, usage, at, flip }) => {
      const key = crypto.randomKey(etype);
      const sealed = crypto.seal(key, usage, plain);
      assert.deepEqual(crypto.open(key, usage, sealed), plain);
      const changed = sealed.cipher.slice();
      changed[at % changed.length]! ^= flip;
      const wrong = [
        () => crypto.open(crypto.randomKey(etype), usage, sealed),
        () => crypto.open(key, usage + 1, sealed),
        () => crypto.open(key, usage, { ...sealed, cipher: changed }),
        () => crypto.open(key, usage, { ...sealed, cipher: sealed.cipher.slice(0, -1) }),
        () => crypto.open(key, usage, { ...sealed, etype: 23 }),
        () => crypto.open(key, usage, { ...sealed, cipher: sealed.cipher.slice(0, at % 28) }),
      ];
      for (const open of wrong) assert.throws(open, DecodeError);
    }),
    { numRuns: 60 },
  );
});

test('a key is made of as many rounds as are safe to ask for', () => {
  const asked = (count: number) => new Uint8Array(new Uint32Array([count]).buffer).reverse();
  assert.equal(stringToKey(18, 'x').iterations, 4096);
  assert.equal(stringToKey(20, 'x', asked(40_000)).iterations, 40_000);
  for (const bad of [asked(1), asked(4095), asked(0), asked(2 ** 31), new Uint8Array(3)])
    assert.throws(() => stringToKey(18, 'x', bad), DecodeError);
  assert.throws(() => stringToKey(23, 'x'), DecodeError);
  assert.deepEqual(passwordKey(crypto, 18, 'p', 's'), passwordKey(crypto, 18, 'p', 's'));
});
