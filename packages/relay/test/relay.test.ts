import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import {
  conferenceCreateRequest,
  conferenceCreateResponse,
  mcsConnectInitial,
  mcsConnectResponse,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { RecordingTap } from '@lucid-sessions/testkit/recording-tap';
import { decode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import type { RelayPolicy } from '../src/conversation.ts';
import { type RelayEvent, type RelaySide, RelayViolation } from '../src/events.ts';
import { Relay } from '../src/relay.ts';

const captures = new URL('../../../testkit/captures/', import.meta.url).pathname;
const names = readdirSync(captures).filter((name) => name.endsWith('.rdpcap.gz'));

/** Captures of sessions with network level authentication. */
const nla = (name: string): boolean => name.startsWith('gnome') || name.includes('nla');

interface Run {
  toServer: Buffer;
  toClient: Buffer;
  events: RelayEvent[];
  tap: RecordingTap;
  relay: Relay;
}

/** Feeds a capture's records after TLS, each cut into the pieces `pieces` says. */
function replay(name: string, policy: Partial<RelayPolicy>, pieces: (length: number) => number): Run {
  const tap = new RecordingTap();
  const selectedProtocol = nla(name) ? 2 : 1;
  const relay = new Relay({ requestedProtocols: 11, selectedProtocol, graphics: 'passthrough', ...policy }, tap);
  const out: Record<RelaySide, Uint8Array[]> = { client: [], server: [] };
  const events: RelayEvent[] = [];
  let timeUs = 0;
  for (const { fromServer, beforeTls, bytes } of readCapture(`${captures}${name}`).records) {
    if (beforeTls) continue;
    const from = fromServer ? 'server' : 'client';
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + Math.max(1, pieces(bytes.length)));
      timeUs += 1;
      // A copy that is wiped afterwards: the relay may keep nothing of its input but what it forwarded at once.
      const piece = Buffer.from(bytes.subarray(at, end));
      const step = relay.step(from, piece, timeUs);
      for (const view of step.forward) out[from].push(Buffer.from(view));
      events.push(...step.events);
      piece.fill(0xee);
      at = end;
    }
  }
  return { toServer: Buffer.concat(out.client), toClient: Buffer.concat(out.server), events, tap, relay };
}

const input = (name: string): { client: Uint8Array; server: Uint8Array } => {
  const capture = readCapture(`${captures}${name}`);
  return captureStreams({ ...capture, records: capture.records.filter((record) => !record.beforeTls) });
};

/** Sizes that cut PDUs everywhere, repeatable. */
function* sizes(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    yield [1, 2, 3, 5, 30, 31, 33, 700, 16_384, 100_000][(state >>> 16) % 10] ?? 1;
  }
}

function randomPieces(seed: number): () => number {
  const next = sizes(seed);
  return () => next.next().value;
}

const head = (side: RelaySide, tap: RecordingTap, without: number): Buffer =>
  Buffer.concat(
    tap.frames
      .filter((frame) => (frame.flags & 1) === (side === 'server' ? 1 : 0) && (frame.flags & without) === 0)
      .map((frame) => frame.bytes),
  );

/** Positions where two byte strings of one length differ. */
const differences = (a: Buffer, b: Uint8Array): number[] => {
  assert.equal(a.length, b.length);
  const found: number[] = [];
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) found.push(i);
  return found;
};

for (const name of names)
  test(`${name}: forwarded bytes are the input's, frames give back both streams, however it is cut`, () => {
    const { client, server } = input(name);
    const whole = replay(name, {}, (length) => length);
    for (const run of [whole, replay(name, {}, randomPieces(7)), replay(name, {}, randomPieces(99))]) {
      assert.equal(run.toServer.equals(client), true, 'client to server is untouched');
      // SC_CORE's clientRequestedProtocols is four bytes.
      assert.ok(differences(run.toClient, server).length <= 4);
      assert.equal(run.toClient.equals(whole.toClient), true);
      // Received streams: exactly what came, secrets blanked; the last PDU may be cut off by the capture's end.
      const received = head('server', run.tap, frameFlags.deliveredOnly);
      assert.ok(server.length - received.length < 65_536);
      const secrets = differences(received, server.subarray(0, received.length));
      assert.ok(secrets.every((at) => received[at] === 0));
      assert.ok(secrets.length <= (nla(name) ? 4096 : 64));
      const delivered = head('server', run.tap, frameFlags.receivedOnly);
      assert.ok(differences(delivered, run.toClient.subarray(0, delivered.length)).length <= secrets.length);
      const sent = head('client', run.tap, frameFlags.deliveredOnly);
      for (const at of differences(sent, client.subarray(0, sent.length))) assert.equal(sent[at], 0);
      assert.deepEqual(run.events, whole.events);
      assert.deepEqual(run.relay.counters, { ...whole.relay.counters });
      assert.ok(run.tap.frames.every((frame, i) => frame.timeUs >= (run.tap.frames[i - 1]?.timeUs ?? 0)));
    }
    assert.ok(whole.relay.counters.updates > 0, 'something was drawn');
    assert.ok(whole.events.some((event) => event.kind === 'client'));
    assert.ok(whole.events.some((event) => event.kind === 'activated'));
  });

