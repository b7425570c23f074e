/** `check --repair`: rows made again for sessions whose chunks lie there without any. Needs stopped services. */
import { join } from 'node:path';
import {
  chunkSuites,
  DEK_BYTES,
  decodeChunkHeader,
  hashLeaf,
  logEntry,
  loggedSession,
  type OpenBody,
  openChunk,
  readRecord,
  type SignedRecord,
  toHex,
} from '@lucid-sessions/evidence';
import { FsChunkStore } from '@lucid-sessions/files';
import { KeyError, KeyLock, type KeyUnwrapper, unwrapDek } from '@lucid-sessions/keys';
import { rebuildLogHead, SqliteLogHeadStore } from '@lucid-sessions/log';
import { nodeCrypto, nodeDecompressor } from '@lucid-sessions/node';
import { type Journal, newJournal } from '@lucid-sessions/pipeline';
import { PAYLOAD_BYTES_MAX, readPayloadHeader } from '@lucid-sessions/recording';
import { SqliteJournalStore, SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { type RebuildDeps, type RebuiltSession, rebuildSession } from '@lucid-sessions/storage';
import { CliError, type Output } from '../cli/output.ts';
import { nowUs } from '../server/embedded-parts.ts';
import { exists } from './files.ts';
import { localUnwrappers } from './own-keys.ts';
import type { Places } from './places.ts';
import { settleSessions } from './settle.ts';

export interface RepairReport {
  rebuilt: string[];
  failed: { session_id: string; message: string }[];
  /** The log's head was made again. */
  log: boolean;
}

export async function repair(places: Places, output: Output): Promise<RepairReport> {
  let lock: KeyLock;
  try {
    lock = KeyLock.take(places.keys, 'services are running here: stop them before anything is repaired');
  } catch (thrown) {
    throw thrown instanceof KeyError ? new CliError(thrown.message) : thrown;
  }
  try {
    return await repairLocked(places, output);
  } finally {
    lock.release();
  }
}

async function repairLocked(places: Places, output: Output): Promise<RepairReport> {
  const report: RepairReport = { rebuilt: [], failed: [], log: false };
  if ((await exists(join(places.log, 'checkpoint'))) && !(await exists(join(places.log, 'head.sqlite')))) {
    await rebuildLogHead(places.log);
    report.log = true;
  }
  const heads = (await exists(join(places.log, 'head.sqlite')))
    ? new SqliteLogHeadStore(join(places.log, 'head.sqlite'))
    : null;
  const metadata = new SqliteMetadataStore(places.metadata);
  const journals = new SqliteJournalStore(places.journal);
  const chunks = new FsChunkStore({ path: places.chunks });
  const openChunk = chunkOpener(await localUnwrappers(places.keys).catch(() => []));
  try {
    for await (const id of chunks.listSessions()) {
      const session = await metadata.getSession(id);
      // Also one whose rebuilding was cut off: its journal is the last that is written.
      if (session !== null && (await journals.get(id)) !== null) continue;
      if (session !== null && session.status === 'created') continue;
      try {
        const rebuilt = await rebuildSession({ metadata, chunks, nowUs, openChunk }, id);
        const logged = await loggedAt(chunks, id, heads);
        if ((await journals.get(id)) === null) await journals.put(journalOf(rebuilt, logged));
        report.rebuilt.push(id);
      } catch (thrown) {
        report.failed.push({ session_id: id, message: (thrown as Error).message });
      }
      output.progress(`made again: ${report.rebuilt.length}`, report.rebuilt.length);
    }
  } finally {
    heads?.close();
    await Promise.all([metadata.dispose(), journals.dispose(), chunks.dispose()]);
  }
  await settleSessions(places, nowUs());
  return report;
}

/** A chunk that no key at hand opens, or that is damaged, is not counted; `check` and `verify` say what is wrong with it. */
function chunkOpener(unwrappers: readonly KeyUnwrapper[]): NonNullable<RebuildDeps['openChunk']> {
  return async (file, wraps) => {
    try {
      const { suite, compression, dekId } = decodeChunkHeader(file);
      const isPlain = suite === chunkSuites.plain;
      const dek = isPlain ? new Uint8Array(DEK_BYTES) : await unwrapDek([...wraps], unwrappers);
      const opened = dek === null ? null : await openChunk(nodeCrypto, dek, file);
      if (opened?.opened !== true) return null;
      const payload = await nodeDecompressor.decompress(compression, opened.compressed, PAYLOAD_BYTES_MAX);
      const { framesCount } = readPayloadHeader(payload);
      return { framesCount, payloadBytes: payload.length, compression, keyId: isPlain ? '' : toHex(dekId) };
    } catch {
      return null;
    }
  };
}

type Logged = Pick<Journal, 'openLogIndex' | 'manifestLogIndex'>;

async function loggedAt(chunks: FsChunkStore, id: string, heads: SqliteLogHeadStore | null): Promise<Logged> {
  const logged: Logged = { openLogIndex: null, manifestLogIndex: null };
  const records = heads === null ? [] : (await chunks.readRecords(id)).map(({ record }) => readRecord(record));
  const open = records.find((record): record is SignedRecord<OpenBody> => record.kind === 'open');
  for (const { kind, sha256 } of open === undefined ? [] : records) {
    const index = heads?.indexOf(hashLeaf(logEntry(kind, sha256, loggedSession(open!)))) ?? null;
    if (kind === 'open') logged.openLogIndex = index;
    if (kind === 'manifest') logged.manifestLogIndex = index;
  }
  return logged;
}

/** As the pipeline would remember it: over, or under way when the recorder died. */
function journalOf({ session, open, manifest, chunksCount }: RebuiltSession, logged: Logged): Journal {
  const known = {
    ...newJournal(session.session_id),
    ...logged,
    admittedUs: open.opened_us,
    openedUs: open.opened_us,
    startedUs: open.opened_us,
  };
  if (manifest === null) return { ...known, connected: true };
  return {
    ...known,
    endedUs: manifest.ended_us,
    endReason: manifest.end.reason as Journal['endReason'],
    endMessage: manifest.end.message,
    failed: session.status === 'failed',
    recovered: manifest.end.reason === 'recorder_crashed' && session.status === 'completed',
    drainedUs: manifest.ended_us,
    drainedChunks: chunksCount,
    merkleRoot: manifest.merkle_root,
    chunksCount: manifest.chunks_count,
    totalBytes: manifest.total_bytes,
    manifestUs: manifest.ended_us,
  };
}
