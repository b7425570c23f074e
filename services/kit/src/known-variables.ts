/**
 * Every variable the product reads, once: what is set beside them and looks like one is told at the start, and documents, `deploy/` and
 * sources are held against this list (`scripts/deployment.ts`).
 */
import type { Environment } from './environment.ts';
import { secretVariables } from './secret-file.ts';

const named = [
  'BLOCKCHAIN_ANCHORING_TOKEN_FILE',
  'BLOCKCHAIN_ANCHORING_URL',
  'CHUNK_COPY_PATH',
  'CHUNK_COPY_SESSIONS',
  'CHUNK_PROCESSING_WORKERS',
  'CHUNK_PROCESSOR_PORT',
  'CHUNK_PROCESSOR_URL',
  'CHUNK_SIZE_MB',
  'CHUNK_STORAGE_PATH',
  'COMPRESSION_LEVEL',
  'ENCRYPTION_ALGORITHM',
  'LUCID_ANCHOR_POLL_SECONDS',
  'LUCID_ANCHOR_RECHECKS',
  'LUCID_API_HOST',
  'LUCID_API_TLS_CERT',
  'LUCID_API_TLS_KEY',
  'LUCID_API_URL',
  'LUCID_BIND_HOST',
  'LUCID_CHUNK_AGE_MS',
  'LUCID_CLOCK_EVERY_SECONDS',
  'LUCID_CLOCK_OFFSET_MAX_MS',
  'LUCID_CLOCK_REQUIRED',
  'LUCID_CLOCK_SOURCES',
  'LUCID_CONFIG',
  'LUCID_CREDENTIALS_HOURS',
  'LUCID_CREDENTIALS_VAULT_APPROLE_MOUNT',
  'LUCID_CREDENTIALS_VAULT_NAMESPACE',
  'LUCID_CREDENTIALS_VAULT_PATHS',
  'LUCID_CREDENTIALS_VAULT_ROLE_ID',
  'LUCID_CREDENTIALS_VAULT_SECRET_ID_FILE',
  'LUCID_CREDENTIALS_VAULT_TOKEN_FILE',
  'LUCID_CREDENTIALS_VAULT_URL',
  'LUCID_DATABASE_CONNECTIONS',
  'LUCID_DATABASE_WAIT_SECONDS',
  'LUCID_DATA_DIR',
  'LUCID_DELETE_REASON',
  'LUCID_DRAIN_SECONDS',
  'LUCID_DRAIN_WAIT_MS',
  'LUCID_EVM_CHAIN_ID',
  'LUCID_EVM_CONTRACT',
  'LUCID_EVM_FINALITY',
  'LUCID_EVM_KEY_FILE',
  'LUCID_EVM_MAX_FEE_GWEI',
  'LUCID_EVM_RPC_URL',
  'LUCID_FAILOVER_MS',
  'LUCID_GATEWAY_CREDENTIAL_MINUTES',
  'LUCID_HEADS_MS',
  'LUCID_JWT_AUDIENCE',
  'LUCID_JWT_ISSUER',
  'LUCID_JWT_JWKS_URL',
  'LUCID_JWT_PUBLIC_KEY',
  'LUCID_JWT_SECRET',
  'LUCID_KERBEROS',
  'LUCID_KERBEROS_KEYTAB',
  'LUCID_KERBEROS_KEYTAB_TARGETS',
  'LUCID_KERBEROS_PRINCIPAL',
  'LUCID_KERBEROS_REALMS',
  'LUCID_KEYFRAMES_AHEAD_PERCENT',
  'LUCID_KEYS_PATH',
  'LUCID_KEY_HOLDERS',
  'LUCID_KEY_THRESHOLD',
  'LUCID_LEASE_MS',
  'LUCID_LOG_FORMAT',
  'LUCID_LOG_LEVEL',
  'LUCID_LOG_ORIGIN',
  'LUCID_LOG_PATH',
  'LUCID_OIDC_FILE',
  'LUCID_PUBLIC_RDP_HOST',
  'LUCID_PUBLIC_RDP_PORT',
  'LUCID_PUBLIC_URL',
  'LUCID_RDP_FILE_DAYS',
  'LUCID_RECIPIENTS',
  'LUCID_RECONCILE_MS',
  'LUCID_RECONNECT_SECONDS',
  'LUCID_RECORDER_GONE_MS',
  'LUCID_RECORDER_GRACE_MS',
  'LUCID_RECORDER_ID',
  'LUCID_RENEWAL_DAYS',
  'LUCID_RENEWAL_HASH',
  'LUCID_RETENTION_DAYS_DEFAULT',
  'LUCID_SCRUB_DAYS',
  'LUCID_SCRUB_MB_PER_SECOND',
  'LUCID_SCRUB_REPAIR',
  'LUCID_SERVICES',
  'LUCID_SERVICE_KEY',
  'LUCID_SERVICE_KEYS',
  'LUCID_SERVICE_SECRET',
  'LUCID_SERVICE_TLS_CA',
  'LUCID_SERVICE_TLS_CERT',
  'LUCID_SERVICE_TLS_KEY',
  'LUCID_SPOOL_MAX_MB',
  'LUCID_SPOOL_REPLICA',
  'LUCID_SPOOL_REPLICA_HOLD_MS',
  'LUCID_SPOOL_TAKEOVER_SECONDS',
  'LUCID_SYSLOG_CA',
  'LUCID_SYSLOG_CERT',
  'LUCID_SYSLOG_FORMAT',
  'LUCID_SYSLOG_KEY',
  'LUCID_SYSLOG_URL',
  'LUCID_TOKEN',
  'LUCID_SIGN_IN',
  'LUCID_SIGN_IN_HOURS',
  'LUCID_SIGN_IN_IDLE_MINUTES',
  'LUCID_TRUST_PROXY',
  'LUCID_TSA_CERTIFICATE',
  'LUCID_TSA_URL',
  'LUCID_VAULT_KEY',
  'LUCID_VAULT_MOUNT',
  'LUCID_VAULT_NAMESPACE',
  'LUCID_VAULT_TOKEN_FILE',
  'LUCID_VAULT_URL',
  'LUCID_VERIFY_ON_PUT',
  'LUCID_TARGETS',
  'LUCID_VIEWING',
  'LUCID_VIEWING_MINUTES',
  'LUCID_VIEWING_PROJECTS',
  'LUCID_WEBHOOK_FORMAT',
  'LUCID_WEBHOOK_SECRET',
  'LUCID_WEBHOOK_URL',
  'LUCID_WITNESSES',
  'LUCID_WITNESS_SECONDS',
  'MAX_CONCURRENT_SESSIONS',
  'RDP_ACTIVATION_SECONDS',
  'RDP_APPROVAL',
  'RDP_BULK_COMPRESSION',
  'RDP_CHANNELS',
  'RDP_CONNECTIONS_PER_SECOND',
  'RDP_CONSENT_TEXT_FILE',
  'RDP_COOKIE_ROUTE',
  'RDP_GATEWAY',
  'RDP_GRAPHICS_NOTICES',
  'RDP_HANDSHAKE_SECONDS',
  'RDP_IDLE_MINUTES',
  'RDP_JOIN',
  'RDP_LEAVE_IN',
  'RDP_LISTENERS',
  'RDP_LISTEN_HOST',
  'RDP_LISTEN_PORT',
  'RDP_NLA',
  'RDP_NLA_MIN_VERSION',
  'RDP_REFUSAL_SECONDS',
  'RDP_SCREENS_BINDING',
  'RDP_SIGN_CERT',
  'RDP_SIGN_KEY',
  'RDP_TARGETS_ALLOW',
  'RDP_TARGETS_DENY',
  'RDP_TARGET_CHANNELS',
  'RDP_TLS_CERT',
  'RDP_TLS_KEY',
  'RDP_WAITING_CONNECTIONS',
  'RDP_WAITING_PER_ADDRESS',
  'REDIS_CA',
  'REDIS_PASSWORD_FILE',
  'REDIS_URL',
  'SESSION_API_PORT',
  'SESSION_METADATA_DB',
  'SESSION_METADATA_DB_CA',
  'SESSION_METADATA_DB_PASSWORD_FILE',
  'SESSION_PIPELINE_PORT',
  'SESSION_PIPELINE_URL',
  'SESSION_RECORDER_OWN_URL',
  'SESSION_RECORDER_PORT',
  'SESSION_RECORDER_URL',
  'SESSION_STORAGE_PORT',
  'SESSION_STORAGE_URL',
] as const;

