/** `keys`: the keys of this installation, in its data directory; `shred` alone goes through the API. */
import { createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { formatPublicKey, keyIdOf } from '@lucid-sessions/evidence';
import {
  KeyDirectory,
  KeyError,
  type KeyInfo,
  KeyLock,
  type KeyWrapper,
  makeAgeIdentity,
  ShareWrapper,
} from '@lucid-sessions/keys';
import type { Environment } from '@lucid-sessions/kit';
import { writeFileDurably, writeOwnFile } from '@lucid-sessions/node';
import { readProcessorEnv } from '@lucid-sessions/processor';
import { loadSpoolKey, makeIdentity } from '@lucid-sessions/recorder';
import { createStorageService, readMetadataDb, readStorageEnv, type StorageService } from '@lucid-sessions/storage';
import type { ApiClient } from '../cli/api-client.ts';
import { type Ask, type Consent, consentTo, missingConsent } from '../cli/consent.ts';
import { CliError, exitCodes, type Output, table } from '../cli/output.ts';
import {
  logOrigin,
  nowUs,
  openKeyDirectory,
  openStorage,
  outsideWrappers,
  ownUnwrappers,
} from '../server/embedded-parts.ts';
import { type DataDirectory, dataDirectory, serviceNames, withOwnSecrets } from '../server/environment.ts';
import {
  droppedRecipients,
  type RewrapReport,
  rewrapSessions,
  toLocalKey,
  toRecipients,
  toShares,
} from '../server/rewrap.ts';
import { loadOrCreateSecret } from '../server/secret-file.ts';
import { storesOf } from '../server/stores.ts';
import { trustPolicy } from '../server/trust-policy.ts';
import { readVault } from '../server/vault.ts';

interface KeyRow {
  purpose: KeyInfo['purpose'] | 'recipient';
  key_id: string;
  public_key: string | null;
  created_at: string | null;
  /** `file`: nobody wrote down when it was made, and it is no younger than this. */
  created_from: KeyInfo['createdFrom'] | null;
  retired: boolean;
}

/** Key files' own refusals are a person's to mend. */
async function mendable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof KeyError) throw new CliError(thrown.message);
    throw thrown;
  }
}

async function rowsOf(keys: KeyDirectory, environment: Environment): Promise<KeyRow[]> {
  return rowsIn(await keys.list(logOrigin(environment, dataDirectory(environment))), environment);
}

function rowsIn(keys: readonly KeyInfo[], environment: Environment): KeyRow[] {
  const own = keys.map((key) => ({
    purpose: key.purpose,
    key_id: key.keyId,
    public_key: key.publicKey,
    created_at: key.createdAt.toISOString(),
    created_from: key.createdFrom,
    retired: key.retired,
  }));
  return [...own, ...recipientsOf(environment).map(recipientRow)];
}

const recipientRow = (recipient: string): KeyRow => ({
  purpose: 'recipient',
  key_id: '',
  public_key: recipient,
  created_at: null,
  created_from: null,
  retired: false,
});

const recipientsOf = (environment: Environment): readonly string[] =>
  readProcessorEnv({ ...environment, LUCID_SERVICE_SECRET: 'x'.repeat(32) }).recipients;

function tableOf(rows: readonly KeyRow[]): string {
  const cells = rows.map((row) => [
    row.retired ? `${row.purpose} (retired)` : row.purpose,
    row.key_id.slice(0, 16) || '-',
    row.created_from === 'file' ? `by ${row.created_at} (its file)` : (row.created_at ?? '-'),
    row.public_key ?? 'secret, never shown',
  ]);
  return table(['KEY', 'ID', 'CREATED', 'PUBLIC'], cells);
}

export interface InitOptions {
  /** File for a new auditor's secret identity. */
  auditor?: string;
  /** Where services on several machines get their keys from; the installation's own place unless given. */
  directory?: string;
}

