import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gfxPdu } from '@lucid-sessions/graphics';
import {
  CORE_INPUT_CHANNEL,
  coreInputPdu,
  type FastPathInputEvent,
  type InputContact,
  mcsPdu,
  monitorLayout,
  PduType,
  PduType2,
  shareControlPdu,
  shareDataPdu,
  TOUCH_INPUT_CHANNEL,
  touchInputPdu,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { DynamicChannels, type SentPdu } from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import { type IndexEvent, type IndexSegment, SessionIndexer } from '../src/session-index/index.ts';
import { captureFrames } from './support/frames.ts';

/** drdynvc of the capture that comes first. */
const channels = new DynamicChannels(1007);
const GRAPHICS = 'Microsoft::Windows::RDS::Graphics';

/** What an index says of PDUs that follow a real session's beginning; its state is saved and restored between any two. */
function indexed(pdus: SentPdu[]): IndexSegment {
  let indexer = new SessionIndexer();
  for (const frame of captureFrames('xorg-clip-drive').slice(0, 60)) indexer.push(frame);
  indexer.take(0, false);
  const segments: IndexSegment[] = [];
  pdus.forEach(({ fromServer, bytes }, i) => {
    const next = new SessionIndexer();
    next.restore(structuredClone(indexer.state()));
    indexer = next;
    indexer.push({ kind: 0, flags: fromServer ? 1 : 0, channelId: 0, timeUs: 100e6 + i * 1000, body: bytes });
    segments.push(indexer.take(1, i === pdus.length - 1));
  });
  const events = segments.flatMap((segment) => segment.events).sort((a, b) => a.timeUs - b.timeUs);
  return { ...segments[0]!, events, activity: segments.flatMap((segment) => segment.activity) };
}

const ofKind = <K extends IndexEvent['kind']>({ events }: IndexSegment, kind: K) =>
  events.filter((event): event is Extract<IndexEvent, { kind: K }> => event.kind === kind);
const inputs = ({ activity }: IndexSegment): number => activity.reduce((sum, row) => sum + row.inputs, 0);
const key = (keyCode: number): FastPathInputEvent[] => [
  { kind: 'scancode', flags: 0, keyCode },
  { kind: 'scancode', flags: 1, keyCode },
];

test('keys and mouse of the core input channel are typed lines and clicks', () => {
  const events: FastPathInputEvent[] = [
    { kind: 'qoeTimestamp', flags: 0, timestamp: 5 },
    { kind: 'sync', flags: 0 },
    ...key(0x23),
    { kind: 'unicode', flags: 0, unicodeCode: 0xe9 },
    { kind: 'unicode', flags: 1, unicodeCode: 0xe9 },
    ...key(0x1c),
    { kind: 'mouse', flags: 0, pointerFlags: 0x9000, x: 10, y: 20 },
    { kind: 'mousex', flags: 0, pointerFlags: 0x8001, x: 30, y: 40 },
    { kind: 'mouseRelative', flags: 0, pointerFlags: 0xa000, xDelta: 0xffff, yDelta: 1 },
  ];
  const segment = indexed([
    ...channels.open(3, CORE_INPUT_CHANNEL),
    ...channels.send(false, 3, encode(coreInputPdu, { kind: 'input', padding: 0, events })),
    ...channels.send(false, 3, Uint8Array.of(9, 9, 9, 9)),
  ]);
  assert.deepEqual(
    ofKind(segment, 'typed').map(({ text, entered }) => [text, entered]),
    [['hé', true]],
  );
  assert.deepEqual(
    ofKind(segment, 'click').map(({ button, x, y }) => [button, x, y]),
    [
      ['left', 10, 20],
      ['back', 30, 40],
      ['right', null, null],
    ],
  );
  assert.equal(inputs(segment), events.length);
  assert.deepEqual(
    ofKind(segment, 'error').map(({ code }) => code),
    ['content.invalid'],
  );
});

test('fingers and pens click where they come down, and are activity where they move', () => {
  const number = (magnitude: number, bytes = 1) => ({ magnitude, bytes });
  const contact = (x: number, y: number, flags: number): InputContact => ({
    id: 1,
    fieldsPresent: number(0),
    x: { magnitude: Math.abs(x), negative: x < 0, bytes: 2 },
    y: { magnitude: Math.abs(y), negative: y < 0, bytes: 2 },
    contactFlags: number(flags),
    optional: {},
  });
  const message = (kind: 'touch' | 'pen', ...contacts: InputContact[]): SentPdu[] => {
    const frames = contacts.map((one) => ({ contactCount: number(1), frameOffset: number(0), contacts: [one] }));
    const pdu = { kind, encodeTime: number(0), frameCount: number(frames.length), frames };
    return channels.send(false, 4, encode(touchInputPdu, pdu));
  };
  const segment = indexed([
    ...channels.open(4, TOUCH_INPUT_CHANNEL),
    ...channels.send(true, 4, encode(touchInputPdu, { kind: 'scReady', protocolVersion: 0x30000 })),
    ...message('touch', contact(100, 200, 0x19), contact(110, 210, 0x1a), contact(110, 210, 0x04)),
    ...message('pen', contact(-5, 6, 0x19)),
  ]);
  assert.deepEqual(
    ofKind(segment, 'click').map(({ button, x, y }) => [button, x, y]),
    [
      ['touch', 100, 200],
      ['pen', -5, 6],
    ],
  );
  assert.equal(inputs(segment), 4);
});

test('sizes and monitors of the graphics pipeline, and of the server’s monitor layout', () => {
  const monitor = (left: number, right: number, flags: number) => ({ left, top: 0, right, bottom: 799, flags });
  const reset = (width: number, monitors: ReturnType<typeof monitor>[]): SentPdu[] => {
    const pad = new Uint8Array(340 - 8 - 12 - 20 * monitors.length);
    const command = encode(gfxPdu, { kind: 'resetGraphics', flags: 0, body: { width, height: 800, monitors, pad } });
    // ZGFX_SEGMENTED_DATA: single, not compressed.
    return channels.send(true, 5, Uint8Array.from([0xe0, 0x04, ...command]));
  };
  const layout = encode(monitorLayout, { monitors: [monitor(0, 1279, 1), monitor(-1280 >>> 0, -1 >>> 0, 0)] });
  const header = { shareId: 1, pad1: 0, streamId: 1, compressedType: 0, compressedLength: 0 };
  const data = encode(shareDataPdu, {
    ...header,
    pduType2: PduType2.monitorLayout,
    uncompressedLength: layout.length,
    data: layout,
  });
  const share = encode(shareControlPdu, { pduType: 0x10 | PduType.data, pduSource: 1002, body: data });
  const payload = encode(mcsPdu, {
    kind: 'sendDataIndication',
    initiator: 1002,
    channelId: 1003,
    priority: 0x70,
    data: share,
  });
  const segment = indexed([
    ...channels.open(5, GRAPHICS),
    ...reset(1280, [monitor(0, 1279, 1)]),
    ...reset(2560, [monitor(0, 1279, 1), monitor(1280, 2559, 0)]),
    ...reset(2560, [monitor(0, 1279, 1), monitor(1280, 2559, 0)]),
    { fromServer: true, bytes: encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload }) }) },
    ...reset(1280, [monitor(0, 1279, 1)]),
    ...channels.send(true, 5, Uint8Array.of(0xff)),
    ...reset(640, []),
    ...channels.open(5, GRAPHICS),
    ...reset(800, []),
  ]);
  assert.deepEqual(
    ofKind(segment, 'resize').map(({ width, height }) => [width, height]),
    [
      [1280, 800],
      [2560, 800],
      [1280, 800],
      [800, 800],
    ],
  );
  assert.deepEqual(
    ofKind(segment, 'monitors').map(({ monitors }) =>
      monitors.map(({ left, width, primary }) => `${left} ${width}${primary ? ' primary' : ''}`),
    ),
    [['0 1280 primary', '1280 1280'], ['0 1280 primary', '-1280 1280'], ['0 1280 primary']],
  );
  assert.deepEqual(
    ofKind(segment, 'error').map(({ code }) => code),
    ['content.invalid'],
  );
});
