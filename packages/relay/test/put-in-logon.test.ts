/** The gateway's logon in the client's Client Info: what the target gets, what the client gets, and that no frame has either's secrets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ClientInfo,
  clientInfoPdu,
  emptyTimeZone,
  InfoFlag,
  mcsPdu,
  PduType2,
  SaveSessionInfoType,
  saveSessionInfo,
  tpkt,
  wrapShareData,
  x224Data,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { decode, encode, Writer } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { downgrades } from '../src/downgrades.ts';
import { RelayViolation } from '../src/events.ts';
import { nobody, type PutInLogon } from '../src/put-in-logon.ts';
import { channels, dataOf, RunningRelay, tpktOf } from './support/running-relay.ts';

const logon: PutInLogon = { userName: 'svc-rdp', domain: 'CORP', password: 'inj3cted pässword' };
/** compressedType of a share data PDU: behind share control header, share id, pad, stream id, length and pduType2. */
const COMPRESSED_TYPE_AT = 15;
const typed = 'what alice typed';
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
const infoOf = (changes: Partial<ClientInfo> = {}): ClientInfo => ({
  codePage: 0x409,
  flags: InfoFlag.unicode | InfoFlag.mouse | InfoFlag.compression | 0x600,
  domain: 'HOME',
  userName: 'alice',
  password: typed,
  alternateShell: 'shell.exe',
  workingDir: 'C:\\',
  extended,
  ...changes,
});
const dataWith = (changes: Partial<ClientInfo> = {}): Buffer =>
  Buffer.from(encode(clientInfoPdu, { flags: 0x40, flagsHi: 0xbeef, info: infoOf(changes) }));

/** Right behind the channel joins. */
function joined(more: Partial<PutInLogon> = {}): RunningRelay {
  const session = new RunningRelay({ logon: { ...logon, ...more } }).connected();
  for (const payload of [[0x04, 1, 0, 1, 0], [0x28], [0x38, 0, 6, 3, 0xeb]])
    session.send('client', tpktOf(Uint8Array.from(payload)));
  session.frames();
  session.events.length = 0;
  return session;
}

function infoIn(pdu: Uint8Array): ClientInfo {
  const mcs = decode(mcsPdu, decode(x224Data, decode(tpkt, pdu).payload).payload);
  assert.ok(mcs.kind === 'sendDataRequest');
  return decode(clientInfoPdu, mcs.data).info;
}

const inBoth = (text: string): Buffer[] => [Buffer.from(text), Buffer.from(text, 'utf16le')];
function assertNowhere(session: RunningRelay, secrets: readonly string[]): void {
  for (const { bytes } of session.tap.frames)
    for (const secret of [...secrets.flatMap(inBoth), cookie])
      assert.equal(bytes.includes(secret), false, `${secret} is in the recording`);
}

test('the target hears of the gateway’s user, the recording of both without their secrets', () => {
  const session = joined();
  const pdu = dataOf('client', channels.io, dataWith());
  const delivered = session.send('client', pdu, 7);
  const { extended: known, ...info } = infoIn(delivered);
  assert.deepEqual(info, {
    ...{ codePage: 0x409, alternateShell: 'shell.exe', workingDir: 'C:\\', ...logon },
    flags: InfoFlag.unicode | InfoFlag.mouse | InfoFlag.autologon,
  });
  assert.equal(known?.autoReconnectCookie?.length, 0);
  assert.deepEqual(known?.clientTimeZone, extended.clientTimeZone);
  const [received, said, ...rest] = session.frames();
  assert.deepEqual(rest, []);
  assert.equal(received!.flags, frameFlags.receivedOnly | frameFlags.blanked);
  assert.equal(received!.bytes.length, pdu.length);
  assert.equal(said!.flags, frameFlags.deliveredOnly | frameFlags.blanked);
  assert.equal(said!.bytes.length, delivered.length);
  assert.equal(infoIn(said!.bytes).userName, 'svc-rdp');
  assertNowhere(session, [typed, logon.password]);
  assert.deepEqual(session.events, [
    { kind: 'client_info', userName: 'alice', domain: 'HOME' },
    { kind: 'downgrade', what: 'the gateway logs on: CORP\\svc-rdp' },
    { kind: 'downgrade', what: downgrades.bulkCompression },
  ]);
});

