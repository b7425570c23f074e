import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  earlyTargetProblem,
  parseIpAddress,
  parseLooseIpAddress,
  parseTargetRule,
  type TargetPolicy,
  targetProblem,
} from '../src/index.ts';

const rules = (...texts: string[]) =>
  texts.map((text) => {
    const rule = parseTargetRule(text);
    assert.ok(rule !== null, text);
    return rule;
  });

const policy = (allow: string[] = [], deny: string[] = []): TargetPolicy => ({
  allow: rules(...allow),
  deny: rules(...deny),
  opensLoopback: false,
  ownPorts: [3389, 8087],
});

const problem = (
  address: string,
  given: TargetPolicy,
  more: { host?: string; port?: number; ownAddresses?: string[] } = {},
) => targetProblem({ host: address, address, port: 3390, ownAddresses: [], ...more }, given);

for (const [address, what] of [
  ['127.0.0.1', /loopback/],
  ['127.8.9.1', /loopback/],
  ['::1', /loopback/],
  ['::ffff:127.0.0.1', /loopback/],
  ['64:ff9b::7f00:1', /loopback/],
  ['0.0.0.0', /unspecified/],
  ['::', /unspecified/],
  ['169.254.169.254', /link-local/],
  ['::ffff:a9fe:a9fe', /link-local/],
  ['fe80::1%eth0', /link-local/],
  ['fd00:ec2::254', /metadata/],
  ['224.0.0.1', /multicast/],
  ['ff02::1', /multicast/],
  ['255.255.255.255', /broadcast/],
  ['240.0.0.1', /reserved/],
  ['::127.0.0.1', /loopback/],
  ['::ffff:0:127.0.0.1', /loopback/],
  ['64:ff9b:1::7f00:1', /loopback/],
  ['64:ff9b:1:a9fe:00a9:fe00:0:0', /link-local/],
  ['64:ff9b:1:7f:0:1:0:0', /loopback/],
  ['64:ff9b:1:0:7f:0:100:0', /loopback/],
  ['2002:7f00:1::', /loopback/],
  ['2002:a9fe:a9fe::1', /link-local/],
  // Teredo: 169.254.169.254, inverted.
  ['2001:0:102:304:0:0:5601:5601', /link-local/],
  // ISATAP.
  ['2001:db8::5efe:127.0.0.1', /loopback/],
  ['2001:db8::200:5efe:7f00:1', /loopback/],
] as const)
  test(`${address} is refused unless its network is allowed`, () => {
    assert.match(problem(address, policy()) ?? '', what);
    assert.match(problem(address, policy(['*'])) ?? '', what);
    // Whoever answers for a name chooses its address.
    assert.match(problem(address, policy(['desk.example']), { host: 'desk.example' }) ?? '', what);
    const opened = policy(['0.0.0.0/0', '::/0']);
    assert.equal(problem(address, opened), null);
  });

test('other addresses are reached, private ones too', () => {
  for (const address of [
    '10.0.0.1',
    '192.168.1.5',
    '172.16.3.4',
    '8.8.8.8',
    '2001:db8::1',
    'fd12::1',
    '64:ff9b::10.0.0.1',
    '64:ff9b:1::a00:1',
  ])
    assert.equal(problem(address, policy()), null, address);
});

test('an allow list is all there is', () => {
  const given = policy(['*.corp.example', 'desk.example:3390', '10.1.0.0/16:3389-3399', '2001:db8::/32']);
  for (const [host, address, port, open] of [
    ['a.corp.example', '10.9.9.9', 1, true],
    ['A.Corp.Example.', '10.9.9.9', 1, true],
    ['corp.example', '10.9.9.9', 1, false],
    ['evilcorp.example', '10.9.9.9', 1, false],
    ['desk.example', '10.9.9.9', 3390, true],
    ['desk.example', '10.9.9.9', 3391, false],
    ['10.1.2.3', '10.1.2.3', 3399, true],
    ['10.1.2.3', '10.1.2.3', 3400, false],
    ['10.2.2.3', '10.2.2.3', 3390, false],
    ['x', '2001:db8:1::5', 9, true],
    ['x', '::ffff:10.1.2.3', 3390, true],
  ] as const)
    assert.equal(problem(address, given, { host, port }) === null, open, `${host} ${address} ${port}`);
});

