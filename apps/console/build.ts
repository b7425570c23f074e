/**
 * Bundles the console for browsers. In development the server does it itself (well under a second), so nothing has to be built before
 * `npm start`; for the package `scripts/build.ts` does.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type BuildOptions, build, type Metafile } from 'esbuild';

const consoleRoot = import.meta.dirname;

export interface Built {
  outdir: string;
  /** Paths below `outdir`, sorted. */
  files: string[];
  totalBytes: number;
  /** npm packages whose code is inside. */
  packages: string[];
}

const browserOptions: BuildOptions = {
  bundle: true,
  format: 'esm',
  target: ['es2024'],
  platform: 'browser',
  minify: true,
  legalComments: 'none',
  entryNames: 'assets/[name]-[hash]',
  logLevel: 'warning',
};

/** The npm packages whose code went into a bundle. */
export function packagesIn(metafile: Metafile): string[] {
  const names = Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [packageOf(path)] : [])),
  );
  return [...new Set(names.filter((name) => name !== null))].sort();
}

/** `node_modules/a/node_modules/@b/c/d.js` → `a/node_modules/@b/c`, as a path below the outer `node_modules`. */
function packageOf(path: string): string | null {
  return /^(?:\.\.\/)*node_modules\/((?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? null;
}

interface Bundled {
  /** URL path below the console's root. */
  url: string;
  packages: string[];
}

/** Bundles one browser entry. */
async function bundle(outdir: string, entry: string, define: Record<string, string> = {}): Promise<Bundled> {
  const { metafile, outputFiles } = await build({
    ...browserOptions,
    metafile: true,
    absWorkingDir: consoleRoot,
    entryPoints: [entry],
    outdir,
    define,
    write: false,
  });
  for (const { path, contents } of outputFiles ?? []) await addFile(path, contents);
  const outputs = Object.entries(metafile.outputs);
  const output = outputs.find(([, { entryPoint }]) => entryPoint === entry);
  if (!output) throw new Error(`esbuild gave no output for ${entry}: check that the file exists`);
  return { url: `/assets/${basename(output[0])}`, packages: packagesIn(metafile) };
}

/**
 * Builds the console into `outdir`: `index.html`, hashed files under `assets/` that may be cached for ever, and `lucid-player.js`,
 * the name other pages embed the player by. Nothing is inline, so the page runs under a policy without 'unsafe-inline'. What an
 * earlier build left is removed last: a server that runs from the same directory goes on.
 */
export async function buildConsole(outdir = join(consoleRoot, 'dist')): Promise<Built> {
  await mkdir(join(outdir, 'assets'), { recursive: true });
  const [worker, style] = await Promise.all([
    bundle(outdir, 'src/player/worker/worker.ts'),
    bundle(outdir, 'src/style/console.css'),
  ]);
  const urls = { PLAYER_WORKER_URL: JSON.stringify(worker.url) };
  const [main, player] = await Promise.all([
    bundle(outdir, 'src/main.ts', urls),
    bundle(outdir, 'src/player/page/lucid-player.ts', urls),
  ]);
  const icon = await readFile(join(consoleRoot, 'src', 'icon.svg'));
  const iconPath = `/assets/icon-${createHash('sha256').update(icon).digest('hex').slice(0, 8)}.svg`;
  await addFile(join(outdir, iconPath), icon);
  await replaceFile(join(outdir, 'lucid-player.js'), `export * from '.${player.url}';\n`);
  const page = await readFile(join(consoleRoot, 'src', 'index.html'), 'utf8');
  const html = page.replace('%STYLE%', style.url).replace('%MAIN%', main.url).replace('%ICON%', iconPath);
  await replaceFile(join(outdir, 'index.html'), html);
  await removeOthers(
    join(outdir, 'assets'),
    [worker.url, style.url, main.url, player.url, iconPath].map((path) => basename(path)),
  );
  return listBuilt(
    outdir,
    [worker, main, player].flatMap(({ packages }) => packages),
  );
}

/** Readers see the old file or the new one, never half of it: servers may run from this directory. */
async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, content);
  await rename(temporary, path);
}

/** A file whose name holds the hash of its content needs to be written once. */
async function addFile(path: string, content: Uint8Array): Promise<void> {
  const known = await stat(path).catch(() => null);
  if (known?.size !== content.length) await replaceFile(path, content);
}

async function removeOthers(directory: string, kept: readonly string[]): Promise<void> {
  for (const name of await readdir(directory))
    if (!kept.includes(name)) await rm(join(directory, name), { force: true });
}

export async function listBuilt(outdir: string, packages: readonly string[]): Promise<Built> {
  const entries = await readdir(outdir, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return {
    outdir,
    files: paths.map((path) => path.slice(outdir.length + 1)).sort(),
    totalBytes: sizes.reduce((sum, size) => sum + size, 0),
    packages: [...new Set(packages)].sort(),
  };
}