test('after network level authentication no password goes there, and nothing has to be blanked', () => {
  const session = joined({ password: '', domain: '' });
  const delivered = session.send('client', dataOf('client', channels.io, dataWith()));
  assert.equal(infoIn(delivered).password, '');
  const [, said] = session.frames();
  assert.equal(said!.flags, frameFlags.deliveredOnly);
  assertNowhere(session, [typed]);
  assert.deepEqual(session.events.at(-2), { kind: 'downgrade', what: 'the gateway logs on: svc-rdp' });
});

test('what the client logged on to the gateway with stays there, and the target asks for itself', () => {
  const session = joined(nobody);
  const flags = InfoFlag.unicode | InfoFlag.mouse | InfoFlag.autologon;
  const pdu = dataOf('client', channels.io, dataWith({ flags }));
  const { extended: known, ...info } = infoIn(session.send('client', pdu));
  assert.deepEqual([info.userName, info.domain, info.password], ['', '', '']);
  assert.equal(info.flags, InfoFlag.unicode | InfoFlag.mouse, 'nobody logs on by himself');
  assert.deepEqual(known?.autoReconnectCookie, cookie, 'it comes back to its own session');
  assertNowhere(session, [typed]);
  assert.deepEqual(session.events, [{ kind: 'client_info', userName: 'alice', domain: 'HOME' }]);
  // Said a second time it stays here, too.
  assert.equal(infoIn(session.send('client', pdu)).password, '');
});

const name = fc.string({ unit: 'binary', maxLength: 255 }).map((text) => text.replaceAll(/\p{Cc}/gu, '').slice(0, 255));

test('any names and passwords, in Unicode or ANSI, arrive whole; what the client typed never does', () => {
  fc.assert(
    fc.property(
      fc.record({ userName: name, domain: name, password: name }),
      fc.record({ userName: name, password: name, alternateShell: name }),
      fc.boolean(),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 1, max: 2000 }),
      (put, said, isUnicode, endings, pieceBytes) => {
        fc.pre([put, said].every((each) => Object.values(each).every((text) => text.isWellFormed())));
        const session = joined(put);
        // A code page of one byte a character.
        const cut = (text: string): string => (isUnicode ? text : text.replaceAll(/[^\x20-\xff]/g, '?'));
        const mark = 'Typed-By-Alice';
        const changes: Partial<ClientInfo> = {
          flags: isUnicode ? InfoFlag.unicode | InfoFlag.passwordIsScPin : InfoFlag.usingSavedCreds,
          codePage: isUnicode ? 0x407 : 1252,
          userName: cut(said.userName),
          password: `${mark}${cut(said.password)}`.slice(0, 255) + '\0'.repeat(endings & 1),
          alternateShell: cut(said.alternateShell) + '\0'.repeat(endings >> 1),
        };
        const delivered = session.send('client', dataOf('client', channels.io, dataWith(changes)), pieceBytes);
        const info = infoIn(delivered);
        assert.deepEqual(
          [info.userName, info.domain, info.password, info.alternateShell],
          [put.userName, put.domain, put.password, cut(said.alternateShell)],
        );
        assert.equal(info.flags & (InfoFlag.passwordIsScPin | InfoFlag.usingSavedCreds), 0);
        assert.equal(info.codePage, isUnicode ? 0x407 : 0);
        for (const each of inBoth(mark)) assert.equal(delivered.includes(each), false);
        for (const { bytes } of session.frames())
          for (const each of inBoth(mark)) assert.equal(bytes.includes(each), false);
        const [, shown] = session.tap.frames.slice(-2);
        assert.equal(infoIn(shown!.bytes).password, '\0'.repeat(put.password.length));
      },
    ),
    { numRuns: 300 },
  );
});

test('Client Info that can not be read ends the session: what it hides does not reach the target', () => {
  const cases: [string, Buffer][] = [
    ['a length inside a character', withLength(12, 11)],
    ['a length beyond it', withLength(14, 0xfff0)],
    ['bytes of somebody else', Buffer.from(`nobody can read this ${typed}`)],
    ['its first bytes', dataWith().subarray(0, 20)],
  ];
  for (const [what, data] of cases) {
    const session = joined();
    const bytes = Buffer.from(dataOf('client', channels.io, data));
    assert.throws(() => session.send('client', bytes), RelayViolation, what);
    assertNowhere(session, [typed, logon.password]);
  }
});

function withLength(at: number, value: number): Buffer {
  const data = dataWith();
  data.writeUInt16LE(value, at);
  return data;
}

