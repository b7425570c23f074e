/** What replay can't show is taken out of the negotiation, told, and nothing else of the stream changes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GfxPdu, gfxPdu } from '@lucid-sessions/graphics';
import {
  type CapabilitySet,
  type ClientDataBlock,
  conferenceCreateRequest,
  conferenceCreateResponse,
  confirmActive,
  demandActive,
  initiateMultitransportRequest,
  initiateMultitransportResponse,
  mcsConnectInitial,
  mcsConnectResponse,
  mcsPdu,
  PduType,
  PduType2,
  persistentKeyList,
  SecurityFlag,
  type ServerDataBlock,
  StreamInspector,
  securityHeader,
  synchronize,
  tpkt,
  wrapShareControl,
  wrapShareData,
  x224Data,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { mppcEncode, tokens, zgfxMultipart, zgfxSegment, zgfxSingle } from '@lucid-sessions/testkit/bulk-encoders';
import { decode, encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import type { RelayPolicy } from '../src/conversation.ts';
import { unreplayable } from '../src/downgrades.ts';
import { policyOf } from './support/channel-talk.ts';
import { channels, dataOf, pdusOf, RunningRelay, tpktOf } from './support/running-relay.ts';

const FIRST = 1;
const LAST = 2;
const GRAPHICS = 'Microsoft::Windows::RDS::Graphics';
const id = 9;
const knownVersions = [
  0x80004, 0x80105, 0xa0002, 0xa0100, 0xa0200, 0xa0301, 0xa0400, 0xa0502, 0xa0600, 0xa0601, 0xa0701,
];

const chunk = (data: Uint8Array, flags = FIRST | LAST, length = data.length): Uint8Array =>
  new Writer().u32le(length).u32le(flags).slice(data).bytes();
const dvc = (data: Uint8Array, flags?: number): Uint8Array => dataOf('client', channels.drdynvc, chunk(data, flags));
const flags4 = (flags: number): Uint8Array => new Writer().u32le(flags).bytes();
const whats = ({ events }: RunningRelay): string[] =>
  events.flatMap((event) => (event.kind === 'downgrade' ? [event.what] : []));

type Capset = { version: number; capsData: Uint8Array };
const advertise = (capsSets: Capset[]): Uint8Array =>
  encode(gfxPdu, { kind: 'capsAdvertise', flags: 0, body: { capsSets } });
const acknowledge = (frameId: number): Uint8Array =>
  encode(gfxPdu, { kind: 'frameAcknowledge', flags: 0, body: { queueDepth: 0, frameId, totalFramesDecoded: frameId } });
const offer = (count: number): Uint8Array => {
  const cacheEntries = Array.from({ length: count }, (_, i) => ({ cacheKey: BigInt(i * 7919), bitmapLength: 16_384 }));
  return encode(gfxPdu, { kind: 'cacheImportOffer', flags: 0, body: { cacheEntries } });
};

/** A session whose graphics channel is open. */
function session(policy: Partial<RelayPolicy> = {}, name = GRAPHICS): RunningRelay {
  const running = new RunningRelay(policy).activated();
  const request = new Writer().u8(0x10).u8(id).latin1(name).u8(0).bytes();
  running.send('server', dataOf('server', channels.drdynvc, chunk(request)));
  running.send('client', dvc(new Writer().u8(0x10).u8(id).u32le(0).bytes()));
  running.frames();
  return running;
}

/** How a client may send a message: in data PDUs of so many bytes, compressed or not, each in chunks of so many. */
interface Way {
  pduBytes: number;
  chunkBytes: number;
  compression: 'none' | 'literals' | 'matches' | 'multipart';
}
const anyWay: fc.Arbitrary<Way> = fc.record({
  pduBytes: fc.constantFrom(1, 5, 8, 33, 600, 1590),
  chunkBytes: fc.constantFrom(1, 3, 9, 64, 1600, 1600),
  compression: fc.constantFrom('none', 'none', 'literals', 'matches', 'multipart'),
});

/** A client's end of the channel, with the past its compression refers to. */
class Sender {
  #past = new Uint8Array(0);

  pdus(message: Uint8Array, { pduBytes, chunkBytes, compression }: Way): Uint8Array[] {
    const isWhole = message.length <= pduBytes;
    const pdus: Uint8Array[] = [];
    for (let at = 0; at === 0 || at < message.length; at += pduBytes) {
      const part = message.subarray(at, at + pduBytes);
      const command = isWhole || at > 0 ? 3 : 2;
      const data = compression === 'none' ? part : this.#compressed(part, compression);
      const header = new Writer()
        .u8(((compression === 'none' ? command : command + 4) << 4) | (command === 2 ? 8 : 0))
        .u8(id);
      if (command === 2) header.u32le(message.length);
      pdus.push(header.slice(data).bytes());
    }
    return pdus.flatMap((pdu) => chunked(pdu, chunkBytes));
  }

