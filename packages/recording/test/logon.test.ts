import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  fastPathInput,
  mcsPdu,
  PduType2,
  SaveSessionInfoType,
  saveSessionInfo,
  tpkt,
  wrapShareData,
  x224Data,
} from '@lucid-sessions/rdp';
import { readCapture } from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import { encodeNote, type Frame, frameKinds } from '../src/index.ts';
import { type IndexEvent, SessionIndexer, withoutLogon } from '../src/session-index/index.ts';

const capture = readCapture(new URL('../../../testkit/captures/xorg-clip-drive.rdpcap.gz', import.meta.url).pathname);
let timeUs = 0;
const frame = (fromServer: boolean, body: Uint8Array): Frame => {
  timeUs += 1000;
  return { kind: frameKinds.pdu, flags: fromServer ? 1 : 0, channelId: 0, timeUs, body };
};
/** The connection sequence of a real session. */
const connection = (): Frame[] =>
  capture.records.filter(({ timeMs }) => timeMs < 1500).map(({ fromServer, bytes }) => frame(fromServer, bytes));
const types = (...codes: number[]): Frame[] =>
  codes.flatMap((keyCode) =>
    [0, 1].map((flags) =>
      frame(false, encode(fastPathInput, { flags: 1, events: [{ kind: 'scancode', flags, keyCode }] })),
    ),
  );
function told(infoType: number): Frame {
  const info = { infoType, infoData: new Uint8Array(576) };
  const data = wrapShareData(0x103ea, 1002, PduType2.saveSessionInfo, saveSessionInfo, info);
  const pdu = encode(mcsPdu, { kind: 'sendDataIndication', initiator: 1002, channelId: 1003, priority: 0x70, data });
  return frame(true, encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload: pdu }) }));
}
type Typed = Extract<IndexEvent, { kind: 'typed' }>;
function typedIn(frames: readonly Frame[], cut = false): Typed[] {
  let indexer = new SessionIndexer();
  const events: IndexEvent[] = [];
  for (const [i, each] of frames.entries()) {
    indexer.push(each);
    if (!cut || i % 7 !== 6) continue;
    events.push(...indexer.take(i, false).events);
    const next = new SessionIndexer();
    next.restore(indexer.state());
    indexer = next;
  }
  events.push(...indexer.take(frames.length, true).events);
  return events.filter((event): event is Typed => event.kind === 'typed');
}
const [a, b, c] = [0x1e, 0x30, 0x2e];

for (const cut of [false, true])
  test(`what is typed before the host tells of a logon is marked, and what comes behind is not${cut ? ', over chunks' : ''}`, () => {
    const frames = [
      ...connection(),
      ...types(a, b),
      told(SaveSessionInfoType.logonExtendedInfo),
      ...types(c),
      told(SaveSessionInfoType.plainNotify),
      ...types(c, b, a),
      told(SaveSessionInfoType.logonExtendedInfo),
      ...types(a),
    ];
    assert.deepEqual(
      typedIn(frames, cut).map(({ text, atLogon }) => [text, atLogon]),
      [
        ['abc', true],
        ['cbaa', false],
      ],
    );
  });

test('a client that comes back is asked who it is: marked until the host tells again', () => {
  const frames = [...connection(), told(SaveSessionInfoType.logonLong), ...types(a)];
  // The second connection's PDUs follow in the same recording.
  const connected = { type: 'connected', atUs: 1, clientAddress: '1', targetAddress: '2' } as const;
  const note: Frame = { ...frame(false, encodeNote(connected)), kind: frameKinds.note };
  // Half a PDU was on its way when the connection broke.
  const half = frame(true, Uint8Array.of(3, 0, 0x10, 0, 2, 0xf0, 0x80));
  const again = [half, note, ...connection(), ...types(b), told(SaveSessionInfoType.logon), ...types(c)];
  assert.deepEqual(
    typedIn([...frames, ...again]).map(({ text, atLogon }) => [text, atLogon]),
    [
      ['a', false],
      ['b', true],
      ['c', false],
    ],
  );
});

test('a host that never tells leaves all of it marked, and the text is gone for who takes one step', () => {
  const [line] = typedIn([...connection(), ...types(a, b, c)]);
  assert.equal(line!.atLogon, true);
  const shown = withoutLogon(line!);
  assert.deepEqual(shown, { ...line!, text: null });
  const later: IndexEvent = { ...line!, atLogon: false };
  assert.deepEqual(withoutLogon(later), later);
});
