/** What a peer that stops, repeats, cuts, reorders or lies gets of our CredSSP, in either role. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concatBytes, decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as auth from '../../src/auth/index.ts';
import { type TsRequest, tsRequest } from '../../src/index.ts';
import {
  clientOptions,
  endingOf,
  type Outcome,
  type PairOptions,
  platform,
  play,
  publicKey,
  serverOptions,
} from './pair.ts';

const envelopes = ['raw', 'spnego'] as const;
const clientStates: readonly string[] = ['challenge', 'completion', 'publicKey', 'authorization', 'done', 'ended'];
const serverStates: readonly string[] = [
  'negotiate',
  'authenticate',
  'account',
  'publicKey',
  'credentials',
  'done',
  'ended',
];
const spoiling = (more: PairOptions): Outcome => {
  const outcome = play(more);
  assert.ok(clientStates.includes(outcome.state.client));
  assert.ok(serverStates.includes(outcome.state.server));
  return outcome;
};
const edited = (bytes: Uint8Array, edit: (request: TsRequest) => TsRequest): Uint8Array[] => [
  encode(tsRequest, edit(decode(tsRequest, bytes))).slice(),
];

/** One message of one side, done something to. */
const spot = fc.record({
  envelope: fc.constantFrom(...envelopes),
  who: fc.constantFrom('client', 'server'),
  at: fc.nat(3),
});

test('a peer that stops at any message ends in words, and nobody is let in', () => {
  for (const envelope of envelopes)
    for (const who of ['client', 'server'] as const)
      for (const at of [0, 1, 2, 3]) {
        const options = { client: { envelope }, spoil: (bytes: Uint8Array) => [bytes] };
        const sent = play(options).sent[who].length;
        if (at >= sent) continue;
        const { client, server } = spoiling({
          ...options,
          spoil: (bytes, from, index) => (from === who && index === at ? [] : [bytes]),
        });
        const isCredentials = who === 'client' && at === sent - 1;
        // Whether its credentials arrived a client learns from what RDP does next.
        const ending = at === 0 ? 'left' : 'refused';
        assert.equal(endingOf(client), isCredentials ? 'loggedOn' : ending, `${envelope} ${who} ${at}`);
        assert.notEqual(endingOf(server), 'authenticated');
      }
});

test('a message cut anywhere, and followed by the next, lets nobody in', () => {
  fc.assert(
    fc.property(spot, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), ({ envelope, who, at }, share) => {
      let isCut = false;
      const { server } = spoiling({
        client: { envelope },
        spoil: (bytes, from, index) => {
          if (from !== who || index !== at) return [bytes];
          isCut = true;
          return [bytes.slice(0, Math.floor(bytes.length * share))];
        },
      });
      if (isCut) assert.notEqual(endingOf(server), 'authenticated');
    }),
    { numRuns: 300 },
  );
});

test('a changed byte never makes anything but an event, and never lets a wrong password in', () => {
  fc.assert(
    fc.property(spot, fc.nat(3000), fc.integer({ min: 1, max: 255 }), fc.boolean(), (place, where, bits, isRight) => {
      const { envelope, who, at } = place;
      const { client, server } = spoiling({
        client: { envelope },
        ...(isRight ? {} : { password: 'another' }),
        spoil: (bytes, from, index) => {
          if (from !== who || index !== at) return [bytes];
          const changed = bytes.slice();
          changed[where % bytes.length]! ^= bits;
          return [changed];
        },
      });
      if (isRight) return;
      assert.notEqual(endingOf(client), 'loggedOn');
      assert.notEqual(endingOf(server), 'authenticated');
    }),
    { numRuns: 1500 },
  );
});

