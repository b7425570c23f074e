/** Sessions that go through a fault, with a witness on both sides of the gateway. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient, type Desktop, type RdpClient } from '@lucid-sessions/desktop';
import type { VerificationReport } from '@lucid-sessions/evidence';
import { compareWithWitness, startWitness, type Witness } from '@lucid-sessions/testkit';
import { finished } from './crash-runs.ts';
import { armSession, readRecording, verifySession } from './gateway.ts';
import type { House } from './house.ts';

/** Keys, one every `everyMs`. */
export async function workFor(client: RdpClient, ms: number, everyMs = 10): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    client.key(0x1e);
    await sleep(everyMs);
  }
}

export interface WitnessedSession {
  id: string;
  client: RdpClient;
  witness: Witness;
}

export async function witnessedSession(t: TestContext, house: House, desktop: Desktop): Promise<WitnessedSession> {
  const witness = await startWitness(house.rdpPort, desktop.port);
  t.after(() => witness.stop());
  const { id, routingToken } = await armSession(house, witness.far.port);
  const client = await connectClient({ port: witness.near.port, routingToken, userName: 'faults' });
  t.after(() => client.destroy());
  await workFor(client, 400);
  return { id, client, witness };
}

/** The session ended as its user wished, every byte the witness saw is in the recording, and it verifies without a finding. */
export async function assertWhole(house: House, { id, witness }: WitnessedSession): Promise<VerificationReport> {
  const session = await finished(house, id);
  assert.equal(session.status, 'completed');
  compareWithWitness(witness, 0, await readRecording(house, id), null, 0);
  const report = await verifySession(house, id);
  assert.deepEqual(report.findings, []);
  assert.deepEqual(report.states, []);
  assert.equal(report.clean, true);
  assert.equal(report.verdicts.completeness, 'whole');
  return report;
}
