/** Real clients, by TLS or NLA, through the gateway to real servers that demand NLA: with injected credentials. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ConnectionAttempt, RecordingFact } from '@lucid-sessions/contract';
import { ntHashOf } from '@lucid-sessions/rdp/auth';
import {
  eventually,
  gnomeUser,
  type PeerClient,
  type PeerName,
  type PeerServer,
  type PeerUser,
  skipUnlessPeers,
  startGnome,
  startShadow3,
  startShadowNla,
  startXfreerdp,
  startXfreerdp3,
} from '@lucid-sessions/testkit';
import { type Gateway, type GatewayOptions, startGateway, ticketFor } from './gateway-kit.ts';
import { temporaryDirectory } from './spool-kit.ts';

const own: PeerUser = { userName: 'svc', password: 'inj3cted-Pässwörd' };
/** What the client's own user typed: of no use at the target, and nobody's business. */
const typedPassword = 'what-the-user-typed';
/** What the gateway gave the session's user. */
const gatewayUser = 'lucid-222222222222';
const gatewaySecret = 'abcd-efgh-jkmn-pqrs-tuvw-xyz2';

interface Way {
  name: string;
  peers: PeerName[];
  server: (user: PeerUser) => Promise<PeerServer>;
  client: (hostAndPort: string, ...flags: string[]) => Promise<PeerClient>;
  /** Whom the server knows. */
  account: PeerUser;
  flags: string[];
}

const ways: Way[] = [
  {
    ...{ name: 'xfreerdp 2 to shadow 2', peers: ['xfreerdp', 'shadow'], flags: [], account: own },
    ...{ server: startShadowNla, client: startXfreerdp },
  },
  {
    ...{ name: 'xfreerdp 3 to shadow 3', peers: ['xfreerdp3', 'shadow3'], flags: [], account: own },
    ...{ server: startShadow3, client: startXfreerdp3 },
  },
  {
    ...{ name: 'xfreerdp 2 to GNOME', peers: ['xfreerdp', 'gnome'], flags: ['/gfx'], account: gnomeUser },
    ...{ server: startGnome, client: startXfreerdp },
  },
];

function credentialsOf({ userName, password }: PeerUser) {
  return { credentials: { username: userName, domain: '', password } };
}

/** Of everything the gateway wrote or told. */
function assertNoSecrets(dataDir: string, gateway: Gateway, secrets: readonly string[]): void {
  const written = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
  const told = [gateway.reports, gateway.attempts, gateway.problems, gateway.lines].map((list) => JSON.stringify(list));
  const recorded = gateway.frames().map(({ body }) => Buffer.from(body));
  const everything = Buffer.concat([...written, ...told.map((text) => Buffer.from(text)), ...recorded]);
  for (const secret of secrets)
    for (const encoding of ['utf8', 'utf16le'] as const)
      assert.equal(everything.includes(Buffer.from(secret, encoding)), false, `${secret} in ${encoding}`);
}

const factsOf = (gateway: Gateway): RecordingFact[] =>
  gateway.reports.flatMap((report) => (report.kind === 'fact' ? [report.fact] : []));

interface Work extends Way {
  t: TestContext;
  target: PeerServer;
}

/** A client types a line into the target, leaves, and what is recorded holds no password. */
async function work({ t, target, account, flags, client: startClient }: Work, text: string, more: Through) {
  const dataDir = temporaryDirectory(t);
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(target.port, { credentials: 'injected' }) }),
    targetCredentials: async () => credentialsOf(account),
    dataDir,
    ...more.gateway,
    config: { chunkBytesMax: 10 << 20, ...more.gateway.config },
  });
  const client = await startClient(`127.0.0.1:${gateway.port}`, '/size:800x600', ...flags, ...more.flags);
  t.after(() => client.stop());
  await eventually(`"${text}" typed`, async () => {
    await client.click(200, 200);
    await client.type(text);
    return target.typedLines().some((line) => line.includes(text));
  });
  await client.closeClient();
  const ended = await gateway.reported('ended');
  assert.equal(ended.reason, 'client_disconnected', ended.message);
  await gateway.reported('drained');
  const logon = factsOf(gateway).find((fact) => fact.kind === 'target_logon');
  assert.deepEqual([logon?.user, logon?.envelope, logon?.credsspVersion], [account.userName, 'raw', 6]);
  const notes = gateway.notes();
  assert.ok(notes.some((note) => note.type === 'client' && note.security === 'nla'));
  assert.ok(notes.some((note) => note.type === 'target_logon' && note.user === account.userName));
  assertNoSecrets(dataDir, gateway, [account.password, typedPassword, gatewaySecret]);
  return gateway;
}

/** How the client comes in. */
interface Through {
  gateway: Partial<GatewayOptions>;
  flags: string[];
}

const overTls: Through = { gateway: {}, flags: ['/sec:tls', '/u:somebody', `/p:${typedPassword}`] };
const overNla: Through = {
  gateway: {
    config: { nla: 'required' },
    logonAccount: async (user) =>
      user === gatewayUser ? { sessionId: 'session-1', ntHash: ntHashOf(gatewaySecret), standing: 'good' } : null,
  },
  flags: ['/sec:nla', `/u:${gatewayUser}`, `/p:${gatewaySecret}`],
};

for (const way of ways)
  test(`${way.name}: TLS or NLA to the gateway, NLA to the target`, { timeout: 180_000 }, async (t) => {
    if (skipUnlessPeers(t, ...way.peers)) return;
    const target = await way.server(way.account);
    t.after(() => target.stop());
    await work({ ...way, t, target }, 'in by tls', overTls);
    const gateway = await work({ ...way, t, target }, 'in by nla', overNla);
    const logon = factsOf(gateway).find((fact) => fact.kind === 'client_logon');
    assert.deepEqual([logon?.user, logon?.version], [gatewayUser, 6]);

    const refusing = async (more: Through, account: PeerUser): Promise<[ConnectionAttempt, PeerClient]> => {
      const other = await startGateway(t, {
        admit: () => ({ admitted: true, ticket: ticketFor(target.port, { credentials: 'injected' }) }),
        targetCredentials: async () => credentialsOf(account),
        ...more.gateway,
      });
      const client = await way.client(`127.0.0.1:${other.port}`, ...way.flags, ...more.flags);
      t.after(() => client.stop());
      return [await other.attempted(), client];
    };
    const [atTarget, told] = await refusing(overTls, { ...way.account, password: 'no longer the password' });
    assert.deepEqual([atTarget.outcome, atTarget.reason], ['target_failed', 'target_logon_failed']);
    await eventually('the refusal in its log', () => /SERVER_DENIED_CONNECTION/.test(told.log('client')));
    const guess = { ...overNla, flags: ['/sec:nla', `/u:${gatewayUser}`, '/p:a-guess'] };
    const [atGateway, refused] = await refusing(guess, way.account);
    assert.deepEqual([atGateway.outcome, atGateway.reason], ['refused', 'logon_failed']);
    await eventually('the failure in its log', () => /LOGON_FAILURE/.test(refused.log('client')));
  });
