import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findingCodes, verifyBundle } from '../src/index.ts';
import { expectedOf, kitNames, readKit } from './kit.ts';

describe('the kit of test bundles', () => {
  const names = kitNames();
  const found = new Set<string>();
  for (const name of names)
    it(name, async () => {
      const { source, options, expected } = await readKit(name);
      for (const { code } of expected.findings) found.add(code);
      assert.deepEqual(expectedOf(await verifyBundle(source, options)), expected);
    });

  it('has every code that needs no walk through the recording and no answer from outside', () => {
    const outside = ['REPLAY_DIFFERS', 'LATE'];
    assert.deepEqual(
      findingCodes.filter((code) => !found.has(code) && !outside.includes(code)),
      [],
    );
    assert.ok(names.length >= 100);
  });
});
