import {
  type ChannelRules,
  type ClipboardWay,
  channelSwitches,
  type JoinPolicy,
  type RecordingConfig,
  standingOf,
  type Unreplayable,
} from '@lucid-sessions/contract';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../cli/api-client.ts';
import { type Ask, type Consent, consentTo, missingConsent } from '../cli/consent.ts';
import { CliError, exitCodes, formatBytes, formatDuration, type Output, printable } from '../cli/output.ts';
import { parseTarget } from '../cli/target.ts';
import { readConsentText } from './consent-text.ts';
import { type TargetCredentialOptions, targetCredentials } from './target-credentials.ts';

/** A session as the API answers it. */
export type SessionAnswer = RestAnswer<'getSession'>;

export function statusOf(session: SessionAnswer): string {
  const standing = standingOf(session);
  return standing === null ? session.status : `${session.status} (${standing})`;
}

function clientOf({ client_user, client_name, client_address, connections = 0 }: SessionAnswer): string | null {
  const who = [client_user, client_name, client_address].filter((name) => name).join(', ');
  if (who === '') return null;
  return connections > 1 ? `${who} (${connections} connections)` : who;
}

function attemptOf({ last_attempt: attempt }: SessionAnswer): string | null {
  if (!attempt) return null;
  return `${attempt.message} (${attempt.client_address}, ${attempt.at})`;
}

export async function showSession(api: ApiClient, output: Output, id: string): Promise<void> {
  const params = { session_id: id };
  const session = await api.rest.getSession({ params });
  const { log, anchoring } = await api.rest.getAnchor({ params });
  const { statistics } = session;
  const facts: [string, string | null][] = [
    ['session', session.session_id],
    ['name', session.name],
    ['status', statusOf(session)],
    ['client', clientOf(session)],
    ['target', `${session.rdp_config.host}:${session.rdp_config.port}`],
    ['logs on', credentialTexts[session.credentials]],
    ...importedRows(session),
    ['created', session.created_at],
    ['started', session.started_at],
    ['stopped', session.stopped_at],
    ['ended', session.end_message ?? session.end_reason],
    ['last attempt', attemptOf(session)],
    ['length', formatDuration(statistics.duration_seconds)],
    ['frames', statistics.frame_count === null ? 'not counted' : String(statistics.frame_count)],
    ['chunks', `${statistics.chunks_count}, ${formatBytes(statistics.size_bytes)} stored`],
    ['kept', keptText(session.storage_config.retention_days)],
    ['legal holds', session.legal_holds === 0 ? null : `${session.legal_holds}: it is neither deleted nor shredded`],
    ['merkle root', session.merkle_root],
    ['log entry', log === null ? null : String(log.log_index)],
    ...anchoring.map(({ backend, state, detail }): [string, string] => [
      'anchor',
      `${backend} ${state}${detail === null ? '' : ` (${detail})`}`,
    ]),
  ];
  const rows = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  output.result({ ...session, anchoring }, rows.map(([name, value]) => `${name.padEnd(12)} ${value}`).join('\n'));
}

const credentialTexts: Record<SessionAnswer['credentials'], string | null> = {
  none: null,
  injected: 'the gateway, with credentials it was given',
  vault: 'the gateway, with credentials from Vault',
  client: 'its user, with what the client sends',
};

function importedRows({ imported }: SessionAnswer): [string, string | null][] {
  if (!imported) return [];
  const { by, source_name, source_sha256, captured_from, captured_to, client, server, problem } = imported;
  return [
    ['IMPORTED', `by ${by} from ${source_name}: nothing is proven about what it shows, or when and where it happened`],
    ['file SHA-256', source_sha256],
    [
      'claims',
      `${client ?? 'unknown'} to ${server ?? 'unknown'}, ${captured_from ?? 'unknown'} to ${captured_to ?? 'unknown'}`,
    ],
    ['not read', problem],
  ];
}

const keptText = (days: number | null): string =>
  days === null ? 'until it is deleted' : `${days} days after its end`;

export interface CreateOptions extends TargetCredentialOptions {
  name: string;
  username?: string;
  ignoreCert?: boolean;
  pinnedSha256?: string;
  legacyTls?: boolean;
  leaveIn?: Unreplayable[];
  /** False where `--no-bulk-compression` was given; true otherwise. */
  bulkCompression?: boolean;
  restrictedAdmin?: boolean;
  preconnectionBlob?: string;
  /** `--channels`, and the options that switch one thing off. */
  channels?: ChannelRules;
  clipboard?: ClipboardWay;
  clipboardFiles?: ClipboardWay;
  drives?: boolean;
  printers?: boolean;
  ports?: boolean;
  smartCards?: boolean;
  audio?: boolean;
  microphone?: boolean;
  camera?: boolean;
  usb?: boolean;
  location?: boolean;
  otherChannels?: boolean;
  graphics?: string;
  /** A path, or `none`. */
  consentFile?: string;
  approval?: boolean;
  join?: JoinPolicy;
  project?: string;
  environment?: string;
  rdpFile?: string;
  /** Where the file leads. */
  via?: 'listener' | 'gateway';
  /** Days; null: until deleted. */
  retention?: number | null;
}

