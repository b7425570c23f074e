/** `extract`: what crossed clipboard and drives of a session, as files. Needs the right recordings:inputs; audited. */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { makeOwnFolder } from '@lucid-sessions/node';
import type { ApiClient } from '../cli/api-client.ts';
import type { Output } from '../cli/output.ts';
import { downloadTo, refuseExisting, unpackTar } from './tar-download.ts';

export interface Extracted {
  session_id: string;
  directory: string;
  files: number;
}

export async function extractContents(api: ApiClient, output: Output, id: string, out: string): Promise<Extracted> {
  const directory = resolve(out);
  await refuseExisting(directory);
  await makeOwnFolder(dirname(directory));
  const partial = `${directory}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await downloadTo(partial, await api.rest.extractContents({ params: { session_id: id } }), output);
    // The last entry lists the others.
    const files = (await unpackTar(partial, directory)) - 1;
    return { session_id: id, directory, files };
  } finally {
    await rm(partial, { force: true });
  }
}
