/**
 * Whole sessions with targets that are logged on to by Kerberos: a real KDC, and FreeRDP 3's shadow with a keytab, whose acceptor is that of
 * MIT's libraries. Afterwards everything that was written is searched for the passwords.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { EnvironmentError } from '@lucid-sessions/kit';
import { decodeNote, frameKinds, type GatewayNote } from '@lucid-sessions/recording';
import {
  eventually,
  Kdc,
  type PeerClient,
  type PeerServer,
  shadowUser,
  skipUnlessPeers,
  startShadow3,
  startShadow3Kerberos,
  startXfreerdp,
  temporaryDirectory,
} from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { readKerberosTickets } from '../src/server/kerberos.ts';
import { armSession, type Gateway, readRecording, sessionIn, startGateway, verifySession } from './support/gateway.ts';

const password = 'in-the-Realm-älone';
const typed = 'what-the-user-typed';

interface House {
  kdc: Kdc;
  keytab: string;
  gateway: Gateway;
}

async function startHouse(t: TestContext, policy: string): Promise<House> {
  const kdc = await Kdc.start();
  t.after(() => kdc.stop());
  kdc.addUser('alice', password, '+requires_preauth');
  kdc.addUser('test', shadowUser.password, '+requires_preauth');
  const keytab = kdc.addService('TERMSRV/localhost');
  const gateway = await startGateway(t, {
    LUCID_RECONNECT_SECONDS: '0',
    RDP_REFUSAL_SECONDS: '0',
    LUCID_KERBEROS: policy,
    LUCID_KERBEROS_REALMS: `LAB=${kdc.realm}`,
    KRB5_CONFIG: kdc.config,
  });
  return { kdc, keytab, gateway };
}

async function connect(
  t: TestContext,
  { gateway }: House,
  server: PeerServer,
  account: { username: string; domain: string; password: string },
): Promise<{ id: string; client: PeerClient }> {
  const rdp_config = { host: 'localhost' };
  const { id, routingToken } = await armSession(gateway, server.port, { rdp_config, target_credentials: account });
  const client = await startXfreerdp(
    `127.0.0.1:${gateway.rdpPort}`,
    ...['/sec:tls', '/u:mallory', `/p:${typed}`, '-decorations', `/load-balance-info:Cookie: msts=${routingToken}`],
  );
  t.after(() => client.stop());
  return { id, client };
}

/** Types, leaves; what the recording says of the logon. */
async function work({ gateway }: House, server: PeerServer, id: string, client: PeerClient): Promise<GatewayNote[]> {
  await sessionIn(gateway, id, 'recording');
  await eventually('a line typed on the server', async () => {
    await client.click(200, 200);
    await client.type('by ticket');
    return server.typedLines().some((line) => line.includes('by ticket'));
  });
  await client.closeClient();
  await sessionIn(gateway, id, 'completed');
  const report = await verifySession(gateway, id);
  assert.deepEqual([report.findings, report.verdicts.completeness], [[], 'whole']);
  const frames = await readRecording(gateway, id);
  return frames.filter(({ kind }) => kind === frameKinds.note).map(({ body }) => decodeNote(body));
}

async function assertNowhere(gateway: Gateway, id: string, secrets: readonly string[]): Promise<void> {
  const root = gateway.lucid.directory.root;
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const session = await gateway.api.json<SessionAnswer>('GET', `/sessions/${id}`);
  const frames = (await readRecording(gateway, id)).map(({ body }) => Buffer.from(body));
  const all = [
    ...files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))),
    ...[Buffer.from(gateway.logged.join('\n')), Buffer.from(JSON.stringify(session)), Buffer.concat(frames)],
  ];
  assert.ok(files.length > 10);
  for (const secret of secrets)
    for (const encoding of ['utf8', 'utf16le'] as const)
      for (const bytes of all) assert.equal(bytes.includes(Buffer.from(secret, encoding)), false, secret);
}

