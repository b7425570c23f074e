import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { channelPdus, inspectCapture, readCapture } from '../src/index.ts';

const captures = new URL('../captures/', import.meta.url).pathname;
const names = readdirSync(captures).filter((name) => name.endsWith('.rdpcap.gz'));
const windows = process.env.WINDOWS_CAPTURES ?? '';
const skip = windows === '' ? 'set WINDOWS_CAPTURES to the folder of recorded Windows sessions' : false;

for (const name of names)
  test(`${name}: nothing malformed, what was typed is found, and its password is in no frame`, () => {
    const found = inspectCapture(readCapture(join(captures, name)), ['Rdp-pass1']);
    assert.equal(found.malformed, 0);
    assert.deepEqual(found.unsupported, {});
    assert.equal(found.clearSecrets, 0);
    assert.equal(found.violation, undefined);
    assert.ok(found.pdus > 50);
    assert.ok(found.secretsBlanked > 0);
    assert.equal(found.unread, 0);
  });

test('the secret of a capture is looked for in UTF-8 and UTF-16, in what everybody may see', () => {
  const capture = readCapture(join(captures, 'xorg-clip-drive.rdpcap.gz'));
  const last = capture.records.at(-1)!;
  const behind = [
    ...channelPdus(true, 1005, Buffer.from('swordfish swordfish')),
    ...channelPdus(true, 1005, Buffer.from('swordfish', 'utf16le')),
    // cliprdr: sealed.
    ...channelPdus(true, 1006, Buffer.from('swordfish')),
  ].map(({ fromServer, bytes }) => ({ ...last, fromServer, bytes }));
  const longer = { ...capture, records: [...capture.records, ...behind] };
  assert.equal(inspectCapture(capture, ['swordfish']).clearSecrets, 0);
  assert.equal(inspectCapture(longer, ['swordfish']).clearSecrets, 3);
});

test('keys and clicks are told', () => {
  const found = inspectCapture(readCapture(join(captures, 'xorg-default.rdpcap.gz')));
  assert.ok(found.typed > 5 && found.clicks > 0 && found.inputs > found.typed);
  assert.equal(found.channels.cliprdr, 'clipboard');
});

test('one JSON line, and a usage for whoever asks without a capture', () => {
  const inspect = new URL('../src/inspect.ts', import.meta.url).pathname;
  const run = (...args: string[]) => spawnSync(process.execPath, [inspect, ...args], { encoding: 'utf8' });
  const path = join(captures, 'xorg-clip-drive.rdpcap.gz');
  const line = run(path, '--secret', 'nobody');
  assert.equal(line.status, 0);
  assert.deepEqual(JSON.parse(line.stdout), inspectCapture(readCapture(path), ['nobody']));
  assert.equal(line.stdout.split('\n').length, 2);
  for (const args of [[], [path, path], [path, '--secret']]) {
    const { status, stderr } = run(...args);
    assert.equal(status, 2);
    assert.match(stderr, /usage: inspect/);
  }
});

test('a file that is not there, or is no capture, is a sentence of inspect and render', () => {
  const readme = new URL('../../README.md', import.meta.url).pathname;
  for (const [command, ...more] of [['inspect'], ['render', '/tmp/never-written.png']])
    for (const [path, message] of [
      ['nowhere.rdpcap.gz', /^there is no nowhere\.rdpcap\.gz\n$/],
      [readme, /README\.md can't be read: .+\n$/],
    ] as const) {
      const program = new URL(`../src/${command}.ts`, import.meta.url).pathname;
      const { status, stdout, stderr } = spawnSync(process.execPath, [program, path, ...more], { encoding: 'utf8' });
      assert.deepEqual([status, stdout], [1, '']);
      assert.match(stderr, message);
      assert.equal(stderr.split('\n').length, 2, stderr);
    }
});

/** What must be found of whom: sessions that were refused have no desktop to click on. */
const inputsExpected = new Set([
  'htb-rdp-0',
  'rdp-nla-kerberos-auth1-0',
  'rdp-nla-smartcard-auth1-0',
  'rdp-no-nla-accepted1-0',
  'rdp-restricted-admin-accepted1-0',
  'rdp-restricted-admin-rejected1-0',
]);

test('of every recorded Windows session nothing is malformed, and inputs and clicks are found', { skip }, () => {
  for (const file of readdirSync(windows).filter((name) => name.endsWith('.rdpcap.gz'))) {
    const name = file.replace('.rdpcap.gz', '');
    const found = inspectCapture(readCapture(join(windows, file)));
    assert.equal(found.malformed, 0, name);
    assert.deepEqual(found.unsupported, {}, name);
    assert.equal(found.violation, undefined, name);
    assert.equal(found.unread, 0, name);
    assert.equal(Object.values(found.channels).includes('unknown'), false, name);
    if (inputsExpected.has(name)) assert.ok(found.inputs > 50 && found.clicks > 0, name);
  }
});
