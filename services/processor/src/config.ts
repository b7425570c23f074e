/** Configuration of the chunk processor. Read once, in main. */
import { hostname } from 'node:os';
import { type Environment, EnvironmentError, readInteger, readPort, readSecret, readText } from '@lucid-sessions/kit';

export interface ProcessorConfig {
  host: string;
  port: number;
  serviceSecret: string;
  dataDir: string;
  /** CHUNK_SIZE_MB in bytes. */
  chunkBytesMax: number;
  /** COMPRESSION_LEVEL: the user's wish, see `Pace`. */
  compressionLevel: number;
  /** CHUNK_PROCESSING_WORKERS, bounded by the cores there are when the pool starts. */
  workersMax: number;
  /** MAX_CONCURRENT_SESSIONS */
  sessionsMax: number;
  /** Who records, as records name it. */
  recorderId: string;
  /** age recipients (`age1…`) every session key is wrapped to, beside the local key. */
  recipients: readonly string[];
  leaseTtlMs: number;
}

const recipientPattern = /^age1[a-z0-9]{20,200}$/;
const recipientsMax = 20;

export function readProcessorEnv(environment: Environment): ProcessorConfig {
  const algorithm = readText(environment, 'ENCRYPTION_ALGORITHM', 'AES-256-GCM');
  if (algorithm !== 'AES-256-GCM') throw new EnvironmentError('ENCRYPTION_ALGORITHM', 'must be AES-256-GCM');
  return {
    host: readText(environment, 'LUCID_BIND_HOST', '127.0.0.1'),
    port: readPort(environment, 'CHUNK_PROCESSOR_PORT', 8085),
    serviceSecret: readSecret(environment, 'LUCID_SERVICE_SECRET', 32),
    dataDir: readText(environment, 'LUCID_DATA_DIR', './data'),
    chunkBytesMax: readInteger(environment, 'CHUNK_SIZE_MB', { min: 1, max: 64, fallback: 10 }) * 1024 * 1024,
    compressionLevel: readInteger(environment, 'COMPRESSION_LEVEL', { min: 1, max: 22, fallback: 6 }),
    workersMax: readInteger(environment, 'CHUNK_PROCESSING_WORKERS', { min: 1, max: 256, fallback: 10 }),
    sessionsMax: readInteger(environment, 'MAX_CONCURRENT_SESSIONS', { min: 1, max: 10_000, fallback: 100 }),
    recorderId: readText(environment, 'LUCID_RECORDER_ID', hostname()).slice(0, 200),
    recipients: readRecipients(environment),
    leaseTtlMs: readInteger(environment, 'LUCID_LEASE_MS', { min: 1000, max: 600_000, fallback: 10_000 }),
  };
}

function readRecipients(environment: Environment): string[] {
  const recipients = readText(environment, 'LUCID_RECIPIENTS', '')
    .split(',')
    .map((recipient) => recipient.trim())
    .filter((recipient) => recipient !== '');
  if (recipients.length > recipientsMax || !recipients.every((recipient) => recipientPattern.test(recipient)))
    throw new EnvironmentError(
      'LUCID_RECIPIENTS',
      `must be at most ${recipientsMax} age recipients (age1…), with commas`,
    );
  return recipients;
}
