/**
 * What can be known to fail before anything is made: wrong values, unreadable files and directories, taken ports. Each is an
 * EnvironmentError that names its variable. Whatever happens between this look and the start is told by the start itself.
 */
import { dirname, join } from 'node:path';
import { checkJwtKey, readApiEnv } from '@lucid-sessions/api';
import { AgeWrapper } from '@lucid-sessions/keys';
import {
  accessProblem,
  type Environment,
  EnvironmentError,
  hasProof,
  type KeyPlace,
  readLogPath,
  readServiceAccess,
  readServiceProof,
  ServiceCaller,
  ServiceGate,
} from '@lucid-sessions/kit';
import { readPipelineEnv } from '@lucid-sessions/pipeline';
import { readProcessorEnv } from '@lucid-sessions/processor';
import { checkCertificate, checkSpoolKey, readRecorderEnv } from '@lucid-sessions/recorder';
import { readMetadataDb, readStorageEnv } from '@lucid-sessions/storage';
import { anchorCheck, openAnchors, openStamper } from './anchors.ts';
import { bucketOptions, chunkPlace, copyPlace, logPlace } from './chunk-stores.ts';
import { checkDirectory, makeDirectory } from './data-access.ts';
import { checkLogOrigin } from './embedded-parts.ts';
import { type DataDirectory, dataDirectory, dataFolders, type ServiceName } from './environment.ts';
import { openEventSinks } from './event-sinks.ts';
import { checkGivenKeys } from './given-keys.ts';
import { readKerberosTickets } from './kerberos.ts';
import { readKeyframePolicy } from './keyframe-policy.ts';
import { checkPorts, type Door, listenError } from './ports.ts';
import { readRedis } from './redis.ts';
import { software } from './software.ts';
import { checkStores } from './stores.ts';
import { readTracing } from './tracing.ts';
import { readVault } from './vault.ts';
import { readWitnesses } from './witnesses.ts';

export interface PreflightOptions {
  environment: Environment;
  services: ReadonlySet<ServiceName>;
}

/** One look, which throws what is wrong. */
export interface PreflightStep {
  what: string;
  check(): void | Promise<void>;
}

/** Answers where the services will listen. */
export async function preflight(options: PreflightOptions): Promise<Door[]> {
  const { environment, services } = options;
  const directory = dataDirectory(environment);
  const { steps, doors } = preflightSteps(options);
  for (const { check } of steps) await check();
  await checkPorts(doors);
  if (dataFolders(environment, directory, services).length > 0) await makeDirectory('LUCID_DATA_DIR', directory.root);
  return doors;
}

/** All but the ports, in their order: what a later one reads, an earlier one has checked. `doors` is filled by them. */
export function preflightSteps({ environment, services }: PreflightOptions): { steps: PreflightStep[]; doors: Door[] } {
  const directory = dataDirectory(environment);
  // Secrets nobody set are made at the start: here they only have to be there.
  const jwtSecret =
    environment.LUCID_JWT_PUBLIC_KEY || environment.LUCID_JWT_JWKS_URL ? {} : { LUCID_JWT_SECRET: placeholder };
  const complete: Environment = {
    ...(hasProof(readServiceProof(environment)) ? {} : { LUCID_SERVICE_SECRET: placeholder }),
    ...jwtSecret,
    ...Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== '')),
    LUCID_DATA_DIR: directory.root,
  };
  const doors: Door[] = [];
  const hasLog = services.has('pipeline') || services.has('api');
  const folders = () => dataFolders(environment, directory, services);
  const steps: PreflightStep[] = [
    { what: 'keys', check: () => (directory.keysGiven ? checkGivenKeys(complete, directory, services) : undefined) },
    { what: 'settings', check: () => void doors.push(...readDoors(complete, services)) },
    { what: 'settings of what is connected', check: () => checkShared(complete) },
    { what: 'directories and databases', check: () => checkDirectories(complete, services, directory, folders()) },
    { what: 'log', check: () => (hasLog ? checkLogOrigin(complete, directory) : undefined) },
  ];
  return { steps, doors };
}

/** What failed at the start all the same, in terms of what the operator has set. */
export function startProblem(
  error: unknown,
  { root, keys, keysGiven }: DataDirectory,
  doors: readonly Door[],
): unknown {
  if (error instanceof EnvironmentError || !(error instanceof Error)) return error;
  const { syscall, port, path } = error as NodeJS.ErrnoException & { port?: number };
  const door = syscall === 'listen' ? doors.find((each) => each.port === port) : undefined;
  if (door !== undefined) return listenError(door, error, null);
  const isOwn = ['KeyError', 'SecretFileError', 'LogError'].includes(error.name);
  if (keysGiven && isOwn && error.message.includes(keys)) return keysProblem({ path: keys, given: true }, error);
  const why = isOwn ? error.message : path?.startsWith(root) ? accessProblem(error) : null;
  if (why === null) return error;
  const where = isOwn ? root : path;
  return new EnvironmentError('LUCID_DATA_DIR', `names ${where}, which can't be used: ${why}`, { cause: error });
}

