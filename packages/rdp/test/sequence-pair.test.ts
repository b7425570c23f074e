import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as rdp from '../src/index.ts';

type Both = { client: rdp.ConnectorEvent[]; server: rdp.AcceptorEvent[] };

const clientConfig: rdp.ConnectorConfig = {
  desktopWidth: 800,
  desktopHeight: 600,
  bitsPerPixel: 32,
  routing: { kind: 'mstshash', name: 'alice' },
  channels: [
    { name: 'cliprdr', options: 0xc0000000 },
    { name: 'rdpdr', options: 0x80000000 },
    { name: 'drdynvc', options: 0xc0800000 },
  ],
  userName: 'alice',
  password: 'secret',
  domain: 'home',
};

/** Carries bytes between both ends in pieces until nobody has anything more to say. */
class Link {
  readonly connector: rdp.Connector;
  readonly acceptor: rdp.Acceptor;
  readonly events: Both = { client: [], server: [] };
  readonly #sizes: number[];
  #cut = 0;

  constructor(connector: rdp.Connector, acceptor: rdp.Acceptor, sizes: number[] = [100_000]) {
    this.connector = connector;
    this.acceptor = acceptor;
    this.#sizes = sizes;
  }

  *#pieces(bytes: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < bytes.length; ) {
      const size = this.#sizes[this.#cut++ % this.#sizes.length]!;
      yield bytes.subarray(at, at + size);
      at += size;
    }
  }

  toServer(bytes: Uint8Array): void {
    for (const piece of this.#pieces(bytes)) {
      const { output, events } = this.acceptor.step(piece);
      this.events.server.push(...events);
      const tls = events.some((event) => event.kind === 'startTls');
      if (tls) this.acceptor.tlsEstablished();
      this.toClient(output);
    }
  }

  toClient(bytes: Uint8Array): void {
    for (const piece of this.#pieces(bytes)) this.fromConnector(this.connector.step(piece));
  }

  fromConnector({ output, events }: rdp.Step<rdp.ConnectorEvent>): void {
    this.events.client.push(...events);
    this.toServer(output);
    for (const event of events) if (event.kind === 'startTls') this.fromConnector(this.connector.tlsEstablished());
  }

  connect(): this {
    this.fromConnector(this.connector.start());
    return this;
  }
}

function pair(
  acceptor: Partial<rdp.AcceptorConfig> = {},
  connector: Partial<rdp.ConnectorConfig> = {},
  sizes?: number[],
): Link {
  const server = new rdp.Acceptor({ protocols: rdp.Protocol.ssl, ...acceptor });
  return new Link(new rdp.Connector({ ...clientConfig, ...connector }), server, sizes).connect();
}

function only<E extends { kind: string }, K extends E['kind']>(events: E[], kind: K): Extract<E, { kind: K }> {
  const found = events.filter((event) => event.kind === kind);
  assert.equal(found.length, 1, `${found.length} times ${kind}`);
  return found[0] as Extract<E, { kind: K }>;
}

test('client and server reach an active session and agree on everything', () => {
  const link = pair();
  assert.equal(link.connector.state, 'active');
  assert.equal(link.acceptor.state, 'active');
  const shape = { desktopWidth: 800, desktopHeight: 600, bitsPerPixel: 32 };
  assert.deepEqual(only(link.events.client, 'active').shape, shape);
  assert.deepEqual(only(link.events.server, 'active').shape, shape);
  assert.deepEqual(only(link.events.server, 'connectionRequest').request.routing, { kind: 'mstshash', name: 'alice' });
  const { info } = only(link.events.server, 'clientInfo');
  assert.deepEqual([info.userName, info.password, info.domain], ['alice', 'secret', 'home']);
  const channels = [
    { channelId: 1004, name: 'cliprdr' },
    { channelId: 1005, name: 'rdpdr' },
    { channelId: 1006, name: 'drdynvc' },
  ];
  assert.deepEqual(only(link.events.server, 'connectInitial').channels, channels);
  assert.deepEqual(link.connector.channels, channels);
});