test('what is denied is denied, whatever is allowed', () => {
  const given = policy(['*', '127.0.0.0/8'], ['10.0.0.0/8', '*.secret.example', '*:22']);
  assert.match(problem('10.1.2.3', given) ?? '', /DENY/);
  assert.match(problem('9.9.9.9', given, { host: 'a.secret.example' }) ?? '', /DENY/);
  assert.match(problem('9.9.9.9', given, { port: 22 }) ?? '', /DENY/);
  assert.equal(problem('9.9.9.9', given), null);
});

test("the gateway's own ports are reached only where a rule names the port", () => {
  const own = { port: 8087, ownAddresses: ['10.0.0.5', '2001:db8::5', 'fe80::7%eth0'] };
  assert.match(problem('10.0.0.5', policy(), own) ?? '', /port of the gateway/);
  assert.match(problem('127.0.0.1', policy(['127.0.0.0/8']), { port: 8087 }) ?? '', /port of the gateway/);
  assert.equal(problem('10.0.0.5', policy(['10.0.0.5:8087']), own), null);
  assert.equal(problem('10.0.0.6', policy(), { ...own }), null);
  // However its own address is written, or carried.
  for (const address of [
    '::ffff:10.0.0.5',
    '::ffff:a00:5',
    '64:ff9b::10.0.0.5',
    '2001:0DB8:0:0::5',
    'fe80::7',
    '0.0.0.0',
    '::',
  ]) {
    const opened = policy(['0.0.0.0/0', '::/0', '*']);
    assert.match(problem(address, opened, own) ?? '', /port of the gateway/, address);
  }
  // Whoever answers for a name chooses its address.
  for (const rule of ['*:8087', 'desk.example:8087', '*.example:8000-9000'])
    assert.match(problem('10.0.0.5', policy([rule]), { ...own, host: 'desk.example' }) ?? '', /port of the gateway/);
});

test('where the RDP door is on loopback, desktops there are reached, and still not the gateway', () => {
  const local = { ...policy(), opensLoopback: true };
  for (const address of ['127.0.0.1', '::1']) assert.equal(problem(address, local), null);
  assert.match(problem('127.0.0.1', local, { port: 8087 }) ?? '', /port of the gateway/);
  assert.match(problem('169.254.169.254', local) ?? '', /link-local/);
  assert.match(problem('127.0.0.1', { ...policy(['10.0.0.0/8']), opensLoopback: true }) ?? '', /not in/);
});

test('rules that say nothing are none', () => {
  for (const text of [
    '',
    ':',
    'a:b',
    'a:70000',
    'a:5-3',
    '10.0.0.0/33',
    '10.0.0.0/x',
    '1.2.3',
    '300.1.1.1',
    '[::1',
    'a b',
    '::/129',
    '*.',
    '1.2.3.4/8/9',
    '-:1-2-3',
    '0x7f.1',
    '127.1',
    'a.0x7f000001',
    '2130706433',
    'b\u00fccher.example',
    'a:-1',
    'a:1-70000',
    '*.*.example',
    'fe80::1%eth0',
  ])
    assert.equal(parseTargetRule(text), null, text);
  assert.deepEqual(parseTargetRule('[2001:db8::1]:3389')?.ports, { from: 3389, to: 3389 });
  assert.deepEqual(parseTargetRule('[2001:db8::]/32:3389')?.host, parseTargetRule('2001:db8::/32')?.host);
});

test("a rule for mapped addresses is one for IPv4; a translator's prefix is denied as such", () => {
  assert.deepEqual(parseTargetRule('::ffff:10.0.0.0/104')?.host, parseTargetRule('10.0.0.0/8')?.host);
  assert.match(problem('10.1.2.3', policy([], ['::ffff:10.0.0.0/104'])) ?? '', /DENY/);
  assert.match(problem('64:ff9b::9.9.9.9', policy([], ['64:ff9b::/96'])) ?? '', /DENY/);
  assert.match(problem('2002:909:909::1', policy([], ['9.9.9.9'])) ?? '', /DENY/);
  // Only IPv6 is open: an IPv4 address in other clothes is not.
  assert.match(problem('::ffff:9.9.9.9', policy(['::/0'])) ?? '', /not in/);
});

