/** What was typed, against somebody who may play the recording and has every chunk and the key, but no right to inputs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { frameFlags } from '@lucid-sessions/recording';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import { makeToken } from '../src/commands/token.ts';
import { signingSecret } from '../src/server/admin-token.ts';
import { armSession, keysFor, readRecording, sessionIn, startGateway, verifySession } from './support/gateway.ts';
import { RawClient } from './support/raw-client.ts';

test('the playback key opens pictures and no typed password', async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t);
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'alice' });
  await client.type('swordfish\n');
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');

  const secret = signingSecret(gateway.lucid.directory, {})!;
  const token = await makeToken(secret, { userId: 'eve', roles: ['session_manager'], lifetimeS: 60 });
  const eve = { api: new RawClient({ url: gateway.lucid.addresses.api ?? '', token }) };
  await assert.rejects(keysFor(eve.api, id, true), /recordings:inputs/);
  assert.equal((await keysFor(eve.api, id, false)).inputs, null);

  const [all, hers] = [await readRecording(gateway, id), await readRecording(eve, id, false)];
  assert.equal(hers.length, all.length);
  const typedIn = (frames: typeof all) => {
    const indexer = new SessionIndexer();
    for (const frame of frames) indexer.push({ ...frame, flags: frame.flags & ~frameFlags.inputs });
    return indexer.take(0, true).events.filter((event) => event.kind === 'typed');
  };
  assert.deepEqual(
    typedIn(all).map(({ text }) => text),
    ['swordfish'],
  );
  // Her decoder ignores the flag, and gets noise.
  assert.equal(JSON.stringify(typedIn(hers)).includes('swordfish'), false);
  let sealed = 0;
  for (const [i, { body, flags }] of hers.entries()) {
    const plain = Buffer.from(all[i]!.body);
    if ((flags & frameFlags.inputs) === 0) {
      assert.equal(plain.equals(body), true, 'everything else is hers');
      continue;
    }
    sealed += 1;
    assert.equal(body.length, plain.length);
    assert.equal(plain.equals(body), false);
  }
  assert.ok(sealed >= 'swordfish'.length);
  assert.equal((await verifySession(gateway, id)).clean, true);

  const { events } = await gateway.api.json<{ events: { event_type: string; user_id: string }[] }>(
    'GET',
    `/audit?resource_id=${id}&limit=100`,
  );
  assert.ok(events.some((event) => event.event_type === 'permission_denied' && event.user_id === 'eve'));
  assert.ok(events.some((event) => event.event_type === 'inputs_viewed' && event.user_id !== 'eve'));
});
