/** Keys of an installation that open its sessions' keys. */
import { join } from 'node:path';
import { KeyDirectory, type KeyUnwrapper, LocalUnwrapper } from '@lucid-sessions/keys';
import { exists } from './files.ts';

/** None where no local key lies: reading one that is not there would make it. */
export async function localUnwrappers(keys: string): Promise<KeyUnwrapper[]> {
  if (!(await exists(join(keys, 'local.key')))) return [];
  return [new LocalUnwrapper(await (await KeyDirectory.open(keys)).localKeys())];
}
