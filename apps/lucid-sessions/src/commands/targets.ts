import type { Role } from '@lucid-sessions/contract';
import type { ChannelRules } from '@lucid-sessions/contract/recording-limits';
import type { RestAnswer, RestBody } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output, table } from '../cli/output.ts';
import { parseTarget } from '../cli/target.ts';
import { type TargetCredentialOptions, targetCredentials } from './target-credentials.ts';

type Target = RestAnswer<'getTarget'>;
type TargetBody = RestBody<'createTarget'>;

export interface TargetOptions extends TargetCredentialOptions {
  description?: string;
  pinnedSha256?: string;
  fetchCertificate?: boolean;
  ignoreCert?: boolean;
  legacyTls?: boolean;
  channels?: ChannelRules;
  graphics?: string;
  approval?: boolean;
  /** Days; null: until deleted. */
  retention?: number | null;
  project?: string;
  environment?: string;
  label?: string[];
  connectRole?: Role[];
  connectUser?: string[];
}

const addressOf = ({ rdp_config: { host, port } }: Pick<Target, 'rdp_config'>): string =>
  `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;

async function* allTargets(api: ApiClient, search?: string): AsyncGenerator<Target> {
  for (let after: string | null = ''; after !== null; ) {
    const page: RestAnswer<'listTargets'> = await api.rest.listTargets({
      query: { limit: 200, ...(after === '' ? {} : { after }), ...(search === undefined ? {} : { search }) },
    });
    yield* page.targets;
    after = page.next;
  }
}

/** By id, or by its name in letters of any case. */
async function named(api: ApiClient, name: string): Promise<Target> {
  for await (const target of allTargets(api))
    if (target.target_id === name || target.name.toLowerCase() === name.toLowerCase()) return target;
  throw new CliError(`there is no target ${name}: "lucid-sessions targets list" names them`);
}

const logonOf = ({ credentials }: Target): string =>
  credentials.source === 'vault'
    ? `${credentials.engine}:${credentials.mount}/${credentials.path}`
    : credentials.source === 'injected'
      ? [credentials.domain, credentials.username].filter(Boolean).join('\\')
      : credentials.source;

export async function listTargets(api: ApiClient, output: Output, { search }: { search?: string }): Promise<void> {
  const targets: Target[] = [];
  for await (const target of allTargets(api, search)) targets.push(target);
  const rows = targets.map((target) => [
    target.name,
    addressOf(target),
    target.rdp_config.pinned_sha256 === undefined ? (target.rdp_config.ignore_cert ? 'any' : 'checked') : 'pinned',
    logonOf(target),
    [target.metadata.project, ...(target.metadata.tags ?? [])].filter(Boolean).join(' '),
    target.may_connect ? 'yes' : 'no',
  ]);
  const header = ['NAME', 'ADDRESS', 'CERTIFICATE', 'LOGON', 'PROJECT, LABELS', 'YOU MAY CONNECT'];
  output.result({ targets }, rows.length === 0 ? 'there are no targets here' : table(header, rows));
}

export async function showTarget(api: ApiClient, output: Output, name: string): Promise<void> {
  const target = await named(api, name);
  output.result(target, JSON.stringify(target, null, 2));
}

type Checked = RestAnswer<'checkTarget'>;

const certificateText = ({ address, message, certificate }: Checked): string =>
  certificate === null
    ? message
    : table(
        ['WHAT', 'IT SAYS'],
        [
          ['SHA-256', certificate.sha256],
          ['subject', certificate.subject],
          ['issuer', certificate.issuer],
          ['valid', `${certificate.valid_from} to ${certificate.valid_to}`],
          ['TLS', certificate.tls],
          ['address', address ?? ''],
          ['trusted', certificate.trusted ? 'without a pin, too' : `with a pin alone: ${certificate.problem ?? ''}`],
        ],
      );

async function certificateOf(api: ApiClient, address: string, legacyTls: boolean): Promise<Checked> {
  const { host, port } = parseTarget(address);
  const checked = await api.rest.checkTarget({ body: { host, port, legacy_tls: legacyTls } });
  if (checked.certificate === null) throw new CliError(checked.message);
  return checked;
}

export async function checkTarget(
  api: ApiClient,
  output: Output,
  address: string,
  { legacyTls = false }: { legacyTls?: boolean },
): Promise<void> {
  const checked = await certificateOf(api, address, legacyTls);
  output.result(checked, certificateText(checked));
}

/** What the options say, over what is there. */
async function bodyOf(api: ApiClient, address: string, options: TargetOptions, present: Target | null) {
  const { host, port } = parseTarget(address);
  if (options.fetchCertificate === true && options.pinnedSha256 !== undefined)
    throw new CliError('either --fetch-certificate or --pinned-sha256', exitCodes.usage);
  const checked =
    options.fetchCertificate === true ? await certificateOf(api, address, options.legacyTls === true) : null;
  const pin = checked?.certificate?.sha256 ?? options.pinnedSha256;
  const credentials = await targetCredentials(options);
  const { connectRole, connectUser } = options;
  const body = {
    ...(options.description === undefined ? {} : { description: options.description }),
    rdp_config: {
      ...present?.rdp_config,
      host,
      port,
      ...(pin === undefined ? {} : { pinned_sha256: pin }),
      ...(options.ignoreCert === true ? { ignore_cert: true } : {}),
      ...(options.legacyTls === true ? { legacy_tls: true } : {}),
      ...(options.channels === undefined ? {} : { channels: options.channels }),
    },
    recording_config: {
      ...present?.recording_config,
      ...(options.graphics === undefined ? {} : { graphics: options.graphics as 'passthrough' | 'classic' }),
      ...(options.approval === undefined ? {} : { approval: options.approval }),
    },
    storage_config: {
      ...present?.storage_config,
      ...(options.retention === undefined ? {} : { retention_days: options.retention }),
    },
    metadata: {
      ...present?.metadata,
      ...(options.project === undefined ? {} : { project: options.project }),
      ...(options.environment === undefined ? {} : { environment: options.environment }),
      ...(options.label === undefined ? {} : { tags: options.label }),
    },
    ...(connectRole === undefined && connectUser === undefined
      ? {}
      : {
          connect: {
            roles: connectRole ?? present?.connect?.roles ?? [],
            users: connectUser ?? present?.connect?.users ?? [],
          },
        }),
    ...(credentials === null ? {} : { target_credentials: credentials }),
  };
  return { body: body satisfies Partial<TargetBody>, checked };
}

const told = (target: Target, what: string, checked: Checked | null): string =>
  `${target.name}: ${what}, ${addressOf(target)}${checked === null ? '' : `, with this certificate pinned:\n${certificateText(checked)}`}`;

export async function addTarget(
  api: ApiClient,
  output: Output,
  name: string,
  address: string,
  options: TargetOptions,
): Promise<void> {
  const { body, checked } = await bodyOf(api, address, options, null);
  const target = await api.rest.createTarget({ body: { name, ...body } });
  output.result(target, told(target, 'made', checked));
}

export async function setTarget(
  api: ApiClient,
  output: Output,
  name: string,
  options: TargetOptions & { name?: string; address?: string; credentials?: boolean },
): Promise<void> {
  const present = await named(api, name);
  const { body, checked } = await bodyOf(api, options.address ?? addressOf(present), options, present);
  const target = await api.rest.updateTarget({
    params: { target_id: present.target_id },
    body: {
      version: present.version,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...body,
      ...(options.credentials === false ? { target_credentials: null } : {}),
    },
  });
  output.result(target, told(target, `version ${target.version}`, checked));
}

export async function removeTarget(api: ApiClient, output: Output, name: string): Promise<void> {
  const { target_id, version, name: called } = await named(api, name);
  const removed = await api.rest.removeTarget({ params: { target_id }, query: { version } });
  output.result(removed, `${called} is no target any more; its sessions stay as they are`);
}

export async function connectTarget(
  api: ApiClient,
  output: Output,
  name: string,
  options: { name?: string },
): Promise<void> {
  const { target_id } = await named(api, name);
  const session = await api.rest.createSession({
    body: { target_id, ...(options.name === undefined ? {} : { name: options.name }) },
  });
  output.result(
    session,
    `created ${session.session_id}\nget its connection file with: lucid-sessions sessions rdp-file ${session.session_id} FILE`,
  );
}
