import { type FileHandle, lstat, mkdir, open, opendir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  BUNDLE_FILES_MAX,
  type BundleEntry,
  type BundleFile,
  type BundleSource,
  openTar,
  tarStream,
} from '@lucid-sessions/evidence';
import { makeOwnFolder, ownFileMode, ownFolderMode, writeOwnFile } from '@lucid-sessions/node';
import { FileHasher } from './file-hasher.ts';

/** A bundle opened for reading; close it when the verification is over. */
export interface OpenBundle {
  source: BundleSource;
  close(): Promise<void>;
}

async function readExactly(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await handle.read(bytes, at, length - at, offset + at);
    if (bytesRead === 0) throw new Error('the bundle was cut while it was read');
    at += bytesRead;
  }
  return bytes;
}

/** Names below a bundle's directory have at most three parts: what lies deeper is listed, not entered. */
const partsMax = 3;
/** Behind more than any bundle holds there is nothing to be said. */
const filesMax = BUNDLE_FILES_MAX + 1;

/** Follows no link: `readdir` with `recursive` enters directories behind links. */
async function directoryFiles(path: string): Promise<BundleFile[]> {
  const files: BundleFile[] = [];
  const folders: string[] = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const entry of await opendir(join(path, folder))) {
      if (files.length + folders.length >= filesMax) return [...files, { name: '@', bytes: 0 }];
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory() && name.split('/').length < partsMax) folders.push(name);
      // What is no file could lead out of the bundle: it is listed under a name no bundle has, and so becomes a finding.
      else if (entry.isFile()) files.push({ name, bytes: (await lstat(join(path, name))).size });
      else files.push({ name: `${name}@`, bytes: 0 });
    }
  }
  return files;
}

async function openDirectory(path: string): Promise<OpenBundle> {
  const files = await directoryFiles(path);
  const bytesOf = new Map(files.map(({ name, bytes }) => [name, bytes]));
  const hasher = new FileHasher();
  return {
    source: {
      list: () => files,
      async read(name, offset, length) {
        const handle = await open(join(path, name), 'r');
        try {
          return await readExactly(handle, offset, length);
        } finally {
          await handle.close();
        }
      },
      digest: (name, headBytes) => hasher.digest(join(path, name), 0, bytesOf.get(name) ?? 0, headBytes),
    },
    close: () => hasher.close(),
  };
}

/** A bundle in a directory or in a tar file. Throws `DecodeError` when the tar file is not one of a bundle. */
export async function openBundle(path: string): Promise<OpenBundle> {
  if ((await stat(path)).isDirectory()) return openDirectory(path);
  const handle = await open(path, 'r');
  const hasher = new FileHasher();
  try {
    const { size } = await handle.stat();
    const source = await openTar({
      length: size,
      read: (offset, length) => readExactly(handle, offset, length),
      digest: (offset, length, headBytes) => hasher.digest(path, offset, length, headBytes),
    });
    return {
      source,
      async close() {
        await hasher.close();
        await handle.close();
      },
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Writes a bundle into a new directory. */
export async function writeBundleDirectory(path: string, entries: AsyncIterable<BundleEntry>): Promise<void> {
  await mkdir(path, { mode: ownFolderMode });
  for await (const { name, content } of entries) {
    const target = join(path, name);
    await makeOwnFolder(dirname(target));
    await writeOwnFile(target, content);
  }
}

/** Writes a bundle as one new tar file. */
export async function writeBundleTar(path: string, entries: AsyncIterable<BundleEntry>): Promise<void> {
  const handle = await open(path, 'wx', ownFileMode);
  try {
    for await (const part of tarStream(entries)) await handle.writeFile(part);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
