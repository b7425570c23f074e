/** Where the console's files are: beside the published bundle, else built from the sources at start (well under a second). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The build is no part of the published package: only its type is known here. */
type BuildScript = typeof import('../../../../scripts/build.ts');

/** Set by the build: the published package never looks for a script outside itself. */
declare const IS_PUBLISHED: boolean | undefined;

/** The directory to serve, or null where there is neither a built console nor the means to build it. */
export async function consoleFiles(): Promise<string | null> {
  const published = join(import.meta.dirname, 'console');
  if (existsSync(join(published, 'index.html'))) return published;
  if (typeof IS_PUBLISHED !== 'undefined') return null;
  const script = new URL('../../../../scripts/build.ts', import.meta.url);
  if (!existsSync(script)) return null;
  const { buildConsole } = (await import(script.href)) as BuildScript;
  return (await buildConsole()).outdir;
}
