/** The fault tests ask for: `<operation> <what …>` in the file named by `CRASH_FAULT_FILE`, read anew at each operation. */
import { readFileSync } from 'node:fs';

/** What is to go wrong with this operation; empty: nothing. */
export function faultOf(operation: string): string[] {
  const path = process.env.CRASH_FAULT_FILE;
  if (path === undefined) throw new Error('set CRASH_FAULT_FILE to a file with the fault');
  const [at, ...fault] = readFileSync(path, 'utf8').trim().split(' ');
  return at === operation ? fault : [];
}

export const failure = (code: string): Error => Object.assign(new Error(`injected ${code}`), { code });
