/** CredSSP client against server: what has to come out, and what a peer that lies gets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  CredSspClient,
  CredSspServer,
  Mechanism,
  mechTypesDer,
  NtlmSealing,
  readSpnego,
  spnegoBytes,
} from '../../src/auth/index.ts';
import { type TsRequest, tsRequest } from '../../src/index.ts';
import { clientOptions, endingOf, type Outcome, play, publicKey, serverOptions } from './pair.ts';

const envelopes = ['raw', 'spnego'] as const;
const cut = (bytes: Uint8Array, size: number): Uint8Array[] => {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  return pieces;
};
/** Any UTF-16, well-formed or not. */
const name = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('straße', 'alice@lab.test', 'ÄÖÜ', '\ud83d', 'x'.repeat(104), 'LAB\\alice'),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
);
/** The messages of a peer with another version. */
const withVersion =
  (version: number) =>
  (bytes: Uint8Array): Uint8Array[] => {
    if (bytes[0] !== 0x30) return [bytes];
    return [encode(tsRequest, { ...decode(tsRequest, bytes), version })];
  };

test('a right password logs on: raw and SPNEGO, with and without early authorization, in any pieces', () => {
  const cases = fc.record({
    username: name.filter((text) => text.length > 0),
    domain: fc.oneof(fc.constant(''), name),
    password: name,
    envelope: fc.constantFrom(...envelopes),
    earlyAuthorization: fc.boolean(),
    restrictedAdmin: fc.boolean(),
    size: fc.integer({ min: 1, max: 400 }),
  });
  fc.assert(
    fc.property(cases, ({ username, domain, password, size, envelope, earlyAuthorization, restrictedAdmin }) => {
      const { client, server, state } = play({
        client: { credentials: { username, domain, password }, envelope, earlyAuthorization, restrictedAdmin },
        server: { earlyAuthorization },
        spoil: (bytes) => cut(bytes, size),
      });
      assert.deepEqual(client, [{ kind: 'loggedOn', method: 'ntlm', envelope, version: 6 }]);
      const claimed = { user: username, domain, workstation: 'GATEWAY', targetName: 'TERMSRV/target.test' };
      const isEmpty = restrictedAdmin || (username === '' && password === '');
      assert.deepEqual(server, [
        { kind: 'account', claimed, envelope, version: 6 },
        { kind: 'authenticated', claimed, delegated: isEmpty ? 'restrictedAdmin' : 'password' },
      ]);
      assert.deepEqual(state, { client: 'done', server: 'done' });
    }),
    { numRuns: 150 },
  );
});

test('a wrong password and an account that does not exist look the same to the client', () => {
  for (const envelope of envelopes) {
    const [wrong, unknown] = ['wrong', null].map((password) => play({ client: { envelope }, password }));
    for (const { client, server } of [wrong!, unknown!]) {
      assert.equal(endingOf(client), 'wrongPassword');
      assert.equal(endingOf(server), 'wrongPassword');
    }
    assert.deepEqual(wrong!.sent.server, unknown!.sent.server);
    const last = decode(tsRequest, wrong!.sent.server.at(-1)!);
    assert.deepEqual(last, { version: 6, errorCode: 0xc000006d });
    assert.equal(Buffer.from(wrong!.sent.server.at(-1)!).toString('hex'), '300da003020106a4060204c000006d');
  }
});

test('versions 2 to 7 as far as the minimum allows; the public key is bound by hash from 5 on', () => {
  for (const envelope of envelopes)
    for (const version of [2, 3, 4, 5, 6, 7])
      for (const minimumVersion of [2, 5]) {
        const outcome = play({
          client: { envelope, minimumVersion },
          server: { minimumVersion },
          // Both sides believe that the other is of this version.
          spoil: withVersion(version),
        });
        const isTaken = version >= minimumVersion;
        assert.equal(endingOf(outcome.server), isTaken ? 'authenticated' : 'versionTooOld', `${version}`);
        // Below version 3 nothing is said, and the connection closes.
        const refusal = version >= 3 ? 'versionTooOld' : 'left';
        assert.equal(endingOf(outcome.client), isTaken ? 'loggedOn' : refusal, `${version}`);
        const bound = outcome.sent.client
          .filter((bytes) => bytes[0] === 0x30)
          .map((bytes) => decode(tsRequest, bytes))
          .filter(({ pubKeyAuth }) => pubKeyAuth !== undefined);
        for (const { pubKeyAuth, clientNonce } of bound) {
          assert.equal(pubKeyAuth!.length, 16 + (version >= 5 ? 32 : publicKey.length));
          assert.equal(clientNonce?.length, version >= 5 ? 32 : undefined);
        }
      }
});

