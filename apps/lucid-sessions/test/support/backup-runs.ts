/**
 * Backups and restores that are killed at random moments while sessions are recorded, deleted and shredded. Whatever says that it is
 * a whole backup must be one, and hold every session that was stored when it was made; what is restored must open and verify.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClientError, connectClient, type Desktop, type RdpClient } from '@lucid-sessions/desktop';
import { readDescription } from '../../src/backup/layout.ts';
import { backupPlaces } from '../../src/backup/places.ts';
import { MetadataRows } from '../../src/backup/rows.ts';
import { Output } from '../../src/cli/output.ts';
import { checkBackup } from '../../src/commands/backup.ts';
import type { SessionAnswer } from '../../src/commands/sessions.ts';
import { restoringPath } from '../../src/server/restoring.ts';
import { auditIsWhole } from './audit-check.ts';
import { finished } from './crash-runs.ts';
import { armSession, readRecording, verifySession } from './gateway.ts';
import { type House, type HouseOptions, startHouse } from './house.ts';

const program = join(import.meta.dirname, '../../bin/lucid-sessions.js');
const quiet = new Output({ stdout: { write: () => true }, stderr: { write: () => true } }, true);
/** Sessions that are kept at a time: older ones are deleted, which the copies must bear. */
const sessionsKept = 12;

export interface BackupFigures {
  backups: { started: number; killed: number; whole: number };
  restores: { started: number; killed: number; whole: number };
  /** Sessions of restored installations that were opened and verified. */
  verified: { whole: number; recovered: number; shredded: number };
  checks: number;
  /** Restored installations whose audit log is one chain, as it was written. */
  auditsVerified: number;
  failures: string[];
}

export interface BackupScene {
  desktop: Desktop;
  house: HouseOptions;
  /** Kills of backups; restores are killed beside. */
  kills: number;
  /** A backup in so many is let be, restored, and every session of it verified. */
  restoreEvery: number;
  random: () => number;
  say: (line: string) => void;
}

interface Stored {
  id: string;
  chunks: number;
  /** When it was known to be stored, ms since 1970. */
  atMs: number;
  removedMs: number;
}

/** People at work: one session after the other, some deleted and some shredded afterwards. */
class Workers {
  readonly #house: House;
  readonly #desktop: Desktop;
  readonly #random: () => number;
  readonly #stop = new AbortController();
  readonly #working: Promise<void>[] = [];
  readonly stored: Stored[] = [];
  failure: unknown = null;

  constructor(house: House, desktop: Desktop, random: () => number) {
    this.#house = house;
    this.#desktop = desktop;
    this.#random = random;
  }

  start(count: number): void {
    for (let at = 0; at < count; at += 1)
      this.#working.push(
        this.#work().catch((thrown: unknown) => {
          this.failure ??= thrown;
        }),
      );
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#working);
    if (this.failure !== null) throw this.failure;
  }

  async #work(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const { id, routingToken } = await armSession(this.#house, this.#desktop.port);
      const client = await this.#connect(routingToken);
      if (client === null) continue;
      const until = performance.now() + 500 + this.#random() * 3000;
      while (performance.now() < until && !this.#stop.signal.aborted) {
        client.key(0x10 + Math.floor(this.#random() * 10));
        await sleep(10);
      }
      await client.close();
      await finished(this.#house, id);
      const { statistics } = await this.#house.api.json<SessionAnswer>('GET', `/sessions/${id}`);
      if (this.#random() < 0.2)
        await this.#house.api.json('POST', `/sessions/${id}/erase`, { confirm: id, reason: 'test' });
      this.stored.push({ id, chunks: statistics.chunks_count, atMs: Date.now(), removedMs: Number.POSITIVE_INFINITY });
      await this.#removeOldest();
    }
  }

  /** Null on a machine too busy to give a desktop in time: that session was never recorded, the next one may be. */
  async #connect(routingToken: string): Promise<RdpClient | null> {
    try {
      return await connectClient({ port: this.#house.rdpPort, routingToken, userName: 'backup' });
    } catch (thrown) {
      if (thrown instanceof ClientError && thrown.code === 'timeout') return null;
      throw thrown;
    }
  }

  async #removeOldest(): Promise<void> {
    const there = this.stored.filter(({ removedMs }) => removedMs === Number.POSITIVE_INFINITY);
    const [oldest] = there;
    if (oldest === undefined || there.length <= sessionsKept) return;
    oldest.removedMs = Date.now();
    await this.#house.api.json('DELETE', `/sessions/${oldest.id}`);
  }
}

interface Ended {
  killed: boolean;
  code: number | null;
  said: string;
  /** From its first word to its end. */
  workedMs: number;
}

/** Runs the command; killed `killAfterMs` after its first word, unless it has ended by then. */
async function runKilled(args: readonly string[], killAfterMs: number | null): Promise<Ended> {
  const child: ChildProcess = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'lucid-crash-compile-cache') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let killed = false;
  let firstMs: number | null = null;
  const strike = (): void => {
    if (child.exitCode === null && child.signalCode === null) killed = child.kill('SIGKILL');
  };
  const hear = (part: Buffer): void => {
    said += part.toString();
    if (firstMs !== null) return;
    firstMs = performance.now();
    if (killAfterMs !== null) setTimeout(strike, killAfterMs);
  };
  child.stdout?.on('data', hear);
  child.stderr?.on('data', hear);
  const [code] = (await once(child, 'close')) as [number | null];
  return { killed: killed && code === null, code, said, workedMs: performance.now() - (firstMs ?? performance.now()) };
}