  #compressed(part: Uint8Array, how: Way['compression']): Uint8Array {
    const before = this.#past;
    this.#past = Buffer.concat([before, part]).subarray(-8192);
    const literals = new Uint8Array([0x06, ...part]);
    if (how === 'literals') return zgfxSingle(literals);
    if (how === 'multipart') {
      const half = part.length >> 1;
      const segment = (bytes: Uint8Array) => new Uint8Array([0x06, ...bytes]);
      return zgfxMultipart([segment(part.subarray(0, half)), segment(part.subarray(half))], part.length);
    }
    // What is written pushes the oldest out: nothing refers further back than the history reaches then.
    return zgfxSingle(
      zgfxSegment(tokens(part, before.subarray(Math.max(0, before.length + part.length - 8192)), 3, 60)),
    );
  }
}

function chunked(pdu: Uint8Array, chunkBytes: number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < pdu.length; at += chunkBytes) {
    const flags = (at === 0 ? FIRST : 0) | (at + chunkBytes >= pdu.length ? LAST : 0);
    chunks.push(dataOf('client', channels.drdynvc, chunk(pdu.subarray(at, at + chunkBytes), flags, pdu.length)));
  }
  return chunks;
}

/** What a server reads on the graphics channel, by the project's own reader; every PDU of it must be sound. */
class Server {
  readonly #inspector = new StreamInspector();

  constructor(running: RunningRelay) {
    for (const { flags, bytes } of running.tap.frames)
      if ((flags & frameFlags.receivedOnly) === 0)
        this.#inspector.push((flags & frameFlags.serverToClient) === 0 ? 'client' : 'server', bytes);
  }

  messages(stream: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    for (const event of this.#inspector.push('client', stream)) {
      assert.notEqual(event.kind, 'malformed');
      if (event.kind !== 'dynamicMessage') continue;
      assert.ok(event.message !== null);
      messages.push(new Uint8Array(event.message));
    }
    return messages;
  }
}

const anyVersion = fc.oneof(
  fc.constantFrom(...knownVersions),
  fc.constantFrom(0xa0800, 0xb0000, 0xb0100, 0xf0000001, 0x80003, 0),
  fc.nat(0xffff_ffff),
);
const anyCapset: fc.Arbitrary<Capset> = fc.record({
  version: anyVersion,
  capsData: fc.oneof(
    fc.constantFrom(0, 1, 2, 0x20, 0xc2, 0x100, 0x8000_0000).map(flags4),
    fc.uint8Array({ maxLength: 20 }),
  ),
});

const isKnown = ({ version, capsData }: Capset): boolean =>
  knownVersions.includes(version) &&
  capsData.every((byte, i) => (i > 0 || version === 0xa0100 ? byte === 0 : (byte & ~0xf3) === 0));

test('whatever a client advertises, in whatever pieces, the server sees versions and options that replay knows', () => {
  fc.assert(
    fc.property(
      fc.array(anyCapset, { minLength: 1, maxLength: 14 }),
      fc.array(anyWay, { minLength: 3, maxLength: 3 }),
      fc.integer({ min: 1, max: 500 }),
      (sets, [first, second, third], pieceBytes) => {
        const running = session();
        const server = new Server(running);
        const sender = new Sender();
        const sent = [acknowledge(1), advertise(sets), acknowledge(2)];
        const ways = [first!, second!, third!];
        const pdus = sent.flatMap((message, i) => sender.pdus(message, ways[i]!));
        const passed = Buffer.concat(pdus.map((pdu) => running.send('client', pdu, pieceBytes)));
        const [before, advertised, behind, ...more] = server.messages(passed);
        assert.deepEqual(more, []);
        assert.deepEqual([before, behind], [new Uint8Array(sent[0]!), new Uint8Array(sent[2]!)]);
        const { body } = decode(gfxPdu, advertised!) as Extract<GfxPdu, { kind: 'capsAdvertise' }>;
        const wasKnown = sets.every(isKnown);
        assert.ok(body.capsSets.length > 0 && body.capsSets.every(isKnown));
        const versions = sets.flatMap(({ version }) => (knownVersions.includes(version) ? [version] : []));
        assert.deepEqual(
          body.capsSets.map(({ version }) => version),
          versions.length === 0 ? [0x80004] : versions,
        );
        assert.equal(wasKnown, Buffer.from(advertised!).equals(Buffer.from(sent[1]!)));
        if (wasKnown && ways.every(({ compression }) => compression === 'none'))
          assert.ok(passed.equals(Buffer.concat(pdus)), 'byte for byte');
        assert.equal(
          whats(running).some((what) => what.includes('versions or options')),
          !wasKnown,
        );
        recordsBoth(running, Buffer.concat(pdus), passed);
      },
    ),
    { numRuns: 150 },
  );
});

/** The recording gives back what was received, and what was delivered. */
function recordsBoth(running: RunningRelay, received: Buffer, delivered: Buffer): void {
  const frames = running.frames().filter(({ flags }) => (flags & frameFlags.serverToClient) === 0);
  const without = (flag: number) =>
    Buffer.concat(frames.filter(({ flags }) => (flags & flag) === 0).map(({ bytes }) => bytes));
  assert.ok(without(frameFlags.deliveredOnly).equals(received));
  assert.ok(without(frameFlags.receivedOnly).equals(delivered));
}

