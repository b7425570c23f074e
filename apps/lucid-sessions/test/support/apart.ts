/** Five processes as on five machines: no directory in common, keys as Kubernetes mounts them, each its own and no more. */
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { makeServiceCa } from '@lucid-sessions/testkit/service-ca';
import { makeToken } from '../../src/commands/token.ts';
import { type ServiceName, serviceNames } from '../../src/server/environment.ts';
import { runCli } from './cli.ts';
import type { FiveOptions } from './five.ts';

/** The table of docs/operations.md. */
export const keysOf: Readonly<Record<ServiceName, readonly string[]>> = {
  recorder: ['spool.key', 'rdp.crt', 'rdp.key'],
  processor: ['identity.pem', 'local.key'],
  storage: [],
  pipeline: ['log.pem', 'log.pub', 'secrets.key'],
  api: ['identity.pub', 'log.pub', 'local.key'],
};

/** Files in a folder of the moment behind two links, read-only and for a group. */
export function mountSecret(directory: string, from: string, names: readonly string[]): void {
  const moment = '..2026_11_30_18_00_00.1';
  mkdirSync(join(directory, moment), { recursive: true, mode: 0o755 });
  symlinkSync(moment, join(directory, '..data'));
  for (const name of names) {
    copyFileSync(join(from, name), join(directory, moment, name));
    chmodSync(join(directory, moment, name), 0o440);
    symlinkSync(join('..data', name), join(directory, name));
  }
}

/** Certificates for each service under one CA, in its mount; what its environment says of them. */
export async function withCertificates({ mountOf, options }: Apart): Promise<FiveOptions> {
  const ca = await makeServiceCa();
  const own: FiveOptions['own'] = {};
  for (const name of serviceNames) {
    const { certificate, key } = await ca.issue({ dns: [`session-${name}`], addresses: ['127.0.0.1'] });
    const directory = join(mountOf(name), 'tls');
    mkdirSync(directory);
    writeFileSync(join(directory, 'tls.crt'), certificate);
    writeFileSync(join(directory, 'tls.key'), key);
    writeFileSync(join(directory, 'ca.crt'), ca.certificate);
    own[name] = {
      ...options.own?.[name],
      LUCID_SERVICE_TLS_CERT: join(directory, 'tls.crt'),
      LUCID_SERVICE_TLS_KEY: join(directory, 'tls.key'),
      LUCID_SERVICE_TLS_CA: join(directory, 'ca.crt'),
    };
  }
  return { ...options, own, scheme: 'https' };
}

/** Each signs with its own key; none has a secret of all. */
export function withSigningKeys({ mountOf, keys, options }: Apart): FiveOptions {
  const own: FiveOptions['own'] = {};
  for (const name of serviceNames) {
    mountSecret(join(mountOf(name), 'own'), keys, [`service-${name}.pem`, 'service-keys.json']);
    own[name] = {
      ...options.own?.[name],
      LUCID_SERVICE_KEY: join(mountOf(name), 'own', `service-${name}.pem`),
      LUCID_SERVICE_KEYS: join(mountOf(name), 'own', 'service-keys.json'),
    };
  }
  return { ...options, own };
}

export interface Apart {
  /** What `keys init` made. */
  keys: string;
  root: string;
  more: { LUCID_SERVICE_SECRET_FILE: string; LUCID_JWT_SECRET_FILE: string };
  options: FiveOptions;
  /** Where a service keeps what it owns; made by those that own something. */
  dataOf(name: ServiceName): string;
  mountOf(name: ServiceName): string;
}

export async function apart(): Promise<Apart> {
  const root = temporaryDirectory('apart');
  const keys = join(root, 'keys');
  const made = await runCli(['keys', 'init', keys], { LUCID_LOG_ORIGIN: 'log.example/apart' });
  if (made.code !== 0) throw new Error(made.stderr);
  const mountOf = (name: ServiceName) => join(root, 'mounts', name);
  const dataOf = (name: ServiceName) => join(root, 'data', name);
  for (const name of serviceNames) mountSecret(mountOf(name), keys, keysOf[name]);
  mountSecret(join(root, 'mounts', 'shared'), keys, ['service-secret', 'jwt-secret']);
  const own = Object.fromEntries(
    serviceNames.map((name) => [name, { LUCID_DATA_DIR: dataOf(name), LUCID_KEYS_PATH: mountOf(name) }]),
  );
  const more = {
    LUCID_SERVICE_SECRET_FILE: join(root, 'mounts', 'shared', 'service-secret'),
    LUCID_JWT_SECRET_FILE: join(root, 'mounts', 'shared', 'jwt-secret'),
  };
  const jwtSecret = readFileSync(join(keys, 'jwt-secret'), 'utf8').trim();
  const token = await makeToken(jwtSecret, { userId: 'ada', roles: ['admin'], lifetimeS: 3600 });
  return { keys, root, more, options: { own, token }, dataOf, mountOf };
}
