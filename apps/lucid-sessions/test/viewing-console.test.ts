/** Asking to see a recording, agreeing and giving shares in the console, by three people in three browsers. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { makeAgeIdentity } from '@lucid-sessions/keys';
import { skipUnlessPeers } from '@lucid-sessions/testkit';
import { ownShares } from '../src/commands/identity-file.ts';
import { makeToken } from '../src/commands/token.ts';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { recordSession, startGateway } from './support/gateway.ts';

test('who asks waits, others agree and give shares, and the recording opens by itself', {
  timeout: 300_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'chromium')) return;
  const holders = await Promise.all([1, 2].map(() => makeAgeIdentity()));
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, {
    LUCID_VIEWING: 'approval',
    LUCID_KEY_HOLDERS: holders.map(({ recipient }) => recipient).join(','),
    LUCID_KEY_THRESHOLD: '2',
  });
  const id = await recordSession(gateway, desktop.port);
  const secret = readFileSync(join(gateway.lucid.directory.root, 'secrets', 'jwt'), 'utf8').trim();
  const browser = await startBrowser(t);
  const person = async (userId: string) => {
    const opened = await ConsolePage.open(browser, gateway.lucid.addresses.api!);
    await opened.signIn(await makeToken(secret, { userId, roles: ['admin'], lifetimeS: 900 }), { userId });
    return opened;
  };
  const [ann, bob] = [await person('ann'), await person('bob')];

  await ann.page.goto(new URL(`/sessions/${id}`, gateway.lucid.addresses.api).href);
  const gate = ann.page.getByRole('region', { name: 'Shown on request only' });
  await gate.getByText('a second person has to agree; 2 holders of its key').waitFor();
  await gate.getByLabel('Why?').fill('incident 7');
  await gate.getByRole('button', { name: 'Ask' }).click();
  await gate.getByText('Waits for a second person · 0 of 2 shares given').waitFor();
  assert.equal(
    ann.requests.some((path) => path.endsWith('/key')),
    false,
    'nothing of it was asked for',
  );

  await bob.page.getByRole('link', { name: 'Requests' }).click();
  const request = bob.page.getByRole('region', { name: 'Request of ann' });
  await request.getByText('incident 7').waitFor();
  const { viewings } = await gateway.api.json<{ viewings: { shares: { holders: Parameters<typeof ownShares>[0] } }[] }>(
    'GET',
    `/sessions/${id}/viewings`,
  );
  const shares = await ownShares(
    viewings[0]!.shares.holders,
    holders.map(({ identity }) => identity),
  );
  for (const { index, share } of shares) {
    await request.getByText('Give my share of the key').click();
    await request.getByLabel('Your share of the key').fill(share);
    await request.getByRole('button', { name: 'Give' }).click();
    await request.getByText(`${index} of 2 shares given`).waitFor();
  }
  await request.getByLabel('Reason').fill('as agreed');
  await request.getByRole('button', { name: 'Approve' }).click();
  await request.getByText('bob agreed: as agreed').waitFor();

  await ann.waitForPicture();
  await request.getByLabel('Reason').fill('enough');
  await request.getByRole('button', { name: 'Take back' }).click();
  await bob.page.getByText('Nobody asks to see a recording now.').waitFor();
  await ann.page.reload();
  await gate.getByText('bob refused: enough').waitFor();
  assert.deepEqual([ann.problems, bob.problems], [[], []]);
});
