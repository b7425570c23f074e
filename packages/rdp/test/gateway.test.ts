/** The RD Gateway's side of [MS-TSGU], against clients that do as they should, and others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  dataPackets,
  ExtendedAuth,
  GatewayCapability,
  GatewayError,
  type GatewayEvent,
  type GatewayPacket,
  GatewayServer,
  type GatewayStep,
  gatewayPacket,
} from '../src/index.ts';

const cookie = 'a-secret-of-one-session';
const gatewayBytes = (text: string): Uint8Array => Buffer.from(`${text}\0`, 'utf16le');
const handshake: GatewayPacket = {
  kind: 'handshakeRequest',
  versionMajor: 1,
  versionMinor: 0,
  clientVersion: 0,
  extendedAuth: ExtendedAuth.paa,
};
const tunnelCreate: GatewayPacket = {
  kind: 'tunnelCreate',
  capabilities: 0xd,
  fieldsPresent: 1,
  reserved: 0,
  paaCookie: gatewayBytes(cookie),
};
const tunnelAuth: GatewayPacket = { kind: 'tunnelAuth', fieldsPresent: 0, clientName: gatewayBytes('laptop') };
const channelCreate: GatewayPacket = {
  kind: 'channelCreate',
  port: 3389,
  protocol: 3,
  resources: [gatewayBytes('host.example')],
  alternatives: [gatewayBytes('10.0.0.7')],
};
const requests = [handshake, tunnelCreate, tunnelAuth, channelCreate];
const bytesOf = (packet: GatewayPacket): Uint8Array => encode(gatewayPacket, packet);

class Client {
  readonly server = new GatewayServer();
  readonly heard: GatewayPacket[] = [];
  readonly events: Exclude<GatewayEvent, { kind: 'data' }>[] = [];
  received = '';

  take({ packets, events }: GatewayStep): this {
    for (const packet of packets) this.heard.push(decode(gatewayPacket, packet));
    for (const event of events)
      if (event.kind === 'data') this.received += Buffer.from(event.bytes).toString('latin1');
      else this.events.push(event);
    return this;
  }

  /** Says it, and lets the gateway say yes. */
  say(bytes: Uint8Array): this {
    this.take(this.server.step(bytes));
    this.take(this.server.acceptTunnel());
    return this.take(this.server.acceptChannel());
  }

  upTo(count: number): this {
    for (const request of requests.slice(0, count)) this.say(bytesOf(request));
    return this;
  }

  get last(): GatewayPacket | undefined {
    return this.heard.at(-1);
  }

  get ending(): string | undefined {
    const event = this.events.at(-1);
    return event?.kind === 'ended' ? event.how : undefined;
  }
}

test('a client with a cookie gets its channel, whatever pieces its bytes come in', () => {
  const inside = Buffer.from('Cookie: nothing to do with it\r\n');
  const stream = Buffer.concat([
    ...requests.map(bytesOf),
    ...dataPackets(inside),
    bytesOf({ kind: 'keepAlive' }),
    bytesOf({ kind: 'unknown', type: 0x77, body: new Uint8Array(3) }),
    ...dataPackets(inside),
    bytesOf({ kind: 'closeChannel', statusCode: 0 }),
  ]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (sizes) => {
      const client = new Client();
      for (let at = 0, i = 0; at < stream.length; i += 1) {
        // It waits for answers, as every client does: a piece ends where a request does.
        const ends = requests.map((_, count) => Buffer.concat(requests.slice(0, count + 1).map(bytesOf)).length);
        const next = Math.min(at + sizes[i % sizes.length]!, ends.find((end) => end > at) ?? stream.length);
        client.say(stream.subarray(at, next));
        at = next;
      }
      assert.deepEqual(client.events, [
        { kind: 'tunnel', cookie },
        { kind: 'channel', names: ['host.example', '10.0.0.7'], port: 3389, clientName: 'laptop' },
        { kind: 'ended', how: 'left', at: 'open', problem: 'the client closed its channel' },
      ]);
      assert.equal(client.received, inside.toString().repeat(2));
      assert.deepEqual(
        client.heard.map(({ kind }) => kind),
        ['handshakeResponse', 'tunnelResponse', 'tunnelAuthResponse', 'channelResponse', 'closeChannelResponse'],
      );
    }),
    { numRuns: 60 },
  );
});

test('what the gateway offers is what the client said it knows, and no more', () => {
  const offered = (capabilities: number) => {
    const client = new Client().upTo(1).say(bytesOf({ ...tunnelCreate, capabilities }));
    return client.last?.kind === 'tunnelResponse' ? client.last.capabilities : null;
  };
  assert.equal(offered(0x3f), GatewayCapability.idleTimeout);
  assert.equal(offered(0), 0);
});

