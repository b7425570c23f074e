/**
 * Sessions that were under way at the moment a copy is of. Their state becomes one that a crash of the recorder leaves, which the
 * next start knows how to end: they come back as recovered.
 */
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LEAF_RECORD_BYTES } from '@lucid-sessions/evidence';
import { sessionFolder } from '@lucid-sessions/files';
import { makeDirectoryDurably, syncDirectory } from '@lucid-sessions/node';
import type { Journal } from '@lucid-sessions/pipeline';
import { segmentIndex, segmentPath } from '@lucid-sessions/recorder';
import { SqliteJournalStore } from '@lucid-sessions/sqlite';
import { absentAsNull, exists } from './files.ts';
import type { Places } from './places.ts';
import { MetadataRows } from './rows.ts';
import { decodedOrNull, readLeaves } from './session-folder.ts';

/** The state of the pipeline's machine in which a session's spool may still be needed. */
const overStates: readonly string[] = ['stopped', 'cleanup', 'destroyed', 'error', 'created'];

export async function settleSessions(places: Places, nowUs: number): Promise<number> {
  if (!(await exists(places.metadata)) || !(await exists(places.journal))) return 0;
  const rows = new MetadataRows(places.metadata);
  const journals = new SqliteJournalStore(places.journal);
  try {
    const unfinished = new Set<string>();
    for (const id of await journals.listUnfinished()) {
      const state = rows.session(id)?.pipeline_state;
      if (state === undefined || overStates.includes(state)) continue;
      unfinished.add(id);
      await settle(places, journals, id, nowUs);
    }
    await removeOtherSpools(places, unfinished);
    return unfinished.size;
  } finally {
    await journals.dispose();
    rows.close();
  }
}

async function settle(places: Places, journals: SqliteJournalStore, id: string, nowUs: number): Promise<void> {
  const journal = await journals.get(id);
  if (journal === null) return;
  const leaves = await readLeaves(join(places.chunks, sessionFolder(id)));
  const count = leaves.length / LEAF_RECORD_BYTES;
  const last = count === 0 ? null : decodedOrNull(leaves, count - 1);
  const left = await dropStored(places.spool, id, count);
  // The chunks of an imported session have the times of its capture.
  if (last?.final === true)
    await journals.put(ended(journal, Math.max(last.closedUs, journal.startedUs ?? 0), count, nowUs));
  else if (left > 0) return;
  else if (journal.startedUs !== null || count > 0) await leaveTorn(places.spool, id, count);
  else await journals.put(ended(journal, nowUs, 0, nowUs));
}

/** Everything it recorded is stored: nobody has to be waited for. */
function ended(journal: Journal, endedUs: number, drainedChunks: number, nowUs: number): Journal {
  const said = journal.endedUs !== null;
  return {
    ...journal,
    connected: false,
    endedUs: journal.endedUs ?? endedUs,
    // Nobody told its figures: they are those of its chunks.
    endInferred: !said || journal.endInferred,
    endReason: said ? journal.endReason : 'recorder_shutdown',
    endMessage: said ? journal.endMessage : 'the copy that was restored was made while this session was being stored',
    drainedUs: journal.drainedUs ?? nowUs,
    drainedChunks: journal.drainedChunks ?? drainedChunks,
  };
}

/** Removes segments whose chunks are stored; answers how many are left. */
async function dropStored(spool: string, id: string, count: number): Promise<number> {
  const directory = join(spool, id);
  let left = 0;
  for (const name of (await absentAsNull(() => readdir(directory))) ?? []) {
    const index = segmentIndex(name);
    if (index !== null && index >= count) left += 1;
    else await rm(join(directory, name), { force: true });
  }
  return left;
}

/** A segment that died before its header: the recorder makes the session's last, empty chunk of it, flagged RECOVERED. */
async function leaveTorn(spool: string, id: string, index: number): Promise<void> {
  const directory = join(spool, id);
  await makeDirectoryDurably(directory);
  const file = await open(segmentPath(directory, index), 'w', 0o600);
  await file.sync().finally(() => file.close());
  await syncDirectory(directory);
}

/** Of sessions that are over, or that began after the databases were copied: nobody would take them. */
async function removeOtherSpools({ spool }: Places, unfinished: ReadonlySet<string>): Promise<void> {
  for (const name of (await absentAsNull(() => readdir(spool))) ?? [])
    if (name !== 'unreadable' && !unfinished.has(name)) await rm(join(spool, name), { recursive: true, force: true });
  await mkdir(spool, { recursive: true, mode: 0o700 });
}
