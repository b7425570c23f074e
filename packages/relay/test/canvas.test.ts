/** What the gateway paints over a desktop: between the server's PDUs, recorded, and only where bitmaps are what is drawn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bitmapUpdate,
  type CapabilitySet,
  type FastPathInputEvent,
  fastPathInput,
  fontMap,
  PduType2,
  StreamInspector,
  slowPathInput,
  toFastPath,
  toSlowPath,
  wrapShareData,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { decode, encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { canvasOf } from '../src/canvas.ts';
import { channels, dataOf, RunningRelay } from './support/running-relay.ts';

const body = encode(bitmapUpdate, {
  rectangles: [
    {
      ...{ destLeft: 0, destTop: 0, destRight: 3, destBottom: 0, width: 4, height: 1, bitsPerPixel: 16, flags: 0 },
      data: new Uint8Array(8).fill(0x55),
    },
  ],
});
const seconds = 9_000_000;

/** What the client and the server of a session understand of what the gateway says. */
function kinds(running: RunningRelay, side: 'client' | 'server', views: readonly Uint8Array[]): string[] {
  const inspector = new StreamInspector();
  for (const { flags, bytes } of running.tap.frames)
    if ((flags & (frameFlags.receivedOnly | frameFlags.deliveredOnly)) === 0)
      inspector.push((flags & 1) === 0 ? 'client' : 'server', bytes);
  return views.flatMap((view) => inspector.push(side === 'client' ? 'server' : 'client', view).map(({ kind }) => kind));
}

test('before there is a desktop nothing is painted', () => {
  const running = new RunningRelay().connected();
  assert.equal(running.relay.canvas, null);
  assert.deepEqual(running.relay.paint([body], seconds), []);
  assert.deepEqual(running.relay.refresh(seconds), []);
});

test('before the client has its Font Map nothing is painted: clients give up on what comes too early', () => {
  const running = new RunningRelay().activated();
  const demand = running.tap.frames.find(({ bytes }) => bytes.length > 200 && (bytes[17] ?? 0) === 0x11);
  running.send('server', demand!.bytes);
  assert.equal(running.relay.canvas, null);
  assert.deepEqual(running.relay.paint([body], seconds), []);
  assert.deepEqual(running.relay.input([{ kind: 'scancode', flags: 0, keyCode: 0x1e }], seconds), []);
  const map = wrapShareData(0x103ea, 1002, PduType2.fontMap, fontMap, {
    numberEntries: 0,
    totalNumEntries: 0,
    mapFlags: 3,
    entrySize: 4,
  });
  running.send('server', dataOf('server', channels.io, map));
  assert.notEqual(running.relay.canvas, null);
});

test('an update is painted behind what the server drew, and what was there is asked for again', () => {
  const running = new RunningRelay().activated();
  const canvas = running.relay.canvas!;
  assert.ok(canvas.width >= 640 && [16, 24, 32].includes(canvas.bitsPerPixel));
  running.frames();
  const painted = running.relay.paint([body, body], seconds);
  assert.deepEqual(kinds(running, 'client', painted), ['shareData', 'slowPathUpdate', 'shareData', 'slowPathUpdate']);
  const refreshed = running.relay.refresh(seconds);
  assert.deepEqual(kinds(running, 'server', refreshed), ['shareData']);
  assert.deepEqual(
    running.frames().map(({ flags }) => flags),
    [frameFlags.deliveredOnly | 1, frameFlags.deliveredOnly | 1, frameFlags.deliveredOnly],
  );
});

test('inside a PDU of the server it waits for its end; after the goodbye nothing is painted', () => {
  const running = new RunningRelay().activated();
  const pdu = dataOf('server', channels.rdpsnd, new Writer().u32le(200).u32le(3).zeros(200).bytes());
  assert.equal(running.send('server', pdu.subarray(0, 50)).length, 50);
  assert.deepEqual(running.relay.paint([body], seconds), []);
  const rest = running.send('server', pdu.subarray(50));
  assert.deepEqual(rest.subarray(0, pdu.length - 50), Buffer.from(pdu.subarray(50)));
  assert.ok(rest.length > pdu.length, 'the update stands behind it');
  running.relay.end(0, seconds);
  assert.deepEqual(running.relay.paint([body], seconds), []);
});

test('where the share was ended, or the graphics pipeline opened, there is nothing to paint on', () => {
  const ended = new RunningRelay().activated();
  // Deactivate All, [MS-RDPBCGR] 2.2.3.1: share id, length of the source descriptor, and that.
  const deactivate = new Writer().u16le(13).u16le(0x16).u16le(1002).u32le(0x103ea).u16le(1).u8(0).bytes();
  const passed = ended.send('server', dataOf('server', channels.io, deactivate));
  assert.equal(passed.length, dataOf('server', channels.io, deactivate).length);
  assert.equal(ended.relay.canvas, null);
  const piped = new RunningRelay().activated();
  const create = new Writer().u8(0x10).u8(7).latin1('Microsoft::Windows::RDS::Graphics').u8(0).bytes();
  const chunk = new Writer().u32le(create.length).u32le(3).slice(create).bytes();
  piped.send('server', dataOf('server', channels.drdynvc, chunk));
  assert.equal(piped.relay.canvas, null);
});

