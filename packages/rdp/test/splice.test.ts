/** A client that is held, then joined to a target whose ids are all different. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as rdp from '../src/index.ts';

const names = ['cliprdr', 'rdpdr', 'drdynvc'];
const clientConfig: rdp.ConnectorConfig = {
  desktopWidth: 800,
  desktopHeight: 600,
  bitsPerPixel: 32,
  channels: names.map((name) => ({ name, options: 0xc0000000 })),
  userName: 'alice',
  password: 'secret',
  domain: 'home',
};

/** A server whose user and channels have ids that are `by` higher than those of an `Acceptor`. */
class ShiftedServer {
  readonly acceptor = new rdp.Acceptor({
    protocols: rdp.Protocol.ssl,
    begin: { at: 'connectInitial', selectedProtocol: rdp.Protocol.ssl, requestedProtocols: rdp.Protocol.ssl },
  });
  readonly events: rdp.AcceptorEvent[] = [];
  readonly #splitter = new rdp.FrameSplitter(false);
  readonly #by: number;

  constructor(by: number) {
    this.#by = by;
  }

  step(bytes: Uint8Array): Uint8Array {
    const output: Uint8Array[] = [];
    this.#splitter.push(bytes);
    for (let frame = this.#splitter.next(); frame !== null; frame = this.#splitter.next()) {
      const step = this.acceptor.step(shiftFrame(frame, -this.#by));
      this.events.push(...step.events);
      output.push(this.shifted(step.output));
    }
    return Buffer.concat(output);
  }

  /** Frames of the acceptor as this server sends them. */
  shifted(frames: Uint8Array): Uint8Array {
    const splitter = new rdp.FrameSplitter(false);
    splitter.push(frames);
    const output: Uint8Array[] = [];
    for (let frame = splitter.next(); frame !== null; frame = splitter.next()) output.push(shiftFrame(frame, this.#by));
    return Buffer.concat(output);
  }
}

/** Ids of servers themselves stay. */
const shiftId = (id: number, by: number): number => (id === rdp.SERVER_USER_ID ? id : id + by);

function shiftFrame(frame: Uint8Array, by: number): Uint8Array {
  if (frame[0] !== 3) return frame;
  const { payload } = decode(rdp.x224Data, decode(rdp.tpkt, frame).payload);
  if (payload[0] === 0x7f) return payload[1] === 0x66 ? shiftResponse(payload, by) : frame;
  const pdu = decode(rdp.mcsPdu, payload);
  const shifted = Object.fromEntries(
    Object.entries(pdu).map(([name, value]) => [
      name,
      typeof value === 'number' && ['initiator', 'channelId', 'requested'].includes(name) ? shiftId(value, by) : value,
    ]),
  ) as unknown as rdp.McsPdu;
  return rdp.mcsFrame(shifted);
}

function shiftResponse(payload: Uint8Array, by: number): Uint8Array {
  const { forms: _, ...response } = decode(rdp.mcsConnectResponse, payload);
  const conference = decode(rdp.conferenceCreateResponse, response.userData);
  for (const block of conference.blocks) {
    if (block.kind !== 'network') continue;
    block.mcsChannelId += by;
    block.channelIds = block.channelIds.map((id) => id + by);
  }
  const userData = encode(rdp.conferenceCreateResponse, conference);
  return rdp.dataFrame(encode(rdp.mcsConnectResponse, { ...response, userData }));
}

interface World {
  client: rdp.Connector;
  clientEvents: rdp.ConnectorEvent[];
  server: ShiftedServer;
  splice: rdp.Splice;
  toServer: (bytes: Uint8Array) => void;
  toClient: (bytes: Uint8Array) => void;
}

const display: rdp.HeldDisplay<never> = {
  open: () => [encode(rdp.bitmapUpdate, { rectangles: [] })],
  input: () => null,
  draw: () => [],
};

/** Brings a client to its Client Info. */
function held(config: rdp.ConnectorConfig) {
  const client = new rdp.Connector(config);
  const clientEvents: rdp.ConnectorEvent[] = [];
  client.start();
  const take = ({ output, events }: rdp.Step<rdp.ConnectorEvent>): Uint8Array => {
    clientEvents.push(...events);
    return output;
  };
  const confirm = { destinationReference: 0, sourceReference: 0, classOption: 0 };
  const negotiation = { kind: 'response', flags: 1, selectedProtocol: rdp.Protocol.ssl } as const;
  take(client.step(rdp.x224Frame(rdp.x224ConnectionConfirm, { ...confirm, negotiation })));
  const connectInitial = take(client.tlsEstablished());
  const hold = new rdp.Hold<never>(rdp.Protocol.ssl, connectInitial);
  const kinds: string[] = [];
  const holdSteps = (bytes: Uint8Array): void => {
    const step = hold.step(bytes);
    kinds.push(...step.events.map((event) => event.kind));
    if (step.output.length > 0) holdSteps(take(client.step(step.output)));
  };
  holdSteps(connectInitial);
  assert.deepEqual(kinds, ['clientInfo']);
  return { client, clientEvents, hold, holdSteps, take };
}

/** Brings the client to its Client Info (and to a desktop of ours with `shown`), then joins it. */
function join(shown: boolean, sizes: readonly number[] = [100_000], by = 17): World {
  const { client, clientEvents, hold, holdSteps, take } = held(clientConfig);
  if (shown) {
    holdSteps(take(client.step(hold.show(display).output)));
    assert.equal(client.state, 'active');
  }
  const splice = new rdp.Splice(hold.state);
  const server = new ShiftedServer(by);
  let cut = 0;
  const pieces = (bytes: Uint8Array, give: (piece: Uint8Array) => void): void => {
    for (let at = 0; at < bytes.length; ) {
      const size = sizes[cut++ % sizes.length]!;
      give(bytes.slice(at, at + size));
      at += size;
    }
  };
  const spread = ({ toClient: forClient, toTarget }: rdp.SpliceStep): void => {
    if (forClient.length > 0) pieces(take(client.step(forClient)), (piece) => spread(splice.fromClient(piece)));
    if (toTarget.length > 0) toServer(toTarget);
  };
  const toServer = (bytes: Uint8Array): void => pieces(server.step(bytes), (piece) => spread(splice.fromTarget(piece)));
  spread(splice.start());
  return {
    client,
    clientEvents,
    server,
    splice,
    toServer: (bytes) => pieces(bytes, (piece) => spread(splice.fromClient(piece))),
    toClient: (bytes) => pieces(server.shifted(bytes), (piece) => spread(splice.fromTarget(piece))),
  };
}

const chunkOf = (text: string): Uint8Array => Buffer.from(text.repeat(300));

function exchange({ client, clientEvents, server, toServer, toClient }: World): void {
  for (const [at, { channelId, name }] of client.channels.entries()) {
    toServer(client.channelMessage(channelId, chunkOf(name)));
    toClient(server.acceptor.channelMessage(server.acceptor.channels[at]!.channelId, chunkOf(name)));
  }
  const heard = server.events.filter((event) => event.kind === 'channelData');
  assert.deepEqual([...new Set(heard.map(({ channelName }) => channelName))], names);
  const told = clientEvents.filter((event) => event.kind === 'channelData');
  assert.deepEqual([...new Set(told.map(({ channelName }) => channelName))], names);
  for (const { channelName, chunk } of [...heard, ...told])
    assert.ok(Buffer.from(chunkOf(channelName)).includes(chunk.data.subarray(0, 20)));
}

for (const shown of [false, true])
  test(`a client that ${shown ? 'has had a desktop of ours' : 'waits for licensing'} gets the target's, whatever ids and pieces`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 0, max: 40 }),
        (sizes, by) => {
          const world = join(shown, sizes, by);
          assert.equal(world.client.state, 'active');
          assert.equal(world.server.acceptor.state, 'active');
          const { info } = world.server.events.find((event) => event.kind === 'clientInfo')!;
          assert.deepEqual([info.userName, info.password, info.domain], ['alice', 'secret', 'home']);
          assert.equal(world.splice.targetIds?.ioChannelId, 1003 + by);
          exchange(world);
        },
      ),
      { numRuns: 25 },
    );
  });