/** What no option speaks of is left to the installation. */
function channelsOf(options: CreateOptions): { channels?: ChannelRules } {
  const { channels = {}, clipboard, clipboardFiles } = options;
  const rules: ChannelRules = { ...channels };
  if (clipboard !== undefined) rules.clipboard = clipboard;
  if (clipboardFiles !== undefined) rules.clipboard_files = clipboardFiles;
  const { smartCards, otherChannels, ...named } = options;
  const switched = { ...named, smart_cards: smartCards, others: otherChannels };
  for (const name of channelSwitches) if (switched[name] === false) rules[name] = false;
  return Object.keys(rules).length === 0 ? {} : { channels: rules };
}

/** What no option speaks of is left to the API, which leaves it to the installation. */
async function recordingOf({
  graphics,
  consentFile,
  approval,
  join,
}: CreateOptions): Promise<Partial<RecordingConfig>> {
  const text = consentFile === undefined || consentFile === 'none' ? null : await readConsentText(consentFile);
  return {
    ...(graphics === undefined ? {} : { graphics: graphics as RecordingConfig['graphics'] }),
    ...(consentFile === undefined ? {} : { consent_text: text }),
    ...(approval === undefined ? {} : { approval }),
    ...(join === undefined ? {} : { join }),
  };
}

/** Creates a session for `host[:port]` and arms it; with `rdpFile` the downloaded file is written there. */
export async function createSession(
  api: ApiClient,
  output: Output,
  target: string,
  options: CreateOptions,
  writeFile: WriteFile,
): Promise<void> {
  const { host, port } = parseTarget(target);
  if (options.via !== undefined && options.rdpFile === undefined)
    throw new CliError('--via goes with --rdp-file', exitCodes.usage);
  const credentials = await targetCredentials(options);
  const recording = await recordingOf(options);
  const session = await api.rest.createSession({
    body: {
      name: options.name,
      rdp_config: {
        host,
        port,
        ...(options.username === undefined ? {} : { username: options.username }),
        ...(options.ignoreCert ? { ignore_cert: true } : {}),
        ...(options.pinnedSha256 === undefined ? {} : { pinned_sha256: options.pinnedSha256 }),
        ...(options.legacyTls ? { legacy_tls: true } : {}),
        ...(options.leaveIn === undefined ? {} : { leave_in: options.leaveIn }),
        ...(options.bulkCompression === false ? { bulk_compression: false } : {}),
        ...(options.restrictedAdmin ? { restricted_admin: true } : {}),
        ...(options.preconnectionBlob === undefined ? {} : { preconnection_blob: options.preconnectionBlob }),
        ...channelsOf(options),
      },
      ...(credentials === null ? {} : { target_credentials: credentials }),
      ...(Object.keys(recording).length === 0 ? {} : { recording_config: recording }),
      ...(options.retention === undefined ? {} : { storage_config: { retention_days: options.retention } }),
      metadata: {
        ...(options.project === undefined ? {} : { project: options.project }),
        ...(options.environment === undefined ? {} : { environment: options.environment }),
      },
    },
  });
  const params = { session_id: session.session_id };
  await api.rest.startSession({ params });
  if (options.rdpFile !== undefined)
    await saveRdpFile(api, output, session.session_id, options.rdpFile, options, writeFile).catch((error: unknown) => {
      const { message, exitCode } = error instanceof CliError ? error : new CliError((error as Error).message);
      const again = `lucid-sessions sessions rdp-file ${session.session_id} FILE`;
      throw new CliError(`${message}\nthe session was created all the same; get its file with: ${again}`, exitCode);
    });
  const next =
    options.rdpFile === undefined
      ? `get its connection file with: lucid-sessions sessions rdp-file ${session.session_id} FILE`
      : openWith(options.rdpFile);
  output.result({ ...session, rdp_file: options.rdpFile ?? null }, `created ${session.session_id}\n${next}`);
}

const openWith = (path: string): string => `open ${path} with mstsc or: xfreerdp ${path} /cert:ignore`;

type WriteFile = (path: string, text: string) => Promise<void>;

/** A new connection file of a session; the one before leads nowhere from here on. */
async function saveRdpFile(
  api: ApiClient,
  output: Output,
  id: string,
  path: string,
  { via }: Pick<CreateOptions, 'via'>,
  writeFile: WriteFile,
): Promise<void> {
  const file = await api.rest.rdpFile({ params: { session_id: id }, query: via === undefined ? {} : { via } });
  await writeFile(path, await file.text());
  const warning = file.headers.get('x-lucid-warning');
  if (warning !== null) output.say(`warning: ${warning}`);
}

