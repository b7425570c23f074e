/** Tokens of browsers, each story told twice: in one process, and over HTTP as five processes do. */
import assert from 'node:assert/strict';
import { isLucidError } from '@lucid-sessions/contract';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { bothWays } from './both-ways.ts';
import type { World } from './world.ts';

const sessionId = 'browser-session';
const create = (made: World) => made.pipeline.create({ session: sampleSession(sessionId), routeTokenSha256: null });

const find = async (made: World, token: string, connectionId: string): Promise<string> => {
  const request = { connectionId, clientAddress: '10.0.0.9', clientName: null, recorderId: 'recorder-1' };
  const found = await made.pipeline.find({ ...request, route: { kind: 'browser', token } });
  return found.found ? found.ticket.sessionId : found.code;
};

bothWays('a token lets one connection into its session, and no second one', async (made) => {
  await create(made);
  const { token, expiresUs } = await made.pipeline.issueBrowserToken({ sessionId, userId: 'ann' });
  assert.match(token, /^[A-Za-z0-9_-]{32}$/);
  assert.equal(expiresUs, made.clock.us + 60_000_000);
  const other = await made.pipeline.issueBrowserToken({ sessionId, userId: 'ann' });
  assert.notEqual(other.token, token);
  assert.equal(await find(made, `${token.slice(1)}x`, 'a'), 'expired');
  assert.equal(await find(made, token, 'a'), sessionId);
  assert.equal(await find(made, token, 'a'), sessionId, 'its own find, sent again');
  assert.equal(await find(made, token, 'b'), 'expired');
  assert.equal((await made.pipeline.admit({ connectionId: 'a' })).admitted, true);
  // The session is under way: whether a second browser may go on is its recorder's to say, not the token's.
  assert.equal(await find(made, other.token, 'c'), sessionId);
});

bothWays('a token is over after a minute', async (made) => {
  await create(made);
  const { token, expiresUs } = await made.pipeline.issueBrowserToken({ sessionId, userId: 'ann' });
  made.clock.us = expiresUs + 1;
  assert.equal(await find(made, token, 'a'), 'expired');
});

bothWays('there is none for a session that nobody can connect to', async (made) => {
  await assert.rejects(made.pipeline.issueBrowserToken({ sessionId: 'nobody', userId: 'ann' }), (error) =>
    isLucidError(error, 'sessionNotFound'),
  );
  const session = { ...sampleSession('of-a-listener'), created_by: null };
  await made.pipeline.create({ session, routeTokenSha256: null });
  await assert.rejects(made.pipeline.issueBrowserToken({ sessionId: session.session_id, userId: 'ann' }), (error) =>
    isLucidError(error, 'notInThisState'),
  );
});

bothWays('nobody lets themselves in by a browser, whoever created the session', async (made) => {
  await create(made);
  const { token } = await made.pipeline.issueBrowserToken({ sessionId, userId: 'ann' });
  assert.equal(await find(made, token, 'a'), sessionId);
  made.clock.us += 61_000_000;
  assert.deepEqual(await made.pipeline.approval({ connectionId: 'a', user: '' }), { state: 'waiting' });
  const decision = { sessionId, connectionId: 'a', approve: true, reason: 'change 12' };
  await assert.rejects(made.pipeline.decideApproval({ ...decision, by: 'ann' }), (error) =>
    isLucidError(error, 'forbidden'),
  );
  await made.pipeline.decideApproval({ ...decision, by: 'bob' });
  const { state } = await made.pipeline.approval({ connectionId: 'a', user: '' });
  assert.equal(state, 'approved');
});
