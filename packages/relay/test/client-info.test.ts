import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ClientInfo,
  clientInfoPdu,
  emptyTimeZone,
  InfoFlag,
  PduType2,
  slowPathInput,
  wrapShareData,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { channels, dataOf, pdusOf, RunningRelay, tpktOf } from './support/running-relay.ts';

const password = 'Tr0ub4dor&3';
const cookie = Buffer.from('ARC-COOKIE-OF-28-BYTES-HERE!');
const extended = {
  clientAddressFamily: 2,
  clientAddress: Buffer.from('10.0.0.1\0', 'utf16le'),
  clientDir: Buffer.from('C:\\\0', 'utf16le'),
  clientTimeZone: emptyTimeZone(),
  clientSessionId: 0,
  performanceFlags: 7,
  autoReconnectCookie: cookie,
};
const info = (changes: Partial<ClientInfo> = {}): ClientInfo => ({
  codePage: 0x409,
  flags: InfoFlag.unicode | InfoFlag.compression | 0x600,
  domain: 'CORP',
  userName: 'alice',
  password,
  alternateShell: '',
  workingDir: '',
  extended,
  ...changes,
});
const infoData = (flags = 0x40, flagsHi = 0, changes: Partial<ClientInfo> = {}): Buffer =>
  Buffer.from(encode(clientInfoPdu, { flags, flagsHi, info: info(changes) }));

const secrets = [Buffer.from(password, 'utf16le'), Buffer.from(password), cookie];
function assertSecret(session: RunningRelay, what: string): void {
  for (const { bytes } of session.frames())
    for (const secret of secrets) assert.equal(bytes.includes(secret), false, `${what}: a secret is in the recording`);
}

/** Right behind the channel joins. */
function joined(): RunningRelay {
  const session = new RunningRelay().connected();
  for (const payload of [[0x04, 1, 0, 1, 0], [0x28], [0x38, 0, 6, 3, 0xeb]])
    session.send('client', tpktOf(Uint8Array.from(payload)));
  session.frames();
  return session;
}

test('all 65,536 values mstsc may leave in flagsHi: no secret is recorded, the PDU arrives, and input is flagged behind it', () => {
  const data = infoData();
  const key = Uint8Array.of(0x44, 4, 0, 0x1e);
  for (let flagsHi = 0; flagsHi < 0x1_0000; flagsHi += 1) {
    // Every 256th from the very beginning; the rest without the connection's first PDUs, which change nothing.
    const session = flagsHi % 256 === 0 ? joined() : new RunningRelay();
    data.writeUInt16LE(flagsHi, 2);
    const pdu = Buffer.from(dataOf('client', channels.io, data));
    assert.ok(session.send('client', pdu).equals(pdu));
    assertSecret(session, `flagsHi ${flagsHi}`);
    assert.equal(session.relay.counters.secretsBlanked, 1);
    assert.equal(session.relay.counters.unread, 0);
    if (flagsHi % 256 !== 0) continue;
    assert.deepEqual(session.events.at(-1), { kind: 'client_info', userName: 'alice', domain: 'CORP' });
    session.send('client', key);
    assert.equal(session.frames().at(-1)!.flags & frameFlags.inputs, frameFlags.inputs);
  }
});

test('any flags, cut anywhere: Client Info is known by its place', () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.nat(0xffff), fc.integer({ min: 1, max: 400 }), (flags, flagsHi, pieceBytes) => {
      const session = joined();
      const pdu = Buffer.from(dataOf('client', channels.io, infoData(flags, flagsHi)));
      assert.ok(session.send('client', pdu, pieceBytes).equals(pdu));
      assertSecret(session, 'cut');
      assert.equal(session.relay.counters.secretsBlanked, 1);
    }),
    { numRuns: 300 },
  );
  for (let cut = 1; cut < 60; cut += 1) {
    const session = joined();
    const pdu = dataOf('client', channels.io, infoData(0x40, 0x17));
    session.send('client', pdu.subarray(0, cut));
    session.send('client', pdu.subarray(cut));
    assertSecret(session, `cut at ${cut}`);
  }
});

const withLength =
  (at: number, value: number) =>
  (data: Buffer): Buffer => {
    data.writeUInt16LE(value, at);
    return data;
  };
