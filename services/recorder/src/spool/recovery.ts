/** What an earlier process left in the spool: read at start, sent to the processor by the same code as other segments. */
import { join } from 'node:path';
import { OpenSegment } from './open-segment.ts';
import { checkSegmentHeader, readSegment, type SegmentContents } from './segment-reader.ts';
import { type SpoolDisk, segmentIndex, segmentPath } from './spool-disk.ts';
import type { RecoveredSession } from './spool-messages.ts';
import { type ClosedSegment, newSession, type SpooledSession } from './spool-session-state.ts';

export interface RecoveryOptions {
  disk: SpoolDisk;
  directory: string;
  key: Uint8Array;
  wallUs: () => number;
}

/** Where sessions go that this spool key can't open: never deleted, a person decides. */
export const unreadableDirectory = 'unreadable';

/** Directories of sessions that another recorder recovered from its copy: never deleted, a person decides. */
export const takenOverDirectory = 'taken-over';

/** Directories of completed sessions on their way out. No session has a name with a dot. */
export const forgottenDirectory = '.forgotten';

export function removeEmpty(disk: SpoolDisk, path: string): void {
  try {
    disk.removeDirectory(path);
  } catch {
    // Something is left in it: the next start removes it.
  }
}

export interface Recovery {
  sessions: RecoveredSession[];
  found: SpooledSession[];
  /** Session ids moved aside. */
  unreadable: string[];
}

export function recoverSessions(options: RecoveryOptions): Recovery {
  const recovery: Recovery = { sessions: [], found: [], unreadable: [] };
  for (const sessionId of options.disk.list(options.directory)) {
    if (sessionId === unreadableDirectory || sessionId === takenOverDirectory) continue;
    if (sessionId === forgottenDirectory) {
      removeForgotten(options);
      continue;
    }
    const recovered = recoverSession(options, sessionId);
    if (recovered === null) {
      moveAside(options, sessionId);
      recovery.unreadable.push(sessionId);
    } else {
      recovery.found.push(recovered.session);
      recovery.sessions.push(recovered.summary);
    }
  }
  return recovery;
}

function removeForgotten({ disk, directory }: RecoveryOptions): void {
  const forgotten = join(directory, forgottenDirectory);
  for (const name of disk.list(forgotten)) {
    for (const segment of disk.list(join(forgotten, name))) disk.remove(join(forgotten, name, segment));
    removeEmpty(disk, join(forgotten, name));
  }
}

/** Before the spool is taken up. Answers those that were there. */
export function setTakenOverAside(options: Omit<RecoveryOptions, 'key'>, sessionIds: readonly string[]): string[] {
  const { disk, directory } = options;
  disk.makeDirectory(directory);
  const names = disk.list(directory);
  const here = sessionIds.filter((sessionId) => names.includes(sessionId));
  for (const sessionId of here) moveAside(options, sessionId, takenOverDirectory);
  return here;
}

function moveAside(
  { disk, directory, wallUs }: Omit<RecoveryOptions, 'key'>,
  sessionId: string,
  aside = unreadableDirectory,
): void {
  disk.makeDirectory(join(directory, aside));
  disk.rename(join(directory, sessionId), join(directory, aside, `${sessionId}.${wallUs()}`));
}

function recoverSession(
  options: RecoveryOptions,
  sessionId: string,
): { session: SpooledSession; summary: RecoveredSession } | null {
  const { disk, key } = options;
  const directory = join(options.directory, sessionId);
  const session = newSession(-1, sessionId, 0, directory);
  const closed: ClosedSegment[] = [];
  for (const name of disk.list(directory)) {
    const index = segmentIndex(name);
    if (index === null) continue;
    const path = join(directory, name);
    const found = checkSegmentHeader(disk, path, key);
    if (found.header === 'foreign') return null;
    // A header is durable before any frame is: a file that is too short for one holds nothing.
    if (found.header === 'torn') disk.remove(path);
    else closed.push({ index, path, fileBytes: found.fileBytes, final: false, ready: null });
    session.nextIndex = found.header === 'torn' ? index : index + 1;
  }
  const last = closed.at(-1);
  const contents =
    last === undefined
      ? addEmptySegment(options, session, closed, { firstFrameNumber: 0, gapBefore: false })
      : readLast(options, last);
  if (contents === null) return null;
  const { recording } = contents.header;
  session.recording = recording;
  // Closed in order and not as the last one: only what comes behind it can say that the session was cut off.
  if (last !== undefined && contents.close?.final === false)
    addEmptySegment(options, session, closed, {
      firstFrameNumber: contents.header.firstFrameNumber + contents.framesCount,
      gapBefore: contents.close.gapAfter === true,
    });
  const final = closed.at(-1);
  if (final !== undefined) final.final = true;
  session.closed = closed;
  session.end = contents.close?.end ?? null;
  session.finalClosed = true;
  const framesCount = contents.header.firstFrameNumber + contents.framesCount;
  session.framesAccepted = framesCount;
  return {
    session,
    summary: { sessionId, recording, end: session.end, lastWrittenUs: contents.lastWrittenUs, framesCount },
  };
}

function readLast({ disk, key }: RecoveryOptions, last: ClosedSegment): SegmentContents | null {
  return readSegment(disk, last.path, key, () => {});
}

/** A session that died between two segments, or before its first was durable, still gets its (empty) final chunk. */
function addEmptySegment(
  options: RecoveryOptions,
  session: SpooledSession,
  closed: ClosedSegment[],
  start: { firstFrameNumber: number; gapBefore: boolean },
): SegmentContents | null {
  const { disk, key, wallUs } = options;
  const { sessionId, recording, directory, nextIndex: index } = session;
  const openedUs = wallUs();
  const header = { sessionId, recording, index, openedUs, monotonicNs: 0, ...start };
  const segment = OpenSegment.create(disk, directory, header, key);
  segment.release();
  session.nextIndex += 1;
  const path = segmentPath(directory, index);
  closed.push({ index, path, fileBytes: segment.fileBytes, final: true, ready: null });
  return readSegment(disk, path, key, () => {});
}