test('repeated and reordered messages let nobody in', () => {
  for (const envelope of envelopes)
    for (const who of ['client', 'server'] as const)
      for (const at of [0, 1]) {
        const twice = spoiling({
          client: { envelope },
          spoil: (bytes, from, index) => (from === who && index === at ? [bytes, bytes] : [bytes]),
        });
        // Behind a side's last message nothing of CredSSP is read any more: that is RDP's to judge.
        if (at < twice.sent[who].length - 1)
          assert.ok(endingOf(twice.client) !== 'loggedOn' || endingOf(twice.server) !== 'authenticated');
        let kept: Uint8Array | null = null;
        const swapped = spoiling({
          client: { envelope },
          spoil: (bytes, from, index) => {
            if (from !== who) return [bytes];
            if (index === at) {
              kept = bytes;
              return [];
            }
            const before = kept;
            kept = null;
            return before === null ? [bytes] : [bytes, before];
          },
        });
        assert.notEqual(endingOf(swapped.server), 'authenticated');
      }
});

test('random bytes at any time are no CredSSP', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 3, maxLength: 200 }), fc.constantFrom(...envelopes), (bytes, envelope) => {
      const client = new auth.CredSspClient(clientOptions({ envelope }));
      client.start();
      client.step(bytes);
      const server = new auth.CredSspServer(serverOptions());
      server.step(bytes);
      if (bytes[0] === 0x30) return;
      assert.equal(client.state, 'ended');
      assert.equal(server.state, 'ended');
      assert.deepEqual(client.step(bytes), { output: new Uint8Array(0), events: [] });
      assert.deepEqual(server.step(bytes), { output: new Uint8Array(0), events: [] });
    }),
    { numRuns: 500 },
  );
});

test('messages are bounded, and so is what waits behind them', () => {
  const endless = concatBytes(Uint8Array.of(0x30, 0x82, 0xff, 0xff), new Uint8Array(16 * 1024));
  const client = new auth.CredSspClient(clientOptions());
  client.start();
  assert.equal(endingOf(client.step(endless).events), 'violation');
  const server = new auth.CredSspServer(serverOptions());
  assert.equal(endingOf(server.step(endless).events), 'violation');
  // A client that talks on while its account is looked up.
  const waiting = new auth.CredSspServer(serverOptions());
  const talking = new auth.CredSspClient(clientOptions());
  const challenge = waiting.step(talking.start().output).output;
  waiting.step(talking.step(challenge).output);
  assert.equal(waiting.state, 'account');
  for (let i = 0; i < 4; i += 1) assert.deepEqual(waiting.step(new Uint8Array(16_000)).events, []);
  assert.equal(endingOf(waiting.step(new Uint8Array(16_000)).events), 'violation');
  assert.deepEqual(waiting.account(auth.ntHashOf('correct horse')).events, []);
});

test('somebody between client and server, with a certificate of their own, gets neither logon nor password', () => {
  for (const envelope of envelopes)
    for (const version of [4, 6]) {
      const { client, server, sent } = spoiling({
        client: { envelope, minimumVersion: 2, publicKey: publicKey.with(9, 0) },
        server: { minimumVersion: 2 },
        spoil: (bytes) => edited(bytes, (request) => ({ ...request, version })),
      });
      assert.equal(endingOf(server), 'violation');
      assert.equal(endingOf(client), 'refused');
      assert.ok(!sent.client.some((bytes) => decode(tsRequest, bytes).authInfo));
    }
});

test('a server that answers with the client’s own proof, another one or none is refused', () => {
  const wrong = (make: (sent: Uint8Array, theirs: Uint8Array) => Uint8Array | undefined): void => {
    for (const envelope of envelopes) {
      let proof: Uint8Array = new Uint8Array(0);
      const { client, sent } = spoiling({
        client: { envelope },
        spoil: (bytes, from) => {
          const request = decode(tsRequest, bytes);
          if (request.pubKeyAuth === undefined) return [bytes];
          if (from === 'client') {
            proof = request.pubKeyAuth;
            return [bytes];
          }
          const { pubKeyAuth: theirs, ...rest } = request;
          const pubKeyAuth = make(proof, theirs!);
          return [encode(tsRequest, pubKeyAuth === undefined ? rest : { ...rest, pubKeyAuth }).slice()];
        },
      });
      assert.equal(endingOf(client), 'violation');
      assert.ok(!sent.client.some((bytes) => decode(tsRequest, bytes).authInfo));
    }
  };
  wrong((sent) => sent);
  wrong((_, theirs) => theirs.with(-1, theirs.at(-1)! ^ 1));
  wrong((_, theirs) => theirs.slice(0, 16));
  wrong(() => new Uint8Array(0));
  wrong(() => undefined);
});

