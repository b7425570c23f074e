/** `check`: whether an installation, or a backup, holds everything it speaks of. Reads only; nothing has to be stopped. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import type { KeyWrap } from '@lucid-sessions/contract';
import {
  checkNote,
  decodeEntries,
  entriesPath,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  leafHash,
  logEntry,
  loggedSession,
  NO_LEAF_HASH,
  narrowing,
  type OpenBody,
  readRecord,
  type SignedRecord,
  TILE_WIDTH,
  toHex,
} from '@lucid-sessions/evidence';
import { FsChunkStore, recordSequence, recordsFolder, sessionFolder } from '@lucid-sessions/files';
import { KeyDirectory, type KeyUnwrapper, unwrapDek } from '@lucid-sessions/keys';
import { type LogFiles, logFilesIn, readCheckpoint } from '@lucid-sessions/log';
import { nodeCrypto } from '@lucid-sessions/node';
import type { Journal } from '@lucid-sessions/pipeline';
import { holdsRecording } from '@lucid-sessions/storage';
import { equalBytes } from '@lucid-sessions/wire';
import type { Output } from '../cli/output.ts';
import { absentAsNull, exists, hashFile } from './files.ts';
import { checkCopiedLog } from './log-part.ts';
import { localUnwrappers } from './own-keys.ts';
import type { Places } from './places.ts';
import { MetadataRows, type StoredRecord } from './rows.ts';
import { decodedOrNull, isSame, readLeaves, readWraps } from './session-folder.ts';

export interface CheckReport {
  sessions: number;
  chunks: number;
  bytes: number;
  /** Sessions whose keys no key at hand opens: an auditor's, or one in Vault. Not a finding. */
  keysNotTried: number;
  orphans: string[];
  log: { origin: string; size: number } | null;
  findings: string[];
}

export interface CheckOptions {
  /** The public files of the log, wherever they lie. */
  logFiles?: LogFiles;
  /** Sizes only, no hashes. */
  quick: boolean;
  /** Others may be writing: what is gone or late is looked for again. */
  live: boolean;
  /** What lies beside the chunks belongs to these rows; not so while a newer run of a backup was cut off. */
  kept: boolean;
}

const findingsMax = 1000;
const lateTries = 5;
const lateMs = 200;

export async function checkPlaces(places: Places, options: CheckOptions, output: Output): Promise<CheckReport> {
  return new Check(places, options, output).run();
}