/** Of a bucket, and of the one that copies go to. */
const bucketSettings = [
  'ENDPOINT',
  'REGION',
  'PROFILE',
  'PATH_STYLE',
  'ENCRYPTION',
  'OBJECT_LOCK',
  'PART_MB',
  'REQUESTS_MAX',
  'TIMEOUT_MS',
];

const rateLimits = [
  'CREATE',
  'READ',
  'UPDATE',
  'DELETE',
  'CHUNKS',
  'PIPELINE',
  'STATISTICS',
  'BULK',
  'SIGN_IN',
  'OPEN',
];

export const knownVariables: ReadonlySet<string> = new Set([
  ...named,
  ...secretVariables.map((name) => `${name}_FILE`),
  ...['LUCID_S3', 'LUCID_COPY_S3'].flatMap((family) => bucketSettings.map((setting) => `${family}_${setting}`)),
  ...rateLimits.map((kind) => `LUCID_RATE_LIMIT_${kind}`),
]);

export interface UnknownVariable {
  name: string;
  /** What is probably meant; null: nothing is like it. */
  nearest: string | null;
}

const nameCharactersMax = 100;
/** What Kubernetes and Docker set for each service they know, unless they are told not to. */
const serviceLink = /_SERVICE_HOST$|_SERVICE_PORT(?:_[A-Z0-9_]+)?$|_PORT_\d+_(?:TCP|UDP)(?:_[A-Z]+)?$/;

