/** The index of a recorded session through the whole product: made while recording, served by rights, every look audited. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { eventually, temporaryDirectory } from '@lucid-sessions/testkit';
import { Output } from '../src/cli/output.ts';
import { extractContents } from '../src/commands/extract.ts';
import { searchRecordings } from '../src/commands/search.ts';
import { makeToken } from '../src/commands/token.ts';
import { signingSecret } from '../src/server/admin-token.ts';
import { armSession, chunkPath, sessionIn, startGateway, verifySession } from './support/gateway.ts';
import { RawClient } from './support/raw-client.ts';

interface Page {
  inputs: boolean;
  complete: boolean;
  chunks: number;
  activity: number[][];
  events: { kind: string; text?: string | null; keys?: number }[];
  pagination: { total: number };
}

test('what was typed is found by who may see it, and by nobody without a trace', async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_RATE_LIMIT_STATISTICS: '100000' });
  const { api, lucid } = gateway;
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'alice' });
  await client.type('my passphrase is swordfish\n');
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');

  // Made without being asked for, and not readable on the disk.
  const side = join(dirname(await chunkPath(gateway, id, 1)), 'side');
  await eventually('the index beside the chunks', () => existsSync(join(side, 'index-000001')), 20_000);
  for (const name of readdirSync(side)) assert.equal(readFileSync(join(side, name)).includes('swordfish'), false);

  const plain = await api.json<Page>('GET', `/sessions/${id}/index`);
  assert.equal(plain.complete, true);
  assert.ok(plain.chunks >= 1 && plain.activity.length >= 1);
  assert.ok(plain.events.some(({ kind }) => kind === 'logon'));
  const line = plain.events.find(({ kind }) => kind === 'typed');
  assert.deepEqual([line?.text, line?.keys], [null, 'my passphrase is swordfish'.length + 1]);
  assert.equal(JSON.stringify(plain).includes('swordfish'), false);
  const blind = await api.json<Page>('GET', `/sessions/${id}/events?search=swordfish`);
  assert.equal(blind.pagination.total, 0, 'searching tells nothing that may not be seen');

  const seen = await api.json<Page>('GET', `/sessions/${id}/events?search=SWORDfish&inputs=true`);
  assert.deepEqual(
    seen.events.map(({ text }) => text),
    ['my passphrase is swordfish'],
  );

  const across = async (text: string, more: Record<string, unknown> = {}) =>
    api.json<{
      recordings: { session_id: string; hits: { excerpt: string }[] }[];
      searched: number;
      not_indexed: number;
    }>('POST', '/search', { text, reason: 'case 17', ...more });
  await eventually('the whole recording to be searched', async () => (await across('swordfish')).not_indexed === 0);
  assert.deepEqual((await across('swordfish')).recordings, []);
  const [hit] = (await across('SWORDfish', { inputs: true })).recordings;
  assert.deepEqual([hit?.session_id, hit?.hits[0]?.excerpt], [id, 'my passphrase is swordfish']);
  const said: string[] = [];
  const shown = new Output(
    { stdout: { write: (line: string) => said.push(line) }, stderr: { write: () => {} } },
    false,
  );
  await searchRecordings(api, shown, 'swordfish', { reason: 'case 17', inputs: true });
  assert.match(said.join(''), /my passphrase is swordfish/);

  const secret = signingSecret(lucid.directory, {})!;
  const token = await makeToken(secret, { userId: 'eve', roles: ['session_manager'], lifetimeS: 60 });
  const eve = new RawClient({ url: lucid.addresses.api ?? '', token });
  assert.equal((await eve.json<Page>('GET', `/sessions/${id}/index`)).inputs, false);
  await assert.rejects(eve.json('GET', `/sessions/${id}/index?inputs=true`), /recordings:inputs/);
  await assert.rejects(eve.json('GET', `/sessions/${id}/contents`));

  const directory = temporaryDirectory('extract');
  const out = join(directory, 'contents');
  const extracted = await extractContents(api, new Output(process, true), id, out);
  assert.equal(extracted.files, 0);
  assert.deepEqual(JSON.parse(readFileSync(join(out, 'contents.json'), 'utf8')), []);
  await assert.rejects(extractContents(api, new Output(process, true), id, out), /there already/);

  const { events } = await api.json<{ events: { event_type: string; user_id: string; success: boolean }[] }>(
    'GET',
    `/audit?resource_id=${id}&limit=100`,
  );
  const count = (type: string, success = true) =>
    events.filter((event) => event.event_type === type && event.success === success).length;
  assert.equal(count('inputs_viewed'), 1);
  assert.equal(count('contents_extracted'), 1);
  assert.ok(count('index_accessed') >= 4);
  assert.ok(events.some((event) => event.event_type === 'permission_denied' && event.user_id === 'eve'));
});

test('a session whose input is masked keeps that something was typed, and signs that it kept no more', async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t);
  const recording_config = { input_policy: 'masked', clipboard_policy: 'none' };
  const { id, routingToken } = await armSession(gateway, desktop.port, { recording_config });
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'alice' });
  await client.type('swordfish\n');
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  assert.deepEqual(desktop.typedLines(), ['swordfish'], 'the desktop got every key');
  const { events } = await gateway.api.json<Page>('GET', `/sessions/${id}/index?inputs=true`);
  const typed = events.filter(({ kind }) => kind === 'typed');
  assert.ok(typed.length > 0 && typed.every(({ text }) => text === null));
  const { manifest, records } = await gateway.api.json<{
    manifest: { body: unknown };
    records: { kind: string; body: { policy?: Record<string, unknown> } }[];
  }>('GET', `/sessions/${id}/manifest`);
  const policy = records.find(({ kind }) => kind === 'open')?.body.policy;
  assert.deepEqual([policy?.input, policy?.clipboard], ['masked', 'none']);
  assert.match(JSON.stringify(manifest.body), /input not kept in the recording: masked/);
  assert.match(JSON.stringify(manifest.body), /clipboard not kept in the recording: none/);
  assert.equal((await verifySession(gateway, id)).clean, true);
});

test('what was typed before the host told of a logon takes a second step, which is written down', async (t) => {
  const desktop = await startDesktop({ tellsLogon: false });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_RATE_LIMIT_STATISTICS: '100000' });
  const { api } = gateway;
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'alice' });
  await client.type('opensesame\n');
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  const textOf = async (query: string) => {
    const page = await api.json<Page>('GET', `/sessions/${id}/index${query}`);
    return page.events.find(({ kind }) => kind === 'typed')?.text;
  };
  assert.equal(await textOf(''), null);
  assert.equal(await textOf('?inputs=true'), null);
  const blind = await api.json<Page>('GET', `/sessions/${id}/events?search=opensesame&inputs=true`);
  assert.equal(blind.pagination.total, 0);
  const audited = async () => {
    const { events } = await api.json<{ events: { event_type: string }[] }>(
      'GET',
      `/audit?resource_id=${id}&limit=100`,
    );
    return events.filter((event) => event.event_type === 'logon_inputs_viewed').length;
  };
  assert.equal(await audited(), 0);
  assert.equal(await textOf('?inputs=true&logon=true'), 'opensesame');
  assert.equal(await audited(), 1);
  await assert.rejects(api.json('GET', `/sessions/${id}/index?logon=true`), /ask for both/);
});
