/** Targets: made, shown, changed and removed by those who manage them, seen by those who may connect. */
import {
  credentialsFactsOf,
  isoOf,
  LucidError,
  type NewTargetCredentials,
  type Target,
  type TargetCredentialsFacts,
} from '@lucid-sessions/contract';
import type { Api, Call, Handlers } from './call.ts';
import { fieldChanges } from './changes.ts';
import { mayDo, type User } from './people/callers.ts';
import { reachesTarget } from './scope-gate.ts';
import { checkAddress } from './target-address.ts';
import { credentialsIn } from './target-credentials.ts';
import type { KeptTarget } from './targets.ts';

/** Nobody named: whoever may make sessions. Those who are named need the right to connect, which an API token may be without. */
export function mayConnect(user: User, { connect }: Pick<Target, 'connect'>): boolean {
  if (connect === null) return mayDo(user, 'sessions:create');
  const isNamed = connect.users.includes(user.userId) || connect.roles.some((role) => user.roles.includes(role));
  return isNamed && mayDo(user, 'targets:connect');
}

const seesAll = (user: User): boolean => mayDo(user, 'targets:manage') || mayDo(user, 'audit:read');

/** Throws `notFound` for who may not see it, too: nobody learns which there are. */
export async function needTarget({ api, user }: Pick<Call, 'api' | 'user'>, targetId: string): Promise<KeptTarget> {
  const target = await api.targets.need(targetId);
  if (reachesTarget(user, target) && (seesAll(user) || mayConnect(user, target.value))) return target;
  throw new LucidError('notFound', 'there is no such target');
}

function viewOf(user: User, { id, version, value }: KeptTarget) {
  const { secret_id: _, connect, ...shown } = value;
  return {
    target_id: id,
    version,
    ...shown,
    connect: connect === null ? null : { roles: [...connect.roles], users: [...connect.users] },
    may_connect: mayConnect(user, value),
  };
}

const textOf = ({ name, description, rdp_config, metadata }: Target): string =>
  [name, description ?? '', rdp_config.host, metadata.project ?? '', ...(metadata.tags ?? [])].join('\n').toLowerCase();

async function listTargets({ api, user, query }: Call<'listTargets'>) {
  const { after, limit, search } = query;
  const targets: ReturnType<typeof viewOf>[] = [];
  let last = '';
  let next: string | null = null;
  for await (const { key, target } of api.targets.byName(after)) {
    if (!reachesTarget(user, target) || (!seesAll(user) && !mayConnect(user, target.value))) continue;
    if (search !== undefined && !textOf(target.value).includes(search.toLowerCase())) continue;
    if (targets.length === limit) {
      next = last;
      break;
    }
    targets.push(viewOf(user, target));
    last = key;
  }
  return { targets, next, free_addresses: api.config.targets === 'open' };
}

/** Seals them under a new name; null: there is nothing to keep. */
async function keepSecret(
  { deps }: Api,
  host: string,
  given: NewTargetCredentials | undefined,
): Promise<string | null> {
  if (given === undefined || given.source === 'client') return null;
  const secretId = deps.newId();
  await deps.pipeline.keepTargetSecret({ secretId, host, targetCredentials: given });
  return secretId;
}

/** What is not dropped now the pipeline drops in its rounds. */
async function dropSecret({ deps }: Api, secretId: string | null): Promise<void> {
  if (secretId === null) return;
  await deps.pipeline.dropTargetSecret({ secretId }).catch((thrown: unknown) => deps.onError?.('target', thrown));
}

const factsOf = (given: NewTargetCredentials | undefined): TargetCredentialsFacts =>
  given === undefined ? { source: 'none' } : credentialsFactsOf(given);

