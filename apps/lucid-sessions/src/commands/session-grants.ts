/** Grants of single recordings at the command line. */
import type { ApiClient } from '../cli/api-client.ts';
import { type Output, table } from '../cli/output.ts';

export async function listGrants(api: ApiClient, output: Output, id: string): Promise<void> {
  const answer = await api.rest.listGrants({ params: { session_id: id } });
  const rows = answer.grants.map(({ user_id, expires_at, granted_by, granted_at, reason }) => [
    user_id,
    expires_at,
    granted_by,
    granted_at,
    reason,
  ]);
  const header = ['USER', 'UNTIL', 'BY', 'AT', 'REASON'];
  output.result(answer, rows.length === 0 ? 'nobody is let see it beside their scope' : table(header, rows));
}

export async function giveGrant(
  api: ApiClient,
  output: Output,
  id: string,
  user: string,
  { days, reason }: { days: number; reason: string },
): Promise<void> {
  const body = { user_id: user, days, reason };
  const grant = await api.rest.grantRecording({ params: { session_id: id }, body });
  output.result(grant, `${user} is let see ${id} until ${grant.expires_at}`);
}

export async function takeGrant(api: ApiClient, output: Output, id: string, user: string): Promise<void> {
  const answer = await api.rest.revokeGrant({ params: { session_id: id, user_id: user } });
  output.result(answer, `${user} is let see ${id} no more, but for what their scope shows`);
}