/** Makes what is missing and leaves what is there; with a directory everything that services on several machines share. */
export async function initKeys(
  environment: Environment,
  output: Output,
  { auditor, directory: path }: InitOptions,
): Promise<void> {
  await mendable(async () => {
    const directory = dataDirectory(path === undefined ? environment : { ...environment, LUCID_KEYS_PATH: path });
    const keys = await KeyDirectory.open(directory.keys);
    // Under the name it is to have on every machine, should this one's be the first it gets.
    const origin = logOrigin(environment, { ...directory, keysGiven: false });
    if (directory.keysGiven) await makeShared(keys, directory.keys, origin);
    else {
      await keys.identity();
      await keys.logSigner(origin);
      await keys.localKey();
    }
    const made = auditor === undefined ? null : await makeAuditor(auditor);
    const rows = rowsIn(await keys.list(origin), environment);
    const lines = [tableOf(rows)];
    if (directory.keysGiven) lines.push('', ...sharedLines(directory.keys, origin));
    if (made !== null)
      lines.push(
        '',
        `auditor    ${made.recipient}`,
        `identity   ${made.file} (mode 0600): give it to the auditor, keep no copy here`,
        `use it     LUCID_RECIPIENTS=${[...recipientsOf(environment), made.recipient].join(',')}`,
      );
    output.result({ keys: rows, auditor: made }, lines.join('\n'));
  });
}

const sharedSecrets = { service: 'service-secret', jwt: 'jwt-secret' } as const;

/** Keys of all services, the certificate clients see, and the secrets that no service may make for itself. */
async function makeShared(keys: KeyDirectory, path: string, origin: string): Promise<void> {
  await keys.makeAll(origin);
  loadSpoolKey(join(path, 'spool.key'));
  await makeIdentity(path);
  for (const name of Object.values(sharedSecrets)) loadOrCreateSecret(join(path, name));
  await makeServiceKeys(path);
}

/** A key of each service to sign its calls with, and one file with the public ones. */
async function makeServiceKeys(path: string): Promise<void> {
  const keys = serviceNames.map((service) => {
    const make = (): string =>
      generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const key = createPublicKey(loadOrCreateSecret(join(path, `service-${service}.pem`), make));
    return { ...key.export({ format: 'jwk' }), services: [service] };
  });
  const text = `${JSON.stringify({ keys }, null, 2)}\n`;
  await writeFileDurably(join(path, 'service-keys.json'), new TextEncoder().encode(text));
}

const sharedLines = (path: string, origin: string): string[] => [
  `directory  ${path}: give each service its files as docs/operations.md lists them (LUCID_KEYS_PATH)`,
  `log        ${origin}`,
  `secrets    LUCID_SERVICE_SECRET_FILE=${join(path, sharedSecrets.service)} LUCID_JWT_SECRET_FILE=${join(path, sharedSecrets.jwt)}`,
];

export async function makeAuditor(path: string): Promise<{ recipient: string; file: string }> {
  const file = resolve(path);
  const { identity, recipient } = await makeAgeIdentity();
  try {
    await writeOwnFile(file, `# public key: ${recipient}\n${identity}\n`);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    throw new CliError(`${file} is there already: name another file`);
  }
  return { recipient, file };
}

export async function listKeys(environment: Environment, output: Output): Promise<void> {
  await mendable(async () => {
    const rows = await rowsOf(await openKeyDirectory(dataDirectory(environment)), environment);
    output.result({ keys: rows }, rows.length === 0 ? 'no keys yet: "keys init" or "up" makes them' : tableOf(rows));
  });
}

/** What others need to trust this installation, as a policy file for `verify --policy`. */
export async function exportPublicKeys(environment: Environment, output: Output, out?: string): Promise<void> {
  await mendable(async () => {
    const keys = await openKeyDirectory(dataDirectory(environment));
    const policy = await trustPolicy(keys, environment, dataDirectory(environment));
    if (policy.identity_keys.length === 0) throw new CliError('there are no keys yet: "keys init" or "up" makes them');
    const text = JSON.stringify(policy, null, 2);
    if (out !== undefined) await writeOwnFile(out, `${text}\n`);
    output.result(policy, out === undefined ? text : `policy     ${resolve(out)}`);
  });
}