async function createTarget(call: Call<'createTarget'>) {
  const { api, body, user } = call;
  const { target_id: targetId = api.deps.newId(), target_credentials: _, ...parts } = body;
  const { targetCredentials: given } = credentialsIn(call, body);
  Object.assign(call.told, { name: body.name, host: body.rdp_config.host, port: body.rdp_config.port });
  await checkAddress(call, body.rdp_config);
  const at = isoOf(api.deps.nowUs());
  const secretId = await keepSecret(api, body.rdp_config.host, given);
  try {
    const target = await api.targets.create(targetId, {
      ...parts,
      credentials: factsOf(given),
      secret_id: secretId,
      ...{ created_at: at, created_by: user.userId, changed_at: at, changed_by: user.userId },
    });
    return viewOf(user, target);
  } catch (thrown) {
    await dropSecret(api, secretId);
    throw thrown;
  }
}

const toldOf = ({ created_at: _1, created_by: _2, changed_at: _3, changed_by: _4, secret_id: _5, ...told }: Target) =>
  told;

const keepsSecret = ({ credentials }: Target): boolean =>
  credentials.source === 'injected' || credentials.source === 'vault';

async function updateTarget(call: Call<'updateTarget'>) {
  const { api, body, user } = call;
  const { version, target_credentials: request, ...parts } = body;
  const targetId = call.params.target_id ?? '';
  const before = await api.targets.need(targetId);
  const rdp = body.rdp_config ?? before.value.rdp_config;
  const { targetCredentials: given } = credentialsIn(
    { body: { target_credentials: request ?? undefined }, told: call.told },
    { rdp_config: rdp },
  );
  const { host, port } = before.value.rdp_config;
  const isMoved = rdp.host !== host || rdp.port !== port;
  if (isMoved && request === undefined && keepsSecret(before.value))
    throw new LucidError(
      'invalidRequest',
      'its credentials are for this host and port alone: give target_credentials for the other one, or null',
    );
  if (isMoved) await checkAddress(call, rdp);
  const secretId = await keepSecret(api, rdp.host, given);
  const isReplaced = request !== undefined;
  try {
    const target = await api.targets.replace(targetId, version, (present) => ({
      ...present,
      ...withoutUndefined(parts),
      ...(isReplaced ? { credentials: factsOf(given), secret_id: secretId } : {}),
      changed_at: isoOf(api.deps.nowUs()),
      changed_by: user.userId,
    }));
    call.told.version = target.version;
    call.told.changes = fieldChanges(toldOf(before.value), toldOf(target.value));
    if (isReplaced) await dropSecret(api, before.value.secret_id);
    return viewOf(user, target);
  } catch (thrown) {
    await dropSecret(api, secretId);
    throw thrown;
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
const withoutUndefined = <T extends object>(parts: T): Defined<T> =>
  Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as Defined<T>;

async function removeTarget(call: Call<'removeTarget'>) {
  const { api, query } = call;
  const { id, value } = await api.targets.remove(call.params.target_id ?? '', query.version);
  call.told.name = value.name;
  await dropSecret(api, value.secret_id);
  return { target_id: id, removed: true } as const;
}

async function checkTarget(call: Call<'checkTarget'>) {
  const { host, port, legacy_tls: legacyTls } = call.body;
  Object.assign(call.told, { host, port });
  await checkAddress(call, { host, port });
  const { message, address, certificate } = await call.api.deps.recorder.checkTarget({ host, port, legacyTls });
  call.told.sha256 = certificate?.sha256 ?? null;
  if (certificate === null) return { reached: false, message, address, certificate };
  const { fromUs, toUs, ...shown } = certificate;
  return {
    reached: true,
    message,
    address,
    certificate: { ...shown, valid_from: isoOf(fromUs), valid_to: isoOf(toUs) },
  };
}

type TargetOperations = 'listTargets' | 'createTarget' | 'checkTarget' | 'getTarget' | 'updateTarget' | 'removeTarget';

export const targetHandlers: Handlers<TargetOperations> = {
  listTargets,
  createTarget,
  checkTarget,
  getTarget: async (call) => viewOf(call.user, await needTarget(call, call.params.target_id ?? '')),
  updateTarget,
  removeTarget,
};
