/** Whom others may trust of this installation: the policy file of docs/format.md, section 9. */
import { formatNoteKey } from '@lucid-sessions/evidence';
import type { KeyDirectory } from '@lucid-sessions/keys';
import type { Environment } from '@lucid-sessions/kit';
import { readTsas } from './anchors.ts';
import { logOrigin } from './embedded-parts.ts';
import type { DataDirectory } from './environment.ts';
import { readWitnesses } from './witnesses.ts';

export async function trustPolicy(keys: KeyDirectory, environment: Environment, directory: DataDirectory) {
  const tsas = readTsas(environment);
  const witnesses = readWitnesses(environment).map(({ key }) => formatNoteKey(key));
  return {
    ...(await keys.exportPublic(logOrigin(environment, directory))),
    ...(tsas.length > 0 ? { tsas } : {}),
    ...(witnesses.length > 0 ? { witnesses } : {}),
  };
}