test('any changed byte: either the gateway’s logon arrives and nobody else’s, or nothing does', () => {
  const data = dataWith();
  fc.assert(
    fc.property(fc.nat(data.length - 1), fc.nat(255), (at, value) => {
      const session = joined();
      const changed = Buffer.from(data);
      changed[at] = value;
      let delivered: Buffer;
      try {
        delivered = session.send('client', dataOf('client', channels.io, changed));
      } catch (error) {
        assert.ok(error instanceof RelayViolation);
        return;
      }
      assert.equal(infoIn(delivered).userName, logon.userName);
      const part = Buffer.from(typed.slice(0, 8), 'utf16le');
      assert.equal(delivered.includes(part), false);
      for (const secret of [...inBoth(logon.password), part])
        for (const { bytes } of session.frames()) assert.equal(bytes.includes(secret), false);
    }),
    { numRuns: 2000 },
  );
});

test('a client that logs on a second time, or a server that speaks too early, gets no other password there', () => {
  const twice = joined();
  twice.send('client', dataOf('client', channels.io, dataWith()));
  assert.throws(() => twice.send('client', dataOf('client', channels.io, dataWith())), RelayViolation);
  const early = joined();
  early.send('server', dataOf('server', channels.io, Uint8Array.of(0x80, 0, 0, 0, 0xff, 3, 16, 0, 7, 0, 0, 0)));
  const delivered = early.send('client', dataOf('client', channels.io, dataWith()));
  assert.equal(infoIn(delivered).password, logon.password);
  for (const session of [twice, early]) assertNowhere(session, [typed, logon.password]);
});

test('the target is not told that it may compress what the gateway takes its cookie out of', () => {
  const compression = InfoFlag.compression | InfoFlag.compressionTypeMask;
  for (const bulkCompression of [true, false]) {
    const session = new RunningRelay({ logon, bulkCompression }).connected();
    const { flags, userName } = infoIn(session.send('client', dataOf('client', channels.io, dataWith())));
    assert.equal(flags & compression, 0);
    assert.equal(userName, logon.userName);
    assert.ok(session.events.some((event) => event.kind === 'downgrade' && event.what === downgrades.bulkCompression));
  }
  const others = new RunningRelay({ logon: nobody }).connected();
  const { flags } = infoIn(others.send('client', dataOf('client', channels.io, dataWith())));
  assert.equal(flags & compression, infoOf().flags & compression);
});

test('a target that compresses all the same: what can not be read of its cookie goes nowhere', () => {
  const secret = Buffer.from('0123456789abcdef');
  const share = wrapShareData(1, 1002, PduType2.saveSessionInfo, saveSessionInfo, {
    infoType: SaveSessionInfoType.logonExtendedInfo,
    infoData: secret,
  });
  // Of a kind nobody knows (PACKET_COMPRESSED, type 7), behind share control and share data headers.
  share[COMPRESSED_TYPE_AT] = 0x27;
  const pdu = dataOf('server', channels.io, share);
  for (const put of [logon, null]) {
    const session = new RunningRelay({ logon: put }).connected();
    session.send('client', dataOf('client', channels.io, dataWith()));
    session.frames();
    const delivered = session.send('server', pdu);
    assert.equal(delivered.length, pdu.length);
    assert.equal(delivered.includes(secret), put === null);
    assert.equal(session.relay.counters.unread, 1);
    for (const { bytes } of session.frames()) assert.equal(bytes.includes(secret), false);
  }
});

test('the cookie by which a client could come back to the target by itself does not reach it', () => {
  const secret = Buffer.from('0123456789abcdef');
  const infoData = new Writer().u16le(38).u32le(1).u32le(28).u32le(28).u32le(1).u32le(5).slice(secret).bytes();
  const info = { infoType: SaveSessionInfoType.logonExtendedInfo, infoData };
  const pdu = dataOf('server', channels.io, wrapShareData(1, 1002, PduType2.saveSessionInfo, saveSessionInfo, info));
  for (const put of [logon, null]) {
    const session = new RunningRelay({ logon: put }).connected();
    session.send('client', dataOf('client', channels.io, dataWith()));
    session.frames();
    const delivered = session.send('server', pdu);
    assert.equal(delivered.length, pdu.length);
    assert.equal(delivered.includes(secret), put === null);
    const common = frameFlags.serverToClient;
    assert.deepEqual(
      session.frames().map(({ flags }) => flags),
      put === null
        ? [common | frameFlags.blanked]
        : [common | frameFlags.blanked | frameFlags.receivedOnly, common | frameFlags.deliveredOnly],
    );
    assert.equal(
      session.tap.frames.some(({ bytes }) => bytes.includes(secret)),
      false,
    );
  }
});
