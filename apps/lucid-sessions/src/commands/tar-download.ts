/** A tar file of the API on its way to disk: as it comes, and only for who asked for it. */
import { access } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BundleEntry, BundleSource } from '@lucid-sessions/evidence';
import { openBundle, writeBundleDirectory } from '@lucid-sessions/files';
import { ownFileStream } from '@lucid-sessions/node';
import { CliError, formatBytes, type Output } from '../cli/output.ts';

export async function refuseExisting(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) throw new CliError(`${path} is there already: name another place with --out`);
}

export async function downloadTo(file: string, response: Response, output: Output): Promise<void> {
  if (response.body === null) throw new CliError('the server sent nothing');
  let received = 0;
  const counted = async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const part of source) {
      received += part.length;
      output.progress(`received ${formatBytes(received)}`, received);
      yield part;
    }
  };
  await pipeline(Readable.from(counted(response.body)), ownFileStream(file));
}

/** Its files into a directory that is not there yet; answers how many. */
export async function unpackTar(tar: string, directory: string): Promise<number> {
  const opened = await openBundle(tar);
  try {
    const files = await opened.source.list();
    await writeBundleDirectory(directory, entriesOf(opened.source));
    return files.length;
  } finally {
    await opened.close();
  }
}

export async function* entriesOf(source: BundleSource): AsyncGenerator<BundleEntry> {
  for (const { name, bytes } of await source.list()) yield { name, content: await source.read(name, 0, bytes) };
}
