/**
 * The gateway is killed at random moments of the connect phase, again and again, while clients connect by .rdp file and through a
 * listener. After every few kills it is let be, and everything that it holds is accounted for.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordKind, SessionDocument } from '@lucid-sessions/contract';
import { connectClient, type Desktop, type RdpClient } from '@lucid-sessions/desktop';
import { logEntry, loggedSession, readRecordOf, type VerificationReport } from '@lucid-sessions/evidence';
import { eventually, freePorts } from '@lucid-sessions/testkit';
import { installationPlaces, type Places } from '../../src/backup/places.ts';
import { MetadataRows } from '../../src/backup/rows.ts';
import { finished } from './crash-runs.ts';
import { armSession, readRecording, verifySession } from './gateway.ts';
import { type House, oneProcess, startHouse } from './house.ts';

/** A machine that does much else starts a gateway slowly; what never comes is still found. */
const waitMs = 240_000;

export interface ConnectScene {
  desktop: Desktop;
  kills: number;
  /** After so many kills everything is accounted for. */
  accountEvery: number;
  random: () => number;
  say: (line: string) => void;
  /** No further kill after this, ms from the start. */
  timeMs?: number;
}

export interface ConnectFigures {
  kills: number;
  /** Connections that were under way or had just been made. */
  connections: number;
  /** Those that had their desktop when the gateway was killed. */
  connected: number;
  /** What had become of sessions whose gateway was killed: their recording was recovered, or their file was used once more. */
  recovered: number;
  /** Of the recovered: killed before a frame was durable. */
  empty: number;
  usedAgain: number;
  /** Of a listener: nothing is left but what says that it never began. */
  takenBack: number;
  failures: string[];
}

interface Token {
  id: string;
  routingToken: string;
}

/** Through the listener, beside as many with an .rdp file. */
const clientsCount = 2;
/** Someone who had the desktop this long must have a recording. */
const durableMs = 2000;
/** Longer than `admit` takes. */
const admitMs = 60;
/** A client that is refused has been told by then. */
const refusalMs = 5000;

export async function runConnects(scene: ConnectScene): Promise<ConnectFigures> {
  const figures: ConnectFigures = {
    kills: 0,
    connections: 0,
    connected: 0,
    recovered: 0,
    empty: 0,
    usedAgain: 0,
    takenBack: 0,
    failures: [],
  };
  const [listener = 0] = await freePorts(1);
  const house = await startHouse({
    processes: oneProcess,
    environment: {
      RDP_LISTENERS: `${listener}=127.0.0.1:${scene.desktop.port};ignore_cert`,
      LUCID_RECORDER_GRACE_MS: '1000',
    },
  });
  try {
    await new ConnectRuns(scene, house, listener, figures).run();
  } catch (thrown) {
    const told = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    figures.failures.push(`${told}\n${house.victim('all').errors.slice(-2000)}`);
  } finally {
    await house.stop();
  }
  return figures;
}

class ConnectRuns {
  readonly #scene: ConnectScene;
  readonly #house: House;
  readonly #listenerPort: number;
  readonly #figures: ConnectFigures;
  readonly #places: Places;
  /** Files that may not have been used yet. */
  #tokens: Token[] = [];
  /** Sessions that somebody had a desktop of, long enough. */
  readonly #seen = new Set<string>();
  readonly #settled = new Set<string>();
  #verifying: Promise<unknown> = Promise.resolve();
  /** How long connecting takes: kills are spread over it. */
  #usualMs = 1000;

  constructor(scene: ConnectScene, house: House, listenerPort: number, figures: ConnectFigures) {
    this.#scene = scene;
    this.#house = house;
    this.#listenerPort = listenerPort;
    this.#figures = figures;
    this.#places = installationPlaces(house.environment);
  }

