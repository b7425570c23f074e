/**
 * One run of chaos: three sessions are recorded by two recorders, something of the installation is killed or stands still for longer
 * than its leases, and afterwards every session ends and verifies as what it is, compared with what witnesses saw.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient, type Desktop, type RdpClient } from '@lucid-sessions/desktop';
import type { VerificationReport } from '@lucid-sessions/evidence';
import { compareWithWitness, startWitness, type Witness } from '@lucid-sessions/testkit';
import type { ServiceName } from '../../src/server/environment.ts';
import { type Cluster, type ClusterRecorder, clusterNames, type LinkedServer, linkedServices } from './cluster.ts';
import { finished } from './crash-runs.ts';
import { armSession, readRecording, verifySession } from './gateway.ts';

/** A lease of a session's work lasts 10 s, a recorder that says nothing for 10 s counts as away. */
const pauseMs = 12_000;
const sessionsPerRun = 3;

export interface Fault {
  /** `kill recorder-1`, `pause s3`, `cut storage-2 off postgres`, `cut recorder-1 off pipeline`. */
  name: string;
  /** The recorder whose sessions end with it. */
  ends: string | null;
  /** Answers when it began. */
  strike(cluster: Cluster): Promise<number>;
  /** Back in order. */
  mend(cluster: Cluster): Promise<void>;
}

const kill = (name: string, ends: string | null): Fault => ({
  name: `kill ${name}`,
  ends,
  strike: (cluster) => cluster.victim(name).kill(),
  mend: (cluster) => cluster.victim(name).start(),
});

/** For longer than leases last. */
function hold(name: string, set: (cluster: Cluster, isHeld: boolean) => void): Fault {
  return {
    name,
    ends: null,
    async strike(cluster) {
      set(cluster, true);
      return performance.now();
    },
    async mend(cluster) {
      await sleep(pauseMs);
      set(cluster, false);
    },
  };
}

const stop = (name: string, of: (cluster: Cluster) => Record<'end' | 'begin', () => Promise<void>>): Fault => ({
  name: `stop ${name}`,
  ends: null,
  async strike(cluster) {
    const atMs = performance.now();
    await of(cluster).end();
    return atMs;
  },
  mend: (cluster) => of(cluster).begin(),
});

const pauseProcess = (name: string): Fault =>
  hold(`pause ${name}`, (cluster, isPaused) => (isPaused ? cluster.victim(name).pause() : cluster.victim(name).wake()));

/** Nothing passes between one process and a server, or all processes of a service, which all others reach. */
const cut = (name: string, server: LinkedServer): Fault =>
  hold(`cut ${name} off ${server}`, (cluster, isCut) => {
    for (const link of cluster.links(name, server))
      if (isCut) link.cut();
      else link.mend();
  });

export const faults: readonly Fault[] = [
  ...Object.entries(clusterNames).flatMap(([service, names]) =>
    names.flatMap((name) => [kill(name, service === 'recorder' ? name : null), pauseProcess(name)]),
  ),
  stop('postgres', ({ postgres }) => postgres),
  stop('redis', ({ redis }) => redis),
  stop('s3', ({ s3 }) => s3),
  hold('pause redis', ({ redis }, isPaused) => redis.signal(isPaused ? 'SIGSTOP' : 'SIGCONT')),
  hold('pause s3', ({ s3 }, isPaused) => s3.pause(isPaused)),
  ...(Object.entries(linkedServices) as [LinkedServer, readonly ServiceName[]][]).flatMap(([server, services]) =>
    services.flatMap((service) => clusterNames[service].map((name) => cut(name, server))),
  ),
];

export interface ChaosRun {
  fault: Fault;
  moment: 'recording' | 'ending';
  durableMs: number;
  /** 0 ≤ x < 1. */
  random: () => number;
}

export interface ChaosSession {
  id: string;
  recorder: string;
  verdict: 'whole' | 'recovered';
  frames: number;
  relayedLossMs: number;
}

export interface ChaosOutcome {
  fault: string;
  moment: ChaosRun['moment'];
  sessions: ChaosSession[];
  /** From when all was in order again until the last session was finished. */
  finishedMs: number;
}

interface Running {
  id: string;
  recorder: ClusterRecorder;
  witness: Witness;
  client: RdpClient;
  /** What it was told of its end before it left. */
  noticed: string | null;
  typing: Promise<void>;
}

