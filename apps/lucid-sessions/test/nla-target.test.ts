/**
 * The whole product in front of a real host that demands network level authentication: the session's credentials open it, its user types
 * their own, and neither stands in any file, in clear or in a recording that is opened again.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeNote, frameKinds } from '@lucid-sessions/recording';
import { eventually, skipUnlessPeers, startShadow3, startXfreerdp, temporaryDirectory } from '@lucid-sessions/testkit';
import {
  armSession,
  attemptedSession,
  readRecording,
  sessionIn,
  startGateway,
  verifySession,
} from './support/gateway.ts';

const account = { userName: 'svc', password: 'inj3cted-Pässwörd' };
const typed = 'what-the-user-typed';
const wrong = 'no-longer-the-password';

const encoded = (secrets: readonly string[]): Buffer[] =>
  secrets.flatMap((secret) => [Buffer.from(secret, 'utf8'), Buffer.from(secret, 'utf16le')]);

test('a host that demands NLA, recorded from its creation to its verification', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow3', 'xfreerdp')) return;
  const dataDir = temporaryDirectory('nla');
  const server = await startShadow3(account);
  t.after(() => server.stop());
  const gateway = await startGateway(t, { LUCID_DATA_DIR: dataDir, LUCID_RECONNECT_SECONDS: '0' });
  const arm = (password: string) =>
    armSession(gateway, server.port, { target_credentials: { username: account.userName, password } });
  const connect = async (routingToken: string) => {
    const flags = ['/sec:tls', '/u:somebody', `/p:${typed}`, '/size:800x600'];
    const client = await startXfreerdp(
      `127.0.0.1:${gateway.rdpPort}`,
      `/load-balance-info:Cookie: msts=${routingToken}`,
      ...flags,
    );
    t.after(() => client.stop());
    return client;
  };

  const refused = await arm(wrong);
  const turnedAway = await connect(refused.routingToken);
  const attempt = (await attemptedSession(gateway, refused.id)).last_attempt;
  assert.equal(attempt?.reason, 'target_logon_failed');
  await turnedAway.closeClient();

  const { id, routingToken } = await arm(account.password);
  const client = await connect(routingToken);
  await eventually('the typed line', async () => {
    await client.click(200, 200);
    await client.type('recorded through nla');
    return server.typedLines().some((line) => line.includes('recorded through nla'));
  });
  await client.closeClient();
  const session = await sessionIn(gateway, id, 'completed');
  assert.equal(session.last_attempt ?? null, null);
  const report = await verifySession(gateway, id);
  assert.equal(report.clean, true, JSON.stringify(report.findings));

  const frames = await readRecording(gateway, id);
  const notes = frames.filter(({ kind }) => kind === frameKinds.note).map(({ body }) => decodeNote(body));
  assert.ok(notes.some((note) => note.type === 'target_logon' && note.user === account.userName));
  const opened = Buffer.concat(frames.map(({ body }) => Buffer.from(body)));
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => ({ path: join(entry.parentPath, entry.name) }));
  assert.ok(files.length > 10);
  for (const secret of encoded([account.password, typed, wrong])) {
    assert.equal(opened.includes(secret), false, `${secret} in the recording`);
    for (const { path } of files) assert.equal(readFileSync(path).includes(secret), false, `${secret} in ${path}`);
    assert.equal(Buffer.from(gateway.logged.join('\n')).includes(secret), false, `${secret} in the log`);
  }
});
