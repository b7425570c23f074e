import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  conferenceCreateResponse,
  enhancedServerRedirection,
  frameLength,
  mcsConnectResponse,
  mcsPdu,
  PduType,
  PduType2,
  RedirectionFlag,
  SaveSessionInfoType,
  saveSessionInfo,
  serverRedirection,
  setErrorInfo,
  tpkt,
  wrapShareControl,
  wrapShareData,
  x224Data,
} from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { RecordingTap } from '@lucid-sessions/testkit/recording-tap';
import { type Codec, encode, Writer } from '@lucid-sessions/wire';
import { RelayViolation } from '../src/events.ts';
import { Relay } from '../src/relay.ts';

const capture = captureStreams(
  (() => {
    const read = readCapture(new URL('../../../testkit/captures/xorg-default.rdpcap.gz', import.meta.url).pathname);
    return { ...read, records: read.records.filter((record) => !record.beforeTls) };
  })(),
);

/** A relay whose peers have connected. */
function running(): { relay: Relay; tap: RecordingTap } {
  const tap = new RecordingTap();
  const relay = new Relay({ requestedProtocols: 1, selectedProtocol: 1, graphics: 'passthrough' }, tap);
  relay.step('client', capture.client, 0);
  relay.step('server', capture.server.subarray(0, frameLength(capture.server, 0, 100)), 0);
  return { relay, tap };
}

const send = (data: Uint8Array): Uint8Array =>
  encode(tpkt, {
    reserved: 0,
    payload: encode(x224Data, {
      payload: encode(mcsPdu, { kind: 'sendDataIndication', initiator: 1002, channelId: 1003, priority: 0x70, data }),
    }),
  });

const shareData = <T>(type2: number, codec: Codec<T>, value: T): Uint8Array =>
  wrapShareData(0x103ea, 1002, type2, codec, value);

const utf16 = (text: string): Buffer => Buffer.from(`${text}\0`, 'utf16le');

function sessionInfo(infoType: number, infoData: Uint8Array): Uint8Array {
  return shareData(PduType2.saveSessionInfo, saveSessionInfo, { infoType, infoData });
}

const logonLong = (): Uint8Array => {
  const domain = utf16('CORP');
  const user = utf16('alice');
  const writer = new Writer().u16le(1).u32le(18).u32le(7).u32le(domain.length).u32le(user.length).zeros(558);
  return writer.slice(domain).slice(user).bytes();
};

const logonShort = (): Uint8Array => {
  const pad = (text: string, size: number): Buffer => Buffer.concat([utf16(text)], size);
  return new Writer().u32le(10).slice(pad('CORP', 52)).u32le(12).slice(pad('alice', 512)).u32le(7).bytes();
};

for (const [type, data] of [
  [SaveSessionInfoType.logonLong, logonLong()],
  [SaveSessionInfoType.logon, logonShort()],
] as const)
  test(`Save Session Info ${type} tells who logged on`, () => {
    const { relay } = running();
    const pdu = send(sessionInfo(type, data));
    const { forward, events } = relay.step('server', pdu, 1);
    assert.deepEqual(Buffer.concat(forward), Buffer.from(pdu));
    assert.deepEqual(events, [{ kind: 'logon', userName: 'alice', domain: 'CORP', sessionId: 7 }]);
  });

test("the server's reconnection secret reaches the client and no frame", () => {
  const { relay, tap } = running();
  const secret = Buffer.from('0123456789abcdef');
  const info = new Writer().u16le(38).u32le(1).u32le(28).u32le(28).u32le(1).u32le(5).slice(secret).bytes();
  const pdu = Buffer.from(send(sessionInfo(SaveSessionInfoType.logonExtendedInfo, info)));
  const { forward } = relay.step('server', Buffer.from(pdu), 1);
  assert.equal(Buffer.concat(forward).equals(pdu), true);
  const frame = tap.frames.at(-1)!;
  assert.equal(frame.flags, 1 | frameFlags.blanked);
  assert.equal(frame.bytes.includes(secret), false);
  assert.equal(frame.bytes.length, pdu.length);
});

test('Set Error Info becomes an event with a text, also in a batch of share PDUs', () => {
  const { relay } = running();
  const error = shareData(PduType2.setErrorInfo, setErrorInfo, { errorInfo: 5 });
  const none = shareData(PduType2.setErrorInfo, setErrorInfo, { errorInfo: 0 });
  const { events } = relay.step('server', send(Buffer.concat([none, error])), 1);
  assert.deepEqual(events, [{ kind: 'error_info', code: 5, text: 'another user connected to the session' }]);
});

