/** The codecs of Kerberos: what they read they write again, and bad bytes are a DecodeError and nothing else. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { captureStreams, readCapture } from '@lucid-sessions/testkit';
import { type Codec, DecodeError, decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as auth from '../../src/auth/index.ts';
import { connectFrameLength, type TsRequest, tsRequest } from '../../src/index.ts';
import * as k from '../../src/kerberos/index.ts';

const windows = process.env.WINDOWS_CAPTURES;
const skip = windows === undefined ? 'WINDOWS_CAPTURES is not set' : false;
const name: k.PrincipalName = { nameType: 2, parts: ['TERMSRV', 'ziel.prüfung.test'] };
const time = '20260727120000Z';
const encrypted = { etype: 18, kvno: 0xfffffffe, cipher: Uint8Array.of(1, 2, 3) };
const key = { etype: -128, value: Uint8Array.of(9) };
const body = { options: 0x00010000, client: name, realm: 'R', service: name, till: time, nonce: 7, etypes: [18, -1] };
const ticket = encode(k.ticket, { version: 5, realm: 'R', service: name, encrypted }).slice();
const none = Uint8Array.of(0x30, 0);

interface Sample<T> {
  codec: Codec<T>;
  value: T;
}
const sample = <T>(codec: Codec<T>, value: T): Sample<unknown> => ({ codec, value }) as Sample<unknown>;

const replyPart: k.KdcReplyPart = {
  ...{ key, lastRequest: none, nonce: 7, keyExpiration: time, flags: 0x80000000, authTime: time, startTime: time },
  ...{ endTime: time, renewTill: time, realm: 'R', service: name, addresses: none, encryptedPaData: [] },
};
const reply: k.KdcReply = {
  version: 5,
  messageType: 11,
  paData: [],
  clientRealm: 'R',
  client: name,
  ticket,
  encrypted,
};
const samples: Sample<unknown>[] = [
  sample(k.ticket, { version: 5, realm: 'R', service: name, encrypted }),
  sample(k.asRequest, { version: 5, messageType: 10, paData: [{ type: 2, value: none }], body }),
  sample(k.tgsRequest, { version: 5, messageType: 12, body }),
  sample(k.asReply, reply),
  sample(k.tgsReply, { ...reply, messageType: 13 }),
  sample(k.kdcReplyPart, replyPart),
  sample(k.krbError, {
    ...{ version: 5, messageType: 30, clientTime: time, clientMicros: 3, serverTime: time, serverMicros: 999_999 },
    ...{
      code: 6,
      clientRealm: 'R',
      client: name,
      realm: 'R',
      service: name,
      text: Uint8Array.of(0x57, 0xe4),
      data: none,
    },
  }),
  sample(k.apRequest, { version: 5, messageType: 14, options: 0x20000000, ticket, authenticator: encrypted }),
  sample(k.authenticator, {
    ...{ version: 5, clientRealm: 'R', client: name, checksum: { type: 0x8003, value: none }, micros: 3, time },
    ...{ subkey: key, sequence: 0xffffffff, authorizationData: none },
  }),
  sample(k.apReply, { version: 5, messageType: 15, encrypted }),
  sample(k.apReplyPart, { time, micros: 5, subkey: key, sequence: 1 }),
  sample(k.etypeInfo2, [{ etype: 18, salt: 'salt', parameters: none }, { etype: 23 }]),
  sample(k.encryptedTimestamp, { time, micros: 1 }),
  sample(k.gssToken, { mechanism: auth.Mechanism.kerberos, id: k.TokenId.apReq, body: none }),
];

/** All that may come of bytes that somebody changed. */
function readOrRefuse(codec: Codec<unknown>, bytes: Uint8Array): boolean {
  try {
    const value = decode(codec, bytes);
    // That of a TGS is read where an AS answers, and written as the AS's.
    if (codec === k.kdcReplyPart) assert.ok([0x79, 0x7a].includes(bytes[0]!));
    const expected = codec === k.kdcReplyPart ? bytes.with(0, 0x79) : bytes;
    assert.deepEqual(encode(codec, value).slice(), expected);
    return true;
  } catch (error) {
    assert.ok(error instanceof DecodeError, String(error));
    return false;
  }
}

test('each message comes back as it was, and cut anywhere it is refused', () => {
  for (const { codec, value } of samples) {
    const bytes = encode(codec, value).slice();
    assert.deepEqual(decode(codec, bytes), value, codec.name);
    for (let end = 0; end < bytes.length; end += 1)
      assert.throws(() => decode(codec, bytes.slice(0, end)), DecodeError, `${codec.name} of ${end} bytes`);
  }
});

