import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { parseLogEntry } from '@lucid-sessions/evidence';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { eventually } from '@lucid-sessions/testkit';
import { world } from './world.ts';

test('the head of a chain of custody is logged within a minute, once for what came together', async () => {
  const made = await world();
  try {
    await made.admit('s1');
    await made.record('s1');
    await made.until('s1', 'completed');
    const custody = (word: string) => new TextEncoder().encode(`custody ${word}`);
    for (const word of ['one', 'two']) {
      await made.storage.putRecord({ sessionId: 's1', kind: 'custody', record: custody(word) });
      await made.pipeline.custodyAdded({ sessionId: 's1' });
    }
    const logged = () => made.entries.map(parseLogEntry).filter((fields) => fields?.kind === 'custody');
    assert.deepEqual(logged(), [], 'not before the half minute is over');
    made.clock.us += 30_000_000;
    await eventually('the head to be logged', async () => {
      await made.pipeline.custodyAdded({ sessionId: 's1' });
      return logged().length > 0;
    });
    const [head, ...rest] = logged();
    assert.equal(head?.recordSha256, createHash('sha256').update(custody('two')).digest('hex'));
    assert.equal(head?.subject, made.entries.map(parseLogEntry)[0]?.recordSha256);
    assert.deepEqual(rest, []);
    const { proofs } = await made.pipeline.logProofs({ sessionId: 's1' });
    assert.deepEqual(
      proofs.map(({ kind }) => kind),
      ['open', 'manifest', 'custody'],
    );
  } finally {
    await made.dispose();
  }
});

test('of a session whose open record nobody can read nothing is proven, and it can be exported all the same', async () => {
  const made = await world();
  try {
    await made.storage.createSession({ session: sampleSession('s1'), routeTokenSha256: null });
    for (const kind of ['open', 'custody'] as const)
      await made.storage.putRecord({ sessionId: 's1', kind, record: new TextEncoder().encode('no record') });
    assert.deepEqual(await made.pipeline.logProofs({ sessionId: 's1' }), { proofs: [], progress: [], consistency: [] });
  } finally {
    await made.dispose();
  }
});
