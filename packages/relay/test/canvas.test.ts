/** What the gateway paints over a desktop: between the server's PDUs, recorded, and only where bitmaps are what is drawn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitmapUpdate, type CapabilitySet, StreamInspector } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { encode, Writer } from '@lucid-sessions/wire';
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
