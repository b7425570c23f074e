/** CredSSP by Kerberos: our client against a service of ours that answers as Windows, as FreeRDP, or as nobody should. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as auth from '../../src/auth/index.ts';
import { type TsRequest, tsRequest } from '../../src/index.ts';
import * as k from '../../src/kerberos/index.ts';
import { clientOptions, endingOf, play, publicKey } from '../auth/pair.ts';
import { nodeCrypto, pbkdf2 } from './platform.ts';
import { type AcceptOptions, accept, Realm } from './realm.ts';

const crypto = nodeCrypto();
const realm = new Realm(crypto);
const service = ['TERMSRV', 'target.test'];

function ticket(from = realm): k.KerberosTicket {
  const client = { nameType: 1, parts: ['alice'] };
  const request = new k.TicketRequest({ realm: from.name, client, serviceRealm: '', service, crypto });
  const event = Realm.run(request, [from], 'correct horse', pbkdf2);
  assert.ok(event.kind === 'ticket');
  return event.ticket;
}

/** A ticket is good for any number of logons. */
const good = ticket();
const logon = (mayUseNtlm = false): auth.KerberosLogon => ({ ticket: good, crypto, mayUseNtlm });

interface ServerOptions {
  hasSubkey?: boolean;
  /** Windows signs first and is signed to; FreeRDP says nothing of the list; others want it signed first, or sign all the same. */
  mic?: 'sent' | 'none' | 'asked' | 'over';
  mechanism?: string;
  part?: AcceptOptions['spoil'];
  /** What becomes of its messages. */
  edit?: (request: Omit<TsRequest, 'version'>, at: number) => Omit<TsRequest, 'version'>;
}

