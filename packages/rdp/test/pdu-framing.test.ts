import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { DecodeError, decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as rdp from '../src/index.ts';
import { capturesDirectory, hex } from './pdu-samples.ts';

const { client, server } = captureStreams(
  readCapture(new URL('gnome-type-rfx-surfcmds.rdpcap.gz', capturesDirectory).pathname),
);

function cut(splitter: rdp.FrameSplitter): Buffer[] {
  const frames: Buffer[] = [];
  for (let frame = splitter.next(); frame !== null; frame = splitter.next()) {
    frames.push(Buffer.from(frame));
    if (frame[0] === 3 && frame[5] === 0xf0) splitter.connecting = false;
  }
  return frames;
}

test('frameLength tells TPKT and fast-path apart and asks for more when it must', () => {
  const length = (text: string) => rdp.frameLength(hex(text), 0, hex(text).length);
  assert.equal(length(''), 0);
  assert.equal(length('03'), 0);
  assert.equal(length('0300 00'), 0);
  assert.equal(length('0300 0013'), 19);
  assert.equal(length('0005'), 5);
  assert.equal(length('0081'), 0);
  assert.equal(length('008100'), 256);
  assert.equal(length('3012'), 18);
});

test('frameLength refuses what no PDU begins with', () => {
  for (const text of ['03000006', '0001', '008002', '01ff', '47455420'])
    assert.throws(() => rdp.frameLength(hex(text), 0, hex(text).length), DecodeError, text);
});

test('connectFrameLength knows CredSSP and the early user authorization result', () => {
  const length = (text: string) => rdp.connectFrameLength(hex(text), 0, hex(text).length);
  assert.equal(length('30'), 0);
  assert.equal(length('3037'), 57);
  assert.equal(length('3082 01'), 0);
  assert.equal(length('3082 0102'), 262);
  assert.equal(length('0000'), 4);
  assert.equal(length('0500'), 4);
  assert.equal(length('0300 0013'), 19);
  for (const text of ['4745', '3080', '30850000000000', '3084ffffffff'])
    assert.throws(() => length(text), DecodeError, text);
});

test('a frame length is never negative, and bytes that get one can be cut there', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 8 }), (bytes) => {
      for (const measure of [rdp.frameLength, rdp.connectFrameLength])
        try {
          assert.ok(measure(bytes, 0, bytes.length) >= 0);
        } catch (error) {
          assert.ok(error instanceof DecodeError);
        }
    }),
  );
});

test('a stream is cut into the same frames whatever pieces it comes in', () => {
  for (const stream of [client, server.subarray(0, 40_000)]) {
    const whole = new rdp.FrameSplitter();
    whole.push(stream);
    const expected = cut(whole);
    assert.ok(expected.length > 10);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 50 }), (sizes) => {
        const splitter = new rdp.FrameSplitter();
        const frames: Buffer[] = [];
        const shared = Buffer.alloc(3000);
        for (let at = 0, i = 0; at < stream.length; i += 1) {
          const size = sizes[i % sizes.length]!;
          // One piece of memory for every read, as a socket with a fixed buffer has.
          const piece = shared.subarray(0, Math.min(size, stream.length - at));
          piece.set(stream.subarray(at, at + piece.length));
          splitter.push(piece);
          frames.push(...cut(splitter));
          at += size;
        }
        assert.deepEqual(frames, expected);
        assert.equal(splitter.pending, whole.pending);
      }),
      { numRuns: 20 },
    );
  }
});

test('takeRest gives back what was held and leaves nothing', () => {
  const splitter = new rdp.FrameSplitter();
  splitter.push(hex('0300 0013 0e'));
  assert.equal(splitter.next(), null);
  splitter.push(hex('e0'));
  assert.deepEqual(Buffer.from(splitter.takeRest()), Buffer.from(hex('0300 0013 0ee0')));
  assert.equal(splitter.pending, 0);
});

