/** `sessions pipeline`: how far a session's evidence is. */
import type { ApiClient } from '../cli/api-client.ts';
import { type Output, table } from '../cli/output.ts';

/** `resume`: jobs that are held back or were given up run again first. */
export async function showPipeline(api: ApiClient, output: Output, id: string, resume: boolean): Promise<void> {
  const params = { session_id: id };
  const answer = resume ? await api.rest.resumePipeline({ params }) : await api.rest.getPipeline({ params });
  const rows = answer.stages.map(({ stage_name: name, status, last_error: error }) => [name, status, error ?? '-']);
  output.result(
    answer,
    `${answer.pipeline_status} (${answer.state})\n${table(['STAGE', 'STATUS', 'LAST ERROR'], rows)}`,
  );
}
