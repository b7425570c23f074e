/** Who waits for a second person, who may decide, and how long anybody is remembered. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { RecordingConfig } from '@lucid-sessions/contract';
import { MemoryCoordination } from '@lucid-sessions/pipeline';
import { sampleSession } from '@lucid-sessions/storage/suites';
import fc from 'fast-check';
import { Approvals } from '../src/approvals.ts';
import { world } from './world.ts';

const asked = (connectionId: string) => ({ connectionId, sessionId: 's', clientAddress: '192.0.2.7:1', user: 'ann' });

test('who asks waits until somebody decides, and hears the same ever after', async () => {
  let nowUs = 1_000_000;
  const approvals = new Approvals(new MemoryCoordination(), () => nowUs);
  assert.deepEqual(await approvals.ask(asked('c')), { state: 'waiting' });
  nowUs += 5_000_000;
  await approvals.ask(asked('c'));
  assert.deepEqual(await approvals.waiting(), [{ ...asked('c'), sinceUs: 1_000_000 }]);
  const refused = { state: 'refused', by: 'bob', reason: 'no' } as const;
  assert.equal(await approvals.decide('c', 'another', refused), false);
  assert.equal(await approvals.decide('c', 's', refused), true);
  assert.equal(await approvals.decide('c', 's', refused), true, 'said again');
  assert.equal(await approvals.decide('c', 's', { ...refused, state: 'approved' }), false, 'it is decided');
  assert.deepEqual([await approvals.ask(asked('c')), await approvals.waiting()], [refused, []]);
});

test('whom nobody asks for any more does not wait, and nothing is kept for long', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(5), fc.nat(40)), { maxLength: 60 }), async (steps) => {
      let nowUs = 0;
      const approvals = new Approvals(new MemoryCoordination(), () => nowUs);
      const heard = new Map<string, number>();
      for (const [id, seconds] of steps) {
        nowUs += seconds * 1_000_000;
        await approvals.ask(asked(`${id}`));
        heard.set(`${id}`, nowUs);
        const expected = [...heard].filter(([, at]) => at > nowUs - 30_000_000).map(([name]) => name);
        assert.deepEqual((await approvals.waiting()).map(({ connectionId }) => connectionId).sort(), expected.sort());
      }
    }),
  );
});

test('a pipeline that was started anew has forgotten who waited: the client connects again', async (t) => {
  const made = await world({ approval: true });
  t.after(() => made.dispose());
  const request = {
    connectionId: 'c1',
    route: { kind: 'listener', target: 'desk' },
    clientAddress: 'c',
    clientName: null,
    recorderId: 'r',
  } as const;
  const asks = { connectionId: 'c1', user: 'ann' };
  assert.ok((await made.pipeline.find(request)).found);
  assert.deepEqual(await made.pipeline.approval(asks), { state: 'waiting' });
  const { waiting } = await made.pipeline.approvals();
  assert.equal(waiting.length, 1);
  await made.restart();
  assert.deepEqual(await made.pipeline.approvals(), { waiting: [] });
  await assert.rejects(made.pipeline.approval(asks), /connect again/);
  const decision = {
    connectionId: 'c1',
    sessionId: waiting[0]!.sessionId,
    approve: true,
    by: 'bob',
    reason: 'change 12',
  };
  await assert.rejects(made.pipeline.decideApproval(decision));
});

test('what the installation asks of users binds sessions where it says so, and is their default where not', async (t) => {
  const screens = async (limits: Parameters<typeof world>[0], own: Partial<RecordingConfig>) => {
    const made = await world(limits);
    t.after(() => made.dispose());
    const sample = sampleSession('s');
    const session = { ...sample, recording_config: { ...sample.recording_config, ...own } };
    await made.pipeline.create({ session, routeTokenSha256: null });
    const { token } = await made.pipeline.issueBrowserToken({ sessionId: 's', userId: 'ann' });
    const route = { kind: 'browser', token } as const;
    const request = { connectionId: 'c1', route, clientAddress: 'c', clientName: null, recorderId: 'r' };
    const found = await made.pipeline.find(request);
    assert.ok(found.found);
    const { consentText = null, approval = false } = found.ticket;
    return [consentText, approval];
  };
  const installation = { consentText: 'It is recorded.', approval: true };
  const binding = { ...installation, screensBinding: true };
  const none = { consent_text: null, approval: false };
  assert.deepEqual(await screens(installation, {}), ['It is recorded.', true]);
  assert.deepEqual(await screens(installation, none), [null, false]);
  assert.deepEqual(await screens(binding, none), ['It is recorded.', true]);
  assert.deepEqual(await screens(binding, { consent_text: 'Nothing is recorded.' }), ['It is recorded.', true]);
  assert.deepEqual(await screens({ screensBinding: true }, { consent_text: 'Mine.', approval: true }), ['Mine.', true]);
  assert.deepEqual(await screens({ screensBinding: true }, none), [null, false]);
});

test('who was let in comes back without being asked about again; from elsewhere, or by something else, they are', async (t) => {
  const made = await world({ approval: true });
  t.after(() => made.dispose());
  const session = { ...sampleSession('s'), rdp_file_issued_by: 'ann' };
  const routeTokenSha256 = createHash('sha256').update('a-token').digest('hex');
  await made.pipeline.create({ session, routeTokenSha256 });
  const byToken = { kind: 'token', token: 'a-token' } as const;
  const comes = async (clientAddress: string, more: { userId?: string } = {}): Promise<boolean | undefined> => {
    const route =
      more.userId === undefined
        ? byToken
        : ({
            kind: 'browser',
            token: (await made.pipeline.issueBrowserToken({ sessionId: 's', userId: more.userId })).token,
          } as const);
    const admission = await made.connect(route, { clientAddress });
    assert.ok(admission.admitted);
    return admission.ticket.approval;
  };
  assert.equal(await comes('10.0.0.1:5000'), true);
  await made.start('s');
  assert.equal(await comes('10.0.0.1:6000'), undefined, 'from another port of the same address');
  assert.equal(await comes('10.0.0.2:5000'), true);
  assert.equal(await comes('10.0.0.2:5000'), undefined);
  assert.equal(await comes('10.0.0.1:5000'), true, 'another was let in since');
  assert.equal(await comes('10.0.0.1:5000', { userId: 'bob' }), true);
  assert.equal(await comes('10.0.0.1:5000', { userId: 'bob' }), undefined);
  assert.equal(await comes('10.0.0.1:5000', { userId: 'eve' }), true);
});

test('who had the file or credential issued lets nobody in who comes with it', async (t) => {
  const made = await world({ approval: true });
  t.after(() => made.dispose());
  const session = { ...sampleSession('s'), rdp_file_issued_by: 'ann' };
  const routeTokenSha256 = createHash('sha256').update('a-token').digest('hex');
  await made.pipeline.create({ session, routeTokenSha256 });
  const { credential } = await made.pipeline.issueCredential({ sessionId: 's', by: 'bob' });
  for (const [connectionId, route, issuer] of [
    ['1', { kind: 'token', token: 'a-token' }, 'ann'],
    ['2', { kind: 'credential', user: credential.user }, 'bob'],
  ] as const) {
    const request = { connectionId, route, clientAddress: 'c', clientName: null, recorderId: 'r' };
    assert.ok((await made.pipeline.find(request)).found);
    await made.pipeline.approval({ connectionId, user: '' });
    const decision = { sessionId: 's', connectionId, approve: true, reason: 'change 12' };
    await assert.rejects(
      made.pipeline.decideApproval({ ...decision, by: issuer }),
      /had the connection file or credential/,
    );
    assert.deepEqual(await made.pipeline.decideApproval({ ...decision, by: 'carl' }), { decided: true });
  }
});