test('a compressed Save Session Info is passed on unread', () => {
  const { relay } = running();
  const data = Buffer.from(sessionInfo(SaveSessionInfoType.logonLong, logonLong()));
  data[6 + 9] = 0x21;
  assert.deepEqual(relay.step('server', send(data), 1).events, []);
});

const redirection = {
  flags: 0x400,
  sessionId: 3,
  redirFlags: 0x100 | 0x10,
  fields: { targetFqdn: utf16('elsewhere.example'), password: Buffer.from('Hunter2!', 'utf16le') },
};

for (const [name, data] of [
  [
    'enhanced',
    wrapShareControl(PduType.serverRedirection, 1002, enhancedServerRedirection, { pad2Octets: 0, redirection }),
  ],
  ['standard', encode(serverRedirection, redirection)],
] as const)
  test(`a redirection (${name}) leads past the gateway: told, recorded without its password, not forwarded`, () => {
    const { relay, tap } = running();
    const { forward, events } = relay.step('server', send(data), 1);
    assert.deepEqual(forward, []);
    const fields = Object.fromEntries(
      Object.entries(redirection.fields).map(([key, bytes]) => [key, new Uint8Array(bytes)]),
    );
    assert.deepEqual(events, [
      { kind: 'redirection', target: 'elsewhere.example', redirection: { ...redirection, fields } },
    ]);
    const frame = tap.frames.at(-1)!;
    assert.equal(frame.flags, 1 | frameFlags.blanked | frameFlags.receivedOnly);
    assert.equal(frame.bytes.includes(Buffer.from('Hunter2!', 'utf16le')), false);
  });

test('what a target says behind a redirection is for nobody, in whatever pieces it comes', () => {
  const data = wrapShareControl(PduType.serverRedirection, 1002, enhancedServerRedirection, {
    pad2Octets: 0,
    redirection,
  });
  const behind = Buffer.concat([send(data), send(Buffer.from('more'))]);
  for (const size of [behind.length, 7]) {
    const { relay, tap } = running();
    for (let at = 0; at < behind.length; at += size)
      assert.deepEqual(relay.step('server', behind.subarray(at, at + size), 1).forward, []);
    assert.ok(!tap.frames.at(-1)!.bytes.includes('more'));
  }
});

test('where a session is, for another time, is kept from the client, and the session goes on', () => {
  const { relay, tap } = running();
  const told = { ...redirection, redirFlags: redirection.redirFlags | RedirectionFlag.noRedirect };
  const data = wrapShareControl(PduType.serverRedirection, 1002, enhancedServerRedirection, {
    pad2Octets: 0,
    redirection: told,
  });
  const { forward, events } = relay.step('server', send(data), 1);
  assert.deepEqual([forward, events], [[], []]);
  assert.equal(tap.frames.at(-1)!.flags, 1 | frameFlags.blanked | frameFlags.receivedOnly);
  assert.ok(relay.step('server', send(Buffer.from('more')), 2).forward.length > 0);
});

test('disconnects of either side are told', () => {
  const ultimatum = encode(tpkt, {
    reserved: 0,
    payload: encode(x224Data, {
      payload: encode(mcsPdu, { kind: 'disconnectProviderUltimatum', reason: 3, spare: 0 }),
    }),
  });
  for (const from of ['client', 'server'] as const) {
    const { relay } = running();
    assert.deepEqual(relay.step(from, ultimatum, 1).events, [{ kind: 'disconnect', from, reason: 3 }]);
  }
});

test('a target that insists on standard RDP security is refused: it could not be recorded', () => {
  const relay = new Relay({ requestedProtocols: 1, selectedProtocol: 0, graphics: 'passthrough' }, new RecordingTap());
  const parameters = {
    maxChannelIds: 34,
    maxUserIds: 3,
    maxTokenIds: 0,
    numPriorities: 1,
    minThroughput: 0,
    maxHeight: 1,
    maxMcsPduSize: 65528,
    protocolVersion: 2,
  };
  const userData = encode(conferenceCreateResponse, {
    nodeId: 0x79f3,
    tag: Uint8Array.of(1),
    result: 0,
    blocks: [{ kind: 'security', encryptionMethod: 2, encryptionLevel: 2 }],
  });
  const payload = encode(mcsConnectResponse, {
    result: 0,
    calledConnectId: 0,
    domainParameters: parameters,
    userData,
  });
  const pdu = encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload }) });
  assert.throws(
    () => relay.step('server', pdu, 0),
    (error) =>
      error instanceof RelayViolation && error.code === 'unsupported_security' && /let it use TLS/.test(error.message),
  );
});
