import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mcsPdu, StreamInspector, tpkt, x224Data } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { unreplayable } from '../src/downgrades.ts';
import { type RelaySide, RelayViolation } from '../src/events.ts';
import { channels, dataOf, pdusOf, RunningRelay, tpktOf } from './support/running-relay.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** PDUs no relay need understand, and whether their sender is leaving. */
const odd: [string, Uint8Array, { leaves?: true; inspected?: string }][] = [
  ['X.224 Disconnect Request', bytes('0300 000b 06 80 0000 0000 00'), { leaves: true, inspected: 'x224Disconnect' }],
  ['X.224 Disconnect Request with user data', bytes('0300 000e 09 80 0000 1234 80 c00141'), { leaves: true }],
  ['X.224 Error', bytes('0300 0009 04 70 0000 01'), { leaves: true, inspected: 'x224Disconnect' }],
  ['Disconnect Provider Ultimatum with more bytes', tpktOf(bytes('2180 0000')), { leaves: true, inspected: 'mcs' }],
  ['Disconnect Provider Ultimatum cut short', tpktOf(bytes('21')), { leaves: true }],
  ['MCS Reject Ultimatum', tpktOf(bytes('2400 0102')), { leaves: true, inspected: 'mcs' }],
  ['MCS detach user request', tpktOf(bytes('30 03 00 06')), { inspected: 'mcs' }],
  ['MCS detach user indication', tpktOf(bytes('34 03 00 06')), { inspected: 'mcs' }],
  ['MCS channel leave request', tpktOf(bytes('40 01 03ec')), { inspected: 'mcs' }],
  ['MCS channel join confirm with more bytes', tpktOf(bytes('3e 00 0006 03eb 03eb 0000')), {}],
  ['MCS erect domain with plain numbers', tpktOf(bytes('04 0001 0001 0000')), {}],
  ['an MCS choice RDP has no use for', tpktOf(bytes('78 0001 0002')), {}],
  ['an MCS option', tpktOf(bytes('2b 00 0006')), {}],
  ['X.224 Data of more than one TPDU', bytes('0300 000a 02 f0 00 640001'), {}],
  ['an X.224 Connection Request', bytes('0300 000b 06 e0 0000 0000 00'), {}],
  ['a long X.224 header', bytes('0300 000c 04 f0 80 0000 640001'), {}],
  ['no X.224 at all', bytes('0300 0007 00 00 00'), {}],
  ['MCS data shorter than it says', tpktOf(bytes('64 0006 03eb 70 8100 0102')), {}],
  ['MCS data longer than it says', tpktOf(bytes('64 0006 03eb 70 01 0102')), {}],
  ['a second Connect Initial', tpktOf(bytes('7f65 03 040100')), {}],
];

for (const [name, pdu, { leaves }] of odd)
  for (const from of ['client', 'server'] as const)
    test(`${name} of the ${from}: recorded, passed on, and never a violation`, () => {
      for (const pieceBytes of [pdu.length, 1]) {
        const session = new RunningRelay().activated();
        session.frames();
        session.events.length = 0;
        assert.ok(session.send(from, pdu, pieceBytes).equals(pdu));
        const [frame] = session.frames();
        assert.ok(frame!.bytes.equals(pdu));
        assert.equal(
          session.events.some(({ kind }) => kind === 'disconnect'),
          leaves === true,
        );
        // What follows it is relayed too.
        const next = Uint8Array.of(4, 4, 0, 0x1e);
        if (from === 'client') assert.ok(session.send('client', next).equals(next));
      }
    });

test("what of it can't be read counts as typed", () => {
  for (const [name, pdu] of odd) {
    const session = new RunningRelay().activated();
    session.frames();
    const { unread } = session.relay.counters;
    session.send('client', pdu);
    const [frame] = session.frames();
    const isSealed = (frame!.flags & frameFlags.inputs) !== 0;
    const isKnown = /Disconnect|Error|Reject|detach|leave|join|erect|option/.test(name);
    assert.equal(isSealed, !isKnown, name);
    if (isKnown) assert.equal(session.relay.counters.unread, unread, name);
  }
});

test('an inspector tells what it knows of them', () => {
  for (const [name, pdu, { inspected }] of odd) {
    if (inspected === undefined) continue;
    const inspector = new StreamInspector();
    const capture = readCapture(new URL('../../../testkit/captures/xorg-default.rdpcap.gz', import.meta.url).pathname);
    for (const { fromServer, bytes: record } of capture.records.slice(0, 30))
      inspector.push(fromServer ? 'server' : 'client', record);
    const [event] = new StreamInspectorOn(inspector).push(pdu);
    assert.equal(event!.kind, inspected, name);
    if (event!.kind === 'mcs') assert.deepEqual(Buffer.from(encode(mcsPdu, event.pdu)), Buffer.from(pdu.subarray(7)));
  }
});