export async function chaosRun(cluster: Cluster, desktop: Desktop, run: ChaosRun): Promise<ChaosOutcome> {
  const { fault, random } = run;
  const typing = new AbortController();
  const running: Running[] = [];
  const leave = async (those: readonly Running[]): Promise<void> => {
    typing.abort();
    await Promise.all(running.map((each) => each.typing));
    await Promise.all(those.map(({ client }) => client.close()));
  };
  let isMended = true;
  try {
    // Both recorders have one at least.
    for (let at = 0; at < sessionsPerRun; at += 1) {
      const recorder = cluster.recorders[at < 2 ? at : Math.floor(random() * 2)]!;
      running.push(await open({ cluster, desktop, recorder, random, signal: typing.signal }));
    }
    await sleep(100 + random() * 700);
    if (run.moment === 'ending') {
      await leave(running);
      await sleep(random() * 200);
    }
    isMended = false;
    const struckMs = await fault.strike(cluster);
    await sleep(random() * 1500);
    await fault.mend(cluster);
    isMended = true;
    const mendedMs = performance.now();
    if (run.moment === 'recording') {
      await sleep(random() * 500);
      const unhurt = running.filter(({ recorder }) => recorder.name !== fault.ends);
      for (const one of unhurt) one.noticed = await endOf(one.client);
      await leave(unhurt);
    }
    const sessions: ChaosSession[] = [];
    for (const one of running) sessions.push(await examine(cluster, one, run, struckMs));
    return { fault: fault.name, moment: run.moment, sessions, finishedMs: performance.now() - mendedMs };
  } finally {
    typing.abort();
    for (const { client } of running) client.destroy();
    for (const { witness } of running) await witness.stop();
    if (!isMended) await fault.mend(cluster).catch(() => {});
  }
}

/** Null: it goes on. */
const endOf = (client: RdpClient): Promise<string | null> =>
  Promise.race([client.ended.then((end) => JSON.stringify(end)), sleep(0).then(() => null)]);

async function open({
  cluster,
  desktop,
  recorder,
  random,
  signal,
}: {
  cluster: Cluster;
  desktop: Desktop;
  recorder: ClusterRecorder;
  random: () => number;
  signal: AbortSignal;
}): Promise<Running> {
  const witness = await startWitness(recorder.rdpPort, desktop.port);
  const api = cluster.apis[Math.floor(random() * cluster.apis.length)]!;
  const { id, routingToken } = await armSession({ api }, witness.far.port);
  const client = await connectClient({
    port: witness.near.port,
    routingToken,
    userName: 'chaos',
    size: { width: 640, height: 480 },
  });
  return { id, recorder, witness, client, noticed: null, typing: typeOn(client, random, signal) };
}

async function typeOn(client: RdpClient, random: () => number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (random() < 0.3) client.key(0x10 + Math.floor(random() * 10));
    else client.move(Math.floor(random() * 640), Math.floor(random() * 480));
    await sleep(8 + random() * 16);
  }
}

const findingsOf = ({ findings }: VerificationReport): string[] =>
  findings.map(({ code, message }) => `${code}: ${message}`);

async function examine(cluster: Cluster, one: Running, run: ChaosRun, struckMs: number): Promise<ChaosSession> {
  const { id, recorder, witness, noticed } = one;
  const isHit = recorder.name === run.fault.ends;
  const mayBeCut = isHit && run.moment === 'recording';
  const session = await finished(cluster, id);
  const frames = await readRecording(cluster, id);
  const losses = compareWithWitness(witness, 0, frames, isHit ? struckMs : null, run.durableMs);
  // Both APIs at once write into the chain of custody, and the third look reads what came of it.
  await Promise.all(cluster.apis.map((api) => verifySession({ api }, id)));
  const report = await verifySession(cluster, id);
  const recovered = report.states.includes('RECOVERED');
  const problems = [
    ...findingsOf(report),
    ...(report.clean ? [] : ['the recording does not verify']),
    ...(report.verdicts.completeness === 'whole' ? [] : [`completeness is ${report.verdicts.completeness}`]),
    ...(noticed === null ? [] : [`its client noticed: ${noticed}`]),
    ...(mayBeCut && !recovered ? ['it was cut off and says that it is whole'] : []),
    ...(!isHit && recovered ? ['nothing hit its recorder and it says RECOVERED'] : []),
    ...(session.status === 'completed' ? [] : [`its status is ${session.status}: ${session.end_message}`]),
    ...(session.outcome === (recovered ? 'recovered' : 'whole') ? [] : [`its outcome is ${session.outcome}`]),
    ...(session.statistics.frame_count === frames.length ? [] : [`it says ${session.statistics.frame_count} frames`]),
  ];
  if (problems.length > 0)
    throw new Error(`session ${id} at ${recorder.name} (${run.fault.name}, ${run.moment}): ${problems.join('; ')}`);
  return {
    id,
    recorder: recorder.name,
    verdict: recovered ? 'recovered' : 'whole',
    frames: frames.length,
    relayedLossMs: Math.max(...losses.map(({ relayedLossMs }) => relayedLossMs)),
  };
}