/** The connection file of a session that is there already. */
export async function fetchRdpFile(
  api: ApiClient,
  output: Output,
  id: string,
  path: string,
  options: Pick<CreateOptions, 'via'>,
  writeFile: WriteFile,
): Promise<void> {
  await saveRdpFile(api, output, id, path, options, writeFile);
  output.result({ session_id: id, rdp_file: path }, openWith(path));
}

/** A credential to log on to the gateway with. It is shown here, and nowhere else ever again. */
export async function issueCredential(
  api: ApiClient,
  output: Output,
  id: string,
  { rdpFile }: { rdpFile?: string },
  writeFile: WriteFile,
): Promise<void> {
  const params = { session_id: id };
  const issued = await api.rest.issueCredential({ params });
  if (rdpFile !== undefined) {
    const file = await api.rest.rdpFile({ params, query: { logon: 'credential' } });
    await writeFile(rdpFile, await file.text());
  }
  const lines = [
    `address    ${issued.address}`,
    `user name  ${issued.username}`,
    `password   ${issued.password}`,
    `good until ${issued.expires_at}, and once in use for the session's reconnections; it can't be shown again`,
    ...issued.warnings.map((warning) => `warning    ${warning}`),
  ];
  output.result({ ...issued, rdp_file: rdpFile ?? null }, lines.join('\n'));
}

/** Arms a session for its next connection, with other credentials for its target where some are given. */
export async function startSession(
  api: ApiClient,
  output: Output,
  id: string,
  options: TargetCredentialOptions,
): Promise<void> {
  const credentials = await targetCredentials(options);
  const answer = await api.rest.startSession({
    params: { session_id: id },
    ...(credentials === null ? {} : { body: { target_credentials: credentials } }),
  });
  output.result(answer, `${answer.session_id} is ${answer.status}`);
}

/** Connections that wait for a second person. */
export async function listApprovals(api: ApiClient, output: Output): Promise<void> {
  const answer = await api.rest.listApprovals({});
  const lines = answer.approvals.map(
    ({ session_id, connection_id, since, client_address, client_user }) =>
      `${session_id}  ${connection_id}  since ${since}  ${printable(client_user) || '-'} at ${printable(client_address)}`,
  );
  output.result(answer, lines.length === 0 ? 'nobody waits' : lines.join('\n'));
}

/** The one connection of a session that waits, unless it is named. */
export async function decideApproval(
  api: ApiClient,
  output: Output,
  id: string,
  decision: 'approve' | 'refuse',
  { reason, connection }: { reason: string; connection?: string },
): Promise<void> {
  const { approvals } = await api.rest.listApprovals({});
  const waiting = approvals.filter(({ session_id }) => session_id === id).map(({ connection_id }) => connection_id);
  const connection_id = connection ?? (waiting.length === 1 ? waiting[0] : undefined);
  if (connection_id === undefined)
    throw new CliError(
      waiting.length === 0 ? 'nobody waits there' : `name one with --connection: ${waiting.join(', ')}`,
      waiting.length === 0 ? exitCodes.failed : exitCodes.usage,
    );
  const answer = await api.rest.decideApproval({
    params: { session_id: id },
    body: { connection_id, decision, reason },
  });
  output.result(answer, decision === 'approve' ? 'let in' : 'refused');
}

/** Words over the top of the desktop of who works in the session. */
export async function messageSession(
  api: ApiClient,
  output: Output,
  id: string,
  text: string,
  { seconds }: { seconds?: number },
): Promise<void> {
  const body = seconds === undefined ? { text } : { text, seconds };
  const answer = await api.rest.messageSession({ params: { session_id: id }, body });
  output.result(answer, `shown until ${answer.shown_until}`);
}

export async function stopSession(
  api: ApiClient,
  output: Output,
  id: string,
  { reason, notice }: { reason?: string; notice?: number },
): Promise<void> {
  const body = {
    ...(reason === undefined ? {} : { reason }),
    ...(notice === undefined ? {} : { notice_seconds: notice }),
  };
  const answer = await api.rest.stopSession({ params: { session_id: id }, body });
  output.result(answer, `${answer.session_id} is ${answer.status}`);
}

/** Deletes what the caller names and says why; asks at a terminal for what was not given. */
export async function deleteSession(
  api: ApiClient,
  output: Output,
  id: string,
  given: Partial<Consent>,
  ask: Ask,
): Promise<void> {
  const missing = missingConsent(`deleting ${id}`, 'NAME (of the session)');
  if (ask === null && (given.confirm === undefined || given.reason === undefined)) throw missing;
  const session = await api.rest.getSession({ params: { session_id: id } });
  const { name, statistics } = session;
  const size = `${formatDuration(statistics.duration_seconds)} long, ${formatBytes(statistics.size_bytes)}`;
  const consent = await consentTo(given, {
    warning: `This deletes "${name}" for good: ${size}. Its keys are destroyed; its signed records stay.`,
    names: [name],
    ask,
    missing,
  });
  const answer = await api.rest.deleteSession({ params: { session_id: id }, body: consent });
  output.result(answer, `${answer.session_id} deleted at ${answer.deleted_at}`);
}