/** A target that takes Kerberos, as far as CredSSP goes; what it learnt. */
class Service {
  readonly #options: ServerOptions;
  #sealing: auth.Sealing | null = null;
  #mechTypes: Uint8Array = new Uint8Array(0);
  #count = 0;
  sent: k.Authenticator | null = null;
  request: k.ApRequest | null = null;
  credentials: auth.TsCredentials | null = null;
  isSigned = false;
  offered: string[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  take(bytes: Uint8Array): Uint8Array {
    const request = decode(tsRequest, bytes);
    const answer = this.#answer(request);
    if (answer === null) return new Uint8Array(0);
    const edited = this.#options.edit?.(answer, this.#count) ?? answer;
    this.#count += 1;
    return encode(tsRequest, { version: 6, ...edited }).slice();
  }

  #answer({ negoTokens, pubKeyAuth, clientNonce, authInfo }: TsRequest): Omit<TsRequest, 'version'> | null {
    const token = negoTokens === undefined ? null : auth.readSpnego(negoTokens[0]!);
    if (token?.kind === 'init') return { negoTokens: [this.#begin(token)] };
    const sealing = this.#sealing!;
    if (token?.mechListMic !== undefined) {
      sealing.verifyMic(this.#mechTypes, token.mechListMic);
      this.isSigned = true;
    }
    if (pubKeyAuth !== undefined) {
      const bound = auth.clientBinding(6, clientNonce!, publicKey);
      assert.deepEqual(sealing.open(pubKeyAuth), bound);
      return { pubKeyAuth: sealing.seal(auth.serverBinding(6, clientNonce!, publicKey)) };
    }
    if (authInfo !== undefined) {
      this.credentials = decode(auth.tsCredentials, sealing.open(authInfo));
      return null;
    }
    const mechListMic = sealing.mic(this.#mechTypes);
    return { negoTokens: [auth.spnegoBytes({ kind: 'resp', negState: auth.NegState.acceptCompleted, mechListMic })] };
  }

  #begin({ mechTypes, mechToken }: auth.NegTokenInit): Uint8Array {
    const { mic = 'sent', mechanism: supportedMech = mechTypes[0]!, part, hasSubkey = true } = this.#options;
    this.offered = mechTypes;
    this.#mechTypes = auth.mechTypesDer(mechTypes);
    const accepted = accept(realm, mechToken!, { hasSubkey, ...(part ? { spoil: part } : {}) });
    this.#sealing = accepted.sealing;
    this.sent = accepted.sent;
    this.request = accepted.request;
    return auth.spnegoBytes({
      kind: 'resp',
      negState: mic === 'none' || mic === 'over' ? auth.NegState.acceptCompleted : auth.NegState.acceptIncomplete,
      supportedMech,
      responseToken: accepted.token,
      ...(mic === 'sent' || mic === 'over' ? { mechListMic: accepted.sealing.mic(this.#mechTypes) } : {}),
    });
  }
}

function talk(options: ServerOptions = {}, kerberos = logon(), more: Partial<auth.CredSspClientOptions> = {}) {
  const client = new auth.CredSspClient(clientOptions({ kerberos, ...more }));
  const server = new Service(options);
  const events: auth.CredSspClientEvent[] = [];
  for (let sent = client.start().output; sent.length > 0; ) {
    const answer = server.take(sent);
    if (answer.length === 0) break;
    const step = client.step(answer);
    events.push(...step.events);
    sent = step.output;
  }
  events.push(...client.closed().events);
  return { events, server, how: endingOf(events) };
}

const isIn = (bytes: Uint8Array, text: string): boolean =>
  (['utf8', 'utf16le'] as const).some((encoding) => Buffer.from(bytes).includes(Buffer.from(text, encoding)));

test('a ticket logs on, whether the list of mechanisms is signed at once, at the end or not at all', () => {
  for (const mic of ['sent', 'none', 'asked', 'over'] as const)
    for (const hasSubkey of [true, false])
      for (const mayUseNtlm of [true, false]) {
        const { events, server } = talk({ mic, hasSubkey }, logon(mayUseNtlm));
        assert.deepEqual(events, [{ kind: 'loggedOn', method: 'kerberos', envelope: 'spnego', version: 6 }]);
        assert.equal(server.isSigned, mic === 'sent' || mic === 'asked');
        const { user, domain, password } = server.credentials as { user: string; domain: string; password: string };
        assert.deepEqual([domain, user, password], ['LAB', 'alice', 'correct horse']);
        const kerberos = [auth.Mechanism.kerberosMicrosoft, auth.Mechanism.kerberos];
        assert.deepEqual(server.offered, mayUseNtlm ? [...kerberos, auth.Mechanism.ntlm] : kerberos);
      }
});

test('the AP-REQ asks for mutual authentication, delegates nothing, and binds no channel', () => {
  const { server } = talk();
  assert.equal(server.request!.options, k.ApOption.mutualRequired);
  assert.equal(server.sent!.checksum!.type, 0x8003);
  const flags = new DataView(Uint8Array.from(server.sent!.checksum!.value).buffer);
  assert.equal(flags.getUint32(0, true), 16);
  assert.equal(flags.getUint32(20, true), 0x3e);
});

test('restricted admin hands nothing over', () => {
  const { server } = talk({}, logon(), { restrictedAdmin: true });
  const { user, domain, password } = server.credentials as { user: string; domain: string; password: string };
  assert.deepEqual([domain, user, password], ['', '', '']);
});

test('a target that takes no Kerberos gets NTLM where that may be, with the list signed on both sides', () => {
  const { client, server } = play({ client: { kerberos: logon(true) } });
  assert.deepEqual(client, [{ kind: 'loggedOn', method: 'ntlm', envelope: 'spnego', version: 6 }]);
  assert.equal(endingOf(server), 'authenticated');
  const only = play({ client: { kerberos: logon(false) } });
  assert.equal(endingOf(only.client), 'kerberos:notTaken');
});

test('somebody who takes Kerberos out of what is offered on the way is found out', () => {
  const spoil = (bytes: Uint8Array, from: string, index: number): Uint8Array[] => {
    if (from !== 'client' || index !== 0) return [bytes];
    const request = decode(tsRequest, bytes);
    const token = auth.readSpnego(request.negoTokens![0]!) as auth.NegTokenInit;
    const fewer = { ...token, mechTypes: [auth.Mechanism.negoEx, auth.Mechanism.ntlm] };
    return [encode(tsRequest, { ...request, negoTokens: [auth.spnegoBytes(fewer)] }).slice()];
  };
  const { client, server } = play({ client: { kerberos: logon(true) }, spoil });
  assert.notEqual(endingOf(client), 'loggedOn');
  assert.notEqual(endingOf(server), 'authenticated');
});

const withToken =
  (edit: (token: auth.NegTokenResp) => auth.NegTokenResp): NonNullable<ServerOptions['edit']> =>
  (request, at) =>
    at > 0
      ? request
      : {
          ...request,
          negoTokens: [auth.spnegoBytes(edit(auth.readSpnego(request.negoTokens![0]!) as auth.NegTokenResp))],
        };

const krbError = (code: number): Uint8Array =>
  k.gssTokenBytes({ mechanism: auth.Mechanism.kerberos, id: k.TokenId.error, body: realm.error(code) });

test('each refusal of a target is what it is, and no password leaves', () => {
  const cases: [ServerOptions, string][] = [
    [{ mechanism: auth.Mechanism.kerberosUserToUser }, 'kerberos:userToUser'],
    [{ mechanism: auth.Mechanism.negoEx }, 'kerberos:notTaken'],
    [{ mechanism: auth.Mechanism.ntlm }, 'kerberos:notTaken'],
    [{ edit: withToken(() => ({ kind: 'resp', negState: auth.NegState.reject })) }, 'kerberos:notTaken'],
    [{ edit: withToken((token) => ({ ...token, negState: auth.NegState.reject })) }, 'kerberos:refused'],
    [{ edit: withToken((token) => ({ ...token, responseToken: krbError(37) })) }, 'kerberos:clockSkew'],
    [{ edit: withToken((token) => ({ ...token, responseToken: krbError(41) })) }, 'kerberos:wrongServiceKey'],
    [{ edit: withToken((token) => ({ ...token, responseToken: krbError(60) })) }, 'kerberos:refused'],
    [{ edit: () => ({ negoTokens: [new Uint8Array(40)] }) }, 'kerberos:notTaken'],
    [{ edit: (request, at) => (at === 0 ? { errorCode: 0xc000015b } : request) }, 'logonNotGranted'],
    [{ part: (part) => ({ ...part, micros: part.micros + 1 }) }, 'violation'],
    [{ part: (part) => ({ ...part, subkey: { etype: 23, value: new Uint8Array(16) } }) }, 'violation'],
    [{ part: (part) => ({ ...part, subkey: { etype: 18, value: new Uint8Array(5) } }) }, 'violation'],
    [{ part: (part) => ({ ...part, sequence: part.sequence! + 1 }) }, 'violation'],
    [
      { edit: withToken((token) => ({ ...token, mechListMic: token.mechListMic!.map((byte) => byte ^ 1) })) },
      'violation',
    ],
  ];
  for (const [options, how] of cases) {
    const { server, ...outcome } = talk(options);
    assert.equal(outcome.how, how);
    assert.equal(server.credentials, null);
  }
});

test('whatever becomes of a message on the way it ends, and the password is read by the service of the ticket alone', () => {
  const spoilt = fc.record({
    mic: fc.constantFrom('sent', 'none', 'asked', 'over'),
    at: fc.nat(2),
    where: fc.nat(400),
    flip: fc.integer({ min: 1, max: 255 }),
  });
  fc.assert(
    fc.property(spoilt, ({ mic, at, where, flip }) => {
      const client = new auth.CredSspClient(clientOptions({ kerberos: logon(true) }));
      const server = new Service({ mic: mic as 'sent' });
      const all: Uint8Array[] = [];
      let sent = client.start().output;
      for (let index = 0; sent.length > 0 && client.state !== 'ended'; index += 1) {
        all.push(sent);
        const answer = attempt(() => server.take(sent));
        if (answer === null || answer.length === 0) break;
        if (index === at) answer[where % answer.length]! ^= flip;
        sent = client.step(answer).output;
      }
      client.closed();
      assert.ok(['done', 'ended'].includes(client.state));
      for (const message of all) assert.ok(!isIn(message, 'correct horse'));
    }),
    { numRuns: 100 },
  );
});

const attempt = <T>(work: () => T): T | null => {
  try {
    return work();
  } catch {
    return null;
  }
};

test('tokens are taken once, in order, from the other side, however they are turned and filled', () => {
  const key = crypto.randomKey(18);
  const options = { crypto, key, isAcceptorKey: true, sequences: { initiator: 5, acceptor: 9 } } as const;
  const pair = () => ({
    client: new k.KerberosSealing({ ...options, role: 'initiator' }),
    server: new k.KerberosSealing({ ...options, role: 'acceptor' }),
  });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(300), fc.nat(20), (plain, by, extraCount) => {
      const { client, server } = pair();
      const wrapped = client.seal(plain);
      const read = k.readWrap(wrapped);
      assert.deepEqual([read.rightRotation, read.extraCount], [28, 0]);
      assert.deepEqual(server.open(wrapped), plain);
      assert.throws(() => server.open(wrapped), /out of its turn/);
      assert.throws(() => client.open(wrapped), /flags/);
      // Another sender's way: filler, and another turn.
      const header = { flags: 6, extraCount, rightRotation: 0, sequence: 6n };
      const text = Uint8Array.from(Buffer.concat([plain, new Uint8Array(extraCount), k.wrapHeader(header)]));
      const sealed = k.rotate(crypto.encrypt(key, k.KeyUsage.initiatorSeal, text), by);
      const turned = Buffer.concat([k.wrapHeader({ ...header, rightRotation: by }), sealed]);
      assert.deepEqual(server.open(Uint8Array.from(turned)), plain);
    }),
    { numRuns: 50 },
  );
  const { client, server } = pair();
  const mic = client.mic(Uint8Array.of(1, 2));
  assert.throws(() => pair().server.verifyMic(Uint8Array.of(1, 3), mic), /signature/);
  assert.throws(() => pair().client.verifyMic(Uint8Array.of(1, 2), mic), /flags/);
  server.verifyMic(Uint8Array.of(1, 2), mic);
});
