/** Keys from first to last: made, rotated under recordings that stay whole and readable, and destroyed for good. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import {
  hashLeaf,
  inclusionRanges,
  logEntry,
  loggedSession,
  parseSignedCheckpoint,
  readRecordOf,
  tileRangeHash,
  verifyInclusion,
} from '@lucid-sessions/evidence';
import { eventually, temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { type Gateway, recordSession, startGateway, verifySession } from './support/gateway.ts';

async function record(t: TestContext, gateway: Gateway): Promise<string> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  return recordSession(gateway, desktop.port);
}

const verdictsOf = async (gateway: Gateway, id: string) => {
  const { clean, verdicts, states, findings } = await verifySession(gateway, id);
  return { clean, integrity: verdicts.integrity, readability: verdicts.readability, states, findings };
};

const readable = { clean: true, integrity: 'intact', readability: 'readable', states: [], findings: [] };

test('keys are rotated under a recording, and then destroyed', { timeout: 240_000 }, async (t) => {
  const directory = temporaryDirectory('keys');
  const dataDir = join(directory, 'data');
  const auditorFile = join(directory, 'auditor.txt');
  const cli = (args: string[], more: Record<string, string> = {}) =>
    runCli(['--json', '--data-dir', dataDir, ...args], more);

  const made = await cli(['keys', 'init', '--auditor', auditorFile]);
  assert.equal(made.code, 0, made.stderr);
  const { auditor, keys } = JSON.parse(made.stdout) as { auditor: { recipient: string }; keys: { purpose: string }[] };
  assert.deepEqual(
    keys.map(({ purpose }) => purpose),
    ['identity', 'log', 'local'],
  );
  assert.equal(statSync(auditorFile).mode & 0o077, 0);
  assert.doesNotMatch(made.stdout, /AGE-SECRET|PRIVATE/);
  assert.equal((await cli(['keys', 'init', '--auditor', auditorFile])).code, 1, 'nothing is overwritten');

  const before = await startGateway(t, { LUCID_DATA_DIR: dataDir });
  const id = await record(t, before);
  assert.deepEqual(await verdictsOf(before, id), readable);
  const refused = await cli(['keys', 'rotate', 'local']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /services are running with these keys; stop them/);
  await before.lucid.dispose();

  const identity = JSON.parse((await cli(['keys', 'rotate', 'identity'])).stdout) as { before: string; after: string };
  assert.notEqual(identity.before, identity.after);
  const local = await cli(['keys', 'rotate', 'local']);
  assert.equal(local.code, 0, local.stderr);
  const { rewrapped, before: oldLocal, destroyed } = JSON.parse(local.stdout) as Record<string, unknown>;
  assert.deepEqual([rewrapped, destroyed], [1, [oldLocal]]);
  const withAuditor = { LUCID_RECIPIENTS: auditor.recipient };
  const recipients = await cli(['keys', 'rotate', 'recipients'], withAuditor);
  assert.deepEqual((JSON.parse(recipients.stdout) as { rewrapped: number }).rewrapped, 1);
  const again = await cli(['keys', 'rotate', 'recipients'], withAuditor);
  assert.equal((JSON.parse(again.stdout) as { rewrapped: number }).rewrapped, 0, 'a second time nothing is left to do');

  const gateway = await startGateway(t, { LUCID_DATA_DIR: dataDir, ...withAuditor });
  assert.deepEqual(await verdictsOf(gateway, id), readable, 'signed by the retired key, read with the new one');
  const second = await record(t, gateway);
  assert.deepEqual(await verdictsOf(gateway, second), readable);
  const policy = await gateway.api.json<{ identity_keys: { valid_to_us?: number }[] }>('GET', '/evidence/policy');
  assert.deepEqual(
    policy.identity_keys.map(({ valid_to_us }) => valid_to_us !== undefined),
    [false, true],
  );
  const rotated = await gateway.api.json<{ events: { details: { key: string } }[] }>(
    'GET',
    '/audit?event_type=key_rotated',
  );
  assert.deepEqual(
    rotated.events.map(({ details }) => details.key),
    ['recipients', 'recipients', 'local', 'identity'],
  );

  const online = (args: string[]) => cli(['--api', gateway.api.url, ...args]);
  await t.test('the auditor reads with their own key, offline', async () => {
    const out = join(directory, 'bundle');
    assert.equal((await online(['export', id, '--out', out])).code, 0);
    const judged = await cli(['verify', out, '--policy', `${out}.policy.json`, '--identity', auditorFile]);
    assert.equal(judged.code, 0, judged.stdout);
    assert.equal((JSON.parse(judged.stdout) as { verdicts: { readability: string } }).verdicts.readability, 'readable');
  });

  await t.test('shredding asks twice, is signed and logged, and leaves the proof', async () => {
    const shred = ['keys', 'shred', id, '--reason', 'the customer asked'];
    assert.equal((await online(shred)).code, 2);
    assert.equal((await online([...shred, '--confirm', second])).code, 2);
    const done = await online([...shred, '--confirm', id]);
    assert.equal(done.code, 0, done.stderr);
    const first = JSON.parse(done.stdout) as { wraps_destroyed: number; log_index: number; record_sha256: string };
    assert.equal(first.wraps_destroyed, 2);
    const repeated = JSON.parse((await online([...shred, '--confirm', id])).stdout) as typeof first;
    assert.deepEqual(repeated, { ...first, wraps_destroyed: 0 });

    const verdicts = await verdictsOf(gateway, id);
    assert.deepEqual(verdicts, { ...readable, readability: 'shredded', states: ['SHREDDED'] });
    await assert.rejects(gateway.api.json('GET', `/sessions/${id}/key`), /keys were destroyed/);
    assert.deepEqual(await verdictsOf(gateway, second), readable, 'other sessions keep their keys');
    const { events } = await gateway.api.json<{ events: { resource_id: string; user_id: string }[] }>(
      'GET',
      '/audit?event_type=key_shredded',
    );
    assert.ok(events.every(({ resource_id, user_id }) => resource_id === id && user_id === 'admin'));
    assert.match(readFileSync(auditorFile, 'utf8'), /AGE-SECRET-KEY-1/);
    await logHolds(gateway, id, first.record_sha256, first.log_index);
  });

  await t.test('deleting what was shredded signs that the chunks are gone too', async () => {
    await gateway.api.json('DELETE', `/sessions/${id}`);
    await eventually('the second record', async () => {
      const { records } = await gateway.api.json<{ records: { kind: string; body: { erased?: string } }[] }>(
        'GET',
        `/sessions/${id}/manifest`,
      );
      const erased = records.filter(({ kind }) => kind === 'erase').map(({ body }) => body.erased);
      return erased.length === 2 && assert.deepEqual(erased, ['keys', 'keys_and_chunks']) === undefined;
    });
  });
});

/** What a stranger does: reads the log over HTTP without a token, and computes the proof from its tiles. */
async function logHolds({ api }: Gateway, id: string, recordSha256: string, index: number): Promise<void> {
  const { records } = await api.json<{ records: { kind: string; envelope: string }[] }>(
    'GET',
    `/sessions/${id}/manifest`,
  );
  const open = Buffer.from(records.find(({ kind }) => kind === 'open')?.envelope ?? '', 'base64');
  const answer = await fetch(`${api.url}/log/checkpoint`);
  assert.deepEqual([answer.status, answer.headers.get('cache-control')], [200, 'no-cache']);
  const { size, root } = parseSignedCheckpoint(await answer.text());
  const read = async (path: string): Promise<Uint8Array | null> => {
    const tile = await fetch(`${api.url}/log/${path}`);
    assert.deepEqual(
      [tile.status, tile.headers.get('cache-control')],
      [200, 'public, max-age=31536000, immutable'],
      path,
    );
    return new Uint8Array(await tile.arrayBuffer());
  };
  const proof = await Promise.all(inclusionRanges(index, size).map(tileRangeHash(size, read)));
  const leafHash = hashLeaf(logEntry('erase', recordSha256, loggedSession(readRecordOf('open', open))));
  assert.equal(verifyInclusion({ leafHash, index, size, root, proof }), true);
  for (const path of [
    'head.sqlite',
    '../keys/log.pem',
    '%2e%2e/keys/log.pem',
    'tile/0/999',
    'tile/64/000',
    'tile/0/000.p/0',
    '',
  ])
    assert.equal((await fetch(`${api.url}/log/${path}`)).status, 404, path);
}
