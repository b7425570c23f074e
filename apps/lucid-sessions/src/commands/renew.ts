/** `renew`: evidence records, begun and renewed now. */
import type { ApiClient } from '../cli/api-client.ts';
import type { Output } from '../cli/output.ts';

export async function renew(api: ApiClient, output: Output): Promise<void> {
  const answer = await api.rest.renewEvidence();
  const done = `${answer.renewed} evidence records begun or renewed`;
  output.result(answer, answer.finished ? done : `${done} so far; it goes on, and is counted in lucid_renewals_total`);
}
