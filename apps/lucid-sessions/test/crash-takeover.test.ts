/** Two chunk processors on one storage: a session moves to the one that lives, and one that wakes up can't fork its chain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { freePorts } from '@lucid-sessions/testkit';
import { assertWhole, witnessedSession, workFor } from './support/fault-sessions.ts';
import { severalProcesses, startHouse } from './support/house.ts';

for (const way of ['killed', 'paused and woken'] as const)
  test(`the processor that holds a session is ${way}: the other one carries it on`, { timeout: 180_000 }, async (t) => {
    const desktop = await startDesktop();
    t.after(() => desktop.stop());
    const [first, second] = await freePorts(2);
    const house = await startHouse({
      processes: { ...severalProcesses, second: 'processor' },
      environment: {
        CHUNK_PROCESSOR_URL: `http://127.0.0.1:${first},http://127.0.0.1:${second}`,
        LUCID_FAILOVER_MS: '1500',
      },
      own: { processor: { CHUNK_PROCESSOR_PORT: `${first}` }, second: { CHUNK_PROCESSOR_PORT: `${second}` } },
    });
    t.after(() => house.stop());
    const session = await witnessedSession(t, house, desktop);
    const { id, client } = session;
    await workFor(client, 1500);
    if (way === 'killed') await house.victim('processor').kill();
    else house.victim('processor').pause();
    await workFor(client, 4000);
    if (way !== 'killed') house.victim('processor').wake();
    await workFor(client, 1500);
    await client.close();

    const report = await assertWhole(house, session);
    assert.equal(report.facts.leaves_count, report.facts.chunks_in_manifest);
    const { records } = await house.service('storage').getRecords({ sessionId: id, kind: 'resume' });
    assert.ok(records.length >= 1, 'the one that carried on said so in a signed record');
  });