test('xfreerdp to a host that takes Kerberos alone: recorded, verified, no password kept', {
  timeout: 240_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp', 'shadow3', 'kdc')) return;
  const house = await startHouse(t, 'require');
  const server = await startShadow3Kerberos({ config: house.kdc.config, keytab: house.keytab });
  t.after(() => server.stop());
  const { id, client } = await connect(t, house, server, { username: 'alice', domain: 'lab', password });
  const notes = await work(house, server, id, client);
  const logon = notes.find((note) => note.type === 'target_logon');
  assert.deepEqual(logon, {
    ...{ type: 'target_logon', user: 'lab\\alice', method: 'kerberos', envelope: 'spnego', credsspVersion: 6 },
  });
  await assertNowhere(house.gateway, id, [password, typed]);
  await connect(t, house, server, { username: 'alice', domain: 'LAB', password: 'a guess' });
  const words = /the realm says that the password .* is wrong/;
  await eventually('a refusal in words', () => house.gateway.logged.some((line) => words.test(line)));
  assert.ok(house.gateway.logged.every((line) => !line.includes(password) && !line.includes('a guess')));
});

test('a host that has no key of the realm is logged on to by NTLM where that may be, as a fact', {
  timeout: 240_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp', 'shadow3', 'kdc')) return;
  const house = await startHouse(t, 'prefer,other.test=require');
  const server = await startShadow3();
  t.after(() => server.stop());
  const account = { username: shadowUser.userName, domain: 'LAB', password: shadowUser.password };
  const { id, client } = await connect(t, house, server, account);
  const notes = await work(house, server, id, client);
  assert.ok(notes.some((note) => note.type === 'target_logon' && note.method === 'ntlm'));
  assert.ok(
    notes.some((note) => note.type === 'downgrade' && note.what.startsWith('NTLM to the target in place of Kerberos')),
  );
});

test('settings that can not be followed are named at the start', () => {
  const folder = temporaryDirectory('kerberos');
  const write = (name: string, content: string, mode = 0o600): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode });
    return path;
  };
  const KRB5_CONFIG = write('krb5.conf', '[libdefaults]\ndefault_realm = LAB.TEST\n');
  const on = { LUCID_KERBEROS: 'prefer', KRB5_CONFIG };
  const own = { ...on, LUCID_KERBEROS_KEYTAB_TARGETS: 'a.test', LUCID_KERBEROS_PRINCIPAL: 'gateway@LAB.TEST' };
  const empty = write('empty.keytab', '\x05\x02');
  assert.equal(readKerberosTickets({}), null);
  assert.equal(readKerberosTickets(on)?.own, null);
  const wrong: [string, Record<string, string>][] = [
    ['KRB5_CONFIG', { ...on, KRB5_CONFIG: join(folder, 'none') }],
    ['KRB5_CONFIG', { ...on, KRB5_CONFIG: write('odd.conf', 'nonsense') }],
    ['LUCID_KERBEROS', { ...on, LUCID_KERBEROS: 'yes' }],
    ['LUCID_KERBEROS_REALMS', { ...on, LUCID_KERBEROS_REALMS: 'LAB' }],
    ['LUCID_KERBEROS_KEYTAB_TARGETS', { ...own, LUCID_KERBEROS_KEYTAB_TARGETS: '0x7f.1' }],
    ['LUCID_KERBEROS_PRINCIPAL', { ...own, LUCID_KERBEROS_PRINCIPAL: 'gateway' }],
    ['LUCID_KERBEROS_KEYTAB', own],
    ['LUCID_KERBEROS_KEYTAB', { ...own, LUCID_KERBEROS_KEYTAB: empty }],
    ['LUCID_KERBEROS_KEYTAB', { ...own, LUCID_KERBEROS_KEYTAB: write('open.keytab', '\x05\x02', 0o644) }],
    ['LUCID_KERBEROS_KEYTAB', { ...own, LUCID_KERBEROS_KEYTAB: write('no.keytab', 'something else') }],
  ];
  for (const [variable, environment] of wrong)
    assert.throws(
      () => readKerberosTickets(environment),
      (error: EnvironmentError) => error.variable === variable,
      variable,
    );
});
