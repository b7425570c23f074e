/** Tickets from a real KDC, and what is said where there is none. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type EncryptionKey, etypesWanted } from '@lucid-sessions/rdp/kerberos';
import type { TicketAnswer, TicketAsked } from '@lucid-sessions/recorder';
import { freePort, Kdc, skipUnlessPeers } from '@lucid-sessions/testkit';
import { KerberosTickets, type Krb5Conf, keysOf, parseKeytab, parseKrb5Conf } from '../src/index.ts';

const password = 'Prüf-ungs "Wort" 1';
const asked = (username: string, more: Partial<TicketAsked> & { password?: string } = {}): TicketAsked => ({
  credentials: { username, domain: 'LUCID.TEST', password: more.password ?? password },
  host: 'localhost',
  timeoutMs: 20_000,
  signal: new AbortController().signal,
  ...more,
});

const tickets = (conf: Krb5Conf, realms: Record<string, string> = {}): KerberosTickets =>
  new KerberosTickets({ conf, realms: new Map(Object.entries(realms)) });

async function realKdc(
  t: TestContext,
  encryption?: string,
): Promise<{ kdc: Kdc; port: KerberosTickets; conf: Krb5Conf }> {
  const kdc = await Kdc.start(encryption === undefined ? {} : { encryption });
  t.after(() => kdc.stop());
  kdc.addService('TERMSRV/localhost');
  const conf = parseKrb5Conf(readFileSync(kdc.config, 'utf8'));
  return { kdc, conf, port: tickets(conf) };
}

const said = (answer: TicketAnswer): string => (answer.kind === 'failed' ? answer.how : answer.kind);

test('an MIT KDC gives a ticket for a password, and each of its refusals is what it is', {
  timeout: 120_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'kdc')) return;
  const { kdc, port, conf } = await realKdc(t);
  kdc.addUser('plain', 'plain');
  kdc.addUser('proof', 'proof', '+requires_preauth');
  kdc.addUser('expired', 'expired', '-expire', '2020-01-01');
  kdc.addUser('oldword', 'oldword', '-pwexpire', '2020-01-01');
  kdc.addUser('locked', 'locked', '-allow_tix');
  for (const name of ['plain', 'proof']) {
    const answer = await port.ticket(asked(name, { password: name }));
    assert.ok(answer.kind === 'ticket', JSON.stringify(answer));
    assert.deepEqual([answer.ticket.clientRealm, answer.ticket.client.parts], ['LUCID.TEST', [name]]);
    assert.equal(said(await port.ticket(asked(name, { password: 'guess' }))), 'wrongPassword');
  }
  assert.equal(said(await port.ticket(asked('nobody'))), 'unknownAccount');
  assert.equal(said(await port.ticket(asked('plain', { password: 'plain', host: 'unknown.test' }))), 'unknownService');
  assert.equal(said(await port.ticket(asked('expired', { password: 'expired' }))), 'accountExpired');
  assert.equal(said(await port.ticket(asked('oldword', { password: 'oldword' }))), 'passwordExpired');
  assert.equal(said(await port.ticket(asked('locked', { password: 'locked' }))), 'accountRevoked');
  // By the domain as people write it.
  const mapped = tickets(conf, { lab: 'LUCID.TEST', 'mail.test': 'LUCID.TEST' });
  const ways = [
    { username: 'LAB\\plain', domain: '' },
    { username: 'plain', domain: 'lab' },
    { username: 'plain', domain: '' },
  ];
  for (const way of [...ways, { username: 'plain@lucid.test', domain: '' }, { username: 'plain', domain: 'LUCID' }])
    assert.equal(said(await mapped.ticket(asked('', { credentials: { ...way, password: 'plain' } }))), 'ticket');
  // A user name that is no principal: MIT looks it up as it is, Active Directory by its attribute.
  const upn = { username: 'plain@mail.test', domain: '', password: 'plain' };
  assert.equal(said(await mapped.ticket(asked('', { credentials: upn }))), 'unknownAccount');
  await kdc.stop();
  assert.equal(said(await port.ticket(asked('plain', { password: 'plain' }))), 'unreachable');
});

const names = [
  'aes256-cts-hmac-sha1-96',
  'aes128-cts-hmac-sha1-96',
  'aes256-cts-hmac-sha384-192',
  'aes128-cts-hmac-sha256-128',
];
for (const [at, name] of names.entries())
  test(`an MIT KDC that knows ${name} alone`, { timeout: 120_000 }, async (t) => {
    if (skipUnlessPeers(t, 'kdc')) return;
    const { kdc, port } = await realKdc(t, name);
    kdc.addUser('alice', password, '+requires_preauth');
    const answer = await port.ticket(asked('alice'));
    assert.ok(answer.kind === 'ticket', JSON.stringify(answer));
    assert.equal(answer.ticket.key.etype, etypesWanted[at]);
    assert.equal(said(await port.ticket(asked('alice', { password: 'guess' }))), 'wrongPassword');
  });

test('the gateway’s own account gets a ticket by the keys of a real keytab, with a password of nobody’s', {
  timeout: 120_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'kdc')) return;
  const { kdc, conf } = await realKdc(t);
  const file = kdc.addService('gateway/host');
  kdc.admin('modprinc +requires_preauth gateway/host');
  const entries = parseKeytab(readFileSync(file));
  const keys = keysOf(entries, kdc.realm, 'gateway/host');
  assert.ok(keys.length >= 2);
  const client = { nameType: 1, parts: ['gateway', 'host'] };
  const of = (...which: EncryptionKey[]) =>
    new KerberosTickets({ conf, realms: new Map(), own: { realm: kdc.realm, client, keys: which } });
  const own = { ...of(...keys).own!, password: '' };
  assert.deepEqual(own, { username: 'gateway/host', domain: kdc.realm, password: '' });
  // Any key will do, once more with the same one.
  for (const key of [...keys, keys[0]!]) {
    const answer = await of(key).ticket(asked('', { credentials: own }));
    assert.ok(answer.kind === 'ticket', JSON.stringify(answer));
    assert.deepEqual(answer.ticket.client.parts, ['gateway', 'host']);
  }
  assert.equal(
    said(await of(...keys).ticket(asked('', { credentials: { ...own, username: 'alice' } }))),
    'notApplicable',
  );
  assert.equal(said(await tickets(conf).ticket(asked('', { credentials: own }))), 'notApplicable');
  kdc.admin('change_password -randkey gateway/host');
  assert.equal(said(await of(...keys).ticket(asked('', { credentials: own }))), 'wrongPassword');
  for (let end = 0; end < 60; end += 1) assert.ok(cutKeytab(readFileSync(file), end));
});

/** Cut anywhere it is refused, or has fewer keys. */
function cutKeytab(bytes: Buffer, end: number): boolean {
  try {
    return parseKeytab(bytes.subarray(0, end)).length < parseKeytab(bytes).length;
  } catch (error) {
    return /no keytab/.test((error as Error).message);
  }
}

