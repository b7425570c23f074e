/** Variables more than one service reads: each is read here, with its bounds and what it is without being set. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  type Environment,
  EnvironmentError,
  readInteger,
  readPort,
  readRetentionDays,
  readSecret,
  readText,
} from './environment.ts';
import { hasProof, readServiceProof, type ServiceProof } from './service-proof.ts';

const mebibyte = 1024 * 1024;
const recorderIdMax = 200;

/** Where the services listen, by variable. */
export const servicePorts = {
  SESSION_PIPELINE_PORT: 8083,
  SESSION_RECORDER_PORT: 8084,
  CHUNK_PROCESSOR_PORT: 8085,
  SESSION_STORAGE_PORT: 8086,
  SESSION_API_PORT: 8087,
} as const;
export type ServicePortVariable = keyof typeof servicePorts;

export const readServicePort = (environment: Environment, variable: ServicePortVariable): number =>
  readPort(environment, variable, servicePorts[variable]);

/** What every internal service needs to open its door and find its files. */
export interface InternalService {
  host: string;
  port: number;
  /** Empty: none, where `proof` has something. */
  serviceSecret: string;
  /** The secret alone unless given. */
  proof?: ServiceProof;
  dataDir: string;
}

export const readInternalService = (environment: Environment, port: ServicePortVariable): InternalService => ({
  host: readText(environment, 'LUCID_BIND_HOST', '127.0.0.1'),
  port: readServicePort(environment, port),
  ...readServiceAccess(environment),
  dataDir: readDataDir(environment),
});

/** How services know each other. The secret is needed where nothing else is configured. */
export function readServiceAccess(environment: Environment): Pick<InternalService, 'serviceSecret' | 'proof'> {
  const proof = readServiceProof(environment);
  const isNeeded = !hasProof(proof) || Boolean(environment.LUCID_SERVICE_SECRET);
  const serviceSecret = isNeeded ? readSecret(environment, 'LUCID_SERVICE_SECRET', 32) : '';
  return hasProof(proof) ? { serviceSecret, proof } : { serviceSecret };
}

/** Where keys are, and whether somebody put them there: then none is made. */
export interface KeyPlace {
  path: string;
  given: boolean;
}

/** LUCID_KEYS_PATH, a directory that may be mounted and read-only; without it keys are made in the data directory. */
export function readKeyPlace(environment: Environment): KeyPlace {
  const path = readText(environment, 'LUCID_KEYS_PATH', '');
  return path === '' ? { path: join(readDataDir(environment), 'keys'), given: false } : { path, given: true };
}

export const readDataDir = (environment: Environment): string => readText(environment, 'LUCID_DATA_DIR', './data');

/** `s3://bucket/prefix` in place of a directory. */
export const isBucket = (path: string): boolean => /^s3:/i.test(path);

/** A directory or a bucket; null: `log` in the data directory. */
export const readLogPath = (environment: Environment): string | null =>
  readText(environment, 'LUCID_LOG_PATH', '') || null;

/** Where the front door listens for RDP. */
export const readRdpPort = (environment: Environment): number => readPort(environment, 'RDP_LISTEN_PORT', 3389);

/** Where the front door listens. */
export const readRdpHost = (environment: Environment): string => readText(environment, 'RDP_LISTEN_HOST', '0.0.0.0');

/** The certificate clients see; null: one is made. Both files or none. */
export function readRdpCertificate(environment: Environment): { certificatePath: string; keyPath: string } | null {
  const certificatePath = readText(environment, 'RDP_TLS_CERT', '');
  const keyPath = readText(environment, 'RDP_TLS_KEY', '');
  if ((certificatePath === '') !== (keyPath === ''))
    throw new EnvironmentError('RDP_TLS_KEY', 'and RDP_TLS_CERT must be given together');
  return certificatePath === '' ? null : { certificatePath, keyPath };
}

/** A name or address that only this machine itself reaches. */
export const isLoopback = (host: string): boolean => /^(?:127\.[\d.]+|\[?::1\]?|localhost)$/i.test(host);

/** CHUNK_SIZE_MB in bytes: where the recorder closes a chunk is what the processor has room for. */
export const readChunkBytesMax = (environment: Environment): number =>
  readInteger(environment, 'CHUNK_SIZE_MB', { min: 1, max: 64, fallback: 10 }) * mebibyte;

export const readSessionsMax = (environment: Environment): number =>
  readInteger(environment, 'MAX_CONCURRENT_SESSIONS', { min: 1, max: 10_000, fallback: 100 });

/** Who records, as records and leases name it. */
export const readRecorderId = (environment: Environment): string =>
  readText(environment, 'LUCID_RECORDER_ID', hostname()).slice(0, recorderIdMax);

/** Of sessions created without one; null: until they are deleted. */
export const readRetentionDaysDefault = (environment: Environment): number | null =>
  readRetentionDays(environment, 'LUCID_RETENTION_DAYS_DEFAULT');

/** Names (mstshash) lead to sessions. */
export function readCookieRoute(environment: Environment): boolean {
  const text = readText(environment, 'RDP_COOKIE_ROUTE', 'off');
  if (text !== 'on' && text !== 'off') throw new EnvironmentError('RDP_COOKIE_ROUTE', 'must be on or off');
  return text === 'on';
}

export const nlaPolicies = ['off', 'offered', 'required'] as const;
/** Whether clients log on to the gateway by network level authentication. */
export type NlaVariable = (typeof nlaPolicies)[number];

export function readNla(environment: Environment): NlaVariable {
  const text = readText(environment, 'RDP_NLA', 'offered');
  const policy = nlaPolicies.find((known) => known === text);
  if (policy === undefined) throw new EnvironmentError('RDP_NLA', `must be one of ${nlaPolicies.join(', ')}`);
  return policy;
}