test('a cache import offer offers nothing, and what stands beside it in its message stays', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5461 }), fc.boolean(), anyWay, (count, isBeside, way) => {
      const running = session();
      const server = new Server(running);
      const message = isBeside ? Buffer.concat([acknowledge(3), offer(count), acknowledge(4)]) : offer(count);
      const pduBytes = Math.max(33, way.pduBytes);
      const chunkBytes = Math.max(64, way.chunkBytes);
      const pdus = new Sender().pdus(message, { ...way, pduBytes, chunkBytes });
      const passed = Buffer.concat(pdus.map((pdu) => running.send('client', pdu)));
      const wanted = isBeside ? Buffer.concat([acknowledge(3), offer(0), acknowledge(4)]) : offer(0);
      assert.deepEqual(server.messages(passed), [new Uint8Array(wanted)]);
      assert.deepEqual(whats(running), ['bitmaps kept on the client’s disk not announced to the server']);
      recordsBoth(running, Buffer.concat(pdus), passed);
    }),
    { numRuns: 25 },
  );
});

test('an advertise that ends too soon, or says too much, is set right', () => {
  const whole = advertise([
    { version: 0x80004, capsData: flags4(0) },
    { version: 0xa0701, capsData: flags4(0x20) },
  ]);
  for (const [message, versions] of [
    [whole.subarray(0, 25), [0x80004]],
    [whole.subarray(0, 12), [0x80004]],
    [Buffer.concat([whole, Buffer.alloc(3)]), [0x80004, 0xa0701]],
    [new Uint8Array(whole).fill(0xff, 4, 8), [0x80004, 0xa0701]],
    [new Uint8Array(whole).fill(9, 8, 9), [0x80004, 0xa0701]],
  ] as const) {
    const running = session();
    const server = new Server(running);
    const passed = running.send('client', dvc(Buffer.concat([Uint8Array.of(0x30, id), message])));
    const { body } = decode(gfxPdu, server.messages(passed)[0]!.subarray(0, 10 + 12 * versions.length)) as Extract<
      GfxPdu,
      { kind: 'capsAdvertise' }
    >;
    assert.deepEqual(
      body.capsSets.map(({ version }) => version),
      versions,
    );
  }
});

test('where no name could be read, an advertise is known by what it is', () => {
  const running = session({}, GRAPHICS);
  const server = new Server(running);
  const unknown = advertise([{ version: 0xb0100, capsData: flags4(1) }]);
  const on = (channel: number, message: Uint8Array) => Buffer.concat([Uint8Array.of(0x30, channel), message]);
  const passed = running.send('client', dvc(on(77, unknown)));
  assert.deepEqual(server.messages(passed), [new Uint8Array(advertise([{ version: 0x80004, capsData: flags4(0) }]))]);
  for (const other of [unknown.subarray(0, 20), Buffer.concat([unknown, Uint8Array.of(0)]), acknowledge(5)]) {
    const pdu = dvc(on(77, other));
    assert.ok(running.send('client', pdu).equals(pdu));
  }
  const named = session({}, 'SOMETHING_ELSE');
  const pdu = dvc(on(id, unknown));
  assert.ok(named.send('client', pdu).equals(pdu), 'a channel of another name is its own');
});