const early = (host: string, given: TargetPolicy, port = 3390) =>
  earlyTargetProblem({ host, port, ownAddresses: ['10.0.0.5'] }, given);

test('what name or address alone decide is known before anything is resolved', () => {
  for (const [host, what] of [
    ['127.0.0.1', /loopback/],
    ['[::1]', /loopback/],
    ['[::ffff:7f00:1]', /loopback/],
    ['127.1', /loopback/],
    ['2130706433', /loopback/],
    ['0x7f000001', /loopback/],
    ['0x7f.0.1', /loopback/],
    ['0177.0.0.1', /loopback/],
    ['0', /unspecified/],
    ['localhost', /loopback/],
    ['LocalHost.', /loopback/],
    ['a.localhost', /loopback/],
    ['0xA9FEA9FE', /link-local/],
  ] as const)
    assert.match(early(host, policy()) ?? '', what, host);
  for (const host of ['desk.example', '10.1', 'localhost.example', '1.2.3.4.5', '127.0.0.256', '10.0.0.5', 'a..b'])
    assert.equal(early(host, policy()), null, host);
  assert.match(early('167772165', policy(), 8087) ?? '', /port of the gateway/);
  assert.equal(early('localhost', { ...policy(), opensLoopback: true }), null);
  assert.equal(early('localhost', policy(['127.0.0.0/8'])), null);
});

test('a name is refused where no address could open it, and waits for its address otherwise', () => {
  const given = policy(['*.corp.example:3390', '10.0.0.0/8:4000-5000'], ['*.secret.corp.example']);
  for (const [host, port, open] of [
    ['a.corp.example', 3390, true],
    ['A.CORP.example.', 3390, true],
    ['corp.example', 3390, false],
    ['x.example', 3390, false],
    // A network may open it.
    ['x.example', 4500, true],
    ['b.secret.corp.example', 3390, false],
    ['b.secret.corp.example..', 3390, false],
  ] as const)
    assert.equal(early(host, given, port) === null, open, `${host}:${port}`);
});

test('what is refused early is refused when it is dialled, whatever it is', () => {
  const host = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.integer({ min: 0, max: 0xffffffff }).map((number) => `0x${number.toString(16)}`),
    fc.constantFrom('127.1', '169.254.1', '::1', '0', '64:ff9b::7f00:1', '2002:7f00:1::'),
  );
  const list = fc.subarray(['10.0.0.0/8', '*', '127.0.0.0/8:3000-4000', '::/0', '0.0.0.0/1', '*:22']);
  fc.assert(
    fc.property(host, list, list, fc.constantFrom(22, 3389, 3390, 8087), (text, allow, deny, port) => {
      const given = policy(allow, deny);
      const bytes = parseLooseIpAddress(text);
      assert.ok(bytes !== null, text);
      const address = bytes.length === 4 ? bytes.join('.') : text;
      const late = targetProblem({ host: text, address, port, ownAddresses: ['10.0.0.5'] }, given);
      assert.equal(early(text, given, port), late);
    }),
    { numRuns: 2000 },
  );
});

test("numbers are read as the system's resolver reads them", async () => {
  const part = fc.oneof(
    fc.constantFrom('0', '1', '127', '255', '256', '0x7f', '0177', '08', '0x', '', '65535', '16777216', '4294967296'),
    fc.nat({ max: 0x1ffffffff }).map(String),
  );
  const texts = fc.sample(fc.array(part, { minLength: 1, maxLength: 5 }), 300).map((parts) => parts.join('.'));
  for (const text of texts) {
    const ours = parseLooseIpAddress(text)?.join('.') ?? null;
    if (ours === null) continue;
    assert.equal((await lookup(text)).address, ours, text);
  }
});

test('addresses are read as Node reads them', () => {
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef:.'), maxLength: 20 }),
  );
  fc.assert(
    fc.property(text, (address) => {
      assert.equal(parseIpAddress(address)?.length ?? 0, { 0: 0, 4: 4, 6: 16 }[isIP(address)], address);
    }),
    { numRuns: 3000 },
  );
});