export type Rotation = 'identity' | 'local' | 'recipients' | 'shares';

/** `session`: of this one alone. */
export interface Sharing {
  holders: readonly string[];
  threshold: number;
  session?: string;
}

export interface RotateOptions {
  /** Recipients whose copies may go. */
  confirm?: string[];
  reason?: string;
  /** Whom keys are shared among, for `shares`. */
  sharing?: Sharing;
}

/** Refuses while services run: they would continue with the keys they read, and open sessions under them. */
export async function rotateKeys(
  environment: Environment,
  output: Output,
  what: Rotation,
  given: RotateOptions = {},
): Promise<void> {
  await mendable(async () => {
    const directory = dataDirectory(environment);
    const keys = await KeyDirectory.open(directory.keys);
    const lock = KeyLock.take(directory.keys);
    try {
      await rotateLocked(environment, output, what, given, keys, directory);
    } finally {
      lock.release();
    }
  });
}

async function rotateLocked(
  environment: Environment,
  output: Output,
  what: Rotation,
  given: RotateOptions,
  keys: KeyDirectory,
  directory: DataDirectory,
): Promise<void> {
  const config = readStorageEnv(withOwnSecrets(environment, directory));
  const stores = storesOf({ metadataDb: readMetadataDb(environment), directory, environment });
  const storage = createStorageService({ ...(await openStorage(environment, config, stores)), nowUs });
  try {
    const done = await { identity: rotateIdentity, local: rotateLocal, recipients: rotateRecipients, shares: shareAll }[
      what
    ]({
      environment,
      keys,
      storage,
      given,
    });
    const { reason } = given;
    const told = { ...done.details, ...(reason === undefined ? {} : { reason }) };
    await auditRotation(storage, what, told, done.report);
    const failed = done.report?.failed ?? [];
    output.result({ rotated: what, ...done.details, ...(done.report ?? {}) }, describe(done).join('\n'));
    if (failed.length > 0)
      throw new CliError(`${failed.length} sessions keep their old wraps; nothing they need was destroyed`);
  } finally {
    await storage.dispose();
  }
}

interface RotationWork {
  environment: Environment;
  keys: KeyDirectory;
  storage: StorageService;
  given: RotateOptions;
}

interface Rotated {
  details: Record<string, string | string[]>;
  report: RewrapReport | null;
}

async function rotateIdentity({ keys }: RotationWork): Promise<Rotated> {
  const { before, after } = await keys.rotateIdentity(nowUs());
  const details = { before: keyIdOf(before), after: keyIdOf(after), public_key: formatPublicKey(after) };
  return { details, report: null };
}

async function rotateLocal({ keys, storage }: RotationWork): Promise<Rotated> {
  const { before, after } = await keys.rotateLocalKey();
  const report = await rewrapSessions(storage, toLocalKey(await keys.localKeys()));
  // Also keys a rotation left that was cut off. Only when nothing is under them any more.
  const dropped: string[] = [];
  if (report.failed.length === 0)
    for (const { keyId } of (await keys.localKeys()).slice(1)) {
      await keys.dropLocalKey(keyId);
      dropped.push(keyId);
    }
  return { details: { before, after, destroyed: dropped }, report };
}

/** A variable that was forgotten must not take an auditor's access to everything. */
async function checkDropped(
  { storage, given }: RotationWork,
  wrappers: readonly KeyWrapper[],
  only?: string,
): Promise<string[]> {
  const dropped = await droppedRecipients(storage, wrappers, only);
  const unnamed = [...dropped].filter(([recipient]) => !given.confirm?.includes(recipient));
  const lines = unnamed.map(
    ([recipient, sessions]) =>
      `${sessions} ${sessions === 1 ? 'session' : 'sessions'} would no longer open for ${recipient}`,
  );
  if (lines.length > 0 || (dropped.size > 0 && !given.reason?.trim()))
    throw new CliError(
      [
        ...lines,
        'name whoever loses access with --confirm RECIPIENT and say why with --reason TEXT, or put them back into LUCID_RECIPIENTS (LUCID_VAULT_*)',
      ].join('\n'),
      exitCodes.usage,
    );
  return [...dropped.keys()];
}