test('what a client begins and does not end, or ends wrongly, is bounded and told', () => {
  const endless = (pdu: (at: number) => Uint8Array) => () => {
    const running = session();
    for (let at = 0; at < 20_000; at += 1) running.send('client', pdu(at));
  };
  const begin = dvc(new Writer().u8(0x28).u8(id).u32le(131_072).u8(0).bytes());
  const more = dvc(Uint8Array.of(0x30, id, 0));
  assert.throws(
    endless((at) => (at === 0 ? begin : more)),
    /client: .*does not end them/,
  );
  assert.throws(
    endless(() => begin),
    /client: .*does not end them/,
  );
  const tooLong = dvc(new Writer().u8(0x28).u8(id).u32le(200_000).u8(0).bytes());
  assert.throws(() => session().send('client', tooLong), /graphics pipeline can't be read/);
  const badlyCompressed = dvc(Uint8Array.of(0x70, id, 0x55, 1, 2, 3));
  assert.throws(() => session().send('client', badlyCompressed), /graphics pipeline can't be read/);
  const elsewhere = session({}, 'AUDIO_INPUT');
  assert.ok(elsewhere.send('client', badlyCompressed).equals(badlyCompressed), 'on another channel it passes');
});

test('what a client compresses on its static channels goes on uncompressed, and an advertise in it is cut down', () => {
  const running = session();
  const server = new Server(running);
  const message = Buffer.concat([
    Uint8Array.of(0x30, id),
    advertise([
      { version: 0x80004, capsData: flags4(0) },
      { version: 0xb0100, capsData: flags4(0) },
    ]),
  ]);
  const text = Buffer.from('clipboard clipboard clipboard clipboard');
  const mppc = (data: Uint8Array, before: Uint8Array) => mppcEncode(tokens(data, before, 3, 60), false);
  const clipboard = chunk(mppc(text, new Uint8Array(0)), FIRST | LAST | 0x00e00000, text.length);
  const compressed = chunk(mppc(message, text), FIRST | LAST | 0x00200000, message.length);
  assert.ok(compressed.length < message.length + 8, 'it refers to the clipboard’s');
  const passed = running.send('client', dataOf('client', channels.cliprdr, clipboard));
  assert.ok(passed.equals(Buffer.from(dataOf('client', channels.cliprdr, chunk(text)))));
  const cut = running.send('client', dataOf('client', channels.drdynvc, compressed));
  assert.deepEqual(server.messages(cut), [new Uint8Array(advertise([{ version: 0x80004, capsData: flags4(0) }]))]);
  assert.ok(whats(running).some((what) => what.includes('uncompressed')));
  // What can't be decompressed here can't be by the server: it passes, and so does everything behind it.
  const broken = dataOf('client', channels.drdynvc, chunk(Buffer.alloc(40, 0xff), FIRST | LAST | 0x00200000));
  assert.ok(running.send('client', broken).equals(broken));
  const behind = dataOf('client', channels.drdynvc, compressed);
  assert.ok(running.send('client', behind).equals(behind));
});

// ---- bitmaps on the client's disk

const shareId = 0x103ea;
const keyList = (entriesCount: number): Uint8Array =>
  wrapShareData(shareId, 1007, PduType2.bitmapCachePersistentList, persistentKeyList, {
    numEntriesCache0: entriesCount,
    numEntriesCache1: 0,
    numEntriesCache2: 0,
    numEntriesCache3: 0,
    numEntriesCache4: 0,
    totalEntriesCache0: entriesCount,
    totalEntriesCache1: 0,
    totalEntriesCache2: 0,
    totalEntriesCache3: 0,
    totalEntriesCache4: 0,
    bBitMask: 3,
    pad2: 0,
    pad3: 0,
    entries: new Uint8Array(entriesCount * 8).fill(0x5a),
  });
const synchronized = wrapShareData(shareId, 1007, PduType2.synchronize, synchronize, {
  messageType: 1,
  targetUser: 1002,
});

test('key lists go, alone or among other share PDUs, and leave no gap', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.nat(60), { nil: null }), { minLength: 1, maxLength: 5 }),
      fc.uint8Array({ maxLength: 3 }),
      fc.integer({ min: 1, max: 90 }),
      (parts, tail, pieceBytes) => {
        const of = (keep: boolean) =>
          Buffer.concat([
            ...parts.flatMap((entries) => (entries === null ? [synchronized] : keep ? [keyList(entries)] : [])),
            tail,
          ]);
        const running = session();
        const pdu = dataOf('client', channels.io, of(true));
        const passed = running.send('client', pdu, pieceBytes);
        const left = of(false);
        assert.ok(
          passed.equals(left.length === 0 ? Buffer.alloc(0) : Buffer.from(dataOf('client', channels.io, left))),
        );
        const had = parts.some((entries) => entries !== null);
        assert.deepEqual(whats(running), had ? ['bitmaps kept on the client’s disk not announced to the server'] : []);
        recordsBoth(running, Buffer.from(pdu), passed);
        const leaving = session({ leaveIn: ['bitmap_cache'] });
        assert.ok(leaving.send('client', pdu, pieceBytes).equals(pdu));
      },
    ),
    { numRuns: 100 },
  );
});

test('Confirm Active no longer says that keys come, and nothing else of it changes', () => {
  const cache = (cacheFlags: number, cell: number): CapabilitySet => ({
    kind: 'bitmapCacheV2',
    cacheFlags,
    pad2: 0,
    numCellCaches: 3,
    cell0Info: 120,
    cell1Info: cell,
    cell2Info: cell,
    cell3Info: 0,
    cell4Info: 0,
    pad3: new Uint8Array(12),
  });
  const anySet = fc.constantFrom<CapabilitySet>(
    { kind: 'brush', brushSupportLevel: 1 },
    { kind: 'unknown', type: 99, data: Uint8Array.of(1, 2, 3) },
    { kind: 'virtualChannel', flags: 1, vcChunkSize: 1600 },
  );
  fc.assert(
    fc.property(fc.array(anySet, { maxLength: 4 }), fc.nat(4), fc.boolean(), (others, at, isPersistent) => {
      const withCache = (set: CapabilitySet) =>
        wrapShareControl(PduType.confirmActive, 1007, confirmActive, {
          shareId,
          originatorId: 0x3ea,
          sourceDescriptor: Buffer.from('MSTSC\0'),
          pad2Octets: 0,
          capabilitySets: others.toSpliced(at, 0, set),
        });
      const pdu = dataOf('client', channels.io, withCache(isPersistent ? cache(3, 0x8000_0258) : cache(2, 600)));
      const wanted = dataOf('client', channels.io, withCache(cache(2, 600)));
      const running = session();
      assert.ok(running.send('client', pdu).equals(wanted));
      assert.equal(whats(running).length, isPersistent ? 1 : 0);
    }),
    { numRuns: 60 },
  );
});

