/** The gateway towards a target by RDSTLS, without sockets, in any pieces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concatBytes, decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  Protocol,
  type RdstlsCredentials,
  type RdstlsPdu,
  RdstlsResult,
  rdstlsPdu,
  Target,
  type TargetEvent,
  targetCertificateContainer,
  targetCertificateOf,
  x224ConnectionConfirm,
  x224Frame,
} from '../src/index.ts';

const utf16 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(`${text}\0`, 'utf16le'));
const credentials: RdstlsCredentials = {
  redirectionGuid: utf16('e2Q3...='),
  userName: utf16('brokered'),
  domain: utf16('FARM'),
  password: Uint8Array.from({ length: 256 }, (_, at) => at),
};
const confirm = (selectedProtocol: number): Uint8Array =>
  x224Frame(x224ConnectionConfirm, {
    ...{ destinationReference: 0, sourceReference: 0, classOption: 0 },
    negotiation: { kind: 'response', flags: 0, selectedProtocol },
  });
const pdu = (value: RdstlsPdu): Uint8Array => encode(rdstlsPdu, value).slice();
const capabilities = (supportedVersions = 1, version = 1): Uint8Array =>
  pdu({ version, kind: 'capabilities', supportedVersions });
const response = (resultCode: number, version = 1): Uint8Array => pdu({ version, kind: 'response', resultCode });
const kindsOf = (events: TargetEvent[]): string[] =>
  events.map((event) => (event.kind === 'ended' ? `ended ${event.how} at ${event.at}` : event.kind));

/** Up to TLS, then what the server says, in pieces of `size`. */
function reach(says: Uint8Array[], size = 1000, held: RdstlsCredentials | null = credentials) {
  let askedCount = 0;
  const target = new Target(Protocol.ssl, {
    rdstls: () => {
      askedCount += 1;
      return held;
    },
  });
  target.start();
  const events = [...target.step(confirm(Protocol.rdstls)).events];
  const said: Uint8Array[] = [];
  const take = ({ output, events: more }: { output: Uint8Array; events: TargetEvent[] }): void => {
    said.push(output);
    events.push(...more);
  };
  take(target.tlsEstablished(new Uint8Array(0)));
  for (const bytes of says)
    for (let at = 0; at < bytes.length; at += size) take(target.step(bytes.slice(at, at + size)));
  return { target, events, said: concatBytes(...said), askedCount };
}

test('RDSTLS is asked for beside TLS, as others do, and nothing else is taken', () => {
  const asking = (): Target => new Target(Protocol.ssl, { rdstls: () => credentials });
  assert.equal(Buffer.from(asking().start().output.subarray(11)).toString('hex'), '0100080005000000');
  for (const selected of [Protocol.rdp, Protocol.ssl, Protocol.hybrid, Protocol.hybridEx, 5]) {
    const target = asking();
    target.start();
    assert.deepEqual(kindsOf(target.step(confirm(selected)).events), ['ended noRdstls at connectionConfirm']);
  }
  const other = new Target(Protocol.ssl);
  other.start();
  assert.deepEqual(kindsOf(other.step(confirm(Protocol.rdstls)).events), ['ended noTls at connectionConfirm']);
});

test('behind the server’s capabilities it is told who logs on, in the redirection’s own bytes, once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.constantFrom(1, 3, 0xffff), (size, versions) => {
      const { target, events, said, askedCount } = reach([capabilities(versions), response(0)], size);
      assert.deepEqual(kindsOf(events), ['startTls', 'ready']);
      assert.deepEqual(decode(rdstlsPdu, said), { version: 1, kind: 'passwordRequest', ...credentials });
      assert.equal(askedCount, 1);
      const ready = events.at(-1);
      assert.ok(
        ready?.kind === 'ready' && ready.hello.selectedProtocol === Protocol.rdstls && ready.hello.logon === null,
      );
      assert.equal(target.handOver().length, 0);
    }),
    { numRuns: 60 },
  );
});

test('a server that says nothing is told nothing', () => {
  assert.equal(reach([capabilities().slice(0, 7)], 1).said.length, 0);
  assert.equal(reach([capabilities().slice(0, 7)], 1).askedCount, 0);
});

