/** Signed .rdp files, looked at by openssl: nothing of Windows is here to open them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cmsSignature, readCmsSigner, signedPart, signRdpFile } from '@lucid-sessions/api';

const folder = mkdtempSync(join(tmpdir(), 'lucid-rdp-sign-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });

function makePair(name: string, ...newKey: string[]): ReturnType<typeof readCmsSigner> {
  const subject = ['-subj', `/CN=${name}`, '-addext', 'extendedKeyUsage=serverAuth', '-days', '2'];
  openssl('req', '-x509', '-nodes', ...newKey, ...subject, '-keyout', at(`${name}.key`), '-out', at(`${name}.crt`));
  return readCmsSigner(readFileSync(at(`${name}.crt`), 'utf8'), readFileSync(at(`${name}.key`), 'utf8'));
}

const rsa = makePair('rsa', '-newkey', 'rsa:2048');
const ec = makePair('ec', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256');

const file = [
  'full address:s:gateway.example:3389',
  'loadbalanceinfo:s:Cookie: msts=secret',
  'desktopwidth:i:1920',
  'enablecredsspsupport:i:0',
  '',
].join('\r\n');

/** The lines of a signed file, its signature behind the header, and what it is over by what the file says. */
function takeApart(signed: string): { lines: string[]; header: number[]; signature: Buffer; message: Buffer } {
  const lines = signed.split('\r\n').filter((line) => line !== '');
  const encoded = lines.pop()!;
  assert.match(encoded, /^signature:s:[A-Za-z0-9+/]+=*$/);
  const bytes = Buffer.from(encoded.slice('signature:s:'.length), 'base64');
  const header = [0, 4, 8].map((offset) => bytes.readUInt32LE(offset));
  const { message } = signedPart(lines.filter((line) => !line.startsWith('signscope')));
  return { lines, header, signature: bytes.subarray(12), message };
}

function verify(signature: Buffer, message: Buffer, authority: string): void {
  writeFileSync(at('signature.der'), signature);
  writeFileSync(at('message.bin'), message);
  const files = ['-in', at('signature.der'), '-content', at('message.bin'), '-CAfile', at(authority)];
  openssl('cms', '-verify', '-binary', '-inform', 'DER', ...files, '-purpose', 'any', '-out', at('out.bin'));
  assert.deepEqual(readFileSync(at('out.bin')), message);
}

for (const [name, signer] of [
  ['rsa', rsa],
  ['ec', ec],
] as const)
  test(`a signed file says what is signed, and openssl agrees (${name})`, () => {
    const { lines, header, signature, message } = takeApart(signRdpFile(file, signer));
    assert.deepEqual(header, [0x00010001, 1, signature.length]);
    assert.deepEqual(lines.slice(0, 4), file.split('\r\n').slice(0, 4), 'what was there stays as it was');
    assert.deepEqual(lines.slice(4), [
      'alternate full address:s:gateway.example:3389',
      'signscope:s:Full Address,Alternate Full Address,EnableCredSspSupport,LoadBalanceInfo',
    ]);
    assert.equal(
      message.toString('utf16le'),
      [
        'full address:s:gateway.example:3389',
        'alternate full address:s:gateway.example:3389',
        'enablecredsspsupport:i:0',
        'loadbalanceinfo:s:Cookie: msts=secret',
        'signscope:s:Full Address,Alternate Full Address,EnableCredSspSupport,LoadBalanceInfo',
        '\0',
      ].join('\r\n'),
    );
    verify(signature, message, `${name}.crt`);
    assert.throws(() =>
      verify(signature, Buffer.from(message.toString('utf16le').replace('secret', 'seCret'), 'utf16le'), `${name}.crt`),
    );
  });

test('the signature is what openssl makes of the same, byte for byte', () => {
  const message = Buffer.from('any text', 'utf16le');
  writeFileSync(at('message.bin'), message);
  const signer = ['-signer', at('rsa.crt'), '-inkey', at('rsa.key')];
  const theirs = openssl('cms', '-sign', '-binary', '-noattr', '-outform', 'DER', '-in', at('message.bin'), ...signer);
  assert.deepEqual(cmsSignature(rsa, message), theirs);
});

test('a chain goes along, and its root is enough to verify', () => {
  openssl(
    'req',
    '-new',
    '-nodes',
    '-newkey',
    'rsa:2048',
    '-subj',
    '/CN=leaf',
    '-keyout',
    at('leaf.key'),
    '-out',
    at('leaf.csr'),
  );
  openssl(
    'x509',
    '-req',
    '-in',
    at('leaf.csr'),
    '-CA',
    at('rsa.crt'),
    '-CAkey',
    at('rsa.key'),
    '-days',
    '2',
    '-out',
    at('leaf.crt'),
  );
  const chain = readFileSync(at('leaf.crt'), 'utf8') + readFileSync(at('rsa.crt'), 'utf8');
  const { signature, message } = takeApart(
    signRdpFile(file, readCmsSigner(chain, readFileSync(at('leaf.key'), 'utf8'))),
  );
  verify(signature, message, 'rsa.crt');
});

test('what can not sign is refused at once', () => {
  const [certificate, key] = [readFileSync(at('rsa.crt'), 'utf8'), readFileSync(at('ec.key'), 'utf8')];
  assert.throws(() => readCmsSigner(certificate, key), /not a pair/);
  assert.throws(() => readCmsSigner('', key), /not a pair/);
  assert.throws(() => readCmsSigner(certificate, 'x'));
});
