/** The connect bench in its shortest form: every case comes to a picture, directly and through the gateway. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureConnects } from '../src/connect.ts';

test('one round of every way to a target', { timeout: 120_000 }, async () => {
  const all = await measureConnects({ seconds: 0, rounds: 1, targets: ['desktop'] });
  assert.equal(all.length, 5);
  for (const { name, direct, through } of all) {
    assert.equal(direct.length, 1, name);
    assert.equal(through.length, 1, name);
    assert.ok([...direct, ...through].every((ms) => ms > 0 && Number.isFinite(ms)));
  }
});

test('a target that nobody knows is refused', async () => {
  await assert.rejects(measureConnects({ seconds: 0, rounds: 1, targets: ['nosuch'] }), /there are desktop, shadow/);
});
