/** `viewings`: who may see a recording that is shown on request only. */
import { MemoryKeyShares } from '@lucid-sessions/keys';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output, printable } from '../cli/output.ts';
import { ownShares, readIdentities } from './identity-file.ts';

type Viewing = Awaited<ReturnType<ApiClient['rest']['listViewings']>>['viewings'][number];

function lineOf({
  session_id,
  viewing_id,
  state,
  asked_by,
  use,
  minutes,
  expires_at,
  shares,
  approval,
  reason,
}: Viewing): string {
  const needs = [
    ...(state === 'waiting' && approval ? ['waits for a second person'] : []),
    ...(state === 'waiting' && shares !== null ? [`${shares.given.length} of ${shares.threshold} shares`] : []),
  ];
  const words = [state, ...needs, `${asked_by}: ${reason}`, `${use}, ${minutes} min`, `until ${expires_at}`];
  return `${session_id}  ${viewing_id}  ${words.map(printable).join('  ')}`;
}

async function viewingsOf(api: ApiClient, id: string | undefined): Promise<Viewing[]> {
  const answer =
    id === undefined ? await api.rest.listViewings({}) : await api.rest.sessionViewings({ params: { session_id: id } });
  return answer.viewings;
}

export async function listViewings(api: ApiClient, output: Output, id?: string): Promise<void> {
  const viewings = await viewingsOf(api, id);
  output.result({ viewings }, viewings.length === 0 ? 'nobody asks' : viewings.map(lineOf).join('\n'));
}

export async function askViewing(
  api: ApiClient,
  output: Output,
  id: string,
  { reason, once = false, minutes }: { reason: string; once?: boolean; minutes?: number },
): Promise<void> {
  const asked = await api.rest.askViewing({
    params: { session_id: id },
    body: { reason, use: once ? 'once' : 'window', ...(minutes === undefined ? {} : { minutes }) },
  });
  output.result(asked, lineOf(asked));
}

/** The one that is meant, unless it is named. */
function theOne(viewings: readonly Viewing[], named: string | undefined): Viewing {
  const found = named === undefined ? viewings : viewings.filter(({ viewing_id }) => viewing_id === named);
  if (found.length === 1) return found[0]!;
  if (found.length === 0) throw new CliError('nobody asks for that', exitCodes.failed);
  throw new CliError(`name one: ${found.map(({ viewing_id }) => viewing_id).join(', ')}`, exitCodes.usage);
}

export async function decideViewing(
  api: ApiClient,
  output: Output,
  id: string,
  named: string | undefined,
  { decision, reason }: { decision: 'approve' | 'refuse'; reason: string },
): Promise<void> {
  const open = (await viewingsOf(api, id)).filter(
    ({ state, approval, decision: said }) =>
      named !== undefined || (state === 'waiting' && (decision === 'refuse' || (approval && said === null))),
  );
  const { viewing_id } = theOne(open, named);
  const done = await api.rest.decideViewing({ params: { session_id: id, viewing_id }, body: { decision, reason } });
  output.result(done, lineOf(done));
}

export async function giveShare(
  api: ApiClient,
  output: Output,
  id: string,
  named: string | undefined,
  { identity }: { identity: string },
): Promise<void> {
  const identities = await readIdentities(identity);
  const open = (await viewingsOf(api, id)).filter(({ state, shares }) => state === 'waiting' && shares !== null);
  const { viewing_id, shares } = theOne(open, named);
  const own = await ownShares(shares!.holders, identities);
  const given = new Set(shares!.given.map(({ index }) => index));
  const next = own.find(({ index }) => !given.has(index));
  if (next === undefined)
    throw new CliError(own.length === 0 ? `${identity} holds no share of this key` : 'your share is given already');
  const box = await new MemoryKeyShares(() => 0).seal(next.share, shares!.unlock_recipients);
  const done = await api.rest.giveShare({
    params: { session_id: id, viewing_id },
    body: { box: Buffer.from(box).toString('base64') },
  });
  output.result(done, lineOf(done));
}