const refusals: [string, (client: Client) => Client, number, string][] = [
  ['no cookie offered', (c) => c.say(bytesOf({ ...handshake, extendedAuth: 0 })), 0x800759f9, 'refused'],
  ['NTLM offered', (c) => c.say(bytesOf({ ...handshake, extendedAuth: 4 })), 0x800759f9, 'refused'],
  ['another version', (c) => c.say(bytesOf({ ...handshake, versionMajor: 2 })), 0x800759e8, 'refused'],
  [
    'authenticating again',
    (c) => c.upTo(1).say(bytesOf({ ...tunnelCreate, fieldsPresent: 3, reauthContext: 1n })),
    0x800759e9,
    'refused',
  ],
  ['another protocol', (c) => c.upTo(3).say(bytesOf({ ...channelCreate, protocol: 1 })), 0x800759e8, 'refused'],
];
for (const [name, play, code, how] of refusals)
  test(`${name}: refused in words`, () => {
    const client = play(new Client());
    assert.equal(client.ending, how);
    assert.equal((client.last as { errorCode?: number }).errorCode, code);
  });

test('the gateway can say no wherever the client stands, in the answer it waits for', () => {
  const answers = [
    ['handshakeResponse', 'errorCode'],
    ['tunnelResponse', 'errorCode'],
    ['tunnelAuthResponse', 'errorCode'],
    ['channelResponse', 'errorCode'],
    ['closeChannel', 'statusCode'],
  ] as const;
  for (const [count, [kind, field]] of answers.entries()) {
    const client = new Client().upTo(count);
    client.take(client.server.finish(GatewayError.sessionTimeout, 'over'));
    assert.equal(client.last?.kind, kind);
    assert.equal((client.last as unknown as Record<string, unknown>)[field], GatewayError.sessionTimeout);
    assert.equal(client.ending, kind === 'closeChannel' ? 'closed' : 'refused');
    const heard = client.heard.length;
    client.say(bytesOf(handshake)).take(client.server.finish(GatewayError.internal, 'again'));
    client.take(client.server.stop('late', 'again'));
    assert.equal(client.heard.length, heard, 'nothing is said after the end');
  }
});

test('a cookie that waits for an answer is refused as a cookie', () => {
  const client = new Client().upTo(1);
  client.take(client.server.step(bytesOf(tunnelCreate)));
  assert.equal(client.server.state, 'tunnelDecision');
  client.take(client.server.finish(GatewayError.cookieAccessDenied, 'unknown'));
  assert.deepEqual([client.last?.kind, client.ending], ['tunnelResponse', 'refused']);
});

test('what comes out of order, twice or before its time ends the connection', () => {
  for (let count = 0; count <= requests.length; count += 1)
    for (const [at, request] of requests.entries()) {
      if (at === count) continue;
      assert.equal(new Client().upTo(count).say(bytesOf(request)).ending, 'garbage', `${at} at ${count}`);
    }
  for (let count = 0; count < requests.length; count += 1)
    assert.equal(new Client().upTo(count).say(dataPackets(new Uint8Array(5))[0]!).ending, 'garbage');
  const impatient = new Client().upTo(1);
  impatient.take(impatient.server.step(bytesOf(tunnelCreate)));
  impatient.take(impatient.server.step(bytesOf(tunnelAuth)));
  assert.equal(impatient.ending, 'garbage');
});

test('lengths that are no lengths end the connection before anything is kept', () => {
  const hostile: Record<string, string> = {
    'shorter than a header': '0100 0000 07000000',
    'of half a gigabyte': '0100 0000 00000020',
    'data shorter than its count': '0a00 0000 09000000 ff',
    'data that says less': '0a00 0000 0d000000 0200',
    'data that says more': '0a00 0000 0d000000 0400',
    'a name longer than its packet': '0600 0000 0c000000 0000 ffff',
  };
  for (const [name, hex] of Object.entries(hostile))
    assert.equal(new Client().say(Buffer.from(hex.replaceAll(' ', ''), 'hex')).ending, 'garbage', name);
  const long = { ...tunnelCreate, paaCookie: gatewayBytes('x'.repeat(600)) };
  assert.equal(new Client().upTo(1).say(bytesOf(long)).ending, 'garbage', 'a cookie that is none');
  const many = { ...channelCreate, resources: Array(51).fill(gatewayBytes('h')) };
  assert.equal(new Client().upTo(3).say(bytesOf(many)).ending, 'garbage', 'more names than there may be');
});

test('random bytes, at any point, end in an ending or in silence', () => {
  const from = fc.record({ count: fc.nat(4), bytes: fc.uint8Array({ maxLength: 200 }) });
  fc.assert(
    fc.property(from, ({ count, bytes }) => {
      const client = new Client().upTo(count).say(bytes);
      client.take(client.server.stop('left', 'closed'));
      assert.equal(client.server.state, 'ended');
      assert.equal(client.events.filter(({ kind }) => kind === 'ended').length, 1);
    }),
    { numRuns: 400 },
  );
});

test('data of any size goes out in packets of a bounded size and comes back as it was', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 70_000 }), (size) => {
      const bytes = Buffer.alloc(size, 'some of it');
      const packets = dataPackets(bytes).map((packet) => decode(gatewayPacket, packet));
      assert.ok(packets.every((packet) => packet.kind === 'data' && packet.data.length <= 16_000));
      const client = new Client().upTo(4).say(Buffer.concat(dataPackets(bytes)));
      assert.ok(client.received === bytes.toString('latin1'));
    }),
    { numRuns: 30 },
  );
});