  async run(): Promise<void> {
    const { kills, accountEvery, say, timeMs = Number.POSITIVE_INFINITY } = this.#scene;
    const untilMs = performance.now() + timeMs;
    while (this.#figures.kills < kills && performance.now() < untilMs) {
      await this.#killOnce();
      if (this.#figures.kills % accountEvery === 0 || this.#figures.kills === kills) {
        await this.#account();
        say(describeConnects(this.#figures));
      }
    }
    await this.#account();
  }

  async #killOnce(): Promise<void> {
    const { random } = this.#scene;
    const older = this.#tokens[Math.floor(random() * this.#tokens.length)];
    const fresh = await armSession(this.#house, this.#scene.desktop.port, { name: 'killed while connecting' });
    // One that was tried before may have begun, or meet one more kill.
    const used = older === undefined ? [fresh] : [fresh, older];
    this.#tokens.push(fresh);
    const before = this.#admissions();
    const stop = new AbortController();
    const attempts = [
      ...used.map((token) => this.#connect(this.#house.rdpPort, token, stop.signal)),
      ...Array.from({ length: clientsCount }, () => this.#connect(this.#listenerPort, null, stop.signal)),
    ];
    // Every second kill comes while what is durable begins, the others at any moment.
    if (this.#figures.kills % 2 === 0) await sleep(random() * this.#usualMs * 1.2);
    else {
      for (const untilMs = performance.now() + 5000; this.#admissions() === before && performance.now() < untilMs; )
        await sleep(1);
      await sleep(random() * admitMs);
    }
    stop.abort();
    await this.#house.victim('all').kill();
    await Promise.all(attempts);
    this.#figures.kills += 1;
    this.#figures.connections += attempts.length;
    await this.#house.victim('all').start();
  }

  /** Until the gateway is killed. */
  async #connect(port: number, token: Token | null, killed: AbortSignal): Promise<void> {
    await sleep(this.#scene.random() * 100);
    const startedMs = performance.now();
    try {
      const client = await this.#client(port, token?.routingToken);
      const connectedMs = performance.now();
      this.#usualMs = 0.8 * this.#usualMs + 0.2 * (connectedMs - startedMs);
      if (!killed.aborted) this.#figures.connected += 1;
      client.key(0x1e);
      await client.ended;
      if (token !== null && performance.now() - connectedMs > durableMs) this.#seen.add(token.id);
    } catch {
      // Refused (its session is still being taken back), or cut off.
    }
  }

  #client(port: number, routingToken?: string): Promise<RdpClient> {
    return connectClient({
      port,
      ...(routingToken === undefined ? {} : { routingToken }),
      userName: 'crash',
      size: { width: 640, height: 480 },
    });
  }

  async #account(): Promise<void> {
    const documents = await eventually('nothing unfinished', () => this.#atRest(), waitMs);
    const open = documents.filter(({ session_id: id }) => !this.#settled.has(id));
    await Promise.all(open.map((session) => this.#settle(session)));
    await eventually('nothing unfinished', async () => this.#unfinished() === 0, waitMs);
    this.#accountForLog();
    this.#accountForKeys();
  }

  /** Every session, once none is on its way from one state to the next. */
  #atRest(): SessionDocument[] | false {
    if (this.#unfinished() > 0) return false;
    const documents = this.#documents();
    return documents.every(({ pipeline_state: state }) => state !== 'stopping') && documents;
  }

  async #settle(session: SessionDocument): Promise<void> {
    const { session_id: id, pipeline_state: state, created_by: createdBy } = session;
    if (session.started_at !== null || session.merkle_root !== null) {
      await this.#settleRecorded(id, 'recovered');
      this.#figures.recovered += 1;
    } else if (createdBy === null) {
      if (state !== 'error' && state !== 'destroyed' && state !== 'cleanup') throw new Error(`${id} stays ${state}`);
      this.#figures.takenBack += 1;
    } else {
      if (state !== 'starting') throw new Error(`${id}, which never began, is ${state}`);
      await this.#useAgain(id);
      this.#figures.usedAgain += 1;
    }
    this.#settled.add(id);
    this.#tokens = this.#tokens.filter((token) => token.id !== id);
  }

  async #useAgain(id: string): Promise<void> {
    if (this.#seen.has(id)) throw new Error(`${id} was somebody's desktop and says that it never began`);
    const token = this.#tokens.find((known) => known.id === id);
    const client = await this.#client(this.#house.rdpPort, token?.routingToken);
    client.key(0x1f);
    await client.close();
    await this.#settleRecorded(id, 'whole');
  }

  /** One chain, which verifies, and a file that begins nothing more. */
  async #settleRecorded(id: string, outcome: string): Promise<void> {
    const session = await finished(this.#house, id);
    const report = await this.#verify(id);
    const frames = await readRecording(this.#house, id);
    const problems = [
      ...report.findings.map(({ code, message }) => `${code}: ${message}`),
      ...(report.clean ? [] : ['it does not verify']),
      ...(session.outcome === outcome ? [] : [`its outcome is ${session.outcome}`]),
      ...(report.states.includes('RECOVERED') === (outcome === 'recovered') ? [] : [`it says ${report.states}`]),
      // Within 100 ms of its beginning nothing of it may have been durable.
      ...(frames.length > 0 || (outcome === 'recovered' && !this.#seen.has(id)) ? [] : ['it holds nothing']),
    ];
    if (frames.length === 0) this.#figures.empty += 1;
    const token = this.#tokens.find((known) => known.id === id);
    if (token !== undefined && (await this.#isLetIn(token))) problems.push('its file began it anew');
    if (problems.length > 0) throw new Error(`${id}: ${problems.join('; ')}`);
  }

  /** The API verifies one recording at a time. */
  #verify(id: string): Promise<VerificationReport> {
    const report = this.#verifying.then(() => verifySession(this.#house, id));
    this.#verifying = report.catch(() => {});
    return report;
  }

  async #isLetIn({ routingToken }: Token): Promise<boolean> {
    try {
      const client = await this.#client(this.#house.rdpPort, routingToken);
      const end = await Promise.race([client.ended, sleep(refusalMs).then(() => null)]);
      client.destroy();
      return end === null || end.errorInfo === 0;
    } catch {
      return false;
    }
  }

  #documents(): SessionDocument[] {
    const rows = new MetadataRows(this.#places.metadata);
    try {
      return [...rows.sessionIds()].map((id) => rows.session(id)).filter((session) => session !== null);
    } finally {
      rows.close();
    }
  }

  #unfinished(): number {
    const database = new DatabaseSync(this.#places.journal, { readOnly: true, timeout: 30_000 });
    try {
      return Number(database.prepare('SELECT COUNT(*) AS count FROM journals WHERE unfinished = 1').get()?.count);
    } finally {
      database.close();
    }
  }

  /** Another number: `admit` has begun something. */
  #admissions(): number {
    const database = new DatabaseSync(this.#places.metadata, { readOnly: true, timeout: 30_000 });
    try {
      return Number(
        database.prepare('SELECT (SELECT COUNT(*) FROM leases) + (SELECT COUNT(*) FROM sessions) AS count').get()
          ?.count,
      );
    } finally {
      database.close();
    }
  }

  /** Every entry is a record of a session that is there, each once; a session has one `open` at most. */
  #accountForLog(): void {
    // Before the log's own: what is being logged meanwhile is not looked for.
    const entries = readEntries(this.#places.log);
    const rows = new MetadataRows(this.#places.metadata);
    try {
      const known = new Set<string>();
      for (const id of rows.sessionIds()) {
        const records = rows.records(id);
        const opens = records.filter(({ kind }) => kind === 'open').length;
        if (opens > 1) throw new Error(`${id} was opened ${opens} times`);
        const open = records.find(({ kind }) => kind === 'open')?.record;
        for (const { kind, record } of records)
          if (open !== undefined) known.add(entryHex(kind as RecordKind, record, open));
      }
      for (const entry of entries)
        if (!known.delete(entry)) throw new Error(`the log has an entry twice, or of no session: ${entry}`);
    } finally {
      rows.close();
    }
  }

  #accountForKeys(): void {
    const database = new DatabaseSync(this.#places.metadata, { readOnly: true, timeout: 30_000 });
    try {
      for (const table of ['wraps', 'chains', 'records', 'leases']) {
        const stray = database
          .prepare(`SELECT session_id FROM ${table} WHERE session_id NOT IN (SELECT session_id FROM sessions)`)
          .all();
        if (stray.length > 0) throw new Error(`${table} of no session: ${stray.map(({ session_id: id }) => id)}`);
      }
    } finally {
      database.close();
    }
  }
}

const entryHex = (kind: RecordKind, record: Uint8Array, open: Uint8Array): string => {
  const session = loggedSession(readRecordOf('open', open));
  return Buffer.from(logEntry(kind, createHash('sha256').update(record).digest('hex'), session)).toString('hex');
};

const bundleEntries = 256;

/** The log's entries as its files have them (tlog-tiles). */
function readEntries(log: string): string[] {
  const size = Number(readFileSync(join(log, 'checkpoint'), 'utf8').split('\n')[1] ?? 0);
  const entries: string[] = [];
  for (let at = 0; entries.length < size; at += 1) {
    const width = Math.min(bundleEntries, size - entries.length);
    const name = `${at}`.padStart(3, '0');
    const bundle = readFileSync(join(log, 'tile', 'entries', width < bundleEntries ? `${name}.p/${width}` : name));
    for (let offset = 0; offset < bundle.length; ) {
      const length = bundle.readUInt16BE(offset);
      entries.push(bundle.subarray(offset + 2, offset + 2 + length).toString('hex'));
      offset += 2 + length;
    }
  }
  return entries;
}

export function describeConnects(figures: ConnectFigures): string {
  const { kills, connections, connected, recovered, empty, usedAgain, takenBack, failures } = figures;
  return [
    `${kills} kills`,
    `${connections} connections, ${connected} with a desktop by then`,
    `sessions: ${recovered} recovered (${empty} without a frame), ${usedAgain} used again, ${takenBack} of a listener taken back`,
    `${failures.length} failures`,
  ].join('; ');
}
