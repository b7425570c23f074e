import { text as readText } from 'node:stream/consumers';
import type { ApiClient } from '../cli/api-client.ts';
import { type Output, table } from '../cli/output.ts';
import { formatRecordingTime } from './recording-time.ts';

export interface SearchOptions {
  reason: string;
  inputs?: boolean;
  logon?: boolean;
  kind?: string;
  user?: string;
  host?: string;
  project?: string;
  environment?: string;
  since?: string;
  until?: string;
  limit?: number;
}

export const readSearched = async (text: string): Promise<string> =>
  text === '-' ? (await readText(process.stdin)).replace(/\r?\n$/, '') : text;

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

export async function searchRecordings(api: ApiClient, output: Output, text: string, options: SearchOptions) {
  const { since, until, limit = 100, inputs = false, logon = false, ...more } = options;
  const answer = await api.rest.searchRecordings({
    body: {
      ...more,
      text,
      inputs,
      logon,
      recordings_max: limit,
      hits_max: 10,
      ...(since === undefined ? {} : { from: since }),
      ...(until === undefined ? {} : { to: until }),
    },
  });
  const rows = answer.recordings.flatMap(({ session_id, name, user, hits }) =>
    hits.map(({ time_us, kind, excerpt }) => [
      session_id,
      name,
      user ?? '-',
      formatRecordingTime(time_us),
      kind,
      oneLine(excerpt),
    ]),
  );
  const lines = [
    ...(rows.length === 0 ? [] : [table(['SESSION', 'NAME', 'USER', 'AT', 'KIND', 'TEXT'], rows)]),
    `${answer.recordings.length} of ${answer.searched} recordings`,
  ];
  if (answer.not_indexed > 0) lines.push(`${answer.not_indexed} are being indexed: ask again`);
  if (answer.on_request > 0) lines.push(`${answer.on_request} are shown on request only, and were not searched`);
  if (answer.unreadable > 0) lines.push(`${answer.unreadable} can not be read here`);
  if (answer.continue_at !== null) lines.push(`there are more: --until ${answer.continue_at}`);
  output.result(answer, lines.join('\n'));
}