test('any pieces give the same session', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      const link = pair({}, {}, sizes);
      assert.equal(link.connector.state, 'active');
      assert.equal(link.acceptor.state, 'active');
    }),
    { numRuns: 25 },
  );
});

test('the server may decide size and depth', () => {
  const link = pair({ desktop: { width: 1024, height: 768 }, bitsPerPixel: 16 });
  const shape = { desktopWidth: 1024, desktopHeight: 768, bitsPerPixel: 16 };
  assert.deepEqual(link.connector.shape, shape);
  assert.deepEqual(link.acceptor.shape, shape);
});

test('the depth follows the client: 16, 24 or 32', () => {
  for (const bitsPerPixel of [15, 16, 24, 32] as const)
    assert.equal(pair({}, { bitsPerPixel }).acceptor.shape.bitsPerPixel, bitsPerPixel);
});

test('a session without channels works, and so does one without a routing line', () => {
  const { routing: _r, channels: _c, ...bare } = clientConfig;
  const acceptor = new rdp.Acceptor({ protocols: rdp.Protocol.ssl });
  const link = new Link(new rdp.Connector(bare), acceptor).connect();
  assert.equal(link.connector.state, 'active');
  assert.equal(only(link.events.server, 'connectionRequest').request.routing, undefined);
});

test('input, share data and channel messages travel both ways', () => {
  const link = pair();
  const input: rdp.FastPathInputEvent[] = [
    { kind: 'scancode', flags: 0, keyCode: 30 },
    { kind: 'unicode', flags: 0, unicodeCode: 0x263a },
    { kind: 'mouse', flags: 0, pointerFlags: 0x9000, x: 10, y: 20 },
  ];
  link.toServer(link.connector.input(input));
  assert.deepEqual(only(link.events.server, 'fastPathInput').input.events, input);
  const message = new Uint8Array(4000).fill(7);
  link.toServer(link.connector.channelMessage(1004, message));
  link.toClient(link.acceptor.channelMessage(1005, message));
  for (const events of [link.events.client, link.events.server]) {
    const assembly = new rdp.ChannelReassembler();
    const chunks = [...events].filter((event) => event.kind === 'channelData');
    assert.equal(chunks.length, 3);
    const whole = chunks.map(({ chunk }) => assembly.push(chunk.flags, chunk.data));
    assert.deepEqual(whole.slice(0, 2), [null, null]);
    assert.equal(Buffer.compare(whole[2]!, message), 0);
  }
  const update = { updateCode: rdp.FastPathUpdateCode.pointerNull, fragmentation: 0, compression: 0, data: message };
  link.toClient(link.acceptor.fastPath([update]));
  assert.equal(only(link.events.client, 'fastPathOutput').output.updates[0]?.data.length, 4000);
  link.toClient(link.acceptor.shareData(rdp.PduType2.statusInfo, rdp.statusInfo, { statusCode: 0x401 }));
  const last = link.events.client.at(-1);
  assert.ok(last?.kind === 'shareData' && decode(rdp.statusInfo, last.pdu.data).statusCode === 0x401);
});

test('a server without fast-path input gets every event in the slow form', () => {
  const capabilitySets = (shape: rdp.DesktopShape) =>
    rdp
      .serverCapabilities(shape)
      .map((set) => (set.kind === 'input' ? { ...set, inputFlags: rdp.InputFlag.scancodes } : set));
  const link = pair({ capabilitySets });
  link.toServer(
    link.connector.input([
      { kind: 'scancode', flags: 3, keyCode: 0x4d },
      { kind: 'unicode', flags: 1, unicodeCode: 0x41 },
      { kind: 'mouse', flags: 0, pointerFlags: 0x0800, x: 1, y: 2 },
      { kind: 'mousex', flags: 0, pointerFlags: 1, x: 1, y: 2 },
      { kind: 'mouseRelative', flags: 0, pointerFlags: 1, xDelta: 1, yDelta: 2 },
      { kind: 'sync', flags: 2 },
      { kind: 'qoeTimestamp', flags: 0, timestamp: 5 },
    ]),
  );
  const { pdu } = only(link.events.server, 'shareData');
  assert.equal(pdu.pduType2, rdp.PduType2.input);
  const { events } = decode(rdp.slowPathInput, pdu.data);
  assert.deepEqual(
    events.map((event) => event.kind),
    ['scancode', 'unicode', 'mouse', 'mousex', 'mouseRelative', 'synchronize', 'unused'],
  );
  const [key] = events;
  assert.ok(key?.kind === 'scancode' && key.keyboardFlags === 0x8100 && key.keyCode === 0x4d);
});

