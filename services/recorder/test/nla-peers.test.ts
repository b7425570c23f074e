/** Clients that know nothing of NLA, through the gateway, to real servers that demand it: with injected credentials. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RecordingFact } from '@lucid-sessions/contract';
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
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';
import { temporaryDirectory } from './spool-kit.ts';

const own: PeerUser = { userName: 'svc', password: 'inj3cted-Pässwörd' };
/** What the client's own user typed: of no use at the target, and nobody's business. */
const typedPassword = 'what-the-user-typed';

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
function assertNoSecrets(dataDir: string, gateway: Gateway, { password }: PeerUser): void {
  const secrets = [password, typedPassword];
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

for (const { name, peers, account, flags: more, server: startServer, client: startClient } of ways)
  test(`${name}, over TLS on the one side and NLA on the other`, { timeout: 120_000 }, async (t) => {
    if (skipUnlessPeers(t, ...peers)) return;
    const server = await startServer(account);
    t.after(() => server.stop());
    const dataDir = temporaryDirectory(t);
    let injected = account;
    const gateway = await startGateway(t, {
      admit: () => ({ admitted: true, ticket: ticketFor(server.port, { credentials: 'injected' }) }),
      targetCredentials: async () => credentialsOf(injected),
      config: { chunkBytesMax: 10 << 20 },
      dataDir,
    });
    const flags = ['/sec:tls', '/u:somebody', `/p:${typedPassword}`, '/size:800x600', ...more];
    const client = await startClient(`127.0.0.1:${gateway.port}`, ...flags);
    t.after(() => client.stop());
    await eventually('the typed line', async () => {
      await client.click(200, 200);
      await client.type('through nla');
      return server.typedLines().some((line) => line.includes('through nla'));
    });
    await client.closeClient();
    const ended = await gateway.reported('ended');
    assert.equal(ended.reason, 'client_disconnected', ended.message);
    await gateway.reported('drained');
    const facts = gateway.reports.flatMap((report): RecordingFact[] => (report.kind === 'fact' ? [report.fact] : []));
    const logon = facts.find((fact) => fact.kind === 'target_logon');
    assert.deepEqual([logon?.user, logon?.envelope, logon?.credsspVersion], [account.userName, 'raw', 6]);
    const notes = gateway.notes();
    assert.ok(notes.some((note) => note.type === 'client' && note.security === 'nla'));
    assert.ok(notes.some((note) => note.type === 'target_logon' && note.user === account.userName));
    assertNoSecrets(dataDir, gateway, account);

    injected = { ...account, password: 'no longer the password' };
    const second = await startClient(`127.0.0.1:${gateway.port}`, ...flags);
    t.after(() => second.stop());
    const attempt = await gateway.attempted();
    assert.deepEqual([attempt.outcome, attempt.reason], ['target_failed', 'target_logon_failed']);
    await eventually('the refusal in its log', () => /SERVER_DENIED_CONNECTION/.test(second.log('client')));
  });
