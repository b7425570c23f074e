import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseIpAddress, parseTargetRule, type TargetPolicy, targetProblem } from '../src/index.ts';

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
  more: { host?: string; port?: number; isOwnAddress?: boolean } = {},
) => targetProblem({ host: address, address, port: 3390, isOwnAddress: false, ...more }, given);

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
] as const)
  test(`${address} is refused unless its network is allowed`, () => {
    assert.match(problem(address, policy()) ?? '', what);
    assert.match(problem(address, policy(['*'])) ?? '', what);
    // Whoever answers for a name chooses its address.
    assert.match(problem(address, policy(['desk.example']), { host: 'desk.example' }) ?? '', what);
    const opened = policy(['127.0.0.0/8', '::1', '0.0.0.0/0', '::/0']);
    assert.equal(problem(address, opened), null);
  });

test('other addresses are reached, private ones too', () => {
  for (const address of ['10.0.0.1', '192.168.1.5', '172.16.3.4', '8.8.8.8', '2001:db8::1', 'fd12::1'])
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
  const own = { port: 8087, isOwnAddress: true };
  assert.match(problem('10.0.0.5', policy(), own) ?? '', /port of the gateway/);
  assert.match(problem('127.0.0.1', policy(['127.0.0.0/8']), { port: 8087 }) ?? '', /port of the gateway/);
  assert.equal(problem('10.0.0.5', policy(['10.0.0.5:8087']), own), null);
  assert.equal(problem('10.0.0.6', policy(), { port: 8087 }), null);
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
  ])
    assert.equal(parseTargetRule(text), null, text);
  assert.deepEqual(parseTargetRule('[2001:db8::1]:3389')?.ports, { from: 3389, to: 3389 });
  assert.deepEqual(parseTargetRule('[2001:db8::]/32:3389')?.host, parseTargetRule('2001:db8::/32')?.host);
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