test('a server that answers a logon with RDP has refused it: GNOME Remote Desktop does', () => {
  const deactivateAll = Uint8Array.from(Buffer.from('0300001c02f08068fc1703eb70800d0d001600000000000000010000', 'hex'));
  for (const envelope of envelopes) {
    const { client } = spoiling({
      client: { envelope },
      spoil: (bytes, from, index) => (from === 'server' && index === 1 ? [deactivateAll] : [bytes]),
    });
    assert.equal(endingOf(client), 'refused');
  }
});

test('a server’s own nonce counts for nothing: shadow 2.11 sends one', () => {
  const { client } = spoiling({
    spoil: (bytes, from) =>
      from === 'client' ? [bytes] : edited(bytes, (request) => ({ ...request, clientNonce: new Uint8Array(32) })),
  });
  assert.equal(endingOf(client), 'loggedOn');
});

test('an error code is read before anything beside it', () => {
  const { client, sent } = spoiling({
    spoil: (bytes, from) =>
      from === 'client' ? [bytes] : edited(bytes, (request) => ({ ...request, version: 2, errorCode: 0xc0000234 })),
  });
  assert.deepEqual(
    client.map((event) => (event.kind === 'ended' ? [event.how, event.code] : event.kind)),
    [['accountLocked', 0xc0000234]],
  );
  assert.equal(sent.client.length, 1);
});

test('a version that changes on the way is a lie', () => {
  for (const who of ['client', 'server'] as const) {
    const { client, server } = spoiling({
      spoil: (bytes, from, index) =>
        from === who && index > 0 ? edited(bytes, (request) => ({ ...request, version: 5 })) : [bytes],
    });
    assert.equal(endingOf(who === 'client' ? server : client), 'violation');
  }
});

/** The server's challenge, changed; the client's answer to it. */
function challenged(edit: (challenge: auth.NtlmChallenge) => auth.NtlmChallenge): Outcome {
  return spoiling({
    spoil: (bytes, from, index) =>
      from === 'server' && index === 0
        ? edited(bytes, (request) => {
            const changed = edit(decode(auth.ntlmChallenge, request.negoTokens![0]!));
            return { ...request, negoTokens: [encode(auth.ntlmChallenge, changed).slice()] };
          })
        : [bytes],
  });
}

test('a challenge that takes sealing, signing, 128 bits or NTLMv2 away is not answered', () => {
  for (const flag of ['unicode', 'sign', 'seal', 'extendedSessionSecurity', 'key128', 'keyExchange'] as const) {
    const { client, sent } = challenged((value) => ({ ...value, flags: (value.flags & ~auth.NtlmFlag[flag]) >>> 0 }));
    assert.equal(endingOf(client), 'ntlmRefused', flag);
    assert.equal(sent.client.length, 1);
  }
  const none = challenged((value) => ({ ...value, targetInfo: { length: 0, lengthMax: 0, offset: 0 } }));
  assert.equal(endingOf(none.client), 'ntlmRefused');
  const outside = challenged((value) => ({ ...value, targetInfo: { ...value.targetInfo, offset: 5000 } }));
  assert.equal(endingOf(outside.client), 'violation');
  const inHead = challenged((value) => ({ ...value, targetInfo: { ...value.targetInfo, offset: 8 } }));
  assert.equal(endingOf(inHead.client), 'violation');
});