test('what a client does on a desktop of ours reaches no target', () => {
  const world = join(true);
  const before = world.server.events.length;
  const late = new rdp.Splice({
    connectInitial: new Uint8Array(0),
    clientInfo: new Uint8Array(0),
    ids: { userId: 1007, ioChannelId: 1003, messageChannelId: 0, channelIds: [] },
    deactivate: new Uint8Array(0),
  });
  const typed = world.client.input([{ kind: 'scancode', flags: 0, keyCode: 30 }]);
  assert.deepEqual(late.fromClient(typed), { toTarget: new Uint8Array(0), toClient: new Uint8Array(0) });
  world.toServer(typed);
  assert.equal(world.server.events.length, before + 1);
});

test('a client that does not wait for its target is refused', () => {
  const splice = new rdp.Splice({
    connectInitial: new Uint8Array(0),
    clientInfo: new Uint8Array(0),
    ids: { userId: 1007, ioChannelId: 1003, messageChannelId: 0, channelIds: [] },
    deactivate: null,
  });
  const piece = new Uint8Array(30_000).fill(3);
  splice.fromClient(piece);
  splice.fromClient(piece);
  assert.throws(() => splice.fromClient(piece), { code: 'limit' });
});

/** What a splice says to a target that has attached its user. */
function saidBehindAttach(clientSkips: boolean, targetSkips: boolean): string[] {
  const { hold } = held({
    ...clientConfig,
    earlyCapabilityFlags: clientSkips ? rdp.ClientEarlyCapability.supportSkipChanneljoin : 0,
  });
  const splice = new rdp.Splice(hold.state);
  const server = new ShiftedServer(0);
  const { payload } = decode(rdp.x224Data, decode(rdp.tpkt, server.step(splice.start().toTarget)).payload);
  const { forms: _, ...response } = decode(rdp.mcsConnectResponse, payload);
  const conference = decode(rdp.conferenceCreateResponse, response.userData);
  for (const block of conference.blocks)
    if (block.kind === 'core')
      Object.assign(block, {
        clientRequestedProtocols: 1,
        earlyCapabilityFlags: targetSkips ? rdp.ServerEarlyCapability.skipChanneljoinSupported : 0,
      });
  const userData = encode(rdp.conferenceCreateResponse, conference);
  splice.fromTarget(rdp.dataFrame(encode(rdp.mcsConnectResponse, { ...response, userData })));
  const said = new rdp.FrameSplitter(false);
  said.push(splice.fromTarget(rdp.mcsFrame({ kind: 'attachUserConfirm', result: 0, initiator: 1007 })).toTarget);
  const kinds: string[] = [];
  for (let frame = said.next(); frame !== null; frame = said.next())
    kinds.push(decode(rdp.mcsPdu, decode(rdp.x224Data, decode(rdp.tpkt, frame).payload).payload).kind);
  return kinds;
}

