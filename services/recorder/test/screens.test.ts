/** What a client is shown by the gateway itself. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { ApprovalAnswer, ConnectionAttempt, SessionTicket } from '@lucid-sessions/contract';
import {
  connectClient,
  type Desktop,
  type DesktopOptions,
  type RdpClient,
  startDesktop,
} from '@lucid-sessions/desktop';
import { type ClientInfo, ErrorInfo } from '@lucid-sessions/rdp';
import { ntHashOf } from '@lucid-sessions/rdp/auth';
import { frameFlags } from '@lucid-sessions/recording';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import { eventually, skipUnlessPeers, startShadowNla, startXfreerdp } from '@lucid-sessions/testkit';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const denied = ErrorInfo.serverDeniedConnection.code;

/** A picture of what real peers are shown, where somebody wants to look at it. */
const shots = process.env.SCREEN_SHOTS;

const refusing = (t: TestContext, refusalMs: number) =>
  startGateway(t, {
    admit: () => ({ admitted: false, code: 'unknown_session', message: 'there is no such session' }),
    config: { refusalMs },
  });

/** How many colours are shown: 1 is an empty desktop. */
function coloursOf(rdp: RdpClient): number {
  const { rgba } = rdp.screenshot();
  return new Set(new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.byteLength / 4)).size;
}

test('a refusal is read in words, and ends by an error code when its user has read it', async (t) => {
  const gateway = await refusing(t, 60_000);
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'a', password: '', screenshots: true });
  await rdp.settled(100);
  assert.ok(coloursOf(rdp) > 4, 'a dialog is shown');
  assert.equal((await gateway.attempted()).reason, 'unknown_session');
  await rdp.type('\n');
  assert.equal((await rdp.ended).errorInfo, denied);
  assert.deepEqual(gateway.reports, []);
  assert.deepEqual(gateway.problems, []);
});

test('a refusal nobody answers ends by itself', async (t) => {
  const gateway = await refusing(t, 200);
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'a', password: '' });
  assert.equal((await rdp.ended).errorInfo, denied);
});

test('so many refusals are shown at once, and the rest are told by codes', async (t) => {
  const gateway = await refusing(t, 60_000);
  const clients = await Promise.all(
    Array.from({ length: 33 }, () => connectClient({ port: gateway.port, cookie: 'a', userName: 'a', password: '' })),
  );
  const first = await Promise.race(clients.map((client) => client.ended));
  assert.equal(first.errorInfo, denied);
  await Promise.all(clients.map((client) => client.close()));
});

test('xfreerdp shows the refusal, and its button closes it', { timeout: 60_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp')) return;
  const gateway = await refusing(t, 60_000);
  const client = await startXfreerdp(`127.0.0.1:${gateway.port}`, '/u:test', '/p:test', '/size:1024x768');
  t.after(() => client.stop());
  await gateway.attempted();
  await eventually('the refusal', () => client.shows(0x1d5fbf));
  if (shots !== undefined) await client.screenshot(`${shots}/refusal.png`);
  await client.type('');
  await eventually('the error in its log', () => /SERVER_DENIED_CONNECTION/.test(client.log('client')));
});

const password = 'Screen-Pässw0rd';
const text = 'Everything you do here is recorded.\n\nAlles, was Sie hier tun, wird aufgezeichnet.';

/** Nothing that was recorded holds it. */
function checkSecret({ chunks }: Gateway, secret: string): void {
  for (const { copy } of chunks)
    for (const encoding of ['utf8', 'utf16le'] as const)
      assert.equal(Buffer.from(copy).includes(Buffer.from(secret, encoding)), false);
}

/** What the index of the recording says was typed. */
function typedLines(gateway: Gateway): string {
  const indexer = new SessionIndexer();
  // In front of the processor, which would seal them, inputs are as they came.
  for (const frame of gateway.frames()) indexer.push({ ...frame, flags: frame.flags & ~frameFlags.inputs });
  const { events } = indexer.take(0, true);
  return events.flatMap((event) => (event.kind === 'typed' ? [event.text] : [])).join('\n');
}

async function gatewayTo(
  t: TestContext,
  port: number,
  more: Partial<SessionTicket>,
): Promise<Gateway & { attempts: ConnectionAttempt[] }> {
  return startGateway(t, { admit: () => ({ admitted: true, ticket: ticketFor(port, more) }) });
}

async function desktop(t: TestContext, options: DesktopOptions = {}): Promise<Desktop> {
  const started = await startDesktop({ now: () => new Date(0), ...options });
  t.after(() => started.stop());
  return started;
}

const shown = (rdp: RdpClient): Promise<boolean> =>
  eventually('a dialog', async () => {
    await rdp.settled(50);
    return coloursOf(rdp) > 4;
  });