test('a challenge without a time is answered with LMv2, our own time and no MIC', () => {
  const server = new auth.CredSspServer(serverOptions());
  const client = new auth.CredSspClient(clientOptions());
  const request = decode(tsRequest, server.step(client.start().output).output);
  const message = request.negoTokens![0]!;
  const challenge = decode(auth.ntlmChallenge, message);
  // MsvAvTimestamp becomes an id nobody knows.
  const timeless = message.slice();
  const { offset, length } = challenge.targetInfo;
  const at = Buffer.from(message).lastIndexOf(Buffer.from('07000800', 'hex'), offset + length);
  timeless[at] = 0x77;
  const answer = client.step(encode(tsRequest, { ...request, negoTokens: [timeless] })).output;
  const sent = decode(tsRequest, answer).negoTokens![0]!;
  const value = decode(auth.ntlmAuthenticate, sent);
  const field = (of: auth.NtlmField): Uint8Array => auth.fieldOf(sent, of, auth.authenticateBytes);
  const key = auth.responseKeyOf(auth.ntHashOf('correct horse'), 'alice', 'LAB');
  const lm = field(value.lmResponse);
  assert.deepEqual(lm.slice(0, 16), auth.hmacMd5(key, challenge.serverChallenge, lm.slice(16)));
  const nt = field(value.ntResponse);
  assert.deepEqual(nt.slice(0, 16), auth.proofOf(key, challenge.serverChallenge, nt.slice(16)));
  assert.deepEqual(nt.slice(24, 32), auth.fileTime(platform('').nowMs()));
  assert.deepEqual(sent.slice(auth.micOffset, auth.micEnd), new Uint8Array(16));
});

/** A client of another make: `headBytes` before the payload, with or without an announced MIC. */
function otherClient(headBytes: 64 | 72 | 88, announces: boolean, mic: 'right' | 'wrong'): string {
  const server = new auth.CredSspServer(serverOptions());
  const negotiate = decode(tsRequest, new auth.CredSspClient(clientOptions()).start().output).negoTokens![0]!;
  const first = server.step(encode(tsRequest, { version: 6, negoTokens: [negotiate] })).output;
  const challengeMessage = decode(tsRequest, first).negoTokens![0]!;
  const challenge = decode(auth.ntlmChallenge, challengeMessage);
  const pairs = [{ id: auth.AvId.flags, value: Uint8Array.of(announces ? 2 : 0, 0, 0, 0) }];
  const blob = concatBytes(
    Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0),
    new Uint8Array(20),
    encode(auth.avPairs, { pairs, trailing: new Uint8Array(24) }),
  );
  const user = new Uint8Array(Buffer.from('alice', 'utf16le'));
  const key = auth.responseKeyOf(auth.ntHashOf('correct horse'), 'alice', '');
  const proof = auth.proofOf(key, challenge.serverChallenge, blob);
  const exportedKey = new Uint8Array(16).fill(7);
  const payload = [user, concatBytes(proof, blob), auth.exchangeKey(auth.sessionBaseKeyOf(key, proof), exportedKey)];
  const [userAt, ntAt, keyAt] = auth.layOut(headBytes, payload);
  const none = { length: 0, lengthMax: 0, offset: 0 };
  const message = encode(auth.ntlmAuthenticate, {
    ...{ lmResponse: none, domain: none, workstation: none, user: userAt!, ntResponse: ntAt!, sessionKey: keyAt! },
    flags: challenge.flags,
    rest: concatBytes(new Uint8Array(headBytes - 64), ...payload),
  }).slice();
  if (headBytes === auth.micEnd) {
    const right = auth.micOf(exportedKey, negotiate, challengeMessage, message);
    message.set(mic === 'right' ? right : right.map((byte) => byte ^ 1), auth.micOffset);
  }
  server.step(encode(tsRequest, { version: 6, negoTokens: [message] }));
  const { events } = server.account(auth.ntHashOf('correct horse'));
  return events.length === 0 ? server.state : endingOf(events);
}