class Check {
  readonly #places: Places;
  readonly #options: CheckOptions;
  readonly #output: Output;
  readonly #files: LogFiles;
  #unwrappers: KeyUnwrapper[] = [];
  #logSize = 0;
  readonly #report: CheckReport = {
    sessions: 0,
    chunks: 0,
    bytes: 0,
    keysNotTried: 0,
    orphans: [],
    log: null,
    findings: [],
  };

  constructor(places: Places, options: CheckOptions, output: Output) {
    this.#places = places;
    this.#options = options;
    this.#output = output;
    this.#files = options.logFiles ?? logFilesIn(places.log);
  }

  async run(): Promise<CheckReport> {
    await this.#checkDatabases();
    await this.#openKeys();
    await this.#checkLog();
    if (await exists(this.#places.metadata)) await this.#checkSessions();
    else if (await exists(this.#places.chunks)) this.#find(`${this.#places.metadata} is missing`);
    return this.#report;
  }

  #find(text: string): void {
    if (this.#report.findings.length < findingsMax) this.#report.findings.push(text);
  }

  async #checkDatabases(): Promise<void> {
    for (const path of [this.#places.metadata, this.#places.journal, this.#places.jobs]) {
      if (!(await exists(path))) continue;
      this.#output.progress(`checking ${path}`);
      try {
        const database = new DatabaseSync(path, { readOnly: true, timeout: 30_000 });
        try {
          for (const row of database.prepare('PRAGMA integrity_check(20)').all()) {
            const said = String(Object.values(row)[0]);
            if (said !== 'ok') this.#find(`${path}: ${said}`);
          }
        } finally {
          database.close();
        }
      } catch (thrown) {
        this.#find(`${path} can't be read: ${(thrown as Error).message}`);
      }
    }
  }

  async #openKeys(): Promise<void> {
    try {
      this.#unwrappers = await localUnwrappers(this.#places.keys);
    } catch (thrown) {
      this.#find(`keys can't be read: ${(thrown as Error).message}`);
    }
  }

  async #checkLog(): Promise<void> {
    try {
      const checkpoint = await readCheckpoint(this.#files);
      if (checkpoint === null) return;
      this.#output.progress(`checking the log, ${checkpoint.size} entries`);
      await checkCopiedLog(this.#files, checkpoint, 'the log');
      const { origin, size } = checkpoint;
      this.#report.log = { origin, size };
      this.#logSize = size;
      if (!(await exists(join(this.#places.keys, 'log.pem')))) return;
      const { key } = await (await KeyDirectory.open(this.#places.keys)).logSigner(origin);
      if ((await checkNote(nodeCrypto, checkpoint.note, key)) !== 'good')
        this.#find('the log’s checkpoint is not signed by the log key that lies here');
    } catch (thrown) {
      this.#find(`${(thrown as Error).message}`);
    }
  }

  async #checkSessions(): Promise<void> {
    let rows: MetadataRows;
    try {
      rows = new MetadataRows(this.#places.metadata);
    } catch {
      return; // Said already.
    }
    const journal = (await exists(this.#places.journal)) ? new JournalRows(this.#places.journal) : null;
    try {
      for (const id of rows.sessionIds()) {
        await this.#checkSession(id, rows, journal);
        this.#output.progress(`checked ${this.#report.sessions} sessions`, this.#report.sessions);
      }
      for (const id of rows.strayChains()) this.#find(`session ${id}: it has chunks and no row`);
      if (this.#options.live) await this.#findOrphans(rows);
    } catch (thrown) {
      this.#find(`${this.#places.metadata} can't be read: ${(thrown as Error).message}`);
    } finally {
      rows.close();
      journal?.close();
    }
  }

  async #findOrphans(rows: MetadataRows): Promise<void> {
    const chunks = new FsChunkStore({ path: this.#places.chunks });
    for await (const id of chunks.listSessions()) {
      const session = rows.session(id);
      if (session !== null && session.pipeline_state !== 'destroyed') continue;
      if (session !== null && !(await holdsRecording(chunks, id))) continue;
      if (this.#report.orphans.length < findingsMax) this.#report.orphans.push(id);
      this.#find(
        session === null
          ? `session ${id}: its chunks are stored and no row knows it; "check --repair" makes it again`
          : `session ${id}: it was deleted, and files of it are there`,
      );
    }
  }

  async #checkSession(id: string, rows: MetadataRows, journal: JournalRows | null): Promise<void> {
    const session = rows.session(id);
    if (session === null || session.status === 'deleted') return;
    this.#report.sessions += 1;
    const say = (text: string): void => this.#find(`session ${id}: ${text}`);
    const before = this.#report.findings.length;
    await this.#checkChunks(id, rows, say);
    // Deleted while it was being looked at.
    if (this.#options.live && rows.session(id)?.status === 'deleted') {
      this.#report.findings.splice(before);
      return;
    }
    const records = readAll(rows.records(id), say);
    await this.#checkKeys(id, rows, records, say);
    if (this.#options.kept) await this.#checkKept(id, records.length, say);
    await this.#checkLogged(records, journal?.get(id) ?? null, say);
  }

  async #checkChunks(id: string, rows: MetadataRows, say: (text: string) => void): Promise<void> {
    const folder = join(this.#places.chunks, sessionFolder(id));
    const count = rows.chunksCount(id);
    const leaves = await readLeaves(folder);
    const inFile = leaves.length / LEAF_RECORD_BYTES;
    // Behind for a moment while a chunk is stored: leaves are written first.
    if (inFile < count) say(`leaves.bin holds ${inFile} of ${count} leaves`);
    let previous: Uint8Array = NO_LEAF_HASH;
    for (let index = 0; index < Math.max(count, inFile); index += 1) {
      const sealed = index < inFile ? leaves.subarray(index * LEAF_RECORD_BYTES) : rows.sealedLeaf(id, index);
      const bytes = sealed?.subarray(0, LEAF_RECORD_BYTES) ?? new Uint8Array(0);
      const row = index < count ? rows.sealedLeaf(id, index) : bytes;
      if (row === null || Buffer.compare(row, bytes) !== 0) say(`leaf ${index} and its row differ`);
      const leaf = decodedOrNull(bytes, 0);
      if (leaf === null) {
        say(`leaf ${index} can't be read`);
        continue;
      }
      if (leaf.index !== index || !equalBytes(leaf.previousLeafHash, previous))
        say(`leaf ${index} does not follow the one before`);
      previous = leafHash(bytes.subarray(0, LEAF_BYTES));
      await this.#checkFile(
        join(folder, `${index}.chunk`),
        { bytes: leaf.fileBytes, sha256: toHex(leaf.fileSha256) },
        index,
        say,
      );
    }
  }

  async #checkFile(
    path: string,
    wanted: { bytes: number; sha256: string },
    index: number,
    say: (text: string) => void,
  ): Promise<void> {
    const size = (await absentAsNull(() => stat(path)))?.size ?? null;
    this.#report.chunks += 1;
    this.#report.bytes += size ?? 0;
    if (size === null) say(`chunk ${index} is missing`);
    else if (size !== wanted.bytes || !(this.#options.quick || isSame(await hashFile(path), wanted)))
      say(`chunk ${index} is not what its leaf says`);
  }

  async #checkKeys(
    id: string,
    rows: MetadataRows,
    records: readonly SignedRecord[],
    say: (text: string) => void,
  ): Promise<void> {
    const wraps = rows.wraps(id);
    const open = records.find((record) => record.kind === 'open')?.body;
    const dekId = open?.kind === 'open' ? open.dek_id : null;
    // Read again: wraps are never gone before their record is there.
    const isErased = readAll(rows.records(id), () => {}).some(
      ({ body }) => body.kind === 'erase' && body.erased !== 'chunks',
    );
    if (dekId === null || isErased) return;
    const own = wraps.filter(({ keyId }) => keyId === dekId);
    if (own.length === 0) return say('its wrapped keys are gone, and no record says that they were erased');
    if (this.#options.kept) await this.#compareWraps(id, wraps, say);
    if (this.#unwrappers.length === 0 || !own.some(({ scheme }) => scheme === 'local')) {
      this.#report.keysNotTried += 1;
      return;
    }
    try {
      if ((await unwrapDek(own, this.#unwrappers)) === null) say('no key that lies here opens its wraps');
    } catch (thrown) {
      say((thrown as Error).message);
    }
  }

  async #compareWraps(id: string, wraps: readonly KeyWrap[], say: (text: string) => void): Promise<void> {
    const folder = join(this.#places.chunks, sessionFolder(id));
    const beside = await readWraps(folder).catch(() => []);
    const isAlike =
      beside.length === wraps.length &&
      beside.every(({ wrapped }, at) => Buffer.compare(wrapped, wraps[at]?.wrapped ?? new Uint8Array(0)) === 0);
    // In a backup: shredded between the copy of the databases and that of its folder.
    const isShredded = !this.#options.live && beside.length === 0;
    if (!isAlike && !isShredded) say('the wrapped keys beside its chunks are not those of its row');
  }

  async #checkKept(id: string, count: number, say: (text: string) => void): Promise<void> {
    const folder = join(this.#places.chunks, sessionFolder(id));
    if (count === 0 || !(await exists(folder))) return;
    let beside = 0;
    // One that was stored this moment may not have its copy yet.
    for (let tries = this.#options.live ? lateTries : 1; tries > 0; tries -= 1) {
      const names = (await absentAsNull(() => readdir(join(folder, recordsFolder)))) ?? [];
      beside = names.filter((name) => recordSequence(name) !== null).length;
      if (beside >= count) return;
      if (tries > 1) await delay(lateMs);
    }
    say(`${beside} of ${count} records lie beside its chunks`);
  }

  /** What the journal knows to be logged stands in the log, at its place. */
  async #checkLogged(
    records: readonly SignedRecord[],
    journal: Journal | null,
    say: (text: string) => void,
  ): Promise<void> {
    const open = records.find((candidate): candidate is SignedRecord<OpenBody> => candidate.kind === 'open');
    if (journal === null) return;
    for (const [kind, index] of [
      ['open', journal.openLogIndex],
      ['manifest', journal.manifestLogIndex],
    ] as const) {
      if (index === null) continue;
      const record = records.find((candidate) => candidate.kind === kind);
      if (record === undefined) say(`its ${kind} record was logged and is not there`);
      else if (open === undefined || !(await this.#standsAt(index, logEntry(kind, record.sha256, loggedSession(open)))))
        say(`its ${kind} record does not stand in the log at ${index}`);
    }
  }

  async #standsAt(index: number, entry: Uint8Array): Promise<boolean> {
    // A live log may have grown since it was read.
    const size = this.#options.live ? ((await readCheckpoint(this.#files))?.size ?? 0) : this.#logSize;
    if (index >= size) return false;
    const bundle = Math.floor(index / TILE_WIDTH);
    const width = Math.min(TILE_WIDTH, size - bundle * TILE_WIDTH);
    const bytes = await narrowing(this.#files)(entriesPath(bundle, width));
    const there = bytes === null ? undefined : decodeEntries(bytes)[index % TILE_WIDTH];
    return there !== undefined && equalBytes(there, entry);
  }
}

function readAll(stored: readonly StoredRecord[], say: (text: string) => void): SignedRecord[] {
  const records: SignedRecord[] = [];
  for (const { sequence, record } of stored)
    try {
      records.push(readRecord(record));
    } catch {
      say(`its record ${sequence} can't be read`);
    }
  return records;
}

class JournalRows {
  readonly #database: DatabaseSync;

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { readOnly: true, timeout: 30_000 });
  }

  get(sessionId: string): Journal | null {
    const row = this.#database.prepare('SELECT document FROM journals WHERE session_id = ?').get(sessionId);
    return row === undefined ? null : (JSON.parse(String(row.document)) as Journal);
  }

  close(): void {
    this.#database.close();
  }
}