/** Pushes as the client, whose PDUs in the first records of the capture are whole. */
class StreamInspectorOn {
  readonly #inspector: StreamInspector;
  constructor(inspector: StreamInspector) {
    this.#inspector = inspector;
  }
  push(pdu: Uint8Array) {
    assert.equal(this.#inspector.pending('client'), 0);
    return this.#inspector.push('client', pdu);
  }
}

test('bytes behind Connect Initial and Connect Response pass', () => {
  const capture = readCapture(new URL('../../../testkit/captures/xorg-default.rdpcap.gz', import.meta.url).pathname);
  const streams = captureStreams({ ...capture, records: capture.records.filter((record) => !record.beforeTls) });
  const session = new RunningRelay({ requestedProtocols: 11 });
  for (const from of ['client', 'server'] as const) {
    const first = pdusOf(streams[from])[0]!;
    const longer = tpktOf(Buffer.concat([decode(x224Data, decode(tpkt, first).payload).payload, Buffer.alloc(3, 7)]));
    const passed = session.send(from, longer);
    assert.equal(passed.length, longer.length);
    assert.deepEqual([...passed.subarray(-3)], [7, 7, 7]);
  }
  assert.ok(session.events.some(({ kind }) => kind === 'channels'));
});

test('a target that refuses the MCS connection is passed on to the client', () => {
  const session = new RunningRelay();
  const capture = readCapture(new URL('../../../testkit/captures/xorg-default.rdpcap.gz', import.meta.url).pathname);
  const streams = captureStreams({ ...capture, records: capture.records.filter((record) => !record.beforeTls) });
  session.send('client', pdusOf(streams.client)[0]!);
  const parameters = '301a 020122 020103 020100 020101 020100 020101 020300fff8 020102';
  const refused = tpktOf(bytes(`7f66 26 0a010f 020100 ${parameters} 0400`.replace('7f66 26', '7f66 24')));
  assert.ok(session.send('server', refused).equals(refused));
  assert.deepEqual(session.events.at(-1), { kind: 'disconnect', from: 'server', reason: 15 });
});

/** A real session's PDUs behind the two Connect PDUs, in order. */
function recordedPdus(name: string): { from: RelaySide; pdu: Uint8Array }[] {
  const capture = readCapture(new URL(`../../../testkit/captures/${name}.rdpcap.gz`, import.meta.url).pathname);
  const pending: Record<RelaySide, Uint8Array> = { client: new Uint8Array(0), server: new Uint8Array(0) };
  const pdus: { from: RelaySide; pdu: Uint8Array }[] = [];
  for (const { fromServer, beforeTls, bytes: record } of capture.records.slice(0, 400)) {
    if (beforeTls) continue;
    const from = fromServer ? 'server' : 'client';
    const stream = Buffer.concat([pending[from], record]);
    let taken = 0;
    for (const pdu of pdusOf(stream)) {
      taken += pdu.length;
      pdus.push({ from, pdu });
    }
    pending[from] = stream.subarray(taken);
  }
  return pdus;
}

for (const name of ['xorg-clip-drive', 'shadow-default', 'xorg-nofastpath'])
  test(`${name}: whatever is changed inside its PDUs, all of it reaches the other peer`, () => {
    const pdus = recordedPdus(name).slice(0, 160);
    const change = fc.record({
      at: fc.integer({ min: 2, max: pdus.length - 1 }),
      // Behind what frames the PDU: another length is another PDU.
      offset: fc.integer({ min: 4, max: 120 }),
      value: fc.nat(255),
    });
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 12 }),
        fc.constantFrom('passthrough', 'classic'),
        (changes, graphics) => {
          // What is taken out of a negotiation changes it, and what is odd there most of all.
          const leaveIn = unreplayable;
          const session = new RunningRelay({ requestedProtocols: 11, graphics: graphics as 'passthrough', leaveIn });
          const changed = pdus.map(({ from, pdu }) => ({ from, pdu: new Uint8Array(pdu) }));
          for (const { at, offset, value } of changes) {
            const { pdu } = changed[at]!;
            if (offset < pdu.length) pdu[offset] = value;
          }
          let redirected = false;
          for (const { from, pdu } of changed) {
            const passed = session.send(from, pdu);
            redirected ||= session.events.some(({ kind }) => kind === 'redirection');
            if (graphics === 'passthrough' && !redirected) assert.equal(passed.length, pdu.length);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

test('what no one can frame is still a violation, of the side that sent it', () => {
  for (const junk of ['0300 0003', '02 04 0000', '00 01']) {
    const session = new RunningRelay().activated();
    assert.throws(
      () => session.send('client', bytes(junk)),
      (error) => error instanceof RelayViolation && error.side === 'client',
    );
  }
});

test('data on channels nobody announced passes, and counts as typed', () => {
  const session = new RunningRelay().activated();
  session.frames();
  const pdu = dataOf('client', 1077, Uint8Array.of(1, 2, 3));
  assert.ok(session.send('client', pdu).equals(pdu));
  assert.equal(channels.io, 1003);
});