test('a service of another realm is reached by the trust between two real KDCs', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'kdc')) return;
  const near = await Kdc.start({ realm: 'NEAR.TEST' });
  t.after(() => near.stop());
  const far = await Kdc.start({ realm: 'FAR.TEST' });
  t.after(() => far.stop());
  near.addUser('alice', password, '+requires_preauth');
  far.addService('TERMSRV/localhost');
  near.trust(far, 'between the two');
  const realms = [near, far].map(({ realm, port }) => `${realm} = {\nkdc = 127.0.0.1:${port}\n}\n`).join('');
  const conf = parseKrb5Conf(`[realms]\n${realms}[domain_realm]\nlocalhost = FAR.TEST\n`);
  const account = { username: 'alice@near.test', domain: '', password };
  const answer = await tickets(conf).ticket(asked('', { credentials: account }));
  assert.ok(answer.kind === 'ticket', JSON.stringify(answer));
  assert.equal(answer.ticket.clientRealm, 'NEAR.TEST');
  await far.stop();
  assert.equal(said(await tickets(conf).ticket(asked('', { credentials: account }))), 'unreachable');
});

const confOf = (...kdcs: string[]): Krb5Conf =>
  parseKrb5Conf(
    `[libdefaults]\ndefault_realm = LUCID.TEST\ndns_lookup_kdc = no\n[realms]\nLUCID.TEST = {\n${kdcs.map((kdc) => `kdc = ${kdc}\n`).join('')}}\n`,
  );

test('accounts of no realm and targets by address are told apart before anybody is asked', async () => {
  const port = tickets(confOf('127.0.0.1:1'));
  const of = async (username: string, domain: string, host = 'localhost') =>
    said(await port.ticket(asked('', { host, credentials: { username, domain, password } })));
  assert.equal(await of('alice', 'LUCID', '10.0.0.1'), 'notApplicable');
  assert.equal(await of('alice', 'LUCID', '::1'), 'notApplicable');
  for (const [username, domain] of [
    ['alice', '.'],
    ['.\\alice', ''],
    ['alice', 'OTHER'],
    ['', ''],
    ['alice@', ''],
  ])
    assert.equal(await of(username!, domain!), 'notApplicable', `${domain}\\${username}`);
  assert.equal(await of('alice', 'LUCID'), 'unreachable');
});

test('KDCs that are silent, lie or hang up cost no more than the time there is, and leave no password behind', async (t) => {
  const seen: Buffer[] = [];
  const listen = async (answer: (socket: import('node:net').Socket) => void): Promise<string> => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).on('data', (bytes) => seen.push(bytes as Buffer));
      answer(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const silent = await listen(() => {});
  const rude = await listen((socket) => socket.destroy());
  const loud = await listen((socket) => socket.write(Buffer.from('7fffffff00', 'hex')));
  const odd = await listen((socket) => socket.write(Buffer.from('000000020102', 'hex')));
  const ask = (timeoutMs: number, ...kdcs: string[]) => tickets(confOf(...kdcs)).ticket(asked('alice', { timeoutMs }));
  const all = await ask(600, `127.0.0.1:${await freePort()}`, rude, loud, silent);
  assert.ok(all.kind === 'failed' && all.how === 'unreachable');
  assert.match(all.problem, /ECONNREFUSED.*closed the connection.*answer of 2147483647 bytes.*no answer in time/s);
  assert.equal(said(await ask(5000, odd)), 'refused');
  assert.equal(said(await tickets(confOf()).ticket(asked('alice'))), 'unreachable');
  const leaving = new AbortController();
  const left = tickets(confOf(silent)).ticket(asked('alice', { signal: leaving.signal }));
  leaving.abort();
  assert.equal(said(await left), 'unreachable');
  for (const encoding of ['utf8', 'utf16le'] as const)
    assert.ok(!Buffer.concat(seen).includes(Buffer.from(password, encoding)));
});
