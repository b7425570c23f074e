/**
 * A log that came out of a backup may be older than what others have seen of it. If it grew from there it would be another log of the
 * same name: until witnesses agree, where there are any, nothing is added to it.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoragePort } from '@lucid-sessions/contract';
import type { EmbeddedLog } from '@lucid-sessions/log';
import { readFileOrNull, syncDirectory, writeFileDurably } from '@lucid-sessions/node';

export interface RestoredLog {
  origin: string;
  size: number;
  /** The moment the backup is of. */
  cut_at: string;
}

const markerPath = (directory: string): string => join(directory, 'restored.json');

export async function markRestored(directory: string, restored: RestoredLog): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(restored)}\n`);
  await writeFileDurably(markerPath(directory), bytes, 0o600);
}

async function readRestored(directory: string): Promise<RestoredLog | null> {
  const bytes = await readFileOrNull(markerPath(directory));
  return bytes === null ? null : (JSON.parse(Buffer.from(bytes).toString()) as RestoredLog);
}

export interface RestoredLogDeps {
  directory: string;
  log: EmbeddedLog;
  storage: Pick<StoragePort, 'appendAudit'>;
  hasWitnesses: boolean;
  nowUs: () => number;
  say: (line: string) => void;
}

export interface LogGuard {
  /** What witnesses said of the log. */
  onRound(outcome: { agreed: number; conflicts: number }): void;
}

const wait =
  'the log was restored from a backup and waits for a witness to say that it knows no later one; nothing is recorded until then';
const older =
  'the log was restored from a backup and a witness knows a later one: nothing is recorded, so that it does not fork. Restore a newer backup, or with --log a later copy of the log';

/** Null where the log was not restored, or nobody can be asked. */
export async function guardRestoredLog(deps: RestoredLogDeps): Promise<LogGuard | null> {
  const { directory, log, hasWitnesses, say } = deps;
  const restored = await readRestored(directory);
  if (restored === null) return null;
  if (!hasWitnesses) {
    say(
      `the log was restored with ${restored.size} entries as of ${restored.cut_at} and goes on from there: there are no witnesses to ask whether it was longer`,
    );
    // Storage may be another process, and late: the next start says it again.
    await settle(deps, restored, 'nobody was asked').catch((thrown: unknown) => say(String(thrown)));
    return null;
  }
  log.hold(wait);
  say(wait);
  let settled = false;
  return {
    onRound: ({ agreed, conflicts }) => {
      if (settled) return;
      if (conflicts > 0) log.hold(older);
      else if (agreed > 0) {
        settled = true;
        settle(deps, restored, `${agreed} witnesses agreed`).then(
          () => log.release(),
          (thrown: unknown) => {
            settled = false;
            say(`the restored log could not be taken up: ${String(thrown)}`);
          },
        );
      }
    },
  };
}

/** The audit log says it for good; then the marker goes. */
async function settle(
  { directory, storage, nowUs }: RestoredLogDeps,
  restored: RestoredLog,
  how: string,
): Promise<void> {
  await storage.appendAudit({
    eventId: `log_restored:${restored.size}:${restored.cut_at}`,
    timestampUs: nowUs(),
    eventType: 'log_restored',
    userId: null,
    resourceId: null,
    ipAddress: null,
    userAgent: null,
    success: true,
    errorMessage: null,
    details: { ...restored, witnesses: how },
  });
  await rm(markerPath(directory), { force: true });
  await syncDirectory(directory);
}