for (const [code, how] of [
  [RdstlsResult.accessDenied, 'logonNotGranted'],
  [RdstlsResult.logonFailure, 'wrongPassword'],
  [RdstlsResult.invalidLogonHours, 'accountRestricted'],
  [RdstlsResult.passwordExpired, 'passwordExpired'],
  [RdstlsResult.accountDisabled, 'accountDisabled'],
  [RdstlsResult.passwordMustChange, 'passwordMustChange'],
  [RdstlsResult.accountLockedOut, 'accountLocked'],
  [0xdeadbeef, 'refused'],
] as const)
  test(`result 0x${code.toString(16)} is ${how}`, () => {
    const { events } = reach([capabilities(), response(code)], 3);
    const ended = events.at(-1);
    assert.ok(ended?.kind === 'ended');
    assert.deepEqual([ended.how, ended.at, ended.code], [how, 'rdstlsResponse', code]);
  });

const request = pdu({ version: 1, kind: 'passwordRequest', ...credentials });
for (const [what, says, at] of [
  ['capabilities of another version', [capabilities(1, 2)], 'rdstlsCapabilities'],
  ['no version that we know', [capabilities(2)], 'rdstlsCapabilities'],
  ['an answer before the question', [response(0)], 'rdstlsCapabilities'],
  ['capabilities twice at once', [Buffer.concat([capabilities(), capabilities()])], 'rdstlsCapabilities'],
  ['a request of its own', [request], 'rdstlsCapabilities'],
  ['capabilities and the answer at once', [Buffer.concat([capabilities(), response(0)])], 'rdstlsCapabilities'],
  ['capabilities again for an answer', [capabilities(), capabilities(), capabilities()], 'rdstlsResponse'],
  ['a request for an answer', [capabilities(), request], 'rdstlsResponse'],
  ['an answer of another version', [capabilities(), response(0, 2)], 'rdstlsResponse'],
  ['more than was asked for', [capabilities(), Buffer.concat([response(0), response(0)])], 'rdstlsResponse'],
  ['far too much', [new Uint8Array(5000)], 'rdstlsCapabilities'],
  ['RDP where RDSTLS is due', [capabilities(), Buffer.from('0300000902f0802180ff', 'hex')], 'rdstlsResponse'],
] as const)
  test(`${what} ends it`, () => {
    const { events, said } = reach([...says]);
    assert.deepEqual(kindsOf(events), ['startTls', `ended rdstlsViolation at ${at}`]);
    assert.equal(said.length > 0, at === 'rdstlsResponse');
  });

test('one that leaves or is late in the middle, and a logon that was used before', () => {
  for (const how of ['left', 'late', 'tlsFailed'] as const) {
    const { target } = reach([capabilities(), response(0).slice(0, 9)]);
    assert.deepEqual(kindsOf(target.stop(how, 'why').events), [`ended ${how} at rdstlsResponse`]);
  }
  const { events, said } = reach([capabilities()], 8, null);
  assert.deepEqual(kindsOf(events), ['startTls', 'ended left at rdstlsCapabilities']);
  assert.equal(said.length, 0);
});

test('nothing a server says makes it throw, and no wrong word gets it ready', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      (begins, bytes, size) => {
        const { target } = reach(begins ? [capabilities(), bytes] : [bytes], size);
        assert.ok(['rdstlsCapabilities', 'rdstlsResponse', 'ended'].includes(target.state));
      },
    ),
    { numRuns: 500 },
  );
});

test('a redirection’s certificate is read where there is exactly one', () => {
  const certificate = { type: 32, encoding: 1, data: Uint8Array.from([0x30, 1, 0]) };
  const other = { type: 7, encoding: 1, data: Uint8Array.from([9]) };
  const field = (...elements: (typeof other)[]): Uint8Array =>
    Buffer.from(Buffer.from(encode(targetCertificateContainer, elements)).toString('base64'), 'utf16le');
  assert.deepEqual(targetCertificateOf(field(other, certificate)), certificate.data);
  assert.deepEqual(targetCertificateOf(Buffer.concat([field(certificate), Buffer.alloc(2)])), certificate.data);
  for (const unread of [field(), field(other), field(certificate, certificate), utf16('*?'), Buffer.from('3001')])
    assert.equal(targetCertificateOf(unread), null);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => targetCertificateOf(bytes) === null));
});