// ---- what no decoder here draws

const orders = (nineGrid: number, multiNineGrid: number): CapabilitySet => {
  const orderSupport = new Uint8Array(32).fill(1, 0, 4).fill(1, 8, 9);
  orderSupport[7] = nineGrid;
  orderSupport[9] = multiNineGrid;
  const zero = { pad4octetsA: 0, pad2octetsA: 0, numberFonts: 0, textFlags: 0, pad4octetsB: 0, pad2octetsC: 0 };
  const more = { pad2octetsD: 0, textAnsiCodePage: 0, pad2octetsE: 0, orderSupportExFlags: 0, desktopSaveSize: 0 };
  const fixed = { desktopSaveXGranularity: 1, desktopSaveYGranularity: 20, maximumOrderLevel: 1, orderFlags: 0x22 };
  return { kind: 'order', terminalDescriptor: new Uint8Array(16), orderSupport, ...zero, ...more, ...fixed };
};
const nineGrid = (level: number): CapabilitySet => {
  return {
    kind: 'drawNineGrid',
    drawNineGridSupportLevel: level,
    drawNineGridCacheSize: 2560,
    drawNineGridCacheEntries: 256,
  };
};
const gdiPlus = (level: number): CapabilitySet => {
  const sizes = { gdipCacheEntries: new Uint8Array(10), gdipCacheChunkSize: new Uint8Array(8) };
  const properties = { gdipVersion: 3, drawGdiplusCacheLevel: 1, gdipImageCacheProperties: new Uint8Array(6) };
  return { kind: 'drawGdiPlus', drawGdiPlusSupportLevel: level, ...sizes, ...properties };
};
const composition = (level: number): CapabilitySet => ({ kind: 'desktopComposition', compDeskSupportLevel: level });
const ignored = Buffer.from('a651439c3535ae42910ccdfce5760b58', 'hex');
const remoteFx = Buffer.from('122f777672bd6344afb3b73c9c6f7886', 'hex');
const codecs = (...guids: Uint8Array[]): CapabilitySet => {
  const bitmapCodecs = guids.map((codecGuid, at) => ({
    codecGuid,
    codecId: at + 1,
    codecProperties: new Uint8Array(at),
  }));
  return { kind: 'bitmapCodecs', bitmapCodecs };
};

test('drawing that replay can not do is not announced where the server could use it; the rest of Confirm Active stays', () => {
  const jpeg = Buffer.from('430c9eed1baf4ce6869acb8b37b66237', 'hex');
  const confirm = (sets: CapabilitySet[]) =>
    dataOf(
      'client',
      channels.io,
      wrapShareControl(PduType.confirmActive, 1007, confirmActive, {
        shareId,
        originatorId: 0x3ea,
        sourceDescriptor: Buffer.from('MSTSC\0'),
        pad2Octets: 0,
        capabilitySets: sets,
      }),
    );
  fc.assert(
    fc.property(fc.boolean(), fc.boolean(), fc.boolean(), fc.nat(1), fc.boolean(), (nine, gdi, comp, codec, isLeft) => {
      const running = session(isLeft ? { leaveIn: ['graphics'] } : {});
      const demand = { shareId, sourceDescriptor: Buffer.from('RDP\0'), pad2Octets: 0, sessionId: 0 };
      const of = (on: boolean) => (on ? 1 : 0);
      const capabilitySets = [orders(0, of(nine)), gdiPlus(of(gdi)), composition(of(comp))];
      const demanded = wrapShareControl(PduType.demandActive, 1002, demandActive, { ...demand, capabilitySets });
      running.send('server', dataOf('server', channels.io, demanded));
      const said = [orders(1, 1), nineGrid(2), gdiPlus(1), composition(1), codecs(remoteFx, ...[jpeg].slice(codec))];
      const [n, g, c] = [nine, gdi, comp].map((isCut) => of(!isCut || isLeft));
      const left = [jpeg].slice(codec).map((guid) => (isLeft ? guid : ignored));
      const wanted = [orders(n!, n!), nineGrid(2 * n!), gdiPlus(g!), composition(c!), codecs(remoteFx, ...left)];
      assert.ok(running.send('client', confirm(said)).equals(confirm(wanted)));
      const isCut = !isLeft && (nine || gdi || comp || left.length > 0);
      assert.equal(whats(running).filter((what) => what.startsWith('nine grids')).length, of(isCut));
    }),
    { numRuns: 40 },
  );
});

// ---- UDP

const clientBlocks: fc.Arbitrary<ClientDataBlock[]> = fc.shuffledSubarray<ClientDataBlock>(
  [
    { kind: 'multitransport', flags: 0x305 },
    { kind: 'multitransport', flags: 0 },
    { kind: 'unknown', type: 0xc00a, data: Uint8Array.of(5, 3) },
    { kind: 'cluster', flags: 0x15, redirectedSessionId: 0 },
    { kind: 'messageChannel', flags: 0 },
    { kind: 'security', encryptionMethods: 0, extEncryptionMethods: 0 },
    { kind: 'unknown', type: 0xc0ff, data: Uint8Array.of(9, 9, 9, 9, 9) },
    { kind: 'network', channels: [] },
  ],
  { minLength: 1 },
);