test('Client Info tells where its secrets lie', () => {
  const info: rdp.ClientInfoPdu = {
    flags: rdp.SecurityFlag.infoPkt,
    flagsHi: 0,
    info: {
      codePage: 0,
      flags: rdp.InfoFlag.unicode,
      domain: 'dom',
      userName: 'user',
      password: 'sécret',
      alternateShell: '',
      workingDir: 'dir',
      extended: {
        clientAddressFamily: 2,
        clientAddress: hex('3100 0000'),
        clientDir: hex('0000'),
        clientTimeZone: rdp.emptyTimeZone(),
        clientSessionId: 0,
        performanceFlags: 7,
        autoReconnectCookie: hex(`00112233445566778899${'00'.repeat(18)}`),
      },
    },
  };
  const bytes = encode(rdp.clientInfoPdu, info);
  const [password, cookie] = rdp.clientInfoSecrets(bytes)!.secrets;
  assert.ok(password && cookie);
  const slice = (range: rdp.ByteRange) => Buffer.from(bytes.subarray(range.offset, range.offset + range.length));
  assert.equal(slice(password).toString('utf16le'), 'sécret');
  assert.equal(slice(cookie).toString('hex'), `00112233445566778899${'00'.repeat(18)}`);
  for (const range of [password, cookie]) bytes.fill(0, range.offset, range.offset + range.length);
  const blanked = decode(rdp.clientInfoPdu, bytes);
  assert.equal(blanked.info.password, '\0'.repeat(6));
  assert.equal(blanked.info.workingDir, 'dir');
  assert.equal(blanked.info.userName, 'user');
  assert.deepEqual(
    rdp.clientInfoSecrets(encode(rdp.clientInfoPdu, { ...info, info: noSecrets(info.info) }))?.secrets,
    [],
  );
});

function noSecrets(info: rdp.ClientInfo): rdp.ClientInfo {
  const { extended: _, ...rest } = info;
  return { ...rest, flags: 0, password: '' };
}

test('error texts are for persons, unknown codes show their number', () => {
  assert.equal(rdp.errorInfoText(rdp.ErrorInfo.logoffByUser.code), 'the user logged off');
  assert.equal(rdp.errorInfoText(0xdead), 'unknown error 0x0000dead');
  const codes = Object.values(rdp.ErrorInfo).map((entry) => entry.code);
  assert.equal(new Set(codes).size, codes.length, 'a code is listed twice');
});

test('encoders refuse values that don’t fit instead of writing wrong bytes', () => {
  const tooLong = { text: 'x'.repeat(17) };
  assert.throws(() => encode(rdp.clientNetworkData, { channels: [{ name: tooLong, options: 0 }] }), RangeError);
  const update = { updateCode: 1, fragmentation: 0, compression: 0, data: new Uint8Array(40_000) };
  assert.throws(() => encode(rdp.fastPathOutput, { flags: 0, reserved: 0, updates: [update] }), RangeError);
  const data = new Uint8Array(0x8000);
  const send = { kind: 'sendDataRequest', initiator: 1007, channelId: 1003, priority: 0x70, data } as const;
  assert.throws(() => encode(rdp.mcsPdu, send), RangeError);
  const cookie = { requestId: 1, requestedProtocol: 1, reserved: 0, securityCookie: new Uint8Array(3) };
  assert.throws(() => encode(rdp.initiateMultitransportRequest, cookie), RangeError);
});

test('BER forms of a peer are kept, and dropped where the value outgrew them', () => {
  const wide = hex('30820009 a08200050281020006'.replace('0281020006', '0284000000'));
  assert.throws(() => decode(rdp.tsRequest, wide), DecodeError);
  const odd = hex('30 8200 0b a0 8200 07 02 82 0002 0006'.replaceAll(' ', ''));
  assert.throws(() => decode(rdp.tsRequest, odd.subarray(0, 6)), DecodeError);
  const value = decode(rdp.tsRequest, hex('3082000aa0820006028200020006'));
  assert.equal(value.version, 6);
  assert.equal(Buffer.from(encode(rdp.tsRequest, value)).toString('hex'), '3082000aa0820006028200020006');
  const grown = encode(rdp.tsRequest, { ...value, version: 70_000 });
  assert.equal(decode(rdp.tsRequest, grown).version, 70_000);
});
