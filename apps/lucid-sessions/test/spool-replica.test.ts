/** A recorder that dies for good, and its spool's copy at another: what was durable there is recovered, and who comes back forks nothing. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { rpcClient } from '@lucid-sessions/contract';
import { type Desktop, startDesktop } from '@lucid-sessions/desktop';
import type { VerificationReport } from '@lucid-sessions/evidence';
import { compareWithWitness, eventually, freePorts, temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { finished } from './support/crash-runs.ts';
import { witnessedSession, workFor } from './support/fault-sessions.ts';
import { readRecording, recordSession, verifySession } from './support/gateway.ts';
import { type House, startHouse } from './support/house.ts';

interface Pair {
  house: House;
  desktop: Desktop;
  /** Data of the recorder that dies. */
  firstData: string;
  secondData: string;
  /** How far its copy is behind, ms. */
  behindMs(): Promise<number>;
  /** Who has a whole copy. */
  keptBy(): Promise<string>;
}

/** Recorders with data of their own, the first one's spool copied to the second: or, `withThird`, to a third one as long as that is there. */
async function pair(t: TestContext, { withThird = false } = {}): Promise<Pair> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const root = temporaryDirectory('pair');
  const keys = join(root, 'keys');
  assert.equal((await runCli(['keys', 'init', keys])).code, 0);
  const [first, second, secondRdp, third, thirdRdp] = await freePorts(5);
  const [firstData, secondData] = [join(root, 'first'), join(root, 'second')];
  const firstUrl = `http://127.0.0.1:${first}`;
  const secret = 'a secret the services of this test share';
  const house = await startHouse({
    processes: {
      rest: 'storage,processor,pipeline,api',
      second: 'recorder',
      ...(withThird ? { third: 'recorder' } : {}),
      first: 'recorder',
    },
    environment: {
      LUCID_KEYS_PATH: keys,
      LUCID_SERVICE_SECRET: secret,
      SESSION_RECORDER_URL: firstUrl,
      LUCID_SPOOL_TAKEOVER_SECONDS: '1',
    },
    own: {
      first: {
        LUCID_DATA_DIR: firstData,
        LUCID_RECORDER_ID: 'first',
        SESSION_RECORDER_PORT: `${first}`,
        LUCID_SPOOL_REPLICA: `${withThird ? `http://127.0.0.1:${third},` : ''}http://127.0.0.1:${second}`,
      },
      third: {
        LUCID_DATA_DIR: join(root, 'third'),
        LUCID_RECORDER_ID: 'third',
        SESSION_RECORDER_PORT: `${third}`,
        RDP_LISTEN_PORT: `${thirdRdp}`,
      },
      second: {
        LUCID_DATA_DIR: secondData,
        LUCID_RECORDER_ID: 'second',
        SESSION_RECORDER_PORT: `${second}`,
        RDP_LISTEN_PORT: `${secondRdp}`,
      },
    },
  });
  t.after(() => house.stop());
  const recorder = rpcClient('recorder', firstUrl, { token: secret });
  const detail = async (name: string) => (await recorder.health()).details[name];
  const behindMs = async () => Number(await detail('replicaBehindMs'));
  const keptBy = async () => String(await detail('replicaKeptBy'));
  return { house, desktop, firstData, secondData, behindMs, keptBy };
}

/** All but how often somebody looked at it. */
const sealedOf = ({ findings, states, clean, facts }: VerificationReport) => {
  const { merkle_root, leaves_count, chunks_in_manifest, frames_read } = facts;
  return { findings, states, clean, merkle_root, leaves_count, chunks_in_manifest, frames_read };
};

