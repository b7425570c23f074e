/** Which keys each service needs of a directory that was given (LUCID_KEYS_PATH), and no more. docs/operations.md has the table. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Environment, EnvironmentError } from '@lucid-sessions/kit';
import type { DataDirectory, ServiceName } from './environment.ts';

/** Each needs one of the files behind it. */
type Need = readonly string[];

function needsOf(service: ServiceName, environment: Environment): readonly Need[] {
  // With a key in Vault nobody needs one in a file to open what is wrapped by it.
  const wrapping: readonly Need[] = environment.LUCID_VAULT_URL ? [] : [['local.key']];
  switch (service) {
    case 'recorder':
      return [['spool.key'], ...(environment.RDP_TLS_CERT ? [] : [['rdp.crt'], ['rdp.key']])];
    case 'processor':
      return [['identity.pem'], ...wrapping];
    case 'pipeline':
      return [['log.pem'], ['secrets.key']];
    case 'api':
      return [...wrapping, ['identity.pub', 'identity.pem'], ['log.pub', 'log.pem']];
    case 'storage':
      return [];
  }
}

/** Throws EnvironmentError for the first key that is missing: a service that made one would differ from all others. */
export function checkGivenKeys(
  environment: Environment,
  { keys }: DataDirectory,
  services: ReadonlySet<ServiceName>,
): void {
  for (const service of services)
    for (const files of needsOf(service, environment)) {
      if (files.some((name) => existsSync(join(keys, name)))) continue;
      throw new EnvironmentError(
        'LUCID_KEYS_PATH',
        `names ${keys}, where ${files[0]} is missing, which the ${service} needs: "lucid-sessions keys init DIR" makes all keys of an installation, once`,
      );
    }
}
