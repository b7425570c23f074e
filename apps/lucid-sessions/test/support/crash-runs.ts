/**
 * One crash run: sessions are recorded, one process is killed at a random moment, it is started again, and what the
 * recording holds is compared with what an independent witness saw.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient, type Desktop, type RdpClient } from '@lucid-sessions/desktop';
import { compareWithWitness, eventually, startWitness, type Witness } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../../src/commands/sessions.ts';
import { armSession, readRecording, verifySession } from './gateway.ts';
import type { House } from './house.ts';

/** Frames are durable this long after they arrived. */
export const durableMs = 100;

export type Moment = 'recording' | 'ending';

export interface CrashRun {
  victim: string;
  /** Whether the victim holds the RDP connections. */
  endsSessions: boolean;
  moment: Moment;
  /** Bytes that were relayed this long before the kill must be in the recording; `durableMs` unless said. */
  durableMs?: number;
  sessions: number;
  /** 0 ≤ x < 1. */
  random: () => number;
}

export interface SessionOutcome {
  sessionId: string;
  /** 'recovered': the recording says that it was cut off. */
  verdict: 'whole' | 'recovered';
  frames: number;
  relayedLossMs: number;
  sentLossMs: number;
  bytesLost: number;
}

export interface RunOutcome {
  victim: string;
  moment: Moment;
  sessions: SessionOutcome[];
  /** From the start of the new process until every session was finished. */
  finishedMs: number;
}

interface Running {
  id: string;
  client: RdpClient;
  typing: Promise<void>;
}

export async function crashRun(house: House, desktop: Desktop, run: CrashRun): Promise<RunOutcome> {
  const witness = await startWitness(house.rdpPort, desktop.port);
  const stopTyping = new AbortController();
  const running: Running[] = [];
  try {
    for (let i = 0; i < run.sessions; i += 1) running.push(await open(house, witness, run, stopTyping.signal));
    await sleep(100 + run.random() * 500);
    const killedMs = await strike(house, run, running, stopTyping);
    const startedMs = performance.now();
    await house.victim(run.victim).start();
    if (!run.endsSessions && run.moment === 'recording') {
      await sleep(run.random() * 300);
      await leave(running, stopTyping);
    }
    const sessions: SessionOutcome[] = [];
    for (const [index, { id }] of running.entries())
      sessions.push(await examine(house, witness, index, id, run, killedMs));
    return { victim: run.victim, moment: run.moment, sessions, finishedMs: performance.now() - startedMs };
  } finally {
    stopTyping.abort();
    for (const { client } of running) client.destroy();
    await witness.stop();
  }
}

async function open(house: House, witness: Witness, run: CrashRun, signal: AbortSignal): Promise<Running> {
  const { id, routingToken } = await armSession(house, witness.far.port);
  const client = await connectClient({
    port: witness.near.port,
    routingToken,
    userName: 'crash',
    size: { width: 640, height: 480 },
  });
  return { id, client, typing: typeOn(client, run.random, signal) };
}

/** Input without end: keys and pointer, a few events every few milliseconds. */
async function typeOn(client: RdpClient, random: () => number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (random() < 0.3) client.key(0x10 + Math.floor(random() * 10));
    else client.move(Math.floor(random() * 640), Math.floor(random() * 480));
    await sleep(4 + random() * 8);
  }
}

async function leave(running: readonly Running[], typing: AbortController): Promise<void> {
  typing.abort();
  await Promise.all(running.map(({ typing: typed }) => typed));
  await Promise.all(running.map(({ client }) => client.close()));
}

/** Answers when the kill was. */
async function strike(
  house: House,
  run: CrashRun,
  running: readonly Running[],
  typing: AbortController,
): Promise<number> {
  const victim = house.victim(run.victim);
  if (run.moment === 'ending') {
    await leave(running, typing);
    await sleep(run.random() * 150);
    return victim.kill();
  }
  const killedMs = await victim.kill();
  if (run.endsSessions) {
    typing.abort();
    await Promise.all(running.map(({ client }) => client.ended));
  } else await sleep(run.random() * 300);
  return killedMs;
}

async function examine(
  house: House,
  witness: Witness,
  index: number,
  id: string,
  run: CrashRun,
  killedMs: number,
): Promise<SessionOutcome> {
  const session = await finished(house, id);
  const frames = await readRecording(house, id);
  const hit = run.endsSessions;
  const losses = compareWithWitness(witness, index, frames, hit ? killedMs : null, run.durableMs ?? durableMs);
  const report = await verifySession(house, id);
  const recovered = report.states.includes('RECOVERED');
  const problems = [
    ...report.findings.map(({ code, message }) => `${code}: ${message}`),
    ...(report.clean ? [] : ['the recording does not verify']),
    ...(report.verdicts.completeness === 'whole' ? [] : [`completeness is ${report.verdicts.completeness}`]),
    ...(hit && run.moment === 'recording' && !recovered ? ['it was cut off and says that it is whole'] : []),
    ...(!hit && recovered ? ['nothing hit the recorder and it says RECOVERED'] : []),
    ...(session.status !== 'completed' ? [`its status is ${session.status}`] : []),
    ...(session.outcome !== (recovered ? 'recovered' : 'whole') ? [`its outcome is ${session.outcome}`] : []),
    ...(session.statistics.frame_count !== frames.length ? [`it says ${session.statistics.frame_count} frames`] : []),
    ...lengthProblems(session, frames),
  ];
  if (problems.length > 0) throw new Error(`session ${id} (${run.victim}, ${run.moment}): ${problems.join('; ')}`);
  return {
    sessionId: id,
    verdict: recovered ? 'recovered' : 'whole',
    frames: frames.length,
    relayedLossMs: Math.max(...losses.map(({ relayedLossMs }) => relayedLossMs)),
    sentLossMs: Math.max(...losses.map(({ sentLossMs }) => sentLossMs)),
    bytesLost: losses.reduce((sum, { bytesLost }) => sum + bytesLost, 0),
  };
}

/** What the session says of its length, and what its frames say. */
function lengthProblems({ statistics }: SessionAnswer, frames: readonly { timeUs: number }[]): string[] {
  const recordedSeconds = (frames.at(-1)?.timeUs ?? 0) / 1_000_000;
  const said = statistics.duration_seconds;
  // The clocks of frames and of reports are read at different moments.
  return said >= recordedSeconds - 0.5 && said <= recordedSeconds + 10
    ? []
    : [`it says ${said} s of ${recordedSeconds} s`];
}

/** Completed, or failed with a manifest: a recorder's crash is a failure that leaves a recording. */
export async function finished(house: Pick<House, 'api' | 'victims'>, id: string): Promise<SessionAnswer> {
  let seen = '';
  return eventually(
    'a finished session',
    async () => {
      const session = await house.api.json<SessionAnswer>('GET', `/sessions/${id}`);
      seen = `${session.status}: ${session.end_message}`;
      if (session.merkle_root === null) return false;
      return (session.status === 'completed' || session.status === 'failed') && session;
    },
    45_000,
  ).catch((error: Error) => {
    const said = [...house.victims.values()].map((victim) => `--- ${victim.name}\n${victim.errors.slice(-3000)}`);
    throw new Error(`${error.message}: session ${id} is ${seen}\n${said.join('\n')}`, { cause: error });
  });
}