const isServiceLink = (name: string, value: string): boolean =>
  serviceLink.test(name) || (name.endsWith('_PORT') && /^(?:tcp|udp):\/\//.test(value));

/**
 * Variables that nothing reads: all of `LUCID_…` (but `LUCID_TEST_…`), and of others those that differ from one of ours by a letter or
 * two in twelve. Names alone: no value leaves this.
 */
export function unknownVariables(environment: Environment): UnknownVariable[] {
  const found: UnknownVariable[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!value || name.length > nameCharactersMax || knownVariables.has(name) || isServiceLink(name, value)) continue;
    if (name.startsWith('LUCID_TEST_')) continue;
    const isOurs = /^LUCID_/i.test(name);
    const nearest = nearestVariable(name, isOurs ? 3 : 6);
    if (isOurs || nearest !== null) found.push({ name, nearest });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

const warningsMax = 20;

/** One line each, for whoever starts a service. */
export function variableWarnings(environment: Environment): string[] {
  const unknown = unknownVariables(environment);
  const lines = unknown
    .slice(0, warningsMax)
    .map(({ name, nearest }) =>
      nearest === null
        ? `nothing reads the variable ${name}`
        : `nothing reads the variable ${name}: is ${nearest} meant?`,
    );
  const left = unknown.length - lines.length;
  return left > 0 ? [...lines, `nothing reads ${left} more variables`] : lines;
}

/** The variable that is probably meant, with at most one change in `charactersPerChange` of the name. */
export function nearestVariable(name: string, charactersPerChange: number): string | null {
  const changesMax = Math.floor(name.length / charactersPerChange);
  let best: { name: string; changes: number } | null = null;
  for (const known of knownVariables) {
    const most = best === null ? changesMax : best.changes - 1;
    if (most < 0 || Math.abs(known.length - name.length) > most) continue;
    const changes = changesBetween(name.toUpperCase(), known);
    if (changes <= most) best = { name: known, changes };
  }
  return best?.name ?? null;
}

/** Characters to add, take away, replace or swap with their neighbour (optimal string alignment). */
function changesBetween(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