test('what is acknowledged is a fact, and the desktop takes over with nothing of the screen in its recording', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target.port, { consentText: text });
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'ann', password, screenshots: true });
  await shown(rdp);
  assert.equal(gateway.reports.length, 0, 'nothing is recorded before');
  await rdp.type('typed on our screen\n');
  await gateway.reported('started');
  await eventually('the desktop', () =>
    gateway.recorder.port.live().then(({ sessions }) => sessions[0]!.statistics.updatesCount > 0),
  );
  await rdp.settled();
  await eventually('a typed line', async () => {
    await rdp.type('whoami\n');
    return target.typedLines().length > 0;
  });
  assert.deepEqual(target.typedLines()[0], 'whoami');
  const { width, height } = rdp.screenshot();
  assert.deepEqual([width, height], [1024, 768]);
  await rdp.close();
  await gateway.reported('drained');
  const consent = gateway.reports
    .flatMap((report) => (report.kind === 'fact' ? [report.fact] : []))
    .find((fact) => fact.kind === 'consent');
  const textSha256 = createHash('sha256').update(text).digest('hex');
  assert.deepEqual({ ...consent, atUs: 0 }, { kind: 'consent', atUs: 0, textSha256, user: 'ann' });
  assert.ok(gateway.notes().some((note) => note.type === 'consent'));
  checkSecret(gateway, password);
  assert.match(typedLines(gateway), /whoami/);
  assert.doesNotMatch(typedLines(gateway), /our screen/);
});

test('who does not agree is not connected, and it is told', async (t) => {
  const target = await desktop(t);
  const gateway = await gatewayTo(t, target.port, { consentText: text });
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'ann', password, screenshots: true });
  await shown(rdp);
  rdp.input([{ kind: 'scancode', flags: 0, keyCode: 1 }]);
  assert.equal((await rdp.ended).errorInfo, denied);
  const { reason, outcome } = await gateway.attempted();
  assert.deepEqual([reason, outcome], ['consent_refused', 'refused']);
  assert.equal(target.users().length, 0, 'the target was not even dialled');
});

test('a client that leaves the screen has left', async (t) => {
  const gateway = await gatewayTo(t, 1, { consentText: text });
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'ann', password, screenshots: true });
  await shown(rdp);
  await rdp.close();
  const { reason, outcome } = await gateway.attempted();
  assert.deepEqual([reason, outcome], ['client_disconnected', 'client_left']);
});

const key = (keyCode: number, flags = 0) => ({ kind: 'scancode', flags, keyCode }) as const;

test('credentials typed on our screen reach the target and no file', async (t) => {
  const logons: ClientInfo[] = [];
  const target = await desktop(t, { onClientInfo: (info) => logons.push(info) });
  const gateway = await gatewayTo(t, target.port, { credentials: 'client' });
  const rdp = await connectClient({
    port: gateway.port,
    cookie: 'a',
    userName: 'ann',
    password: '',
    screenshots: true,
  });
  await shown(rdp);
  // The password has the focus; before it stands the domain.
  rdp.input([key(0x2a), key(0x0f), key(0x0f, 1), key(0x2a, 1)]);
  await rdp.type('CORP\tScr33n-word\n');
  await gateway.reported('started');
  await eventually('a logon', () => logons.length > 0);
  const [{ userName, domain, password: heard }] = logons as [ClientInfo];
  assert.deepEqual([userName, domain, heard], ['ann', 'CORP', 'Scr33n-word']);
  await rdp.settled();
  await rdp.close();
  await gateway.reported('drained');
  checkSecret(gateway, 'Scr33n-word');
});

test('xfreerdp: consent, a wrong password, the right one, and the desktop of a host that demands NLA', {
  timeout: 120_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
  const user = { userName: 'formperson', password: 'Form-Pass-88' };
  const server = await startShadowNla(user);
  t.after(() => server.stop());
  const gateway = await gatewayTo(t, server.port, { credentials: 'client', consentText: text });
  const client = await startXfreerdp(
    `127.0.0.1:${gateway.port}`,
    `/u:${user.userName}`,
    '/p:',
    '/size:1024x768',
    '/kbd:0x409',
  );
  t.after(() => client.stop());
  const look = async (name: string, colour: number): Promise<void> => {
    await eventually(name, () => client.shows(colour));
    if (shots !== undefined) await client.screenshot(`${shots}/${name}.png`);
  };
  // Told by colours that the screen before has not: a button, a field, a problem.
  await look('1-consent', 0x1d5fbf);
  await client.type('');
  await look('2-logon', 0xf5f7fa);
  await client.type('wrong-Pass-99');
  await look('3-wrong', 0xb42318);
  assert.deepEqual(gateway.attempts, []);
  await client.type(user.password);
  await gateway.reported('started');
  await eventually('the typed line', async () => {
    await client.click(300, 150);
    await client.type('after-our-screens');
    return server.typedLines().some((typed) => typed.includes('after-our-screens'));
  });
  await client.closeClient();
  await gateway.reported('drained');
  assert.equal((await gateway.reported('ended')).reason, 'client_disconnected');
  for (const secret of [user.password, 'wrong-Pass-99']) checkSecret(gateway, secret);
  const typed = typedLines(gateway);
  assert.ok(typed.includes('after-our-screens'));
  assert.doesNotMatch(typed, /Pass|wrong/, 'what was typed on our screens is in no index');
  assert.deepEqual(
    gateway
      .notes()
      .map(({ type }) => type)
      .slice(0, 5),
    ['connected', 'consent', 'target_certificate', 'target_certificate', 'target_logon'],
  );
});