test('SC_CORE echoes what the client asked, and the change is recorded as a pair', () => {
  const { tap } = replay('xorg-default.rdpcap.gz', { requestedProtocols: 0x0b }, (length) => length);
  const pair = tap.frames.filter((frame) => frame.flags & (frameFlags.receivedOnly | frameFlags.deliveredOnly));
  assert.deepEqual(
    pair.map((frame) => frame.flags),
    [1 | frameFlags.receivedOnly, 1 | frameFlags.deliveredOnly],
  );
  const echoed = pair.map(({ bytes }) => {
    const { userData } = decode(mcsConnectResponse, decode(x224Data, decode(tpkt, bytes).payload).payload);
    const core = decode(conferenceCreateResponse, userData).blocks.find((block) => block.kind === 'core');
    return core?.kind === 'core' ? core.clientRequestedProtocols : undefined;
  });
  assert.equal(echoed[1], 0x0b);
  assert.notEqual(echoed[0], 0x0b);
});

test('a target without TLS is told its own protocol in CS_CORE', () => {
  const { tap } = replay('xorg-default.rdpcap.gz', { selectedProtocol: 0 }, (length) => length);
  const delivered = tap.frames.find((frame) => frame.flags === frameFlags.deliveredOnly);
  assert.ok(delivered);
  const initial = decode(mcsConnectInitial, decode(x224Data, decode(tpkt, delivered.bytes).payload).payload);
  const core = decode(conferenceCreateRequest, initial.userData).blocks.find((block) => block.kind === 'core');
  assert.equal(core?.kind === 'core' ? core.serverSelectedProtocol : -1, 0);
});

test('no password in any frame, and the server still gets it', () => {
  const needle = Buffer.from('Rdp-pass1', 'utf16le');
  const withPassword = names.filter((name) => Buffer.from(input(name).client).includes(needle));
  assert.ok(withPassword.length >= 14, 'most captures hold the password this looks for');
  for (const name of withPassword) {
    const { tap, toServer } = replay(name, {}, randomPieces(11));
    assert.equal(toServer.includes(needle), true);
    for (const frame of tap.frames) assert.equal(frame.bytes.includes(needle), false);
    assert.ok(tap.frames.some((frame) => frame.flags & frameFlags.blanked));
  }
});

test('in classic mode neither the received nor the delivered Client Info holds the password', () => {
  const needle = Buffer.from('Rdp-pass1', 'utf16le');
  const { tap, toServer } = replay('xorg-default.rdpcap.gz', { graphics: 'classic' }, (length) => length);
  assert.equal(toServer.includes(needle), true);
  const blanked = tap.frames.filter((frame) => frame.flags & frameFlags.blanked);
  assert.deepEqual(
    blanked.map((frame) => frame.flags & ~frameFlags.blanked),
    [frameFlags.receivedOnly, frameFlags.deliveredOnly],
  );
  for (const frame of tap.frames) assert.equal(frame.bytes.includes(needle), false);
});

test('CredSSP: tokens and credentials are blanked in the frames and delivered as they came', () => {
  const name = 'web-shadow-nla.rdpcap.gz';
  const { client } = input(name);
  assert.equal(client[0], 0x30);
  const { tap, toServer } = replay(name, {}, randomPieces(3));
  assert.equal(toServer.equals(client), true);
  const requests = tap.frames.filter((frame) => frame.bytes[0] === 0x30);
  assert.ok(requests.length >= 3);
  for (const frame of requests) {
    assert.ok(frame.flags & frameFlags.blanked);
    assert.equal(frame.bytes.includes('NTLMSSP'), false);
  }
  assert.equal(Buffer.from(client).includes('NTLMSSP'), true);
});

test('classic mode cuts the announcements down and says so', () => {
  const name = 'shadow-gfx-avc420.rdpcap.gz';
  const { tap, events, toServer } = replay(name, { graphics: 'classic' }, randomPieces(5));
  const whats = events.flatMap((event) => (event.kind === 'downgrade' ? [event.what] : []));
  assert.ok(whats.some((what) => what.includes('graphics pipeline')));
  assert.ok(whats.some((what) => what.includes('surface commands')));
  // What classic mode let through has nothing left to cut.
  const again = new RecordingTap();
  const second = new Relay({ requestedProtocols: 1, selectedProtocol: 1, graphics: 'classic' }, again);
  const step = second.step('client', toServer, 0);
  assert.deepEqual(
    step.events.filter((event) => event.kind === 'downgrade'),
    [],
  );
  assert.equal(Buffer.concat(step.forward).equals(toServer), true);
  const received = tap.frames.filter((frame) => frame.flags & frameFlags.receivedOnly);
  const delivered = tap.frames.filter((frame) => frame.flags & frameFlags.deliveredOnly);
  assert.equal(received.length, delivered.length);
  assert.equal(head('client', tap, frameFlags.receivedOnly).length, toServer.length);
});