test('channels are not joined where client and target both do without, and are otherwise', () => {
  assert.deepEqual(saidBehindAttach(true, true), ['sendDataRequest']);
  for (const [client, target] of [
    [true, false],
    [false, true],
    [false, false],
  ] as const)
    assert.deepEqual(saidBehindAttach(client, target), ['channelJoinRequest']);
});

const idsOf = fc
  .uniqueArray(fc.integer({ min: 1004, max: 1100 }), { minLength: 3, maxLength: 33 })
  .map(([userId, messageChannelId, ...channelIds]) => ({
    userId: userId!,
    ioChannelId: 1003,
    messageChannelId: messageChannelId!,
    channelIds,
  }));

test('the map of channels is one to one, and its reverse maps back', () => {
  fc.assert(
    fc.property(idsOf, idsOf, (client, target) => {
      const there = rdp.domainMap(client, target);
      const back = rdp.domainMap(target, client);
      assert.equal(new Set(there.channels.values()).size, there.channels.size);
      for (const [id, other] of there.channels) assert.equal(back.channels.get(other), id);
      assert.equal(there.channels.size, back.channels.size);
    }),
  );
});

test('random bytes of a target never do more than end the session', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }), (pieces) => {
      const splice = new rdp.Splice(new rdp.Hold<never>(rdp.Protocol.ssl, new Uint8Array(0)).state);
      splice.start();
      try {
        for (const piece of pieces) splice.fromTarget(Uint8Array.from([3, 0, 0, ...piece]));
      } catch (error) {
        assert.equal((error as Error).name, 'DecodeError');
      }
    }),
  );
});

test('whatever a held client says ends it at worst, and what it may say is bounded', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }), fc.boolean(), (pieces, isTpkt) => {
      const hold = new rdp.Hold<never>(rdp.Protocol.ssl, new Uint8Array(0));
      for (const piece of pieces) {
        const { events } = hold.step(Uint8Array.from(isTpkt ? [3, 0, 0, piece.length + 4, ...piece] : piece));
        for (const event of events) assert.equal(event.kind, 'ended');
      }
      hold.refuse(1);
      hold.show(display);
    }),
  );
  const hold = new rdp.Hold<never>(rdp.Protocol.ssl, new Uint8Array(0));
  const { events } = hold.step(new Uint8Array(2 * 1024 * 1024));
  assert.deepEqual(
    events.map((event) => [event.kind, event.kind === 'ended' && /says too much/.test(event.problem)]),
    [['ended', true]],
  );
  assert.deepEqual(hold.step(Uint8Array.of(3)), { output: new Uint8Array(0), events: [] });
});
