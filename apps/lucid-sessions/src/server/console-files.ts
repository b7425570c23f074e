/** Where the console's files are: beside the published bundle, else built from the sources at start (well under a second). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Set by the build: the published package holds the console, and nothing that builds it. */
declare const IS_PUBLISHED: boolean | undefined;

/** The directory to serve, or null where there is neither a built console nor the means to build it. */
export async function consoleFiles(): Promise<string | null> {
  const published = join(import.meta.dirname, 'console');
  if (existsSync(join(published, 'index.html'))) return published;
  if (typeof IS_PUBLISHED === 'undefined') {
    const { buildConsole } = await import('@lucid-sessions/console/build');
    return (await buildConsole()).outdir;
  }
  return null;
}