test('UDP is cleared in the client’s and the server’s blocks, in whatever order, and nothing else changes', () => {
  const [initial, , response] = connectPdus();
  const zeroed = <T extends ClientDataBlock | ServerDataBlock>(block: T): T => {
    if (block.kind === 'multitransport') return { ...block, flags: 0 };
    const isRaw = block.kind === 'unknown' && (block.type === 0xc00a || block.type === 0x0c08);
    return isRaw ? { ...block, data: new Uint8Array(block.data.length) } : block;
  };
  const asking = (blocks: ClientDataBlock[]) =>
    tpktOf(encode(mcsConnectInitial, { ...initial, userData: encode(conferenceCreateRequest, { blocks }) }));
  const conference = decode(conferenceCreateResponse, response.userData);
  const answering = (blocks: ServerDataBlock[]) =>
    tpktOf(
      encode(mcsConnectResponse, {
        ...response,
        userData: encode(conferenceCreateResponse, { ...conference, blocks }),
      }),
    );
  const serverBlocks: ServerDataBlock[] = [
    { kind: 'network', mcsChannelId: 1003, channelIds: [] },
    { kind: 'multitransport', flags: 0x305 },
    { kind: 'messageChannel', mcsChannelId: 1008 },
    { kind: 'security', encryptionMethod: 0, encryptionLevel: 0 },
    { kind: 'unknown', type: 0x0c08, data: Uint8Array.of(1) },
  ];
  fc.assert(
    fc.property(clientBlocks, fc.shuffledSubarray(serverBlocks), fc.boolean(), (asked, answered, leaves) => {
      const running = new RunningRelay(leaves ? { leaveIn: ['udp'] } : {});
      const wanted = <T extends ClientDataBlock | ServerDataBlock>(blocks: T[]) =>
        leaves ? blocks : blocks.map(zeroed);
      assert.ok(running.send('client', asking(asked)).equals(asking(wanted(asked))));
      assert.ok(running.send('server', answering(answered)).equals(answering(wanted(answered))));
      const changed = [...asked, ...answered].some(
        (block) => zeroed(block) !== block && JSON.stringify(zeroed(block)) !== JSON.stringify(block),
      );
      const told = whats(running);
      if (leaves) assert.match(told.join(), /left in \(leave_in udp\).*not recorded/);
      else assert.deepEqual(told, changed ? ['UDP transport refused'] : []);
    }),
    { numRuns: 150 },
  );
});

function connectPdus() {
  const running = new RunningRelay().connected();
  const [initial, answer] = [0, 1].map(
    (direction) =>
      running.tap.frames.find(({ flags }) => (flags & 1) === direction && (flags & frameFlags.deliveredOnly) === 0)!
        .bytes,
  );
  const mcs = (bytes: Uint8Array) => decode(x224Data, decode(tpkt, bytes).payload).payload;
  const connect = decode(mcsConnectInitial, mcs(initial!));
  return [connect, conferenceCreateRequest, decode(mcsConnectResponse, mcs(answer!))] as const;
}

test('a server that gives one id to two things ends the session where a policy has to tell them apart', () => {
  const [initial, , response] = connectPdus();
  const conference = decode(conferenceCreateResponse, response.userData);
  const network = conference.blocks.find((block) => block.kind === 'network')!;
  const answered = (blocks: ServerDataBlock[], channels: RelayPolicy['channels']): RunningRelay => {
    const running = new RunningRelay({ channels });
    running.send('client', tpktOf(encode(mcsConnectInitial, initial)));
    const userData = encode(conferenceCreateResponse, { ...conference, blocks });
    running.send('server', tpktOf(encode(mcsConnectResponse, { ...response, userData })));
    return running;
  };
  const others = conference.blocks.filter((block) => block.kind !== 'network');
  const [first, second] = network.channelIds as [number, number];
  for (const blocks of [
    [...conference.blocks, { kind: 'messageChannel', mcsChannelId: second }],
    [...others, { ...network, channelIds: [first, first, ...network.channelIds.slice(2)] }],
    [...others, { ...network, mcsChannelId: first }],
  ] satisfies ServerDataBlock[][]) {
    assert.throws(() => answered(blocks, policyOf({ drives: false })), /one id to two channels/);
    assert.doesNotThrow(() => answered(blocks, undefined));
  }
  assert.doesNotThrow(() =>
    answered([...conference.blocks, { kind: 'messageChannel', mcsChannelId: 1010 }], policyOf({ drives: false })),
  );
});

/** A session of which the server has a message channel. */
function withMessageChannel(policy: Partial<RelayPolicy> = {}): RunningRelay {
  const [initial, , response] = connectPdus();
  const running = new RunningRelay(policy);
  running.send('client', tpktOf(encode(mcsConnectInitial, initial)));
  const conference = decode(conferenceCreateResponse, response.userData);
  const blocks: ServerDataBlock[] = [...conference.blocks, { kind: 'messageChannel', mcsChannelId: 1010 }];
  const userData = encode(conferenceCreateResponse, { ...conference, blocks });
  running.send('server', tpktOf(encode(mcsConnectResponse, { ...response, userData })));
  const info = new RunningRelay().activated().tap.frames.find(({ flags }) => (flags & frameFlags.blanked) !== 0)!;
  running.send('client', info.bytes);
  running.frames();
  return running;
}

