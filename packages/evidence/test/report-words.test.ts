/** What a report says to a person where something is not known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { existedText } from '../src/index.ts';

test('when a recording existed is told by the bounds that somebody vouches for', () => {
  const told = (not_before_us: number | null, not_after_us: number | null) =>
    existedText({ not_before_us, not_after_us }, (us) => `${us}`);
  assert.deepEqual(
    [told(1, 2), told(null, 2), told(1, null), told(null, null)],
    [
      'not before 1, at the latest 2',
      'at the latest 2',
      'not before 1',
      'at a time that no witness and no anchor vouches for',
    ],
  );
});
