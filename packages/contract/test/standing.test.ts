import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeText, standingOf } from '../src/standing.ts';

const over = { status: 'completed', outcome: 'whole' } as const;

test('a recording says what became of it and whether it can be seen', () => {
  assert.equal(outcomeText(over), 'recorded from beginning to end');
  assert.equal(outcomeText({ status: 'recording', outcome: null }), null);
  assert.equal(standingOf(over), 'not examined');
  assert.equal(
    standingOf({ ...over, outcome: 'gap', replay: { state: 'drawn', detail: '', examined_at: '' } }),
    'with a gap',
  );
  assert.equal(standingOf({ ...over, imported: {} as never, outcome: null }), 'imported');
});

test('of one that was deleted nothing is said that could be looked at', () => {
  const deleted = { ...over, status: 'deleted' } as const;
  assert.equal(standingOf(deleted), null);
  assert.equal(standingOf({ ...deleted, outcome: 'recovered' }), 'recovered');
  assert.equal(outcomeText(deleted), 'recorded from beginning to end; the recording was deleted since');
  assert.equal(outcomeText({ ...deleted, outcome: 'never_connected' }), 'not recorded: nobody connected');
});
