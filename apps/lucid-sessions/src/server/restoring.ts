/** A restore that was cut off leaves its marker: nothing may be started on half an installation. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readFileOrNull } from '@lucid-sessions/node';

export interface Restoring {
  backup: string;
  run: string;
}

export const restoringPath = (root: string): string => join(root, 'restoring.json');

/** What is left of the marker itself where a restore was cut off while it was written: nothing was restored yet. */
export const isRestOfMarker = (name: string): boolean => /^restoring\.json\.[0-9a-f-]+\.tmp$/.test(name);

export async function readRestoring(root: string): Promise<Restoring | null> {
  const bytes = await readFileOrNull(restoringPath(root));
  if (bytes === null) return null;
  try {
    const { backup, run } = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    return { backup: String(backup), run: String(run) };
  } catch {
    return { backup: '?', run: '?' };
  }
}

export class RestoringError extends Error {
  override readonly name = 'RestoringError';
  readonly code = 'LUCID_RESTORING';
}

export function refuseHalfRestored(root: string): void {
  if (existsSync(restoringPath(root)))
    throw new RestoringError(
      `a restore into ${root} was cut off: run the same "lucid-sessions restore" again, it goes on where it stopped`,
    );
}
