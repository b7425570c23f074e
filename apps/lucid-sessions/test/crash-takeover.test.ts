/** Two chunk processors on one storage: a session moves to the one that lives, and one that wakes up can't fork its chain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { rpcClient } from '@lucid-sessions/contract';
import {
  compareWithWitness,
  connectClient,
  freePorts,
  type RdpClient,
  startDesktop,
  startWitness,
} from '@lucid-sessions/testkit';
import { dataDirectory } from '../src/server/environment.ts';
import { readSecretFile } from '../src/server/secret-file.ts';
import { finished } from './support/crash-runs.ts';
import { armSession, readRecording, verifySession } from './support/gateway.ts';
import { severalProcesses, startHouse } from './support/house.ts';

async function workFor(client: RdpClient, ms: number): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    client.key(0x1e);
    await sleep(10);
  }
}

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
    const witness = await startWitness(house.rdpPort, desktop.port);
    t.after(() => witness.stop());
    const { id, routingToken } = await armSession(house, witness.far.port);
    const client = await connectClient({ port: witness.near.port, routingToken, userName: 'takeover' });
    await workFor(client, 1500);
    if (way === 'killed') await house.victim('processor').kill();
    else house.victim('processor').pause();
    await workFor(client, 4000);
    if (way !== 'killed') house.victim('processor').wake();
    await workFor(client, 1500);
    await client.close();

    const session = await finished(house, id);
    assert.equal(session.status, 'completed');
    compareWithWitness(witness, 0, await readRecording(house, id), null, 0);
    const report = await verifySession(house, id);
    assert.deepEqual(report.findings, []);
    assert.equal(report.clean, true);
    assert.equal(report.verdicts.completeness, 'whole');
    assert.equal(report.facts.leaves_count, report.facts.chunks_in_manifest);
    const token = readSecretFile(dataDirectory(house.environment).serviceSecret);
    const storage = rpcClient('storage', house.environment.SESSION_STORAGE_URL ?? '', { token });
    const { records } = await storage.getRecords({ sessionId: id, kind: 'resume' });
    assert.ok(records.length >= 1, 'the one that carried on said so in a signed record');
  });
