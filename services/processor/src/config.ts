/** Configuration of the chunk processor. Read once, in main. */
import { keyHoldersMax } from '@lucid-sessions/contract';
import {
  type Environment,
  EnvironmentError,
  type InternalService,
  readChunkBytesMax,
  readInteger,
  readInternalService,
  readRecorderId,
  readSessionsMax,
  readText,
} from '@lucid-sessions/kit';

export interface ProcessorConfig extends InternalService {
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
  /** age recipients who share every session key, and how many of them open one; null: it is not shared. */
  keyHolders: { holders: readonly string[]; threshold: number } | null;
  leaseTtlMs: number;
}

const recipientPattern = /^age1[a-z0-9]{20,200}$/;
const recipientsMax = 20;

export function readProcessorEnv(environment: Environment): ProcessorConfig {
  const algorithm = readText(environment, 'ENCRYPTION_ALGORITHM', 'AES-256-GCM');
  if (algorithm !== 'AES-256-GCM') throw new EnvironmentError('ENCRYPTION_ALGORITHM', 'must be AES-256-GCM');
  return {
    ...readInternalService(environment, 'CHUNK_PROCESSOR_PORT'),
    chunkBytesMax: readChunkBytesMax(environment),
    compressionLevel: readInteger(environment, 'COMPRESSION_LEVEL', { min: 1, max: 22, fallback: 6 }),
    workersMax: readInteger(environment, 'CHUNK_PROCESSING_WORKERS', { min: 1, max: 256, fallback: 10 }),
    sessionsMax: readSessionsMax(environment),
    recorderId: readRecorderId(environment),
    recipients: readRecipients(environment),
    keyHolders: readKeyHolders(environment),
    leaseTtlMs: readInteger(environment, 'LUCID_LEASE_MS', { min: 1000, max: 600_000, fallback: 10_000 }),
  };
}

/** Who shares session keys, and how many of them open one; null: they are not shared. */
function readKeyHolders(environment: Environment): ProcessorConfig['keyHolders'] {
  const holders = readText(environment, 'LUCID_KEY_HOLDERS', '')
    .split(',')
    .map((holder) => holder.trim())
    .filter((holder) => holder !== '');
  const isSaid = readText(environment, 'LUCID_KEY_THRESHOLD', '') !== '';
  if (holders.length === 0 && !isSaid) return null;
  const areRecipients = holders.every((holder) => recipientPattern.test(holder));
  if (
    !(holders.length >= 2 && holders.length <= keyHoldersMax && areRecipients) ||
    new Set(holders).size !== holders.length
  )
    throw new EnvironmentError(
      'LUCID_KEY_HOLDERS',
      `must be 2 to ${keyHoldersMax} different age recipients (age1…), with commas`,
    );
  if (readText(environment, 'LUCID_RECIPIENTS', '') !== '')
    throw new EnvironmentError(
      'LUCID_RECIPIENTS',
      'can not stand beside LUCID_KEY_HOLDERS: one recipient alone opens everything',
    );
  const bounds = { min: 2, max: holders.length, fallback: 0 };
  if (!isSaid)
    throw new EnvironmentError('LUCID_KEY_THRESHOLD', `must say how many of the ${holders.length} holders open a key`);
  return { holders, threshold: readInteger(environment, 'LUCID_KEY_THRESHOLD', bounds) };
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