const cookie = Buffer.from('a-secret-cookie!');
const request = (channelId: number, requestId: number): Uint8Array =>
  dataOf(
    'server',
    channelId,
    Buffer.concat([
      encode(securityHeader, { flags: SecurityFlag.transportReq, flagsHi: 0 }),
      encode(initiateMultitransportRequest, { requestId, requestedProtocol: 1, reserved: 0, securityCookie: cookie }),
    ]),
  );

test('a request for UDP is answered by the gateway and does not reach the client', () => {
  for (const channelId of [1010, channels.io])
    for (const pieceBytes of [1, 20, 100]) {
      const running = withMessageChannel();
      assert.equal(running.send('server', request(channelId, 42), pieceBytes).length, 0);
      assert.equal(running.toServer.length, 1);
      const answer = decode(mcsPdu, decode(x224Data, decode(tpkt, running.toServer[0]!).payload).payload);
      assert.ok(answer.kind === 'sendDataRequest' && answer.channelId === channelId && answer.initiator > 1001);
      assert.equal(decode(securityHeader, answer.data.subarray(0, 4)).flags, SecurityFlag.transportRsp);
      assert.deepEqual(decode(initiateMultitransportResponse, answer.data.subarray(4)), {
        requestId: 42,
        hrResponse: 0x8000_4004,
      });
      assert.deepEqual(whats(running), ['UDP transport refused']);
      const [asked, answered] = running.frames();
      assert.equal(asked!.flags, frameFlags.serverToClient | frameFlags.receivedOnly | frameFlags.blanked);
      assert.equal(asked!.bytes.includes(cookie), false);
      assert.equal(answered!.flags & ~frameFlags.inputs, frameFlags.deliveredOnly);
      assert.ok(answered!.bytes.equals(running.toServer[0]!));
    }
});

test('the answer waits for the end of the PDU the client is sending, and there are not many of them', () => {
  const running = withMessageChannel();
  const long = dataOf('client', channels.rdpdr, chunk(Buffer.alloc(1000)));
  const half = running.send('client', long.subarray(0, 500));
  for (let asked = 0; asked < 100; asked += 1) running.send('server', request(1010, asked));
  assert.equal(running.toServer.length, 0);
  const rest = Buffer.concat([half, running.send('client', Buffer.concat([long.subarray(500), long]))]);
  const pdus = pdusOf(rest);
  assert.equal(pdus.length, 18);
  assert.ok(Buffer.from(pdus[0]!).equals(long) && Buffer.from(pdus.at(-1)!).equals(long));
});

test('left in, a request passes and its cookie is not recorded; other PDUs of the channel pass as ever', () => {
  const running = withMessageChannel({ leaveIn: ['udp'] });
  assert.ok(running.send('server', request(1010, 1)).equals(request(1010, 1)));
  assert.deepEqual(running.toServer, []);
  assert.ok(running.frames().every(({ bytes }) => !bytes.includes(cookie)));
  const plain = withMessageChannel();
  for (const flags of [
    SecurityFlag.autodetectReq,
    SecurityFlag.heartbeat,
    SecurityFlag.autodetectReq | SecurityFlag.transportReq,
  ]) {
    const data = Buffer.concat([encode(securityHeader, { flags, flagsHi: 0 }), Buffer.alloc(24, 7)]);
    for (const channelId of [1010, channels.io]) {
      const pdu = dataOf('server', channelId, data);
      assert.ok(plain.send('server', pdu).equals(pdu));
    }
  }
  assert.deepEqual(plain.toServer, []);
  const short = dataOf('server', 1010, encode(securityHeader, { flags: SecurityFlag.transportReq, flagsHi: 0 }));
  assert.equal(plain.send('server', short).length, 0, 'one that can’t be read is nobody’s');
  assert.deepEqual(plain.toServer, []);
});

// ---- videos

const create = (channelId: number, name: string, tail = new Uint8Array(0)): Uint8Array =>
  new Writer().u8(0x10).u8(channelId).latin1(name).u8(0).slice(tail).bytes();
/** On drdynvc of the server, in chunks of so many bytes. */
const opening = (request: Uint8Array, chunkBytes: number): Uint8Array[] => {
  const pdus: Uint8Array[] = [];
  for (let at = 0; at < request.length; at += chunkBytes) {
    const flags = (at === 0 ? FIRST : 0) | (at + chunkBytes >= request.length ? LAST : 0);
    const part = chunk(request.subarray(at, at + chunkBytes), flags, request.length);
    pdus.push(dataOf('server', channels.drdynvc, part));
  }
  return pdus;
};
const videoNames = [
  'Microsoft::Windows::RDS::Video::Control::v08.01',
  'Microsoft::Windows::RDS::Video::Data::v08.01',
  'Microsoft::Windows::RDS::Geometry::v08.01',
  'TSMF',
  'microsoft::windows::rds::VIDEO::Data::v09.00',
];
const otherNames = [GRAPHICS, 'Microsoft::Windows::RDS::DisplayControl', 'AUDIO_PLAYBACK_DVC', 'ECHO', 'tsm', ''];