export async function runBackups(scene: BackupScene): Promise<BackupFigures> {
  const figures: BackupFigures = {
    backups: { started: 0, killed: 0, whole: 0 },
    restores: { started: 0, killed: 0, whole: 0 },
    verified: { whole: 0, recovered: 0, shredded: 0 },
    checks: 0,
    auditsVerified: 0,
    failures: [],
  };
  const directory = mkdtempSync(join(tmpdir(), 'lucid-backups-'));
  const house = await startHouse(scene.house);
  const workers = new Workers(house, scene.desktop, scene.random);
  try {
    workers.start(2);
    await new BackupRuns(scene, house, workers, directory, figures).run();
    await workers.stop();
  } catch (thrown) {
    figures.failures.push(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
    await workers.stop().catch(() => {});
  } finally {
    await house.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  return figures;
}

/** Killed when all was done and its marker gone already: the next one finds the place taken. Whether it is whole, opening shows. */
const wasWhole = (dataDir: string, said: string): boolean =>
  said.includes('is not empty') && !existsSync(restoringPath(dataDir));

class BackupRuns {
  readonly #scene: BackupScene;
  readonly #house: House;
  readonly #workers: Workers;
  readonly #directory: string;
  readonly #figures: BackupFigures;
  /** How long a whole run works: kills are spread over it. */
  #usualMs = 1500;
  #usualRestoreMs = 1000;
  #run: string | null = null;

  constructor(scene: BackupScene, house: House, workers: Workers, directory: string, figures: BackupFigures) {
    this.#scene = scene;
    this.#house = house;
    this.#workers = workers;
    this.#directory = directory;
    this.#figures = figures;
  }

  get #backup(): string {
    return join(this.#directory, 'backup');
  }

  async run(): Promise<void> {
    const { kills, restoreEvery, say } = this.#scene;
    const { backups } = this.#figures;
    for (let turn = 1; backups.killed < kills; turn += 1) {
      if (this.#workers.failure !== null) throw this.#workers.failure;
      const isSpared = turn % restoreEvery === 0;
      await this.#backUp(isSpared);
      await this.#checkWhole();
      if (isSpared) await this.#restore(turn);
      if (turn % 20 === 0) say(describeFigures(this.#figures));
    }
  }

  async #backUp(isSpared: boolean): Promise<void> {
    const { backups } = this.#figures;
    const killAfterMs = isSpared ? null : this.#scene.random() * this.#usualMs * 1.1;
    const args = ['--data-dir', this.#house.dataDir, 'backup', this.#backup];
    const { killed, code, said, workedMs } = await runKilled(args, killAfterMs);
    backups.started += 1;
    if (killed) backups.killed += 1;
    else if (code === 0) {
      backups.whole += 1;
      this.#usualMs = (this.#usualMs + workedMs) / 2;
    } else throw new Error(`a backup ended with ${code}: ${said}`);
  }

  /** What says that it is whole is checked, and holds what was stored when it was made. */
  async #checkWhole(): Promise<void> {
    const description = await readDescription(this.#backup);
    if (description === null) {
      if (this.#run !== null) throw new Error(`the backup ${this.#run} was whole, and is gone`);
      return;
    }
    this.#figures.checks += 1;
    const { report } = await checkBackup(this.#backup, quiet, false, false);
    if (report.findings.length > 0) throw new Error(`${description.run}: ${report.findings.join('; ')}`);
    this.#run = description.run;
    const cutMs = Date.parse(description.cut_at);
    const rows = new MetadataRows(backupPlaces(this.#backup, description.run).metadata);
    for (const { id, chunks, atMs, removedMs } of this.#workers.stored)
      if (atMs < cutMs && removedMs > cutMs && rows.chunksCount(id) !== chunks)
        throw new Error(`${description.run} holds ${rows.chunksCount(id)} of ${chunks} chunks of session ${id}`);
    rows.close();
  }

  /** Killed now and then, run again until it is whole; then everything in it is opened. */
  async #restore(turn: number): Promise<void> {
    const { restores } = this.#figures;
    const dataDir = join(this.#directory, `restored-${turn}`);
    for (let tries = 0; ; tries += 1) {
      const killAfterMs = tries < 3 ? this.#scene.random() * this.#usualRestoreMs * 1.3 : null;
      const { killed, code, said, workedMs } = await runKilled(
        ['--data-dir', dataDir, 'restore', this.#backup],
        killAfterMs,
      );
      restores.started += 1;
      if (killed) restores.killed += 1;
      else if (code === 0 || (tries > 0 && wasWhole(dataDir, said))) {
        restores.whole += 1;
        if (code === 0) this.#usualRestoreMs = (this.#usualRestoreMs + workedMs) / 2;
        break;
      } else throw new Error(`a restore ended with ${code}: ${said}`);
    }
    await this.#openAll(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }

  async #openAll(dataDir: string): Promise<void> {
    const house = await startHouse({ ...this.#scene.house, dataDir });
    try {
      const { sessions } = await house.api.json<{ sessions: SessionAnswer[] }>('GET', '/sessions?limit=100');
      const recorded = sessions.filter(({ started_at }) => started_at !== null);
      for (const { session_id: id } of recorded) await this.#open(house, id);
      await auditIsWhole(house.api, `http://127.0.0.1:${house.environment.SESSION_API_PORT}/log`);
      this.#figures.auditsVerified += 1;
    } finally {
      await house.stop();
    }
  }

  async #open(house: House, id: string): Promise<void> {
    await finished(house, id);
    const report = await verifySession(house, id);
    const isShredded = report.states.includes('SHREDDED');
    const readability = isShredded ? 'shredded' : 'readable';
    if (report.findings.length > 0 || report.verdicts.readability !== readability)
      throw new Error(`restored session ${id}: ${report.verdicts.readability} ${JSON.stringify(report.findings)}`);
    if (!isShredded && (await readRecording(house, id)).length === 0)
      throw new Error(`restored session ${id} holds nothing`);
    const { verified } = this.#figures;
    verified[isShredded ? 'shredded' : report.states.includes('RECOVERED') ? 'recovered' : 'whole'] += 1;
  }
}

export function describeFigures({
  backups,
  restores,
  verified,
  checks,
  auditsVerified,
  failures,
}: BackupFigures): string {
  return [
    `backups: ${backups.started} started, ${backups.killed} killed, ${backups.whole} whole`,
    `restores: ${restores.started} started, ${restores.killed} killed, ${restores.whole} whole`,
    `checks of a backup that says it is whole: ${checks}`,
    `restored sessions verified: ${verified.whole} whole, ${verified.recovered} recovered, ${verified.shredded} shredded`,
    `audit logs of restored installations verified: ${auditsVerified}`,
    `failures: ${failures.length}`,
  ].join('; ');
}
