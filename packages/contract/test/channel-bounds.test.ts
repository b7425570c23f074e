import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boundRules, type ChannelRules, channelSwitches, clipboardWays, parseTargetRule } from '../src/index.ts';

const bank = { host: 'Desk.Bank.example', port: 3389, address: '10.1.2.3' };
const bound = (target: string, rules: ChannelRules) => ({ target: parseTargetRule(target)!, rules });

test('a bound holds for its targets, by name, address and port, and for no other', () => {
  const closed = { clipboard: 'off' } as const;
  for (const [target, holds] of [
    ['*.bank.example', true],
    ['desk.bank.example:3389', true],
    ['10.0.0.0/8', true],
    ['*', true],
    ['desk.bank.example:3390', false],
    ['bank.example', false],
    ['192.168.0.0/16', false],
  ] as const)
    assert.deepEqual(boundRules({}, bank, [bound(target, closed)]), holds ? closed : {}, target);
  assert.deepEqual(boundRules({}, { ...bank, host: '[::1]', address: '::1' }, [bound('::1', closed)]), closed);
});

const rules: fc.Arbitrary<ChannelRules> = fc.record(
  {
    clipboard: fc.constantFrom(...clipboardWays),
    clipboard_files: fc.constantFrom(...clipboardWays),
    ...(Object.fromEntries(channelSwitches.map((name) => [name, fc.boolean()])) as { drives: fc.Arbitrary<boolean> }),
    allow: fc.subarray(['a', 'b']),
    deny: fc.subarray(['c', 'd']),
  },
  { requiredKeys: [] },
);

test('no session loosens what its target is bound to, and no bound loosens a session', () => {
  const opens = (way: string | undefined, direction: string): boolean =>
    way === undefined || way === 'both' || way === direction;
  fc.assert(
    fc.property(rules, rules, (session, limits) => {
      const strict = boundRules(session, bank, [bound('*', limits)]);
      for (const name of ['clipboard', 'clipboard_files'] as const)
        for (const direction of ['in', 'out'])
          assert.equal(
            opens(strict[name], direction),
            opens(session[name], direction) && opens(limits[name], direction),
          );
      for (const name of channelSwitches)
        assert.equal(strict[name] !== false, session[name] !== false && limits[name] !== false);
      for (const pattern of [...(session.deny ?? []), ...(limits.deny ?? [])])
        assert.ok(strict.deny?.includes(pattern));
      for (const pattern of strict.others === false ? (strict.allow ?? []) : [])
        for (const one of [session, limits]) assert.ok(one.others !== false || one.allow?.includes(pattern));
    }),
  );
});