test('a MIC counts where it is announced and has a place: impacket and aardwolf have none', () => {
  for (const headBytes of [64, 72] as const)
    for (const announces of [true, false]) assert.equal(otherClient(headBytes, announces, 'right'), 'publicKey');
  assert.equal(otherClient(88, true, 'right'), 'publicKey');
  assert.equal(otherClient(88, true, 'wrong'), 'violation');
  assert.equal(otherClient(88, false, 'wrong'), 'publicKey');
});

/** What becomes of a client whose AUTHENTICATE is changed. */
function authenticating(edit: (value: auth.NtlmAuthenticate) => auth.NtlmAuthenticate): string {
  const { server } = spoiling({
    spoil: (bytes, from, index) =>
      from === 'client' && index === 1
        ? edited(bytes, (request) => {
            const changed = edit(decode(auth.ntlmAuthenticate, request.negoTokens![0]!));
            return { ...request, negoTokens: [encode(auth.ntlmAuthenticate, changed).slice()] };
          })
        : [bytes],
  });
  return endingOf(server);
}

test('nobody, NTLMv1, a short key and fields that lie outside are not let in', () => {
  const none = { length: 0, lengthMax: 0, offset: 0 };
  assert.equal(
    authenticating((value) => ({ ...value, ntResponse: none })),
    'wrongPassword',
  );
  assert.equal(
    authenticating((value) => ({ ...value, ntResponse: { ...value.ntResponse, length: 24 } })),
    'wrongPassword',
  );
  assert.equal(
    authenticating((value) => ({ ...value, sessionKey: { ...value.sessionKey, length: 8 } })),
    'wrongPassword',
  );
  assert.equal(
    authenticating((value) => ({ ...value, user: { ...value.user, offset: 60_000 } })),
    'violation',
  );
  assert.equal(
    authenticating((value) => ({ ...value, user: { ...value.user, length: 2000 } })),
    'violation',
  );
  const weak = auth.NtlmFlag.key128;
  assert.equal(
    authenticating((value) => ({ ...value, flags: (value.flags & ~weak) >>> 0 })),
    'noNtlm',
  );
});

test('a client without nonce, binding or credentials is refused', () => {
  const without = (field: 'clientNonce' | 'pubKeyAuth' | 'authInfo', index: number): string => {
    const { server } = spoiling({
      spoil: (bytes, from, at) => {
        if (from !== 'client' || at !== index) return [bytes];
        const { [field]: _gone, ...rest } = decode(tsRequest, bytes);
        return [encode(tsRequest, rest).slice()];
      },
    });
    return endingOf(server);
  };
  assert.equal(without('clientNonce', 1), 'violation');
  assert.equal(without('authInfo', 2), 'violation');
  // It may bind itself in a message of its own, as FreeRDP 3 does; what comes instead is not that.
  assert.equal(without('pubKeyAuth', 1), 'account');
});

test('an authorization result comes in any pieces, and other ones than yes are refused', () => {
  const results: [number[], string][] = [
    [[0, 0, 0, 0], 'loggedOn'],
    [[5, 0, 0, 0], 'logonNotGranted'],
    [[1, 0, 0, 0], 'refused'],
  ];
  for (const [result, ending] of results) {
    const client = new auth.CredSspClient(clientOptions({ earlyAuthorization: true }));
    const server = new auth.CredSspServer(serverOptions());
    const challenge = server.step(client.start().output).output;
    server.step(client.step(challenge).output);
    client.step(server.account(auth.ntHashOf('correct horse')).output);
    assert.equal(client.state, 'authorization');
    const events = [...result, 0x03].flatMap((byte) => client.step(Uint8Array.of(byte)).events);
    assert.equal(endingOf(events), ending);
    assert.deepEqual([...client.takeRest()], ending === 'loggedOn' ? [3] : []);
  }
});