test('what was durable at the replica is recovered when a recorder dies with its disk', {
  timeout: 240_000,
}, async (t) => {
  const { house, desktop, firstData, secondData, behindMs } = await pair(t);
  const session = await witnessedSession(t, house, desktop);
  await workFor(session.client, 1500);
  const coveredMs = performance.now();
  let typing = true;
  const typed = (async () => {
    while (typing) await workFor(session.client, 50);
  })();
  // Everything from before that moment is at the replica; more comes all the time.
  await eventually('a copy of what was typed', async () => {
    const askedMs = performance.now();
    return askedMs - (await behindMs()) > coveredMs;
  });
  const killedMs = await house.victim('first').kill();
  typing = false;
  await typed;
  rmSync(firstData, { recursive: true, force: true });
  const ended = await finished(house, session.id);
  assert.equal(ended.outcome, 'recovered');
  const report = await verifySession(house, session.id);
  assert.deepEqual([report.findings, report.states, report.clean], [[], ['RECOVERED'], true]);
  const frames = await readRecording(house, session.id);
  const losses = compareWithWitness(session.witness, 0, frames, killedMs, killedMs - coveredMs);
  for (const { direction, relayedLossMs, bytesLost } of losses)
    t.diagnostic(`${direction}: ${relayedLossMs.toFixed(1)} ms, ${bytesLost} bytes are missing`);
  await eventually('the copy is let go', () =>
    readdirSync(join(secondData, 'replicas'), { recursive: true }).every((name) => !String(name).endsWith('.seg')),
  );
});

test('when who keeps the copy is gone the next one does, and recovers it; who comes back with an old copy recovers nothing', {
  timeout: 240_000,
}, async (t) => {
  const { house, desktop, keptBy } = await pair(t, { withThird: true });
  // Whichever was up first.
  const keeper = await eventually('a copy', keptBy);
  const next = keeper === 'third' ? 'second' : 'third';
  const session = await witnessedSession(t, house, desktop);
  await workFor(session.client, 1000);
  await house.victim(keeper).kill();
  await workFor(session.client, 500);
  await eventually('a copy at the next', async () => (await keptBy()) === next);
  // It is said to the pipeline every 3 s; a recorder that dies before leaves it to whoever asks first.
  await workFor(session.client, 4000);
  await house.victim('first').kill();
  await house.victim(keeper).start();
  const ended = await finished(house, session.id);
  assert.equal(ended.outcome, 'recovered');
  const report = await verifySession(house, session.id);
  assert.deepEqual([report.findings, report.states, report.clean], [[], ['RECOVERED'], true]);
  assert.match(house.victim(next).errors, /the recorder first is gone: its 1 sessions are recovered/);
  assert.doesNotMatch(house.victim(keeper).errors, /is gone/);
});

test('a recorder that comes back after its sessions were recovered forks nothing, and keeps what it has aside', {
  timeout: 240_000,
}, async (t) => {
  const { house, desktop, firstData, behindMs } = await pair(t);
  const session = await witnessedSession(t, house, desktop);
  await workFor(session.client, 1500);
  await eventually('a copy', async () => (await behindMs()) < 5000);
  await house.victim('first').kill();
  const ended = await finished(house, session.id);
  assert.equal(ended.outcome, 'recovered');
  const before = await verifySession(house, session.id);
  const isBack = () => existsSync(join(firstData, 'spool', 'taken-over'));
  await house.victim('first').start();
  assert.ok(isBack(), 'its own copy is aside');
  assert.match(house.victim('first').errors, /another recorder recovered 1 sessions/);
  // It records again, and is copied again.
  const next = await recordSession(house, desktop.port);
  assert.equal((await verifySession(house, next)).clean, true);
  await eventually('its copy again', async () => (await behindMs()) < 5000);
  const after = await verifySession(house, session.id);
  assert.deepEqual(sealedOf(after), sealedOf(before));
});

test('a recorder that was only asleep while its sessions were recovered changes nothing of them when it wakes', {
  timeout: 240_000,
}, async (t) => {
  const { house, desktop, behindMs } = await pair(t);
  const session = await witnessedSession(t, house, desktop);
  await workFor(session.client, 1500);
  await eventually('a copy', async () => (await behindMs()) < 5000);
  const first = house.victim('first');
  first.pause();
  const ended = await finished(house, session.id);
  assert.equal(ended.outcome, 'recovered');
  const before = await verifySession(house, session.id);
  first.wake();
  await workFor(session.client, 500).catch(() => {});
  await eventually(
    'it says so',
    () => /was taken over/.test(first.errors) && /chunk \d+ of session/.test(first.errors),
  );
  const after = await verifySession(house, session.id);
  assert.deepEqual(sealedOf(after), sealedOf(before));
});
