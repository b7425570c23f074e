import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  emptyBody,
  fastPathInput,
  PduType2,
  type SlowPathInputEvent,
  slowPathInput,
  wrapShareData,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { decode, encode } from '@lucid-sessions/wire';
import { channels, dataOf, RunningRelay } from './support/running-relay.ts';

const key = (code: number) => ({ kind: 'scancode', flags: 0, keyCode: code }) as const;
const move = { kind: 'mouse', flags: 0, pointerFlags: 0x0800, x: 5, y: 6 } as const;
const timestamp = { kind: 'qoeTimestamp', flags: 0, timestamp: 77 } as const;
const locks = { kind: 'sync', flags: 2 } as const;
const fast = (events: Parameters<typeof fastPathInput.encode>[0]['events'], flags = 0) =>
  encode(fastPathInput, { flags, events });

test('mstsc sets SECURE_CHECKSUM without ENCRYPTED: there is no signature, and the events are read', () => {
  for (const flags of [0, 1]) {
    const pdu = fast([key(0x1e), move, timestamp], flags);
    assert.deepEqual(decode(fastPathInput, pdu), { flags, events: [key(0x1e), move, timestamp] });
  }
  for (const flags of [2, 3]) assert.throws(() => decode(fastPathInput, fast([key(0x1e)], flags)), /encrypted/);
});

for (const pieceBytes of [100, 1])
  test(`fast-path input in pieces of ${pieceBytes}: keys are flagged, and what a person did is counted`, () => {
    const rows: [string, Uint8Array, { flagged: boolean; counted: boolean }][] = [
      ['key', fast([key(0x1e)]), { flagged: true, counted: true }],
      ['key of mstsc', fast([key(0x1e)], 1), { flagged: true, counted: true }],
      ['mouse of mstsc', fast([move], 1), { flagged: false, counted: true }],
      ['key behind the mouse', fast([move, timestamp, key(2)], 1), { flagged: true, counted: true }],
      ['time stamp', fast([timestamp], 1), { flagged: false, counted: false }],
      ['lock keys', fast([locks, timestamp], 1), { flagged: false, counted: false }],
      ['encrypted', fast([move], 3), { flagged: true, counted: true }],
      ['an event nobody knows', Uint8Array.of(4, 4, 0xe0, 0), { flagged: true, counted: true }],
      ['bytes behind the last event', Uint8Array.of(4, 5, 3 << 5, 9, 9), { flagged: true, counted: true }],
    ];
    for (const [name, pdu, { flagged, counted }] of rows) {
      const session = new RunningRelay().activated();
      session.frames();
      const before = session.relay.counters.inputs;
      assert.deepEqual(session.send('client', pdu, pieceBytes), Buffer.from(pdu), name);
      const [frame] = session.frames();
      assert.equal((frame!.flags & frameFlags.inputs) !== 0, flagged, name);
      assert.equal(session.relay.counters.inputs - before, counted ? 1 : 0, name);
    }
  });

test('slow-path input is counted as fast-path is, also when it is not kept', () => {
  const slow = (...events: SlowPathInputEvent[]): Uint8Array =>
    dataOf('client', channels.io, wrapShareData(1, 1007, PduType2.input, slowPathInput, { pad2Octets: 0, events }));
  const pressed = slow({ eventTime: 0, kind: 'scancode', keyboardFlags: 0x4000, keyCode: 0x1e, pad2Octets: 0 });
  const moved = slow({ eventTime: 0, kind: 'mouse', pointerFlags: 0x800, x: 1, y: 1 });
  const synchronized = slow({ eventTime: 0, kind: 'synchronize', pad2Octets: 0, toggleFlags: 0 });
  for (const input of ['full', 'masked', 'none'] as const) {
    const session = new RunningRelay({ keep: { input, clipboard: 'full' } }).activated();
    const before = session.relay.counters.inputs;
    for (const pdu of [pressed, moved, synchronized, fast([key(3)], 1), fast([timestamp], 1)])
      session.send('client', pdu);
    assert.equal(session.relay.counters.inputs - before, 3, input);
  }
});

test('a Shutdown Request is counted, in any pieces, and is no input', () => {
  const request = dataOf('client', channels.io, wrapShareData(1, 1007, PduType2.shutdownRequest, emptyBody, {}));
  for (const pieceBytes of [1, 5, 100]) {
    const session = new RunningRelay().activated();
    session.frames();
    assert.deepEqual(session.send('client', request, pieceBytes), Buffer.from(request));
    const { inputs, shutdownRequests } = session.relay.counters;
    assert.deepEqual([inputs, shutdownRequests, session.frames()[0]!.flags & frameFlags.inputs], [0, 1, 0]);
  }
});

test('what crosses by itself is no activity: pictures, acknowledgements, the connection sequence', () => {
  const session = new RunningRelay().activated();
  assert.equal(session.relay.counters.inputs, 0);
});

test('keys of mstsc are masked as others are, and the mouse stays', () => {
  const session = new RunningRelay({ keep: { input: 'masked', clipboard: 'full' } }).activated();
  session.frames();
  session.send('client', fast([key(0x1e), move, key(0x1f)], 1));
  const [frame] = session.frames();
  assert.deepEqual(decode(fastPathInput, frame!.bytes).events, [key(0), move, key(0)]);
  assert.ok(frame!.flags & frameFlags.blanked);
});