async function rotateRecipients(work: RotationWork): Promise<Rotated> {
  const { environment, keys, storage } = work;
  const vault = readVault(environment);
  const wrappers = outsideWrappers(recipientsOf(environment), vault);
  const dropped = await checkDropped(work, wrappers);
  const report = await rewrapSessions(storage, toRecipients(wrappers, await ownUnwrappers(keys, vault)));
  return { details: { recipients: wrappers.map(({ recipient }) => recipient), dropped }, report };
}

/** Who had a copy of their own loses it; the local key opens none of these any more. */
async function shareAll(work: RotationWork): Promise<Rotated> {
  const { environment, keys, storage, given } = work;
  const { holders, threshold, session } = given.sharing!;
  const wrapper = new ShareWrapper(holders, threshold);
  const dropped = await checkDropped(work, [], session);
  const unwrappers = await ownUnwrappers(keys, readVault(environment));
  const report = await rewrapSessions(storage, toShares(wrapper, holders, unwrappers), session);
  if (session !== undefined && report.sessions === 0) throw new CliError(`there is no session ${session}`);
  return { details: { shared: wrapper.recipient, holders: [...holders], dropped }, report };
}

function describe({ details, report }: Rotated): string[] {
  const lines = Object.entries(details).map(
    ([name, value]) => `${name.padEnd(11)}${Array.isArray(value) ? value.join(', ') || '-' : value}`,
  );
  if (report === null)
    lines.push('', 'Old recordings verify under the retired key; hand out "keys export-public" anew.');
  else lines.push(`rewrapped  ${report.rewrapped} of ${report.sessions} sessions`);
  for (const { session_id: id, message } of report?.failed ?? []) lines.push(`failed     ${id}: ${message}`);
  return lines;
}

async function auditRotation(
  storage: StorageService,
  what: Rotation,
  details: Rotated['details'],
  report: RewrapReport | null,
): Promise<void> {
  await storage.appendAudit({
    eventId: randomUUID(),
    timestampUs: nowUs(),
    eventType: 'key_rotated',
    userId: `os:${userInfo().username}`.slice(0, 200),
    resourceId: null,
    ipAddress: null,
    userAgent: null,
    success: (report?.failed.length ?? 0) === 0,
    errorMessage: null,
    details: { key: what, ...details, sessions: report?.sessions ?? 0, rewrapped: report?.rewrapped ?? 0 },
  });
}

/** Destroys a session's key through the API: signed, logged, then gone. */
export async function shredSession(
  api: ApiClient,
  output: Output,
  id: string,
  given: Partial<Consent>,
  ask: Ask,
): Promise<void> {
  const missing = missingConsent(`destroying the key of ${id} for good`, id);
  if (ask === null && (given.confirm === undefined || given.reason === undefined)) throw missing;
  const { name } = await api.rest.getSession({ params: { session_id: id } });
  const consent = await consentTo(given, {
    warning: `This destroys the key of "${name}" for good: what was recorded can be proven, never seen again.`,
    names: [name, id],
    ask,
    missing,
  });
  const answer = await api.rest.eraseSession({ params: { session_id: id }, body: consent });
  const wraps = answer.wraps_destroyed;
  output.result(
    answer,
    [
      wraps > 0
        ? `shredded   ${id}: ${wraps} wrapped key(s) destroyed`
        : `shredded   ${id} already at ${answer.erased_at}`,
      `record     ${answer.record_sha256}, entry ${answer.log_index} of the transparency log`,
      'backups    copies of the wrapped keys in backups and exported bundles have to be destroyed where they are',
    ].join('\n'),
  );
}
