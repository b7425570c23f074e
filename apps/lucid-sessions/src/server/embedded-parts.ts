/** The embedded adapters behind the services' ports: SQLite, files, the log in a directory, keys in files. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type KeyWrap, LucidError } from '@lucid-sessions/contract';
import type { ChunkDisk } from '@lucid-sessions/files';
import {
  AgeWrapper,
  KeyDirectory,
  type KeyUnwrapper,
  type KeyWrapper,
  LocalUnwrapper,
  LocalWrapper,
  ShareWrapper,
  unwrapDek,
  type VaultTransit,
  WrapError,
} from '@lucid-sessions/keys';
import { type Environment, EnvironmentError, isBucket, readLogPath, readText } from '@lucid-sessions/kit';
import type { ProcessorConfig, ProcessorKeys } from '@lucid-sessions/processor';
import type { ChunkStore, MetadataStore, StorageConfig } from '@lucid-sessions/storage';
import { chunkPlace, copyPlace, openChunkStore } from './chunk-stores.ts';
import type { DataDirectory } from './environment.ts';
import type { Stores } from './store-scheme.ts';

/** The system's wall clock, as it is set and corrected while this runs; µs since 1970. */
export const nowUs = (): number => Date.now() * 1000;

export async function openStorage(
  environment: Environment,
  config: StorageConfig,
  stores: Pick<Stores, 'metadata'>,
  disk?: ChunkDisk,
): Promise<{ metadata: MetadataStore; chunks: ChunkStore; copy?: { chunks: ChunkStore; which: 'all' | 'asked' } }> {
  const chunks = await openChunkStore(environment, chunkPlace(config.chunkStoragePath), disk);
  const { chunkCopyPath, copiedSessions: which } = config;
  const copied = chunkCopyPath === null ? null : await openChunkStore(environment, copyPlace(chunkCopyPath));
  return { metadata: await stores.metadata(), chunks, ...(copied === null ? {} : { copy: { chunks: copied, which } }) };
}

/** Who session keys are wrapped to beside the local key: it comes first, so that nobody else is asked while it opens them. */
export const outsideWrappers = (recipients: readonly string[], vault: VaultTransit | null): KeyWrapper[] => [
  ...recipients.map((recipient) => new AgeWrapper(recipient)),
  ...(vault === null ? [] : [vault]),
];

export const ownUnwrappers = async (keys: KeyDirectory, vault: VaultTransit | null): Promise<KeyUnwrapper[]> => [
  new LocalUnwrapper(await keys.localKeys()),
  ...(vault === null ? [] : [vault]),
];

export const openKeyDirectory = (directory: DataDirectory): Promise<KeyDirectory> =>
  KeyDirectory.open(directory.keys, { given: directory.keysGiven });

/** Of a given directory that has no local key Vault's is the only one. */
export async function processorKeys(
  keys: KeyDirectory,
  vault: VaultTransit | null,
  { recipients, keyHolders }: Pick<ProcessorConfig, 'recipients' | 'keyHolders'>,
): Promise<ProcessorKeys> {
  const local = vault === null || (await keys.hasLocalKey()) ? [new LocalWrapper(await keys.localKey())] : [];
  const shared = keyHolders === null ? [] : [new ShareWrapper(keyHolders.holders, keyHolders.threshold)];
  // Where a key is shared the other wraps last until the recording has ended.
  const wrappers = [...local, ...outsideWrappers(recipients, vault), ...shared];
  return { identity: await keys.identity(), wrappers, unwrappers: await ownUnwrappers(keys, vault) };
}

/** A session's DEK, or null when no key of this installation opens its wraps. */
export type Unwrap = (wraps: KeyWrap[]) => Promise<Uint8Array | null>;

export async function openUnwrap(
  keys: KeyDirectory,
  vault: VaultTransit | null,
  more: readonly KeyUnwrapper[] = [],
): Promise<Unwrap> {
  const unwrappers = [...(await ownUnwrappers(keys, vault)), ...more];
  return (wraps) => unwrapDek(wraps, unwrappers).catch(asServiceError);
}

function asServiceError(error: unknown): never {
  if (error instanceof WrapError && error.code === 'unavailable')
    throw new LucidError('unavailable', error.message, { cause: error });
  throw error;
}

/** The first line of the log's latest checkpoint; null while it is empty. */
function originOnDisk(directory: string): string | null {
  try {
    return readFileSync(join(directory, 'checkpoint'), 'utf8').split('\n')[0] || null;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}

/** As `keys init` wrote it beside the log's public key; null where it is not there. */
function originOfKeys(directory: string): string | null {
  try {
    return readFileSync(join(directory, 'log.pub'), 'utf8').split('+')[0] || null;
  } catch {
    return null;
  }
}

/**
 * The log's name in its checkpoints: who runs it. It keeps the name it began with, whatever the machine is called that it was
 * moved to: under another name it would be another log. Where keys are given it is no machine's to choose.
 */
export function logOrigin(environment: Environment, directory: DataDirectory): string {
  const known = originOnDisk(directory.log);
  const said = environment.LUCID_LOG_ORIGIN ? readText(environment, 'LUCID_LOG_ORIGIN', '') : null;
  if (known !== null && said !== null && said !== known)
    throw new EnvironmentError(
      'LUCID_LOG_ORIGIN',
      `must be ${known}, which this log has been called from its first entry`,
    );
  const origin = known ?? said ?? originOfKeys(directory.keys);
  if (origin === null && (directory.keysGiven || isBucket(readLogPath(environment) ?? '')))
    throw new EnvironmentError(
      'LUCID_LOG_ORIGIN',
      `must be set, or log.pub lie in ${directory.keys}: all machines must call the log alike`,
    );
  return origin ?? `${hostname()}/lucid-sessions`;
}

/** A name that no signed note may have would fail with the first session. */
export function checkLogOrigin(environment: Environment, directory: DataDirectory): void {
  if (!/^[^\s+]{1,255}$/u.test(logOrigin(environment, directory)))
    throw new EnvironmentError('LUCID_LOG_ORIGIN', 'must be 1 to 255 characters without space or plus');
}