test('a channel for videos is refused in the client’s place; every other opens, in whatever pieces', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...videoNames, ...otherNames), fc.constantFrom(1, 7, 30, 1600)), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.boolean(),
      fc.constantFrom(1, 13, 4000),
      (asked, isLeft, pieceBytes) => {
        const running = session(isLeft ? { leaveIn: ['video'] } : {});
        const data = dataOf('server', channels.drdynvc, chunk(Uint8Array.of(0x30, id, 1, 2, 3)));
        const sent: Uint8Array[] = [];
        const wanted: Uint8Array[] = [];
        for (const [at, [name, chunkBytes]] of asked.entries()) {
          const pdus = opening(create(20 + at, name), chunkBytes);
          sent.push(...pdus, data);
          wanted.push(...(isLeft || !videoNames.includes(name) ? pdus : []), data);
        }
        const passed = running.send('server', Buffer.concat(sent), pieceBytes);
        assert.ok(passed.equals(Buffer.concat(wanted)));
        const refused = isLeft ? [] : asked.flatMap(([name], at) => (videoNames.includes(name) ? [20 + at] : []));
        assert.deepEqual(
          running.toServer,
          refused.map((channelId) => Buffer.from(dvc(new Writer().u8(0x10).u8(channelId).u32le(0xc000_0001).bytes()))),
        );
        assert.equal(
          whats(running).filter((what) => what.startsWith('channels for videos')).length,
          refused.length > 0 ? 1 : 0,
        );
        const frames = running.frames();
        const without = (side: 0 | 1, flag: number) =>
          Buffer.concat(
            frames.filter(({ flags }) => (flags & 1) === side && (flags & flag) === 0).map(({ bytes }) => bytes),
          );
        assert.ok(without(1, frameFlags.deliveredOnly).equals(Buffer.concat(sent)), 'what the server sent is recorded');
        assert.ok(without(1, frameFlags.receivedOnly).equals(passed), 'and what the client got');
        assert.ok(without(0, frameFlags.receivedOnly).equals(Buffer.concat(running.toServer)));
        // Whoever reads the recording meets no name without its channel.
        const inspector = new StreamInspector();
        for (const { flags, bytes } of running.tap.frames)
          if ((flags & frameFlags.receivedOnly) === 0)
            for (const event of inspector.push((flags & 1) === 0 ? 'client' : 'server', bytes))
              assert.notEqual(event.kind, 'malformed');
      },
    ),
    { numRuns: 150 },
  );
});

test('the refusal waits while the client is inside a message of that channel', () => {
  const running = session({}, 'ECHO');
  const message = Uint8Array.of(0x30, id, 1, 2, 3, 4);
  const [first, last] = chunked(message, 3) as [Uint8Array, Uint8Array];
  assert.ok(running.send('client', first).equals(first));
  assert.equal(running.send('server', opening(create(30, 'TSMF'), 1600)[0]!).length, 0);
  assert.deepEqual(running.toServer, []);
  const elsewhere = dataOf('client', channels.rdpdr, chunk(Buffer.alloc(100)));
  assert.ok(running.send('client', elsewhere).equals(elsewhere));
  const passed = running.send('client', last);
  const refusal = dvc(new Writer().u8(0x10).u8(30).u32le(0xc000_0001).bytes());
  assert.ok(passed.equals(Buffer.concat([last, refusal])));
});

test('a request that is not ended, or begun anew, is bounded and loses nothing else', () => {
  const running = session();
  const [begun] = opening(create(31, 'TSMF'), 4) as [Uint8Array];
  assert.equal(running.send('server', begun).length, 0);
  const data = dataOf('server', channels.drdynvc, chunk(Uint8Array.of(0x30, id, 9)));
  assert.ok(running.send('server', data).equals(Buffer.concat([begun, data])), 'the server thought better of it');
  const long = opening(create(32, 'x'.repeat(4000)), 100);
  assert.throws(() => {
    for (const pdu of long) running.send('server', pdu);
  }, /begins to open a dynamic channel and does not end it/);
});

// ---- options

test('what is left in passes as it came and the manifest says from the beginning what will be missing', () => {
  const running = session({ leaveIn: unreplayable });
  for (const message of [advertise([{ version: 0xb0100, capsData: flags4(1) }]), offer(40)])
    for (const pdu of new Sender().pdus(message, { pduBytes: 100, chunkBytes: 40, compression: 'matches' }))
      assert.ok(running.send('client', pdu).equals(pdu));
  assert.deepEqual(
    whats(running).map((what) => /^left in \(leave_in (\w+)\): .*(?:missing|not recorded)/.exec(what)?.[1]),
    [...unreplayable],
  );
});