const keysProblem = ({ path, given }: KeyPlace, error: unknown): EnvironmentError =>
  new EnvironmentError(
    given ? 'LUCID_KEYS_PATH' : 'LUCID_DATA_DIR',
    `names ${given ? path : dirname(path)}, which can't be used: ${accessProblem(error) ?? (error as Error).message}`,
    { cause: error },
  );

const placeholder = 'set-when-the-services-start-at-the-latest';

/** Reads what every chosen service will read, and answers where they will listen. */
function readDoors(environment: Environment, services: ReadonlySet<ServiceName>): Door[] {
  const inside = { hostVariable: 'LUCID_BIND_HOST' };
  const doors: Door[] = [];
  if (services.has('storage')) {
    const { host, port } = readStorageEnv(environment);
    doors.push({ ...inside, portVariable: 'SESSION_STORAGE_PORT', host, port });
  }
  if (services.has('processor')) {
    const { host, port, recipients, keyHolders } = readProcessorEnv(environment);
    checkRecipients('LUCID_RECIPIENTS', recipients);
    checkRecipients('LUCID_KEY_HOLDERS', keyHolders?.holders ?? []);
    doors.push({ ...inside, portVariable: 'CHUNK_PROCESSOR_PORT', host, port });
  }
  if (services.has('pipeline')) {
    const { host, port, limits } = readPipelineEnv(environment);
    if (limits.renewalMs > 0) openStamper(environment, { nowUs: () => 0 });
    doors.push({ ...inside, portVariable: 'SESSION_PIPELINE_PORT', host, port });
  }
  if (services.has('recorder')) {
    const config = readRecorderEnv(environment);
    readKerberosTickets(environment);
    const { certificatePath, keys } = config;
    if (certificatePath !== undefined || keys.given)
      checkCertificate({ ...config, directory: keys.path, given: keys.given }, Date.now());
    try {
      checkSpoolKey(join(keys.path, 'spool.key'), keys.given);
    } catch (error) {
      throw keysProblem(keys, error);
    }
    doors.push({ ...inside, portVariable: 'SESSION_RECORDER_PORT', host: config.host, port: config.port });
    for (const { host, port, target } of config.listeners) {
      const portVariable = target === null ? 'RDP_LISTEN_PORT' : 'RDP_LISTENERS';
      doors.push({ portVariable, hostVariable: 'RDP_LISTEN_HOST', host, port });
    }
  }
  if (services.has('api')) {
    const { host, port, jwt } = readApiEnv(environment, software.version);
    checkJwtKey(jwt.key);
    doors.push({ hostVariable: 'LUCID_API_HOST', portVariable: 'SESSION_API_PORT', host, port });
  }
  return doors;
}

/** What several services read, or one of them only later. */
function checkShared(environment: Environment): void {
  const access = readServiceAccess(environment);
  new ServiceCaller(access);
  new ServiceGate('storage', access);
  readVault(environment);
  readWitnesses(environment);
  readKeyframePolicy(environment);
  readRedis(environment);
  anchorCheck(environment);
  openEventSinks(environment);
  readTracing(environment, software.name);
  openAnchors(environment, { storage: { appendAudit: async () => {} }, nowUs: () => 0, log: () => {} });
}

function checkRecipients(variable: string, recipients: readonly string[]): void {
  for (const recipient of recipients)
    try {
      new AgeWrapper(recipient);
    } catch {
      throw new EnvironmentError(variable, `holds ${recipient}, which is no age recipient: a letter is wrong`);
    }
}

/** Of what is there already; what is not is made by the services. */
async function checkDirectories(
  environment: Environment,
  services: ReadonlySet<ServiceName>,
  directory: DataDirectory,
  folders: readonly string[],
): Promise<void> {
  if (folders.length > 0) await checkDirectory('LUCID_DATA_DIR', directory.root);
  for (const path of folders) await checkDirectory('LUCID_DATA_DIR', path);
  if (services.has('storage')) {
    const { chunkStoragePath, chunkCopyPath } = readStorageEnv(environment);
    if (chunkCopyPath !== null && bucketOptions(environment, copyPlace(chunkCopyPath)) === null)
      await checkDirectory('CHUNK_COPY_PATH', chunkCopyPath);
    if (bucketOptions(environment, chunkPlace(chunkStoragePath)) === null)
      await checkDirectory('CHUNK_STORAGE_PATH', chunkStoragePath);
  }
  bucketOptions(environment, logPlace(readLogPath(environment) ?? directory.log));
  const users = new Set((['storage', 'pipeline'] as const).filter((service) => services.has(service)));
  if (users.size > 0) await checkStores({ metadataDb: readMetadataDb(environment), directory, environment }, users);
}
