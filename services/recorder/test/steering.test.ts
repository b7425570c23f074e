/** Somebody else steers a running session: asked for, agreed to or not, recorded, and taken back. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { RecordingFact, SessionTicket } from '@lucid-sessions/contract';
import { connectClient, type Desktop, type RdpClient, startDesktop } from '@lucid-sessions/desktop';
import {
  type FastPathInputEvent,
  mcsPdu,
  PduType,
  PduType2,
  shareControlPdu,
  shareDataPdu,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import type { InputWatch } from '@lucid-sessions/relay';
import {
  eventually,
  type PeerServer,
  skipUnlessPeers,
  startShadow,
  startXfreerdp,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import { attempt, decode } from '@lucid-sessions/wire';
import { WebSocket } from 'ws';
import { Hotkeys } from '../src/front-door/hotkeys.ts';
import { Steering } from '../src/front-door/steering.ts';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const sessionId = 'session-1';

/** Scancodes of what is typed here, on a US keyboard. */
const scancodes: Readonly<Record<string, number>> = {
  '\n': 0x1c,
  a: 0x1e,
  e: 0x12,
  h: 0x23,
  i: 0x17,
  l: 0x26,
  o: 0x18,
  p: 0x19,
  r: 0x13,
  s: 0x1f,
  t: 0x14,
  w: 0x11,
};

const key = (keyCode: number, flags = 0): FastPathInputEvent => ({ kind: 'scancode', flags, keyCode });
const typed = (text: string): FastPathInputEvent[] =>
  [...text].flatMap((character) => [key(scancodes[character]!), key(scancodes[character]!, 1)]);
const [control, shift, f9, f10] = [0x1d, 0x2a, 0x43, 0x44];

/** A combination as its user presses it. */
const combination = (last: number): FastPathInputEvent[] => [
  key(control),
  key(shift),
  key(last),
  key(last, 1),
  key(shift, 1),
  key(control, 1),
];

class Joiner {
  readonly told: { state: string; message: string }[] = [];
  readonly #socket: WebSocket;
  #wake: () => void = () => {};
  isClosed = false;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('message', (data) => {
      for (const line of String(data).split('\n').filter(Boolean)) this.told.push(JSON.parse(line));
      this.#wake();
    });
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  say(message: unknown): void {
    this.#socket.send(Buffer.from(`${JSON.stringify(message)}\n`));
  }

  input(events: readonly FastPathInputEvent[]): void {
    for (let at = 0; at < events.length; at += 32) this.say({ input: events.slice(at, at + 32) });
  }

