/** A whole minute without storage, and one without a processor: people work on, and nothing is missing afterwards. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { eventually } from '@lucid-sessions/testkit';
import { assertWhole, witnessedSession, workFor } from './support/fault-sessions.ts';
import { severalProcesses, startHouse } from './support/house.ts';

const minuteMs = 60_000;

describe('a service that is out of reach for a minute', { concurrency: 2 }, () => {
  for (const name of ['storage', 'processor'] as const)
    test(`${name}: the session goes on, health says so, and the recording is whole`, {
      timeout: 240_000,
    }, async (t) => {
      const desktop = await startDesktop();
      t.after(() => desktop.stop());
      const house = await startHouse({ processes: severalProcesses, environment: { LUCID_CHUNK_AGE_MS: '3000' } });
      t.after(() => house.stop());
      const session = await witnessedSession(t, house, desktop);
      const { client } = session;
      await house.victim(name).kill();
      await workFor(client, minuteMs / 2, 200);
      const health = await eventually('a recorder that says so', async () => {
        const { status, message, details } = await house.service('recorder').health();
        return status === 'degraded' && { message, details };
      });
      assert.match(health.message ?? '', /chunk \d+ of session/);
      assert.ok(Number(health.details.spooledChunks) > 1, 'chunks wait in the spool');
      await workFor(client, minuteMs / 2, 200);
      await house.victim(name).start();
      await workFor(client, 500);
      await client.close();
      await assertWhole(house, session);
      assert.equal((await house.service('recorder').health()).status, 'healthy');
    });
});
