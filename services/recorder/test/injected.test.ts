/** Credentials the gateway logs on with: what the target hears, what is recorded of it, and what happens where there are none. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { LucidError, type TargetCredentials } from '@lucid-sessions/contract';
import { connectClient, type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { type ClientInfo, ErrorInfo, InfoFlag } from '@lucid-sessions/rdp';
import { eventually } from '@lucid-sessions/testkit';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const credentials: TargetCredentials = { username: 'svc-rdp', domain: 'CORP', password: 'inj3cted-Pässword' };
const typed = 'what-alice-typed';

interface Run {
  target: Desktop;
  gateway: Gateway;
  /** What the target heard. */
  logons: ClientInfo[];
  /** Connections that asked for credentials. */
  asked: string[];
}

async function start(
  t: TestContext,
  answer: () => Promise<{ credentials: TargetCredentials | null }>,
  trust: { ignoreCert?: boolean; consentText?: string } = {},
): Promise<Run> {
  const logons: ClientInfo[] = [];
  const asked: string[] = [];
  const target = await startDesktop({ onClientInfo: (info) => logons.push(info) });
  t.after(() => target.stop());
  const ticket = ticketFor(target.port, {
    credentials: 'injected',
    ...(trust.consentText === undefined ? {} : { consentText: trust.consentText }),
    target: {
      ...{ host: '127.0.0.1', port: target.port, useTls: true, ignoreCert: trust.ignoreCert === true },
      ...(trust.ignoreCert ? {} : { pinnedSha256: target.certificateSha256 }),
    },
  });
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket }),
    targetCredentials: async ({ connectionId }) => {
      asked.push(connectionId);
      return answer();
    },
  });
  return { target, gateway, logons, asked };
}

const connect = (port: number) =>
  connectClient({ port, cookie: 'alice', userName: 'alice', password: typed, screenshots: true });

test('the target gets them from the gateway, the client neither sends nor sees them, and no frame has them', async (t) => {
  const { gateway, logons, asked } = await start(t, async () => ({ credentials }));
  const rdp = await connect(gateway.port);
  await rdp.settled();
  await rdp.close();
  await gateway.reported('drained');
  assert.equal(asked.length, 1);
  assert.deepEqual(
    logons.map(({ userName, domain, password, flags }) => ({
      ...{ username: userName, domain, password },
      automatic: (flags & InfoFlag.autologon) !== 0,
    })),
    [{ ...credentials, automatic: true }],
  );
  const client = await gateway.reported('client');
  assert.equal(client.clientUser, 'alice');
  const facts = gateway.reports.flatMap((report) => (report.kind === 'fact' ? [report.fact] : []));
  const said = facts.flatMap((fact) => (fact.kind === 'downgrade' ? [fact.what] : []));
  assert.deepEqual(said, ['the gateway logs on: CORP\\svc-rdp']);
  const recorded = Buffer.concat(gateway.frames().map(({ body }) => Buffer.from(body)));
  for (const secret of [credentials.password, typed])
    for (const encoding of ['utf8', 'utf16le'] as const) {
      assert.equal(recorded.includes(Buffer.from(secret, encoding)), false);
      const reports = Buffer.from(JSON.stringify([gateway.reports, gateway.lines, gateway.problems]));
      assert.equal(reports.includes(Buffer.from(secret, encoding)), false);
    }
});

test('a target that may be anybody’s is told of in the facts', async (t) => {
  const { gateway } = await start(t, async () => ({ credentials }), { ignoreCert: true });
  const rdp = await connect(gateway.port);
  await rdp.close();
  await gateway.reported('drained');
  const facts = gateway.reports.flatMap((report) => (report.kind === 'fact' ? [report.fact] : []));
  assert.ok(facts.some((fact) => fact.kind === 'downgrade' && fact.what.includes('does not trust')));
});

test('behind a screen of the gateway’s as well: they are asked for when it was answered, and put in', async (t) => {
  const consentText = 'Everything you do here is recorded.';
  const { gateway, logons, asked } = await start(t, async () => ({ credentials }), { consentText });
  const rdp = await connect(gateway.port);
  await eventually('the screen', async () => {
    await rdp.settled(50);
    const { rgba } = rdp.screenshot();
    return new Set(new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.byteLength / 4)).size > 4;
  });
  assert.deepEqual([asked.length, logons.length], [0, 0]);
  await rdp.type('\n');
  await gateway.reported('started');
  await eventually('the logon', () => logons.length > 0);
  const { userName: username, domain, password } = logons[0]!;
  assert.deepEqual({ username, domain, password }, credentials);
  await rdp.close();
  await gateway.reported('drained');
  const recorded = Buffer.concat(gateway.frames().map(({ body }) => Buffer.from(body)));
  for (const secret of [credentials.password, typed])
    for (const encoding of ['utf8', 'utf16le'] as const)
      assert.equal(recorded.includes(Buffer.from(secret, encoding)), false);
});

test('without them nobody is let through with what they typed', async (t) => {
  const { gateway, logons } = await start(t, async () => ({ credentials: null }));
  assert.equal((await (await connect(gateway.port)).ended).errorInfo, ErrorInfo.serverDeniedConnection.code);
  const { outcome, reason, message } = await gateway.attempted();
  assert.deepEqual([outcome, reason], ['refused', 'credentials_missing']);
  assert.match(message, /forgotten/);
  assert.deepEqual(logons, []);
});

test('who keeps them away: the client hears that much, the operator why', async (t) => {
  const { gateway, logons } = await start(t, () =>
    Promise.reject(new LucidError('unavailable', 'Vault has no secret at rdp/one (404)')),
  );
  assert.equal((await (await connect(gateway.port)).ended).errorInfo, ErrorInfo.serverDeniedConnection.code);
  const { message } = await gateway.attempted();
  assert.equal(message, 'the credentials for the target can not be had at the moment');
  assert.ok(gateway.lines.some((line) => line.includes('rdp/one (404)')));
  assert.deepEqual(logons, []);
});