  async until(state: string): Promise<{ state: string; message: string }> {
    for (;;) {
      const found = this.told.find((each) => each.state === state);
      if (found !== undefined) return found;
      if (this.isClosed) throw new Error(`closed before ${state}: ${JSON.stringify(this.told)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async closed(): Promise<void> {
    while (!this.isClosed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  cut(): void {
    this.#socket.terminate();
  }
}

async function joiner(t: TestContext, gateway: Gateway, token?: string): Promise<Joiner> {
  const server = createServer();
  server.on('upgrade', (request, socket, head) =>
    gateway.recorder.doors.steer!({ request, socket, head, clientAddress: '127.0.0.1' }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  t.after(() => {
    socket.terminate();
    server.close();
  });
  const made = new Joiner(socket);
  await once(socket, 'open');
  made.say({ token: token ?? (await gateway.recorder.port.steer({ sessionId, by: 'ann' })).token });
  return made;
}

interface Scene {
  gateway: Gateway;
  desktop: Desktop;
  rdp: RdpClient;
}

async function scene(t: TestContext, more: Partial<SessionTicket> = {}): Promise<Scene> {
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(desktop.port, { join: 'ask', ...more }) }),
  });
  const rdp = await connectClient({
    port: gateway.port,
    cookie: 'a',
    userName: 'bob',
    password: 'x',
    screenshots: true,
  });
  await rdp.settled();
  return { gateway, desktop, rdp };
}

const factsOf = ({ reports }: Gateway): Extract<RecordingFact, { kind: 'steering' }>[] =>
  reports.flatMap((report) => (report.kind === 'fact' && report.fact.kind === 'steering' ? [report.fact] : []));
const statesOf = (gateway: Gateway): string[] =>
  gateway
    .notes()
    .flatMap((note) => (note.type === 'steering' ? [`${note.state} ${note.by} ${note.reason}`.trim()] : []));

/** Slow-path input PDUs that the gateway alone delivered: what whoever steered did. */
function steeredInputs(gateway: Gateway): number {
  return gateway.frames().filter(({ flags, body, channelId }) => {
    if (
      (flags & (frameFlags.deliveredOnly | frameFlags.serverToClient | frameFlags.fastPath)) !==
      frameFlags.deliveredOnly
    )
      return false;
    if (channelId === 0) return false;
    const pdu = decode(mcsPdu, decode(x224Data, decode(tpkt, body).payload).payload);
    const share = pdu.kind === 'sendDataRequest' ? attempt(() => decode(shareControlPdu, pdu.data)) : null;
    if (share === null || (share.pduType & 15) !== PduType.data) return false;
    return decode(shareDataPdu, share.body).pduType2 === PduType2.input;
  }).length;
}

function typedLines(gateway: Gateway): string {
  const indexer = new SessionIndexer();
  for (const frame of gateway.frames()) indexer.push({ ...frame, flags: frame.flags & ~frameFlags.inputs });
  return indexer
    .take(0, true)
    .events.flatMap((event) => (event.kind === 'typed' ? [event.text] : []))
    .join('\n');
}

test('whoever asks steers when the user agrees, and the user takes it back', async (t) => {
  const { gateway, desktop, rdp } = await scene(t);
  const ann = await joiner(t, gateway);
  await ann.until('asking');
  rdp.input(combination(f9));
  await ann.until('steering');
  ann.input(typed('hello\n'));
  await eventually('what ann typed', () => desktop.typedLines().includes('hello'));
  assert.deepEqual(desktop.typedLines(), ['hello'], 'the combination is not for the desktop');
  rdp.input(combination(f10));
  assert.equal((await ann.until('ended')).message, 'its user took it back');
  await ann.closed();
  await rdp.type('whoami\n');
  await eventually('what its user typed', () => desktop.typedLines().length > 1);
  await rdp.close();
  await gateway.reported('drained');
  const [began, ended] = factsOf(gateway);
  assert.deepEqual([began?.by, began?.consent, began?.toUs, began?.end], ['ann', 'user', null, '']);
  assert.deepEqual([ended?.fromUs, ended?.consent, ended?.end], [began?.fromUs, 'user', 'its user took it back']);
  assert.ok(ended!.toUs! >= ended!.fromUs);
  assert.deepEqual(statesOf(gateway), ['asked ann', 'began ann', 'ended ann its user took it back']);
  assert.equal(steeredInputs(gateway), 1, 'what was said at once is one PDU');
  assert.match(typedLines(gateway), /hello/);
  assert.deepEqual(gateway.problems, []);
});

test('a user who refuses is not steered; nor is one who is asked twice at once', async (t) => {
  const { gateway, desktop, rdp } = await scene(t);
  const ann = await joiner(t, gateway);
  await ann.until('asking');
  await assert.rejects(gateway.recorder.port.steer({ sessionId, by: 'eve' }), /somebody else/);
  rdp.input(combination(f10));
  assert.equal((await ann.until('refused')).message, 'its user refused');
  ann.input(typed('hello\n'));
  await ann.closed();
  await rdp.type('whoami\n');
  await eventually('what its user typed', () => desktop.typedLines().length > 0);
  assert.deepEqual(desktop.typedLines(), ['whoami']);
  await rdp.close();
  await gateway.reported('drained');
  assert.deepEqual(
    factsOf(gateway).map(({ by, consent, end }) => [by, consent, end]),
    [['ann', 'none', 'its user refused']],
  );
  assert.equal(steeredInputs(gateway), 0);
});

test('whose connection is lost steers no more, and what they held down comes up', async (t) => {
  const { gateway, desktop, rdp } = await scene(t, { join: 'unasked' });
  const ann = await joiner(t, gateway);
  await ann.until('steering');
  ann.input([key(shift), ...typed('hello\n')]);
  await eventually('what ann typed', () => desktop.typedLines().length > 0);
  ann.cut();
  await eventually('the end', () => factsOf(gateway).some(({ toUs }) => toUs !== null));
  await rdp.type('hello\n');
  await eventually('what its user typed', () => desktop.typedLines().length > 1);
  assert.deepEqual(desktop.typedLines(), ['HELLO', 'hello']);
  await rdp.close();
  await gateway.reported('drained');
  assert.deepEqual(
    factsOf(gateway).map(({ consent, end }) => [consent, end]),
    [
      ['policy', ''],
      ['policy', 'who steered left, or their connection was lost'],
    ],
  );
});

test('a session that ends, or whose policy forbids it, is steered by nobody; tokens are good once', async (t) => {
  const off = await scene(t, { join: 'off' });
  await assert.rejects(off.gateway.recorder.port.steer({ sessionId, by: 'ann' }), /nobody may steer/);
  await off.rdp.close();
  const { gateway, rdp } = await scene(t);
  const { token } = await gateway.recorder.port.steer({ sessionId, by: 'ann' });
  const ann = await joiner(t, gateway, token);
  await ann.until('asking');
  const eve = await joiner(t, gateway, token);
  assert.match((await eve.until('refused')).message, /leads nowhere/);
  await rdp.close();
  assert.equal((await ann.until('refused')).message, 'the session ended');
  await gateway.reported('drained');
  assert.deepEqual(
    factsOf(gateway).map(({ consent, end }) => [consent, end]),
    [['none', 'the session ended']],
  );
});

test('what is no input ends the connection of whoever says it, and nothing else', async (t) => {
  const { gateway, rdp } = await scene(t, { join: 'unasked' });
  for (const said of [
    { input: 'x' },
    { input: [{ kind: 'scancode', flags: 0, keyCode: 300 }] },
    { input: [{ kind: 'sync', flags: 0 }] },
    { input: Array.from({ length: 33 }, () => key(shift)) },
    { filler: 'x'.repeat(5000) },
  ]) {
    const ann = await joiner(t, gateway);
    await ann.until('steering');
    ann.say(said);
    await ann.until('refused');
    await ann.closed();
  }
  await rdp.close();
  await gateway.reported('drained');
  assert.deepEqual(gateway.problems, []);
  assert.equal(steeredInputs(gateway), 0);
});

const scenes: [string, 'xrdp' | 'shadow', () => Promise<PeerServer>, string[]][] = [
  ['xrdp', 'xrdp', startXrdp, [`/u:${xrdpUser.userName}`, `/p:${xrdpUser.password}`, '/d:Xorg']],
  ['shadow', 'shadow', startShadow, ['/u:test', '/p:test', '/bpp:16']],
  ['shadow, graphics pipeline', 'shadow', startShadow, ['/u:test', '/p:test']],
];
for (const [name, peer, start, flags] of scenes)
  test(`xfreerdp with ${name}: its user agrees by the keyboard, and what the other types arrives`, {
    timeout: 180_000,
  }, async (t) => {
    if (skipUnlessPeers(t, peer, 'xfreerdp')) return;
    const server = await start();
    t.after(() => server.stop());
    const gateway = await startGateway(t, {
      admit: () => ({ admitted: true, ticket: ticketFor(server.port, { join: 'ask' }) }),
      config: { chunkBytesMax: 10 << 20 },
    });
    const client = await startXfreerdp(`127.0.0.1:${gateway.port}`, ...flags, '/kbd:0x409');
    t.after(() => client.stop());
    await eventually('a desktop that can be painted on', () =>
      gateway.recorder.port.message({ sessionId, from: 'ann', text: 'Hello.', seconds: 1 }).then(
        () => true,
        () => null,
      ),
    );
    // Between the first desktop, of bitmaps, and the pipeline's there is none to ask on.
    const ann = await eventually('somebody who is asked', async () => {
      const ann = await joiner(t, gateway);
      return ann.until('asking').then(
        () => ann,
        () => null,
      );
    });
    await eventually('agreement', async () => {
      await client.key('ctrl+shift+F9');
      return ann.told.some(({ state }) => state === 'steering');
    });
    const press = (pointerFlags: number): FastPathInputEvent => ({
      kind: 'mouse',
      flags: 0,
      pointerFlags,
      x: 300,
      y: 150,
    });
    await eventually('what ann typed', async () => {
      ann.input([press(0x0800), press(0x9000), press(0x1000), ...typed('hello\n')]);
      await setTimeout(500);
      return peer === 'shadow' ? server.typedLines().some((line) => line.includes('hello')) : true;
    });
    await client.key('ctrl+shift+F10');
    await ann.until('ended');
    await client.closeClient();
    await gateway.reported('drained');
    assert.deepEqual(statesOf(gateway).slice(-3), ['asked ann', 'began ann', 'ended ann its user took it back']);
    assert.ok(steeredInputs(gateway) > 0);
    assert.match(typedLines(gateway), /hello/);
  });

/** One who steers, on a clock of the test's, with nothing behind it. */
function alone(policy: 'ask' | 'unasked', canShow = true) {
  const log: string[] = [];
  const passed: FastPathInputEvent[] = [];
  const clock = { us: 0 };
  let watch: InputWatch | null = null;
  const steering = new Steering({
    by: 'ann',
    policy,
    link: { tell: (state, message) => log.push(`tell ${state} ${message}`.trim()), end: () => log.push('end') },
    show: (title) => {
      log.push(`show ${title}`);
      return canShow;
    },
    hide: () => log.push('hide'),
    watch: (next) => {
      watch = next;
    },
    input: (events) => passed.push(...events),
    note: () => {},
    fact: () => {},
    wallUs: () => clock.us,
    monotonicUs: () => clock.us,
    onOver: () => log.push('over'),
  });
  steering.begin();
  const user = (events: FastPathInputEvent[]): readonly FastPathInputEvent[] => watch?.(events) ?? events;
  return { steering, log, passed, clock, user, isWatched: () => watch !== null };
}

test('nothing passes before the user agrees, and the user comes first afterwards', () => {
  const { steering, passed, clock, user, log } = alone('ask');
  steering.input(typed('a'));
  assert.deepEqual(passed, []);
  assert.deepEqual(
    user(combination(f9)),
    combination(f9).filter((event) => 'keyCode' in event && event.keyCode !== f9),
  );
  steering.input([key(scancodes.a!), key(shift)]);
  assert.equal(passed.length, 2);
  clock.us += 5_000_000;
  user([{ kind: 'mouse', flags: 0, pointerFlags: 0x0800, x: 1, y: 1 }]);
  steering.input([key(scancodes.a!, 1)]);
  assert.equal(passed.length, 3, 'moving the mouse is no deed');
  user(typed('o'));
  steering.input([...typed('e'), key(shift, 1)]);
  assert.deepEqual(passed.slice(3), [key(shift, 1)], 'only what has to come up');
  clock.us += 1_000_000;
  steering.input(typed('e'));
  assert.deepEqual(passed.slice(4), typed('e'));
  assert.deepEqual(
    log.filter((line) => line.startsWith('tell')),
    ['tell asking', 'tell steering', 'tell held', 'tell steering'],
  );
  steering.end('over');
});

test('where nobody can be asked nobody steers; what is held down comes up at the end', () => {
  const blind = alone('ask', false);
  assert.match(blind.log.join(), /tell refused its user can not be asked/);
  assert.equal(blind.isWatched(), false);
  const { steering, passed, user, isWatched, log } = alone('unasked', false);
  const down: FastPathInputEvent = { kind: 'mouse', flags: 0, pointerFlags: 0x9000, x: 5, y: 6 };
  steering.input([key(shift), key(0x1d, 2), key(0x1d, 3), down, { kind: 'unicode', flags: 0, unicodeCode: 65 }]);
  user(combination(f10).slice(0, 3));
  assert.deepEqual(passed.slice(5), [
    key(shift, 1),
    { ...down, pointerFlags: 0x1000 },
    { kind: 'unicode', flags: 1, unicodeCode: 65 },
  ]);
  assert.equal(isWatched(), true, 'until F10 is up');
  assert.deepEqual(user(combination(f10).slice(2)), combination(f10).slice(4));
  assert.equal(isWatched(), false);
  assert.equal(log.filter((line) => line === 'over').length, 1);
});

test('keys that only look like the combination pass', () => {
  for (const events of [
    [key(f9), key(f9, 1)],
    [key(control), key(f9)],
    [key(shift), key(control), key(shift, 1), key(f10)],
    [key(control), key(shift), key(f10, 2)],
    [key(control), key(shift), { kind: 'sync', flags: 0 } as const, key(f10)],
  ]) {
    const hotkeys = new Hotkeys();
    assert.deepEqual(hotkeys.see(events), { passing: events, pressed: [] });
  }
});