test('a server of version 6 refuses version 4 with 0xC00000BB, and version 2 without a word', () => {
  const sent = (version: number): TsRequest[] => {
    const server = new CredSspServer(serverOptions());
    const hello = new CredSspClient(clientOptions()).start().output;
    const { output, events } = server.step(withVersion(version)(hello)[0]!);
    assert.equal(endingOf(events), 'versionTooOld');
    return output.length === 0 ? [] : [decode(tsRequest, output)];
  };
  assert.deepEqual(sent(4), [{ version: 6, errorCode: 0xc00000bb }]);
  assert.deepEqual(sent(2), []);
});

test('SPNEGO that wants Kerberos first is told to take NTLM, and has to sign its list', () => {
  const kerberosFirst = [Mechanism.kerberosMicrosoft, Mechanism.kerberos, Mechanism.negoEx, Mechanism.ntlm];
  const run = (sign: (list: Uint8Array) => Uint8Array | undefined): Outcome => {
    // A client of ours offers NTLM alone: it is made one of Windows on the way.
    let ntlm: Uint8Array = new Uint8Array(0);
    return play({
      client: { envelope: 'spnego' },
      spoil: (bytes, from, index) => {
        const request = decode(tsRequest, bytes);
        const [token] = request.negoTokens ?? [];
        if (token === undefined) return [bytes];
        const spnego = readSpnego(token);
        if (from === 'client' && spnego.kind === 'init') {
          ntlm = spnego.mechToken!;
          const init = spnegoBytes({ kind: 'init', mechTypes: kerberosFirst, mechToken: Uint8Array.of(0x60, 0) });
          return [
            encode(tsRequest, { version: 6, negoTokens: [init] }).slice(),
            encode(tsRequest, { version: 6, negoTokens: [spnegoBytes({ kind: 'resp', responseToken: ntlm })] }).slice(),
          ];
        }
        if (from === 'server' && index === 0) {
          // Both answers in one go: the second is for the client.
          const first = decode(tsRequest, bytes);
          const answer = readSpnego(first.negoTokens![0]!);
          assert.deepEqual(answer, { kind: 'resp', negState: 3, supportedMech: Mechanism.ntlm });
          return [];
        }
        if (from === 'client' && spnego.kind === 'resp' && spnego.mechListMic) {
          const mic = sign(mechTypesDer(kerberosFirst));
          const { mechListMic: _ours, ...rest } = spnego;
          const resp = spnegoBytes({ ...rest, ...(mic ? { mechListMic: mic } : {}) });
          return [encode(tsRequest, { ...request, negoTokens: [resp] })];
        }
        return [bytes];
      },
    });
  };
  const unsigned = run(() => undefined);
  assert.equal(endingOf(unsigned.server), 'violation');
  const wrongly = run((list) => new NtlmSealing(new Uint8Array(16), 'client').mic(list));
  assert.equal(endingOf(wrongly.server), 'violation');
});

test('SPNEGO without NTLM is refused in words', () => {
  const server = new CredSspServer(serverOptions());
  const init = spnegoBytes({ kind: 'init', mechTypes: [Mechanism.kerberos], mechToken: Uint8Array.of(1) });
  const { output, events } = server.step(encode(tsRequest, { version: 6, negoTokens: [init] }));
  assert.equal(endingOf(events), 'noNtlm');
  assert.equal(decode(tsRequest, output).errorCode, 0x80090302);
});
