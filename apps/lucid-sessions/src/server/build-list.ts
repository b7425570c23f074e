/**
 * `build.json` of a published package: every other file with its SHA-256, the commit it is made of, and the SBOM that goes with it. Its own
 * SHA-256 is the digest of the package. It speaks of the package's files, not of those npm installs beside it: the SBOM lists these.
 */
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export const buildListName = 'build.json';

export interface BuildList {
  v: 1;
  name: string;
  version: string;
  /** Of the clean tree it is made of, or null. */
  commit: string | null;
  sbom_sha256: string | null;
  files: { path: string; sha256: string }[];
}

const isHex = (value: unknown, least: number, most: number): boolean =>
  typeof value === 'string' && value.length >= least && value.length <= most && /^[0-9a-f]+$/.test(value);

export const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** Every file of the package but the list itself and what npm installs, by its path, in one order. */
async function filesOf(directory: string): Promise<BuildList['files']> {
  const files: BuildList['files'] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const name of await readdir(join(directory, folder))) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (path === buildListName || path === 'node_modules') continue;
      const facts = await lstat(join(directory, path));
      if (facts.isDirectory()) await walk(path);
      else files.push({ path, sha256: facts.isFile() ? sha256Of(await readFile(join(directory, path))) : '' });
    }
  };
  await walk('');
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The same bytes wherever and whenever it is made of the same files. */
export async function makeBuildList(directory: string, facts: Omit<BuildList, 'v' | 'files'>): Promise<string> {
  const { name, version, commit, sbom_sha256 } = facts;
  const list: BuildList = { v: 1, name, version, commit, sbom_sha256, files: await filesOf(directory) };
  return `${JSON.stringify(list, null, 1)}\n`;
}

/** Throws an `Error` where it is none. */
export function parseBuildList(text: string): BuildList {
  const list = JSON.parse(text) as Partial<BuildList> | null;
  const { v, commit = null, sbom_sha256: sbom = null, files } = list ?? {};
  const isList =
    v === 1 &&
    (commit === null || isHex(commit, 40, 64)) &&
    (sbom === null || isHex(sbom, 64, 64)) &&
    Array.isArray(files) &&
    files.every((file: unknown) => {
      const { path, sha256 } = Object(file) as Partial<BuildList['files'][number]>;
      return typeof path === 'string' && isHex(sha256, 64, 64);
    });
  if (!isList) throw new Error(`${buildListName} is not the list of a package's files`);
  return list as BuildList;
}

/** What is not as it was when the list was made, a line each. */
export async function compareBuild(directory: string, { files }: BuildList): Promise<string[]> {
  const there = new Map((await filesOf(directory)).map(({ path, sha256 }) => [path, sha256]));
  const found: string[] = [];
  for (const { path, sha256 } of files) {
    const now = there.get(path);
    if (now !== sha256) found.push(now === undefined ? `missing: ${path}` : `changed: ${path}`);
    there.delete(path);
  }
  return [...found, ...[...there.keys()].map((path) => `added: ${path}`)];
}