for (const credentials of ['client', 'none'] as const)
  test(`xfreerdp by NLA to a host that demands NLA (credentials: ${credentials}): its user is asked`, {
    timeout: 120_000,
  }, async (t) => {
    if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
    const user = { userName: 'formperson', password: 'Form-Pass-88' };
    const issued = { userName: 'lucid-222222222222', secret: 'abcd-efgh-jkmn-pqrs-tuvw-xyz2' };
    const server = await startShadowNla(user);
    t.after(() => server.stop());
    const gateway = await startGateway(t, {
      admit: () => ({ admitted: true, ticket: ticketFor(server.port, { credentials }) }),
      config: { nla: 'required' },
      logonAccount: async (name) =>
        name === issued.userName ? { sessionId: 's', ntHash: ntHashOf(issued.secret), standing: 'good' } : null,
    });
    const client = await startXfreerdp(
      `127.0.0.1:${gateway.port}`,
      ...['/sec:nla', `/u:${issued.userName}`, `/p:${issued.secret}`, '/size:1024x768', '/kbd:0x409'],
    );
    t.after(() => client.stop());
    await eventually('the form', () => client.shows(0xf5f7fa));
    if (shots !== undefined) await client.screenshot(`${shots}/nla-form.png`);
    // What opens the gateway is not offered to the host: the user name is asked for as well, and has the focus.
    await client.type(`${user.userName}\t\t${user.password}`);
    await gateway.reported('started');
    await eventually('the typed line', async () => {
      await client.click(300, 150);
      await client.type('asked by the gateway');
      return server.typedLines().some((typed) => typed.includes('asked by the gateway'));
    });
    await client.closeClient();
    await gateway.reported('drained');
    const facts = gateway.reports.flatMap((report) => (report.kind === 'fact' ? [report.fact] : []));
    const users = facts.flatMap((fact) =>
      fact.kind === 'client_logon' || fact.kind === 'target_logon' ? [[fact.kind, fact.user]] : [],
    );
    assert.deepEqual(users, [
      ['client_logon', issued.userName],
      ['target_logon', user.userName],
    ]);
    for (const secret of [user.password, issued.secret]) checkSecret(gateway, secret);
    assert.doesNotMatch(typedLines(gateway), /formperson|Pass/);
  });

interface Asked {
  connectionId: string;
  user: string;
}

/** A gateway whose pipeline answers what `says` says. */
async function waiting(
  t: TestContext,
  says: () => ApprovalAnswer,
): Promise<{ gateway: Gateway; asked: Asked[]; target: Desktop }> {
  const target = await desktop(t);
  const asked: Asked[] = [];
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(target.port, { approval: true }) }),
    approval: async (request) => {
      asked.push(request);
      return says();
    },
  });
  return { gateway, asked, target };
}

test('a client waits until a second person lets it in: who and why is a fact', async (t) => {
  let answer: ApprovalAnswer = { state: 'waiting' };
  const { gateway, asked, target } = await waiting(t, () => answer);
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'ann', password, screenshots: true });
  await shown(rdp);
  await eventually('it is asked again', () => asked.length > 1);
  assert.equal(asked[0]!.user, 'ann');
  assert.equal(target.users().length, 0);
  answer = { state: 'approved', by: 'bob', reason: 'change 12' };
  await gateway.reported('started');
  await rdp.settled();
  await rdp.close();
  await gateway.reported('drained');
  const note = gateway.notes().find(({ type }) => type === 'approval');
  assert.deepEqual(note, { type: 'approval', by: 'bob', reason: 'change 12' });
});

test('a second person who refuses, and a user who does not wait', async (t) => {
  const refusing = await waiting(t, () => ({ state: 'refused', by: 'bob', reason: 'not today' }));
  const refusedClient = await connectClient({ port: refusing.gateway.port, cookie: 'a', userName: 'ann', password });
  assert.equal((await refusedClient.ended).errorInfo, denied);
  const { reason, message } = await refusing.gateway.attempted();
  assert.deepEqual([reason, message], ['approval_refused', 'bob said: not today']);
  const { gateway } = await waiting(t, () => ({ state: 'waiting' }));
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'ann', password, screenshots: true });
  await shown(rdp);
  rdp.input([key(1)]);
  assert.equal((await rdp.ended).errorInfo, denied);
  assert.equal((await gateway.attempted()).message, 'its user did not wait');
});
