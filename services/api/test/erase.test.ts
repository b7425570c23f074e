/** Erasing keys through the API, what verification says before and after, and the public log. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readRecordOf } from '@lucid-sessions/evidence';
import { nodeDecompressor } from '@lucid-sessions/node';
import { type ApiWorld, apiWorld } from './world.ts';

let world: ApiWorld;
let recorded: string;
before(async () => {
  const files: Record<string, string> = { checkpoint: 'signed', 'tile/0/000.p/1': 'hash' };
  const readLogFile = async (path: string) => (Object.hasOwn(files, path) ? Buffer.from(files[path]!) : null);
  world = await apiWorld({}, { readLogFile });
  recorded = await world.record();
});
after(() => world.dispose());

const at = (session_id: string) => ({ params: { session_id } });
const body = (confirm: string) => ({ confirm, reason: 'asked for' });

test('with a key this host holds, frames that can not be read are a finding', async () => {
  const { verification } = world.deps;
  // What this world records is sealed as it should be, and holds no frames.
  world.deps.verification = { ...verification, decompressor: nodeDecompressor };
  const answer = await world.call('verifySession', at(recorded));
  world.deps.unwrapKey = async () => null;
  const keyless = await world.call('verifySession', at(recorded));
  world.deps.verification = verification;
  assert.deepEqual(
    [
      (answer.body.verdicts as { readability: string }).readability,
      (keyless.body.verdicts as { readability: string }).readability,
    ],
    ['unreadable', 'not_checked'],
  );
  assert.deepEqual((answer.body.verdicts as { integrity: string }).integrity, 'intact');
});

test('only administrators erase, and only what they name twice', async () => {
  for (const role of ['session_manager', 'session_operator', 'session_viewer', 'auditor']) {
    const refused = await world.call('eraseSession', { ...at(recorded), body: body(recorded), roles: [role] });
    assert.equal(refused.status, 403, role);
  }
  const other = await world.call('eraseSession', { ...at(recorded), body: body('another') });
  assert.deepEqual([other.status, other.body.error?.code], [400, 'LUCID_ERR_3002']);
  const without = await world.call('eraseSession', { ...at(recorded), body: { reason: 'x' } });
  assert.equal(without.status, 400);
  const nobody = await world.call('eraseSession', { ...at('nobody'), body: body('nobody') });
  assert.deepEqual([nobody.status, nobody.body.error?.code], [404, 'LUCID_ERR_3001']);
  const live = await world.create();
  await world.connect(live);
  const busy = await world.call('eraseSession', { ...at(live), body: body(live) });
  assert.deepEqual([busy.status, busy.body.error?.code], [409, 'LUCID_ERR_3004']);
  assert.ok((await world.deps.storage.getWraps({ sessionId: recorded })).wraps.length > 0);
});

test('erasing is signed, logged, audited and in the custody chain once; the proof stays clean', async () => {
  const { storage } = world.deps;
  const first = await world.call('eraseSession', { ...at(recorded), body: body(recorded) });
  assert.deepEqual([first.status, first.body.erased, first.body.wraps_destroyed], [200, 'keys', 1]);
  const again = await world.call('eraseSession', { ...at(recorded), body: body(recorded) });
  assert.deepEqual(again.body, { ...first.body, wraps_destroyed: 0 });
  assert.equal((await storage.getWraps({ sessionId: recorded })).wraps.length, 0);
  const { body: report } = await world.call('verifySession', at(recorded));
  const verdicts = report.verdicts as Record<string, string>;
  assert.deepEqual(
    [report.clean, report.states, verdicts.integrity, verdicts.completeness, verdicts.readability],
    [true, ['RECOVERED', 'SHREDDED'], 'intact', 'whole', 'shredded'],
  );
  const { records } = await storage.getRecords({ sessionId: recorded, kind: 'custody' });
  const shredded = records.filter(({ record }) => readRecordOf('custody', record).body.action === 'key_shred');
  assert.equal(shredded.length, 1);
  const { events } = await storage.listAudit({ eventType: 'key_shredded', resourceId: recorded, limit: 50, offset: 0 });
  assert.deepEqual([events[0]?.userId, events[0]?.success], ['ada', true]);
  assert.equal((await world.call('getKey', at(recorded))).status, 404);
});

test('the log is open to everyone, and only the log', async () => {
  const checkpoint = await fetch(`${world.address}/log/checkpoint`);
  assert.deepEqual(
    [checkpoint.status, checkpoint.headers.get('cache-control'), checkpoint.headers.get('access-control-allow-origin')],
    [200, 'no-cache', '*'],
  );
  assert.equal(await checkpoint.text(), 'signed');
  const tile = await fetch(`${world.address}/log/tile/0/000.p/1`);
  assert.deepEqual(
    [await tile.text(), tile.headers.get('cache-control')],
    ['hash', 'public, max-age=31536000, immutable'],
  );
  for (const path of ['head.sqlite', 'tile/0/000', '%2e%2e%2fkeys', 'constructor'])
    assert.equal((await fetch(`${world.address}/log/${path}`)).status, 404, path);
});