test('classic mode turns bulk compression off', () => {
  const { events } = replay('xorg-default.rdpcap.gz', { graphics: 'classic' }, (length) => length);
  assert.ok(events.some((event) => event.kind === 'downgrade' && event.what.includes('bulk compression')));
});

test('a policy turns bulk compression off, and nothing else', () => {
  const { client } = input('xorg-default.rdpcap.gz');
  const { events, toServer } = replay('xorg-default.rdpcap.gz', { bulkCompression: false }, (length) => length);
  assert.deepEqual(
    events.flatMap((event) => (event.kind === 'downgrade' ? [event.what] : [])),
    ['bulk compression not announced to the server'],
  );
  const changed = differences(toServer, client);
  assert.ok(changed.length >= 1 && changed.length <= 2 && changed.at(-1)! - changed[0]! < 2, 'of one number of flags');
  const left = changed.map((at) => toServer[at]! & [0x80, 0x1e][at - changed[0]!]!);
  assert.deepEqual(left, [0, 0]);
});

test('what the session is about becomes events', () => {
  const { events } = replay('xorg-clip-drive.rdpcap.gz', {}, randomPieces(1));
  const client = events.find((event) => event.kind === 'client');
  assert.ok(client?.kind === 'client' && client.desktopWidth > 300 && client.clientName.length > 0);
  const channels = events.find((event) => event.kind === 'channels');
  assert.ok(channels?.kind === 'channels' && channels.channels.some(({ name }) => name.toLowerCase() === 'cliprdr'));
  assert.ok(events.some((event) => event.kind === 'client_info' && event.userName.length > 0));
});

test('ending: an error the client can show, then the ultimatum, at a PDU boundary', () => {
  const capture = input('xorg-default.rdpcap.gz');
  const tap = new RecordingTap();
  const relay = new Relay({ requestedProtocols: 1, selectedProtocol: 1, graphics: 'passthrough' }, tap);
  assert.equal(relay.end(1, 0), null, 'nothing can be said before the MCS connection');
  relay.step('client', capture.client, 1);
  // Cut inside a streamed PDU.
  let at = 20_000;
  relay.step('server', capture.server.subarray(0, at), 2);
  while (!relay.isInsidePdu) {
    relay.step('server', capture.server.subarray(at, at + 50), 3);
    at += 50;
  }
  assert.equal(relay.end(1, 4), null);
  const { forward, events } = relay.step('server', capture.server.subarray(at), 5);
  assert.deepEqual(events.at(-1), { kind: 'ended' });
  const closing = Buffer.from(forward.at(-1) ?? []);
  assert.equal(closing[0], 3);
  assert.equal(closing.readUInt8(closing.length - 2) >> 2, 8, 'Disconnect Provider Ultimatum comes last');
  assert.equal(closing.includes(Buffer.from([0x2f])), true);
  const frames = tap.frames.slice(-2);
  for (const frame of frames) assert.equal(frame.flags, 1 | frameFlags.deliveredOnly);
  assert.deepEqual(relay.step('server', capture.server.subarray(0, 100), 6), {
    forward: [],
    toServer: [],
    toClient: [],
    events: [],
  });
  assert.equal(relay.end(1, 7), null);
});

test('ending at a boundary is at once', () => {
  const capture = input('xorg-default.rdpcap.gz');
  const relay = new Relay({ requestedProtocols: 1, selectedProtocol: 1, graphics: 'passthrough' }, new RecordingTap());
  relay.step('client', capture.client, 1);
  const second = frameEnd(capture.server, 0);
  relay.step('server', capture.server.subarray(0, second), 2);
  const closing = relay.end(1, 3);
  assert.ok(closing);
  // No Demand Active yet: there is no share an error could be said in.
  assert.equal(closing.length, 9);
});

const frameEnd = (bytes: Uint8Array, at: number): number => at + ((bytes[at + 2]! << 8) | bytes[at + 3]!);

test('bytes that are no RDP are a violation of the side that sent them, never anything else', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.constantFrom<RelaySide>('client', 'server'),
      fc.boolean(),
      (bytes, side, started) => {
        const relay = new Relay(
          { requestedProtocols: 1, selectedProtocol: 1, graphics: 'classic' },
          new RecordingTap(),
        );
        if (started) {
          const { client, server } = input('xorg-default.rdpcap.gz');
          relay.step('client', client.subarray(0, client.length - 200), 0);
          relay.step('server', server.subarray(0, 5000), 0);
        }
        try {
          relay.step(side, bytes, 1);
        } catch (error) {
          assert.ok(error instanceof RelayViolation, String(error));
          assert.equal(error.side, side);
        }
      },
    ),
    { numRuns: 300 },
  );
});
