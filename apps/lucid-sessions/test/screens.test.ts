/**
 * The whole product with everything it shows before a session: a text, a second person in the console, a form for credentials; then
 * a real host that demands NLA, a recording that verifies, and no file that holds what was typed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, skipUnlessPeers, startShadow3, startXfreerdp, temporaryDirectory } from '@lucid-sessions/testkit';
import { makeToken } from '../src/commands/token.ts';
import { loadAdminToken } from '../src/server/admin-token.ts';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { armSession, readRecording, sessionIn, startGateway, verifySession } from './support/gateway.ts';
import { RawClient } from './support/raw-client.ts';

const account = { userName: 'formperson', password: 'F0rm-Passw0rd' };
const wrong = 'Wr0ng-Passw0rd';
const consent = 'Everything you do here is recorded.';
/** Pictures of what is shown, where somebody wants to look at it. */
const shots = process.env.SCREEN_SHOTS;

interface ManifestAnswer {
  manifest: { body: Record<string, { [name: string]: unknown }[]> };
}

test('acknowledged, let in, signed in, recorded', { timeout: 180_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow3', 'xfreerdp', 'chromium')) return;
  const dataDir = temporaryDirectory('screens');
  const textFile = join(dataDir, 'consent.txt');
  writeFileSync(textFile, `${consent}\n`, { mode: 0o600 });
  const server = await startShadow3(account);
  t.after(() => server.stop());
  const gateway = await startGateway(t, {
    LUCID_DATA_DIR: dataDir,
    LUCID_RECONNECT_SECONDS: '0',
    RDP_CONSENT_TEXT_FILE: textFile,
    RDP_APPROVAL: 'on',
  });
  const { id, routingToken } = await armSession(gateway, server.port, { target_credentials: { provider: 'client' } });
  const client = await startXfreerdp(
    `127.0.0.1:${gateway.rdpPort}`,
    `/load-balance-info:Cookie: msts=${routingToken}`,
    ...['/sec:tls', `/u:${account.userName}`, '/p:', '/size:1024x768', '/kbd:0x409'],
  );
  t.after(() => client.stop());
  const secret = readFileSync(join(dataDir, 'secrets', 'jwt'), 'utf8').trim();
  const token = await makeToken(secret, { userId: 'bob', roles: ['session_manager'], lifetimeS: 600 });
  const bob = new RawClient({ url: gateway.lucid.addresses.api ?? '', token });
  const page = await ConsolePage.open(await startBrowser(t), gateway.lucid.addresses.api ?? '');
  await page.signIn((await loadAdminToken(gateway.lucid.directory, {}))?.token ?? '', {
    userId: 'bob',
    roles: ['session_manager'],
  });
  const waits = async (): Promise<boolean> =>
    (await bob.json<{ approvals: unknown[] }>('GET', '/approvals')).approvals.length > 0;
  // What is shown is told by colours that the screen before has not: a button, a field, a problem.
  await eventually('the text', () => client.shows(0x1d5fbf));
  await client.type('');
  await eventually('it waits', waits);
  const reason = page.page.getByLabel('Reason');
  await reason.fill('change 12');
  if (shots !== undefined) {
    await client.screenshot(`${shots}/waiting.png`);
    await page.page.screenshot({ path: `${shots}/approval.png` });
  }
  await page.page.getByRole('button', { name: 'Approve' }).click();
  await reason.waitFor({ state: 'detached' });
  await eventually('the form', () => client.shows(0xf5f7fa));
  await client.type(wrong);
  await eventually('what is wrong', () => client.shows(0xb42318));
  if (shots !== undefined) await client.screenshot(`${shots}/form.png`);
  await client.type(account.password);
  await eventually('the typed line', async () => {
    await client.click(200, 200);
    await client.type('behind all screens');
    return server.typedLines().some((line) => line.includes('behind all screens'));
  });
  await client.closeClient();
  await sessionIn(gateway, id, 'completed');
  const report = await verifySession(gateway, id);
  assert.equal(report.clean, true, JSON.stringify(report.findings));
  const answer = await gateway.api.json<ManifestAnswer>('GET', `/sessions/${id}/manifest`);
  const { consents = [], approvals = [] } = answer.manifest.body;
  assert.deepEqual(
    consents.map(({ text_sha256, user }) => [text_sha256, user]),
    [[createHash('sha256').update(consent).digest('hex'), account.userName]],
  );
  assert.deepEqual(
    approvals.map(({ by, reason: why }) => [by, why]),
    [['bob', 'change 12']],
  );
  assert.deepEqual(page.problems, []);

  const opened = Buffer.concat((await readRecording(gateway, id)).map(({ body }) => Buffer.from(body)));
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const typed of [account.password, wrong])
    for (const bytes of [Buffer.from(typed, 'utf8'), Buffer.from(typed, 'utf16le')]) {
      assert.equal(opened.includes(bytes), false, 'in the recording');
      for (const { parentPath, name } of files)
        assert.equal(readFileSync(join(parentPath, name)).includes(bytes), false, name);
      assert.equal(Buffer.from(gateway.logged.join('\n')).includes(bytes), false, 'in the log');
    }
});