test('a desktop larger than any is not painted on', () => {
  const sets = (desktopWidth: number, desktopHeight: number): CapabilitySet[] =>
    [
      { kind: 'general', refreshRectSupport: 1 },
      { kind: 'bitmap', preferredBitsPerPixel: 16, desktopWidth, desktopHeight },
    ] as CapabilitySet[];
  assert.deepEqual(canvasOf(sets(8192, 4320)), { width: 8192, height: 4320, bitsPerPixel: 16 });
  for (const [width, height] of [
    [8193, 600],
    [800, 65_535],
    [0, 600],
  ] as const)
    assert.equal(canvasOf(sets(width, height)), null);
});

const fastPath = (...events: FastPathInputEvent[]): Uint8Array => encode(fastPathInput, { flags: 0, events });
const slowPath = (event: FastPathInputEvent): Uint8Array =>
  dataOf(
    'client',
    channels.io,
    wrapShareData(0x103ea, 1007, PduType2.input, slowPathInput, { pad2Octets: 0, events: [toSlowPath(event)!] }),
  );
const [a, b] = [0x1e, 0x30].map((keyCode) => ({ kind: 'scancode', flags: 0, keyCode }) as const) as [
  FastPathInputEvent,
  FastPathInputEvent,
];

test('who asks about the client’s input is shown all of it, in any pieces, and the server gets what they let pass', () => {
  for (const pieceBytes of [1, 3, 1000]) {
    const running = new RunningRelay().activated();
    const seen: FastPathInputEvent[] = [];
    running.relay.watchInput((events) => {
      seen.push(...events);
      return events.filter((event) => event.kind !== 'scancode' || event.keyCode !== 0x1e);
    });
    running.frames();
    assert.equal(running.send('client', fastPath(a), pieceBytes).length, 0);
    assert.deepEqual(running.send('client', fastPath(a, b), pieceBytes), Buffer.from(fastPath(b)));
    assert.deepEqual(running.send('client', fastPath(b), pieceBytes), Buffer.from(fastPath(b)));
    assert.equal(running.send('client', slowPath(a), pieceBytes).length, 0);
    assert.deepEqual(running.send('client', slowPath(b), pieceBytes), Buffer.from(slowPath(b)));
    assert.deepEqual(seen, [a, a, b, b, a, b]);
    const { receivedOnly, deliveredOnly, fastPath: fast, inputs } = frameFlags;
    assert.deepEqual(
      running.frames().map(({ flags }) => flags & ~inputs),
      [fast | receivedOnly, fast | receivedOnly, fast | deliveredOnly, fast, receivedOnly, 0],
    );
    running.relay.watchInput(null);
    assert.deepEqual(running.send('client', fastPath(a), pieceBytes), Buffer.from(fastPath(a)));
  }
});

test('input of somebody else stands between the client’s PDUs, recorded as delivered, and only where there is a desktop', () => {
  assert.deepEqual(new RunningRelay().connected().relay.input([a], seconds), []);
  const running = new RunningRelay().activated();
  running.frames();
  const mouse = { kind: 'mouse', flags: 0, pointerFlags: 0x9000, x: 7, y: 8 } as const;
  const unicode = { kind: 'unicode', flags: 1, unicodeCode: 0xe9 } as const;
  const said = running.relay.input([a, mouse, unicode], seconds);
  assert.deepEqual(kinds(running, 'server', said), ['shareData']);
  const [frame] = running.frames();
  assert.equal(frame!.flags, frameFlags.deliveredOnly | frameFlags.inputs);
  assert.equal(running.relay.counters.inputs > 0, true);
  const pdu = dataOf('client', channels.rdpsnd, new Writer().u32le(200).u32le(3).zeros(200).bytes());
  running.send('client', pdu.subarray(0, 60));
  assert.deepEqual(running.relay.input([b], seconds), []);
  const rest = running.send('client', pdu.subarray(60));
  assert.ok(rest.length > pdu.length - 60, 'it stands behind it');
  assert.deepEqual(rest.subarray(0, pdu.length - 60), Buffer.from(pdu.subarray(60)));
});

test('slow-path input says what fast-path input says', () => {
  const flags = fc.integer({ min: 0, max: 7 });
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const event = fc.oneof(
    fc.record({ kind: fc.constant('scancode' as const), flags, keyCode: fc.integer({ min: 0, max: 0xff }) }),
    fc.record({ kind: fc.constant('unicode' as const), flags: fc.constantFrom(0, 1), unicodeCode: u16 }),
    fc.record({
      kind: fc.constantFrom('mouse' as const, 'mousex' as const),
      flags: fc.constant(0),
      pointerFlags: u16,
      x: u16,
      y: u16,
    }),
    fc.record({ kind: fc.constant('sync' as const), flags: fc.integer({ min: 0, max: 15 }) }),
  );
  fc.assert(
    fc.property(event, (said) => {
      const { events } = decode(slowPathInput, encode(slowPathInput, { pad2Octets: 0, events: [toSlowPath(said)!] }));
      assert.deepEqual(toFastPath(events[0]!), { ...said });
    }),
  );
  assert.equal(toSlowPath({ kind: 'qoeTimestamp', flags: 0, timestamp: 1 }), null);
});