test('a refused client is told why, whenever the refusal comes', () => {
  const refusal = rdp.ErrorInfo.serverDeniedConnection.code;
  const early = new rdp.Acceptor({ protocols: rdp.Protocol.ssl });
  early.refuse(refusal);
  const before = new Link(new rdp.Connector(clientConfig), early).connect();
  const after = pair();
  const step = after.acceptor.refuse(refusal);
  after.events.server.push(...step.events);
  after.toClient(step.output);
  for (const link of [before, after]) {
    assert.deepEqual(only(link.events.client, 'errorInfo'), {
      kind: 'errorInfo',
      code: 7,
      text: 'the server denied the connection',
    });
    only(link.events.client, 'deactivated');
    assert.equal(only(link.events.client, 'ended').reason, rdp.McsReason.providerInitiated);
    assert.equal(only(link.events.server, 'ended').reason, 'refused');
    assert.equal(link.connector.state, 'ended');
    assert.equal(link.acceptor.state, 'ended');
  }
  assert.equal(before.events.server.filter((event) => event.kind === 'active').length, 0);
});

test('both sides can leave', () => {
  const byClient = pair();
  byClient.toServer(byClient.connector.disconnect());
  assert.equal(only(byClient.events.server, 'ended').reason, 'clientLeft');
  const byServer = pair();
  byServer.toClient(byServer.acceptor.disconnect());
  assert.equal(only(byServer.events.client, 'ended').reason, rdp.McsReason.userRequested);
});

test('without a common protocol the client hears which one is needed', () => {
  const plain = pair({}, { requestedProtocols: rdp.Protocol.rdp });
  assert.equal(only(plain.events.client, 'negotiationFailed').failureCode, 1);
  assert.equal(only(plain.events.server, 'negotiationFailed').failureCode, 1);
  assert.equal(plain.connector.state, 'ended');
  const nla = pair({ protocols: rdp.Protocol.hybrid }, { requestedProtocols: rdp.Protocol.ssl });
  assert.equal(only(nla.events.client, 'negotiationFailed').failureCode, 5);
});

test('CredSSP messages are handed over whole between TLS and MCS', () => {
  const protocols = rdp.Protocol.ssl | rdp.Protocol.hybrid;
  const link = pair({ protocols }, { requestedProtocols: protocols });
  assert.equal(link.connector.state, 'credssp');
  assert.equal(link.acceptor.state, 'credssp');
  const hello = encode(rdp.tsRequest, { version: 6, negoTokens: [new Uint8Array(300)] });
  link.toServer(hello);
  link.toClient(hello);
  assert.equal(Buffer.compare(only(link.events.server, 'credssp').message, hello), 0);
  assert.equal(Buffer.compare(only(link.events.client, 'credssp').message, hello), 0);
  link.acceptor.credsspDone();
  link.fromConnector(link.connector.credsspDone());
  assert.equal(link.connector.state, 'active');
});

test('an acceptor can begin where RDCleanPath ends', () => {
  const begin = { at: 'connectInitial', selectedProtocol: 1, requestedProtocols: 3 } as const;
  const acceptor = new rdp.Acceptor({ protocols: 0, begin });
  assert.equal(acceptor.state, 'connectInitial');
});