test('changed bytes come back as they are, or are refused', () => {
  const cases = fc.record({
    which: fc.nat(samples.length - 1),
    where: fc.nat(),
    flip: fc.integer({ min: 1, max: 255 }),
  });
  fc.assert(
    fc.property(cases, ({ which, where, flip }) => {
      const { codec, value } = samples[which]!;
      const bytes = encode(codec, value).slice();
      bytes[where % bytes.length]! ^= flip;
      readOrRefuse(codec, bytes);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.nat(samples.length - 1), fc.uint8Array({ maxLength: 60 }), (which, bytes) => {
      readOrRefuse(samples[which]!.codec, bytes);
    }),
    { numRuns: 1000 },
  );
});

/** TSRequests of a capture, in order, told by side. */
function requestsOf(file: string): Record<'client' | 'server', TsRequest[]> {
  const streams = captureStreams(readCapture(join(windows!, file)));
  const read = (bytes: Uint8Array): TsRequest[] => {
    const found: TsRequest[] = [];
    // X.224 stands before them.
    for (let at = (bytes[2]! << 8) | bytes[3]!; bytes[at] === 0x30; ) {
      const length = connectFrameLength(bytes, at, bytes.length);
      found.push(decode(tsRequest, bytes.slice(at, at + length)));
      at += length;
    }
    return found;
  };
  return { client: read(Uint8Array.from(streams.client)), server: read(Uint8Array.from(streams.server)) };
}

const spnegoOf = ({ negoTokens }: TsRequest) => auth.readSpnego(negoTokens![0]!);
const innerOf = (request: TsRequest): k.GssToken => {
  const token = spnegoOf(request);
  const inner = token.kind === 'init' ? token.mechToken! : token.responseToken!;
  const value = decode(k.gssToken, inner);
  assert.deepEqual(k.gssTokenBytes(value), inner);
  return value;
};
const again = <T>(codec: Codec<T>, bytes: Uint8Array): T => {
  const value = decode(codec, bytes);
  assert.deepEqual(encode(codec, value).slice(), bytes);
  return value;
};

for (const file of ['rdp-nla-kerberos-auth1-0.rdpcap.gz', 'rdp-nla-smartcard-auth1-0.rdpcap.gz'])
  test(`${file}: mechanisms, AP-REQ, AP-REP and every token of mstsc and Windows Server 2022 are read`, {
    skip,
  }, () => {
    const { client, server } = requestsOf(file);
    const init = spnegoOf(client[0]!);
    assert.ok(init.kind === 'init');
    const { kerberosMicrosoft, kerberos, negoEx, ntlm, kerberosUserToUser } = auth.Mechanism;
    assert.deepEqual(init.mechTypes, [kerberosMicrosoft, kerberos, negoEx, ntlm]);
    // User to user: a TGT is asked for, and the ticket stands under its session key.
    assert.deepEqual([innerOf(client[0]!).id, innerOf(server[0]!).id], [k.TokenId.tgtReq, k.TokenId.tgtRep]);
    assert.ok([client[0]!, server[0]!].every((request) => innerOf(request).mechanism === kerberosUserToUser));
    const request = again(k.apRequest, innerOf(client[1]!).body);
    assert.equal(request.options, (k.ApOption.useSessionKey | k.ApOption.mutualRequired) >>> 0);
    const ticket = again(k.ticket, request.ticket);
    assert.equal(ticket.service.parts[0], 'TERMSRV');
    assert.deepEqual([ticket.version, ticket.encrypted.etype, request.authenticator.etype], [5, 18, 18]);
    const answer = spnegoOf(server[1]!);
    assert.ok(answer.kind === 'resp' && answer.negState === auth.NegState.acceptIncomplete);
    assert.equal(again(k.apReply, innerOf(server[1]!).body).encrypted.etype, 18);
    const signed = client.map(spnegoOrNull).find((token) => token?.kind === 'resp' && token.mechListMic !== undefined);
    const ours = k.readMic((signed as auth.NegTokenResp).mechListMic!);
    const theirs = k.readMic(answer.mechListMic!);
    assert.deepEqual([ours.flags, theirs.flags], [k.TokenFlag.acceptorSubkey, 5]);
    // Numbers go on behind the signatures; turned by the copy of the header and the checksum, as we do.
    for (const [requests, first, flags] of [
      [client, ours, 6],
      [server, theirs, 7],
    ] as const) {
      const wraps = requests
        .flatMap(({ pubKeyAuth, authInfo }) => [pubKeyAuth, authInfo])
        .filter((one) => one !== undefined);
      assert.ok(wraps.length >= 1);
      wraps.map(k.readWrap).forEach((token, at) => {
        assert.deepEqual([token.flags, token.extraCount, token.rightRotation], [flags, 0, 28]);
        assert.equal(token.sequence, first.sequence + 1n + BigInt(at));
      });
    }
  });

const spnegoOrNull = (request: TsRequest) => (request.negoTokens === undefined ? null : spnegoOf(request));
