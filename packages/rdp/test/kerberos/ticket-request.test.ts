/** From a password to a ticket, with a realm in memory: referrals, refusals, and KDCs that lie. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import * as k from '../../src/kerberos/index.ts';
import { nodeCrypto, passwordKey, pbkdf2 } from './platform.ts';
import { Realm, type RealmOptions } from './realm.ts';

const crypto = nodeCrypto();
type Spoil = (answer: Uint8Array, at: number) => Uint8Array;

function ask(
  realms: readonly Realm[],
  more: Partial<k.TicketRequestOptions> & { password?: string; spoil?: Spoil } = {},
) {
  const { password = 'correct horse', spoil, ...options } = more;
  const request = new k.TicketRequest({
    realm: realms[0]!.name,
    client: { nameType: 1, parts: ['alice'] },
    serviceRealm: '',
    service: ['TERMSRV', 'target.test'],
    crypto,
    ...options,
  });
  return Realm.run(request, realms, password, pbkdf2, spoil);
}

const realm = (options: RealmOptions = {}): Realm => new Realm(crypto, options);
const outcome = (...asked: Parameters<typeof ask>): string => {
  const event = ask(...asked);
  return event.kind === 'failed' ? event.how : event.kind;
};

test('a right password gets a ticket that its service opens, by every encryption, with preauthentication or without', () => {
  for (const etype of k.etypesWanted)
    for (const preauth of [true, false]) {
      const own = realm({ etype, preauth });
      const event = ask([own]);
      assert.equal(event.kind, 'ticket');
      if (event.kind !== 'ticket') continue;
      assert.deepEqual(own.openTicket(event.ticket.ticket).key, event.ticket.key);
      assert.deepEqual(event.ticket.client.parts, ['alice']);
      assert.equal(outcome([own], { password: 'wrong' }), 'wrongPassword');
    }
});

test('a service somewhere else is reached through other realms, and never in a circle', () => {
  const service = 'TERMSRV/target.test';
  const far = realm({ name: 'FAR.TEST' });
  const near = realm({ name: 'NEAR.TEST', services: [], elsewhere: { [service]: 'FAR.TEST' } });
  near.keys.set('krbtgt/FAR.TEST', far.keys.get('krbtgt/FAR.TEST')!);
  const event = ask([near, far]);
  assert.ok(event.kind === 'ticket');
  assert.equal(far.openTicket(event.ticket.ticket).clientRealm, 'NEAR.TEST');
  // A realm that is known is asked for at once.
  assert.equal(outcome([near, far], { serviceRealm: 'FAR.TEST' }), 'ticket');
  assert.equal(outcome([realm({ name: 'NEAR.TEST', services: [] })]), 'unknownService');
  const back = realm({ name: 'FAR.TEST', services: [], elsewhere: { [service]: 'NEAR.TEST' } });
  near.keys.set('krbtgt/FAR.TEST', back.keys.get('krbtgt/FAR.TEST')!);
  back.keys.set('krbtgt/NEAR.TEST', near.keys.get('krbtgt/NEAR.TEST')!);
  assert.equal(outcome([near, back]), 'refused');
});

test('an account of another realm is followed there', () => {
  const home = realm({ name: 'HOME.TEST' });
  assert.equal(outcome([realm({ name: 'FIRST.TEST', wrongRealm: 'HOME.TEST' }), home]), 'ticket');
  assert.equal(outcome([realm({ name: 'FIRST.TEST', wrongRealm: 'FIRST.TEST' })]), 'refused');
});

test('each refusal of a KDC is what it is', () => {
  const said: Record<number, k.KerberosProblem> = {
    ...{ 1: 'accountExpired', 6: 'unknownAccount', 7: 'unknownService', 12: 'denied', 14: 'encryption' },
    ...{ 18: 'accountRevoked', 23: 'passwordExpired', 24: 'wrongPassword', 27: 'userToUser', 29: 'unreachable' },
    ...{ 37: 'clockSkew', 60: 'refused' },
  };
  for (const [code, how] of Object.entries(said)) {
    const own = realm();
    const event = ask([own], { spoil: () => own.error(Number(code), { text: Buffer.from('WORDS') }) });
    assert.ok(event.kind === 'failed');
    assert.deepEqual([event.how, event.code], [how, Number(code)]);
    assert.match(event.problem, /WORDS/);
  }
  const data = encode(k.methodData, [{ type: 19, value: encode(k.etypeInfo2, [{ etype: 23 }]).slice() }]).slice();
  assert.equal(outcome([realm()], { spoil: () => realm().error(25, { data }) }), 'encryption');
});

test('answers to another question, for another service or of another user are not taken', () => {
  const own = realm({ services: ['TERMSRV/target.test', 'TERMSRV/other.test'] });
  const before: Uint8Array[] = [];
  assert.equal(outcome([own], { spoil: (answer, at) => (before[at] = answer) }), 'ticket');
  // What a KDC once said, said again.
  for (const replayed of [1, 2])
    assert.equal(
      outcome([own], { spoil: (answer, at) => (before[at] && at >= replayed ? before[at]! : answer) }),
      'refused',
    );
  const others = (answer: Uint8Array, at: number): Uint8Array =>
    at < 3 ? answer : encode(k.tgsReply, { ...decode(k.tgsReply, answer), client: { nameType: 1, parts: ['eve'] } });
  assert.equal(outcome([own], { spoil: others }), 'refused');
});

test('keys of another length than their type has are not used, nor asked for where there is none', () => {
  const short = { etype: 18, value: new Uint8Array(5) };
  const own = realm({ preauth: false });
  const account = passwordKey(crypto, 18, 'correct horse', 'LAB.TESTalice');
  const withKey = (answer: Uint8Array): Uint8Array => {
    const reply = decode(k.asReply, answer);
    const part = decode(k.kdcReplyPart, crypto.open(account, 3, reply.encrypted));
    const encrypted = crypto.seal(account, 3, encode(k.kdcReplyPart, { ...part, key: short }));
    return encode(k.asReply, { ...reply, encrypted }).slice();
  };
  assert.equal(outcome([own], { spoil: (answer, at) => (at === 0 ? withKey(answer) : answer) }), 'refused');
  assert.equal(outcome([realm({ etype: 17, preauth: false })], { etypes: [18] }), 'encryption');
});

test('whatever a KDC says it ends, in words or with the ticket', () => {
  const own = realm();
  const spoilt = fc.record({
    at: fc.nat(3),
    where: fc.nat(600),
    flip: fc.integer({ min: 1, max: 255 }),
    cut: fc.boolean(),
  });
  fc.assert(
    fc.property(spoilt, ({ at, where, flip, cut }) => {
      const event = ask([own], {
        spoil(answer, step) {
          if (step !== at) return answer;
          if (cut) return answer.slice(0, where % answer.length);
          const changed = answer.slice();
          changed[where % changed.length]! ^= flip;
          return changed;
        },
      });
      assert.ok(event.kind === 'failed' || event.kind === 'ticket');
      // Nothing is in a ticket's own bytes that its holder could check; but its key is the realm's.
      if (event.kind === 'ticket') assert.equal(event.ticket.key.value.length, 32);
    }),
    { numRuns: 60 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => ask([own], { spoil: () => noise }).kind === 'failed'),
  );
});
