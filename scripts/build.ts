/**
 * `npm run build`: the console's files, and the CLI as it is published (`apps/lucid-sessions/dist`, ready for `npm publish`).
 * In development the server builds the console itself (`buildConsole` takes well under a second), so nothing has to be built
 * before `npm start`.
 */
import { createHash } from 'node:crypto';
import { globSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';

const root = join(import.meta.dirname, '..');
const consoleRoot = join(root, 'apps', 'console');
const cliRoot = join(root, 'apps', 'lucid-sessions');
const scope = '@lucid-sessions/';

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
  const { metafile, outputFiles } = await build({
    ...browserOptions,
    absWorkingDir: consoleRoot,
    entryPoints: [entry],
    outdir,
    define,
    write: false,
  });
  for (const { path, contents } of outputFiles ?? []) await addFile(path, contents);
  const outputs = Object.entries(metafile?.outputs ?? {});
  const output = outputs.find(([, { entryPoint }]) => entryPoint === entry);
  if (!output) throw new Error(`esbuild gave no output for ${entry}: check that the file exists`);
  return `/assets/${basename(output[0])}`;
}

/**
 * Builds the console into `outdir`: `index.html`, hashed files under `assets/` that may be cached for ever, and `lucid-player.js`,
 * the name other pages embed the player by. Nothing is inline, so the page runs under a policy without 'unsafe-inline'. What an
 * earlier build left is removed last: a server that runs from the same directory goes on.
 */
export async function buildConsole(outdir = join(consoleRoot, 'dist')): Promise<Built> {
  await mkdir(join(outdir, 'assets'), { recursive: true });
  const [worker, style] = await Promise.all([
    bundle(outdir, 'src/player/worker.ts'),
    bundle(outdir, 'src/style/console.css'),
  ]);
  const urls = { PLAYER_WORKER_URL: JSON.stringify(worker) };
  const [main, player] = await Promise.all([
    bundle(outdir, 'src/main.ts', urls),
    bundle(outdir, 'src/player/lucid-player.ts', urls),
  ]);
  const icon = await readFile(join(consoleRoot, 'src', 'icon.svg'));
  const iconPath = `/assets/icon-${createHash('sha256').update(icon).digest('hex').slice(0, 8)}.svg`;
  await addFile(join(outdir, iconPath), icon);
  await replaceFile(join(outdir, 'lucid-player.js'), `export * from '.${player}';\n`);
  const page = await readFile(join(consoleRoot, 'src', 'index.html'), 'utf8');
  const html = page.replace('%STYLE%', style).replace('%MAIN%', main).replace('%ICON%', iconPath);
  await replaceFile(join(outdir, 'index.html'), html);
  await removeOthers(
    join(outdir, 'assets'),
    [worker, style, main, player, iconPath].map((path) => basename(path)),
  );
  return listBuilt(outdir);
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

/** How this repository names a file that runs in a worker thread. */
const workerUrl = /new URL\('(\.[^']+)\.ts', import\.meta\.url\)/g;

/** `services/recorder/src/spool/spool-thread.ts` → `recorder-spool-thread`. */
function workerName(path: string): string {
  return relative(root, path)
    .replace(/^(?:packages|services|apps)[\\/]/, '')
    .replace(/\.ts$/, '')
    .split(/[\\/]/)
    .filter((part) => part !== 'src')
    .join('-');
}

/** Every file some source starts as a worker: each becomes a bundle of its own beside the main one. */
async function findWorkers(): Promise<Map<string, string>> {
  const workers = new Map<string, string>();
  for (const path of globSync('{packages,services,apps}/*/src/**/*.ts', { cwd: root })) {
    const text = await readFile(join(root, path), 'utf8');
    for (const [, target = ''] of text.matchAll(workerUrl)) {
      const file = resolve(root, dirname(path), `${target}.ts`);
      // What lies outside the workspaces (this script, which the server runs in development) is not published.
      if (/^(?:packages|services|apps)[\\/]/.test(relative(root, file))) workers.set(file, workerName(file));
    }
  }
  return workers;
}

/**
 * Bundles the workspaces' own code and leaves npm packages to be installed. Worker files get their new names, and
 * `import.meta.main` is true in the main bundle alone: a service's own main must not start because its code is inside.
 */
function nodePlugin(workers: Map<string, string>, main: string, externals: Set<string>): Plugin {
  return {
    name: 'lucid-sessions',
    setup(builder) {
      builder.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
        if (kind === 'entry-point' || path.startsWith(scope) || path.startsWith('node:')) return undefined;
        externals.add(
          path
            .split('/')
            .slice(0, path.startsWith('@') ? 2 : 1)
            .join('/'),
        );
        return { path, external: true };
      });
      builder.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        const contents = text
          .replace(workerUrl, (whole, target: string) => {
            const name = workers.get(resolve(dirname(path), `${target}.ts`));
            return name === undefined ? whole : `new URL('./${name}.js', import.meta.url)`;
          })
          .replaceAll('import.meta.main', path === main ? 'true' : 'false');
        return { contents, loader: 'ts' };
      });
    },
  };
}

interface Manifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
}

/** The versions the workspaces ask for, of the packages the bundle really imports. */
async function versionsOf(names: Iterable<string>): Promise<Record<string, string>> {
  const known = new Map<string, string>();
  for (const path of globSync('{packages,services,apps,testkit}/{*/,}package.json', { cwd: root })) {
    const { dependencies = {} } = JSON.parse(await readFile(join(root, path), 'utf8')) as Manifest;
    for (const [name, version] of Object.entries(dependencies)) known.set(name, version);
  }
  return Object.fromEntries(
    [...names].sort().map((name) => {
      const version = known.get(name);
      if (version === undefined) throw new Error(`${name} is imported, but no workspace lists it as a dependency`);
      return [name, version];
    }),
  );
}

/** Builds the CLI as a package of its own: JavaScript, its worker files, the console, and a `package.json`. */
export async function buildCli(outdir = join(cliRoot, 'dist')): Promise<Built> {
  const main = join(cliRoot, 'src', 'main.ts');
  const workers = await findWorkers();
  const externals = new Set<string>();
  await rm(outdir, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: [{ in: main, out: 'lucid-sessions' }, ...[...workers].map(([path, out]) => ({ in: path, out }))],
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: ['node26'],
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [nodePlugin(workers, main, externals)],
  });
  await buildConsole(join(outdir, 'console'));
  const manifest = JSON.parse(await readFile(join(cliRoot, 'package.json'), 'utf8')) as Manifest &
    Record<string, unknown>;
  const published = {
    ...manifest,
    private: undefined,
    exports: undefined,
    bin: { 'lucid-sessions': 'lucid-sessions.js' },
    engines: { node: '>=26' },
    dependencies: await versionsOf(externals),
  };
  await writeFile(join(outdir, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  for (const name of ['LICENSE', 'README.md'])
    await cp(join(root, name), join(outdir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  return listBuilt(outdir);
}

if (import.meta.main) {
  const [web, cli] = [await buildConsole(), await buildCli()];
  for (const { outdir, files, totalBytes } of [web, cli])
    console.log(`${relative(root, outdir)}: ${files.length} files, ${totalBytes} bytes`);
}
