/** `extract`: what crossed clipboard and drives of a session, as files. Needs the right recordings:inputs; audited. */
import { randomBytes } from 'node:crypto';
import { access, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BundleEntry, BundleSource } from '@lucid-sessions/evidence';
import { openBundle, writeBundleDirectory } from '@lucid-sessions/files';
import { makeOwnFolder, ownFileStream } from '@lucid-sessions/node';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, formatBytes, type Output } from '../cli/output.ts';

export interface Extracted {
  session_id: string;
  directory: string;
  files: number;
}

export async function extractContents(api: ApiClient, output: Output, id: string, out: string): Promise<Extracted> {
  const directory = resolve(out);
  const exists = await access(directory).then(
    () => true,
    () => false,
  );
  if (exists) throw new CliError(`${directory} is there already: name another place with --out`);
  await makeOwnFolder(dirname(directory));
  const partial = `${directory}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await download(await api.rest.extractContents({ params: { session_id: id } }), partial, output);
    const files = await unpack(partial, directory);
    return { session_id: id, directory, files };
  } finally {
    await rm(partial, { force: true });
  }
}

async function download(response: Response, file: string, output: Output): Promise<void> {
  if (response.body === null) throw new CliError('the server sent nothing');
  let received = 0;
  const counted = async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const part of source) {
      received += part.length;
      output.progress(`received ${formatBytes(received)}`, received);
      yield part;
    }
  };
  // What people typed and copied: for the one who extracts it alone.
  await pipeline(Readable.from(counted(response.body)), ownFileStream(file));
}

/** The last entry lists the others. */
async function unpack(tar: string, directory: string): Promise<number> {
  const opened = await openBundle(tar);
  try {
    const files = await opened.source.list();
    await writeBundleDirectory(directory, entriesOf(opened.source));
    return files.length - 1;
  } finally {
    await opened.close();
  }
}

async function* entriesOf(source: BundleSource): AsyncGenerator<BundleEntry> {
  for (const { name, bytes } of await source.list()) yield { name, content: await source.read(name, 0, bytes) };
}