const odd: [string, (data: Buffer) => Buffer][] = [
  ['a password of 3,000 characters', () => infoData(0x40, 0, { password: `${password}${'x'.repeat(3000)}` })],
  ['bytes behind it', () => Buffer.concat([infoData(), Buffer.from(password, 'utf16le')])],
  ['a length inside a character', withLength(12, 11)],
  ['a length beyond the PDU', withLength(14, 0xfff0)],
  [
    'ANSI strings said to be Unicode',
    () => {
      const ansi = infoData(0x40, 0, { flags: 0 });
      ansi.writeUInt32LE(InfoFlag.unicode, 8);
      return ansi;
    },
  ],
  ['Unicode strings said to be ANSI', withLength(8, 0)],
  ['a cookie cut short', (data) => data.subarray(0, data.length - 3)],
  ['a directory cut short, so that the cookie seems to be none', withLength(94, 2)],
  [
    'strings alone',
    () =>
      Buffer.from(
        encode(clientInfoPdu, { flags: 0x40, flagsHi: 0, info: (({ extended: _, ...rest }) => rest)(info()) }),
      ),
  ],
  ['terminators counted into the lengths', () => infoData(0x40, 0, { userName: 'alice\0', password: `${password}\0` })],
  [
    'terminators that are none',
    () => infoData(0x40, 0, { terminators: Array.from({ length: 5 }, () => Buffer.from('xx')) }),
  ],
  ['the info packet without its security header', () => infoData().subarray(4)],
  ['nothing but the password', () => Buffer.from(password, 'utf16le')],
];
for (const [name, change] of odd)
  test(`Client Info with ${name} is passed on, and what it hides is not recorded`, () => {
    const session = joined();
    const pdu = Buffer.from(dataOf('client', channels.io, change(infoData())));
    assert.ok(session.send('client', pdu).equals(pdu));
    assertSecret(session, name);
    assert.equal(session.relay.counters.secretsBlanked, 1);
  });

test('changed bytes and PDUs nobody sends in that place: passed on, and the password is in no frame', () => {
  const data = infoData();
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(data.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.constantFrom(0x64, 0x6c, 0x70, 0x78),
      fc.boolean(),
      (changes, choice, known) => {
        const changed = Buffer.from(data);
        for (const [at, value] of changes) changed[at] = value;
        const pdu = Buffer.from(dataOf('client', channels.io, changed));
        if (!known) pdu[7] = choice;
        const session = joined();
        assert.ok(session.send('client', pdu).equals(pdu));
        // A changed byte may lie in the password: what is left of it is not recorded either.
        const parts = [
          secrets[0]!.subarray(0, 8),
          secrets[0]!.subarray(14),
          cookie.subarray(0, 10),
          cookie.subarray(18),
        ];
        for (const { bytes } of session.frames()) for (const part of parts) assert.equal(bytes.includes(part), false);
      },
    ),
    { numRuns: 3000 },
  );
});

test('behind a Client Info that could not be read, once the server has answered, input is flagged and shares are read', () => {
  const session = joined();
  session.send('client', dataOf('client', channels.io, Buffer.from('nobody can read this, and it is long enough')));
  session.send(
    'server',
    dataOf('server', channels.io, Uint8Array.of(0x80, 0, 0, 0, 0xff, 3, 16, 0, 7, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0)),
  );
  session.frames();
  const events = [{ eventTime: 0, kind: 'scancode', keyboardFlags: 0, keyCode: 0x1e, pad2Octets: 0 } as const];
  session.send(
    'client',
    dataOf('client', channels.io, wrapShareData(1, 1007, PduType2.input, slowPathInput, { pad2Octets: 0, events })),
  );
  session.send('client', Uint8Array.of(4, 4, 0, 0x1e));
  for (const { flags } of session.frames()) assert.equal(flags & frameFlags.inputs, frameFlags.inputs);
  // And one that comes late, or twice, is blanked still.
  for (const flagsHi of [0, 0x17]) {
    session.send('client', dataOf('client', channels.io, infoData(0x40, flagsHi)));
    assertSecret(session, 'late');
  }
});

test('input before Client Info, whose first byte may be that of a CredSSP message, is input', () => {
  const session = joined();
  const twelve = Uint8Array.of(12 << 2, 2 + 24, ...Array.from({ length: 12 }, () => [0, 0x1e]).flat());
  assert.equal(twelve[0], 0x30);
  assert.ok(session.send('client', twelve).equals(Buffer.from(twelve)));
  const [frame] = session.frames();
  assert.equal(frame!.flags, frameFlags.fastPath | frameFlags.inputs);
});

test('with compression turned off, both versions are free of secrets and differ in those bits only', () => {
  const session = new RunningRelay({ graphics: 'classic' }).connected();
  session.frames();
  const pdu = Buffer.from(dataOf('client', channels.io, infoData(0x40, 0xbeef)));
  const delivered = session.send('client', pdu);
  const different = [...pdu.keys()].filter((at) => pdu[at] !== delivered[at]);
  const flagsAt = pdu.length - infoData().length + 8;
  assert.deepEqual(different, [flagsAt, flagsAt + 1]);
  assert.equal(delivered.readUInt32LE(flagsAt), InfoFlag.unicode);
  assert.equal(session.tap.frames.filter(({ flags }) => flags & frameFlags.blanked).length, 2);
  assertSecret(session, 'classic');
});

test('whole PDUs of a real session are still told', () => {
  assert.ok(pdusOf(dataOf('client', channels.io, infoData())).length === 1);
});
