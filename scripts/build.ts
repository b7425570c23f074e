/**
 * `npm run build`: the console's files and the published CLI's bundle. The API builds the console itself in development
 * (`buildConsole` takes well under a second), so nothing has to be built before `npm start`.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const consoleRoot = join(root, 'apps', 'console');

export interface Built {
  outdir: string;
  /** Paths below `outdir`, sorted. */
  files: string[];
  totalBytes: number;
}

const browserOptions: BuildOptions = {
  bundle: true,
  format: 'esm',
  target: ['es2024'],
  platform: 'browser',
  minify: true,
  legalComments: 'none',
  entryNames: 'assets/[name]-[hash]',
  metafile: true,
  logLevel: 'warning',
};

/** Bundles one browser entry and gives its URL path below the console's root. */
async function bundle(outdir: string, entry: string, define: Record<string, string> = {}): Promise<string> {
  const { metafile } = await build({
    ...browserOptions,
    absWorkingDir: consoleRoot,
    entryPoints: [entry],
    outdir,
    define,
  });
  const outputs = Object.entries(metafile?.outputs ?? {});
  const output = outputs.find(([, { entryPoint }]) => entryPoint === entry);
  if (!output) throw new Error(`esbuild gave no output for ${entry}: check that the file exists`);
  return `/assets/${basename(output[0])}`;
}

/**
 * Builds the console into `outdir`: `index.html`, and hashed files under `assets/` that may be cached for ever. Nothing is
 * inline, so the page runs under a policy without 'unsafe-inline'. `outdir` is emptied first.
 */
export async function buildConsole(outdir = join(consoleRoot, 'dist')): Promise<Built> {
  await rm(outdir, { recursive: true, force: true });
  await mkdir(join(outdir, 'assets'), { recursive: true });
  const [worker, style] = await Promise.all([
    bundle(outdir, 'src/player/worker.ts'),
    bundle(outdir, 'src/style/console.css'),
  ]);
  const urls = { PLAYER_WORKER_URL: JSON.stringify(worker) };
  // The player is an entry of its own: other pages embed `<lucid-player>` by this one file.
  const [main] = await Promise.all([
    bundle(outdir, 'src/main.ts', urls),
    bundle(outdir, 'src/player/lucid-player.ts', urls),
  ]);
  const icon = await readFile(join(consoleRoot, 'src', 'icon.svg'));
  const iconName = `icon-${createHash('sha256').update(icon).digest('hex').slice(0, 8)}.svg`;
  await writeFile(join(outdir, 'assets', iconName), icon);
  const page = await readFile(join(consoleRoot, 'src', 'index.html'), 'utf8');
  const html = page.replace('%STYLE%', style).replace('%MAIN%', main).replace('%ICON%', `/assets/${iconName}`);
  await writeFile(join(outdir, 'index.html'), html);
  return listBuilt(outdir);
}

async function listBuilt(outdir: string): Promise<Built> {
  const entries = await readdir(outdir, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return {
    outdir,
    files: paths.map((path) => path.slice(outdir.length + 1)).sort(),
    totalBytes: sizes.reduce((sum, size) => sum + size, 0),
  };
}