test('a client that asks for a license is told it is valid; a server that demands one hears there is none', () => {
  const link = pair();
  const connector = new rdp.Connector(clientConfig);
  assert.ok(link);
  const request = encode(rdp.licensePdu, {
    messageType: rdp.LicenseMessageType.licenseRequest,
    flags: 2,
    body: { kind: 'opaque', data: new Uint8Array(8) },
  });
  const header = encode(rdp.securityHeader, { flags: rdp.SecurityFlag.licensePkt, flagsHi: 0 });
  connectTo(connector, 'licensing');
  const answer = connector.step(rdp.indicationFrame(1003, Buffer.concat([header, request])));
  const frame = decode(rdp.mcsPdu, decode(rdp.x224Data, decode(rdp.tpkt, answer.output).payload).payload);
  assert.ok(frame.kind === 'sendDataRequest');
  const { body } = decode(rdp.licensePdu, frame.data.subarray(4));
  assert.ok(body.kind === 'error' && body.error.errorCode === 2);
  const refused = encode(rdp.licensePdu, {
    messageType: rdp.LicenseMessageType.errorAlert,
    flags: 3,
    body: { kind: 'error', error: { errorCode: 4, stateTransition: 1, blobType: 4, blob: new Uint8Array(0) } },
  });
  assert.throws(() => connector.step(rdp.indicationFrame(1003, Buffer.concat([header, refused]))), DecodeError);
});

/** Drives a connector with an acceptor's answers until it waits for `state`. */
function connectTo(connector: rdp.Connector, state: rdp.ConnectorState): void {
  const acceptor = new rdp.Acceptor({ protocols: rdp.Protocol.ssl });
  let { output } = connector.start();
  for (let i = 0; i < 50; i += 1) {
    const answer = acceptor.step(output);
    if (acceptor.state === 'tls') acceptor.tlsEstablished();
    if (connector.state === state) return;
    output = connector.step(answer.output).output;
    if (connector.state === 'tls') output = connector.tlsEstablished().output;
    if (connector.state === state) return;
  }
  assert.fail(`never reached ${state}`);
}

test('reactivation brings a new size', () => {
  const link = pair();
  const deactivate = rdp.wrapShareControl(rdp.PduType.deactivateAll, rdp.SERVER_USER_ID, rdp.deactivateAll, {});
  const { events } = link.connector.step(rdp.indicationFrame(1003, deactivate));
  assert.equal(events[0]?.kind, 'deactivated');
  const shape = { desktopWidth: 640, desktopHeight: 480, bitsPerPixel: 16 } as const;
  const demand = rdp.wrapShareControl(rdp.PduType.demandActive, rdp.SERVER_USER_ID, rdp.demandActive, {
    shareId: 9,
    sourceDescriptor: new Uint8Array(0),
    pad2Octets: 0,
    capabilitySets: rdp.serverCapabilities(shape),
  });
  assert.ok(link.connector.step(rdp.indicationFrame(1003, demand)).output.length > 0);
  assert.deepEqual(link.connector.shape, shape);
  assert.equal(link.connector.state, 'finalization');
});

test('what does not belong here ends in a typed error', () => {
  const fresh = () => new rdp.Acceptor({ protocols: rdp.Protocol.ssl });
  assert.throws(() => fresh().step(Buffer.from('GET / HTTP/1.1\r\n')), DecodeError);
  const link = pair();
  const misfit: rdp.McsPdu = { kind: 'attachUserConfirm', result: 0, initiator: 1007 };
  assert.throws(() => link.acceptor.step(rdp.mcsFrame(misfit)), DecodeError);
  assert.throws(() => link.connector.step(rdp.mcsFrame({ kind: 'attachUserRequest' })), DecodeError);
  assert.throws(() => link.acceptor.step(rdp.requestFrame(1007, 1999, new Uint8Array(8))), DecodeError);
  assert.throws(() => pair().connector.step(rdp.indicationFrame(1999, new Uint8Array(8))), DecodeError);
  const refused: rdp.McsPdu = { kind: 'channelJoinConfirm', result: 3, initiator: 1007, requested: 1003 };
  assert.throws(() => pair().connector.step(rdp.mcsFrame(refused)), DecodeError);
});

test('random bytes at any stage end in a typed error or in nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(3), (bytes, stage) => {
      const link = stage === 0 ? null : pair();
      const target = link?.[stage === 1 ? 'acceptor' : 'connector'] ?? new rdp.Acceptor({ protocols: 1 });
      try {
        target.step(bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
      }
    }),
    { numRuns: 200 },
  );
});
