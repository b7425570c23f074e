/** `export`: the evidence bundle of a session from the API, as a directory or one tar file, with a starter policy beside it. */
import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { RestQuery } from '@lucid-sessions/contract/rest-client';
import { makeOwnFolder, writeOwnFile } from '@lucid-sessions/node';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, type Output } from '../cli/output.ts';
import { downloadTo, refuseExisting, unpackTar } from './tar-download.ts';

export interface ExportOptions {
  out: string;
  /** Only this span of time, RFC 3339: the bundle then verifies as a part. */
  from?: string;
  to?: string;
}

export interface Exported {
  session_id: string;
  bundle: string;
  policy: string;
}

/** A path that ends in .tar becomes one file, any other a directory. Nothing that exists is overwritten. */
export async function exportSession(
  api: ApiClient,
  output: Output,
  id: string,
  options: ExportOptions,
): Promise<Exported> {
  const bundle = resolve(options.out);
  const policy = `${bundle.replace(/\.tar$/, '')}.policy.json`;
  for (const path of [bundle, policy]) await refuseExisting(path);
  await makeOwnFolder(dirname(bundle));
  const range = await chunkRange(api, id, options);
  const partial = `${bundle}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await downloadTo(partial, await api.rest.exportEvidence({ params: { session_id: id }, query: range }), output);
    if (bundle.endsWith('.tar')) await rename(partial, bundle);
    else await unpackTar(partial, bundle);
  } finally {
    await rm(partial, { force: true });
  }
  const trusted = await api.rest.getPolicy();
  await writeOwnFile(policy, `${JSON.stringify(trusted, null, 2)}\n`);
  return { session_id: id, bundle, policy };
}

/** The query that names the chunks of the wanted span of time; empty for the whole recording. */
async function chunkRange(
  api: ApiClient,
  id: string,
  { from, to }: ExportOptions,
): Promise<RestQuery<'exportEvidence'>> {
  if (from === undefined && to === undefined) return {};
  const params = { session_id: id };
  let offset = 0;
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (let more = true; more; ) {
    const page = await api.rest.listChunks({ params, query: { limit: 1000, offset, start_time: from, end_time: to } });
    for (const { sequence_number: number } of page.chunks) {
      first = Math.min(first, number);
      last = Math.max(last, number);
    }
    offset = page.pagination.offset + page.chunks.length;
    more = page.pagination.has_next && page.chunks.length > 0;
  }
  if (last === 0) throw new CliError('nothing was recorded in that span of time');
  return { first, last };
}
