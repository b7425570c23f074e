/** The gateway towards a target that wants a logon, without sockets, in any pieces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { CredSspServer, ntHashOf } from '../../src/auth/index.ts';
import {
  Protocol,
  type Step,
  Target,
  type TargetEvent,
  tsRequest,
  x224ConnectionConfirm,
  x224Frame,
} from '../../src/index.ts';
import { clientOptions, publicKey, serverOptions } from './pair.ts';

const { publicKey: _key, earlyAuthorization: _early, ...logon } = clientOptions();
const confirm = (selectedProtocol: number, flags = 0): Uint8Array =>
  x224Frame(x224ConnectionConfirm, {
    ...{ destinationReference: 0, sourceReference: 0, classOption: 0 },
    negotiation: { kind: 'response', flags, selectedProtocol },
  });
const kindsOf = (events: TargetEvent[]): string[] =>
  events.map((event) => (event.kind === 'ended' ? `ended ${event.how}` : event.kind));

/** From X.224 to whatever comes of it; `behind` follows the server's last message. */
function reach(selected: number, size: number, password = 'correct horse', behind: Uint8Array = new Uint8Array(0)) {
  const target = new Target(Protocol.ssl, { logon });
  const server = new CredSspServer(serverOptions({ earlyAuthorization: selected === Protocol.hybridEx }));
  const events: TargetEvent[] = [];
  const answers: Uint8Array[] = [];
  const take = (step: Step<TargetEvent>): void => {
    events.push(...step.events);
    if (step.output.length === 0 || target.state === 'connectionConfirm') return;
    const { output, events: asked } = server.step(step.output);
    answers.push(output);
    if (asked.some((event) => event.kind === 'account')) answers.push(server.account(ntHashOf(password)).output);
    if (server.state === 'done') answers.push(behind);
  };
  take(target.start());
  take(target.step(confirm(selected)));
  take(target.tlsEstablished(publicKey));
  for (let next = answers.shift(); next !== undefined; next = answers.shift())
    for (let at = 0; at < next.length; at += size) take(target.step(next.slice(at, at + size)));
  return { target, events };
}

test('a target that wants a logon is ready when it has one', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(Protocol.hybrid, Protocol.hybridEx),
      fc.integer({ min: 1, max: 300 }),
      (selected, size) => {
        const { events, target } = reach(selected, size, 'correct horse', Uint8Array.of(3, 0));
        assert.deepEqual(kindsOf(events), ['startTls', 'ready']);
        const [, ready] = events;
        assert.ok(ready?.kind === 'ready');
        assert.deepEqual(ready.hello.logon, { method: 'ntlm', envelope: 'raw', version: 6 });
        assert.equal(ready.hello.selectedProtocol, selected);
        assert.deepEqual([...target.handOver()], [3, 0]);
      },
    ),
    { numRuns: 60 },
  );
});

test('a wrong password ends it, and so does a refusal behind the logon', () => {
  assert.deepEqual(kindsOf(reach(Protocol.hybrid, 50, 'wrong').events), ['startTls', 'ended wrongPassword']);
  const refusal = encode(tsRequest, { version: 6, errorCode: 0xc000015b }).slice();
  for (const size of [1, 500]) {
    const { events } = reach(Protocol.hybrid, size, 'correct horse', refusal);
    assert.deepEqual(kindsOf(events), ['startTls', 'ready', 'ended logonNotGranted']);
  }
  // Something else that begins alike is not ours to judge.
  const other = encode(tsRequest, { version: 6 }).slice();
  assert.deepEqual(kindsOf(reach(Protocol.hybrid, 9, 'correct horse', other).events), ['startTls', 'ready']);
});

test('a target that leaves or is late in the middle of the logon', () => {
  for (const [how, ending] of [
    ['left', 'left'],
    ['tlsFailed', 'left'],
    ['late', 'late'],
  ] as const) {
    const target = new Target(Protocol.ssl, { logon });
    target.start();
    target.step(confirm(Protocol.hybrid));
    assert.ok(target.tlsEstablished(publicKey).output.length > 0);
    assert.deepEqual(kindsOf(target.stop(how, 'why').events), [`ended ${ending}`]);
  }
});

test('restricted admin is asked for, and a target that has none is left alone', () => {
  const asking = (): Target => new Target(Protocol.ssl, { logon: { ...logon, restrictedAdmin: true } });
  const target = asking();
  assert.equal(Buffer.from(target.start().output.subarray(11)).toString('hex'), '010108000b000000');
  assert.deepEqual(kindsOf(target.step(confirm(Protocol.hybrid)).events), ['ended noRestrictedAdmin']);
  const plain = asking();
  plain.start();
  assert.deepEqual(kindsOf(plain.step(confirm(Protocol.ssl, 8)).events), ['ended noRestrictedAdmin']);
  const other = asking();
  other.start();
  assert.deepEqual(kindsOf(other.step(confirm(Protocol.hybrid, 8)).events), ['startTls']);
});

test('without a logon none is offered, and several protocols at once are chosen by nobody', () => {
  const plain = new Target(Protocol.ssl);
  assert.equal(Buffer.from(plain.start().output.subarray(11)).toString('hex'), '0100080001000000');
  assert.deepEqual(kindsOf(plain.step(confirm(Protocol.hybrid)).events), ['ended noTls']);
  for (const selected of [3, 11, Protocol.rdstls, 0]) {
    const target = new Target(Protocol.ssl, { logon });
    target.start();
    assert.deepEqual(kindsOf(target.step(confirm(selected)).events), ['ended noTls'], `${selected}`);
  }
});

test('nothing a target says in its logon makes it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.integer({ min: 1, max: 60 }), (bytes, size) => {
      const target = new Target(Protocol.ssl, { logon });
      target.start();
      target.step(confirm(Protocol.hybridEx));
      target.tlsEstablished(publicKey);
      for (let at = 0; at < bytes.length; at += size) target.step(bytes.slice(at, at + size));
      assert.ok(['negotiation', 'ended'].includes(target.state));
    }),
    { numRuns: 300 },
  );
});
