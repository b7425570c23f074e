/** What the system's chrony knows of this machine's clock, by `chronyc -n -c tracking`: it asks its sources all the time. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ClockSample } from './clock-agreement.ts';

const run = promisify(execFile);
const outputBytesMax = 4096;

/**
 * Fields of `tracking`, from 0: 2 stratum, 4 how far the system's clock is *behind* (s), 10 root delay, 11 root dispersion, 13 leap status.
 * Throws an `Error` for a person.
 */
export function readTracking(text: string): ClockSample {
  const fields = text.trim().split(',');
  const [stratum, behind, delay, dispersion] = [fields[2], fields[4], fields[10], fields[11]].map(Number);
  if (fields.length !== 14 || ![stratum, behind, delay, dispersion].every(Number.isFinite))
    throw new Error('chronyc answers something else than tracking');
  if (stratum === 0 || fields[13] === 'Not synchronised') throw new Error('chrony is not synchronised');
  return { offsetUs: Math.round(behind! * 1e6), errorUs: Math.ceil((dispersion! + delay! / 2) * 1e6) };
}

export async function askChrony(timeoutMs: number, command = 'chronyc'): Promise<ClockSample> {
  try {
    const { stdout } = await run(command, ['-n', '-c', 'tracking'], {
      timeout: timeoutMs,
      maxBuffer: outputBytesMax,
      env: { LC_ALL: 'C', PATH: process.env.PATH ?? '' },
    });
    return readTracking(stdout);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Error('there is no chronyc on this machine', { cause: error });
    throw new Error(message.split('\n')[0] ?? 'chronyc failed', { cause: error });
  }
}
