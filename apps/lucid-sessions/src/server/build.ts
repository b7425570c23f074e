/** Which build runs: of the published package by its list of files, of a checkout by its commit. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { compareBuild, parseBuildList, sha256Of } from './build-list.ts';
import { software } from './software.ts';

declare const IS_PUBLISHED: boolean | undefined;

/** As the `open` record names it. */
export interface Build {
  version: string;
  /** SHA-256 of build.json; null: a development tree. */
  package_sha256: string | null;
  sbom_sha256: string | null;
  commit: string | null;
}

const listPath = (): string => join(import.meta.dirname, 'build.json');

let known: Promise<Build> | undefined;

/** Read once: what is put in the package's place later is not what runs. Never throws: who can't say what it is says so. */
export function thisBuild(): Promise<Build> {
  known ??= readBuild();
  return known;
}

async function readBuild(): Promise<Build> {
  // In the package there is nothing of this branch.
  if (typeof IS_PUBLISHED === 'undefined') {
    const { commitHere } = await import('./development-commit.ts');
    const version = `${software.version} (development)`;
    return { version, package_sha256: null, sbom_sha256: null, commit: await commitHere() };
  }
  return publishedBuild();
}

async function publishedBuild(): Promise<Build> {
  try {
    const text = await readFile(listPath(), 'utf8');
    const { commit, sbom_sha256 } = parseBuildList(text);
    return { version: software.version, package_sha256: sha256Of(text), sbom_sha256, commit };
  } catch {
    return {
      version: `${software.version} (without its list of files)`,
      package_sha256: null,
      sbom_sha256: null,
      commit: null,
    };
  }
}

/** What of the installed package is not as it was published, a line each; null: this is a development tree. */
export async function checkThisBuild(): Promise<string[] | null> {
  if (typeof IS_PUBLISHED === 'undefined') return null;
  const path = listPath();
  return compareBuild(dirname(path), parseBuildList(await readFile(path, 'utf8')));
}
