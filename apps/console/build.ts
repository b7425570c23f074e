/**
 * Bundles the console for browsers. In development the server does it itself (well under a second), so nothing has to be built before
 * `npm start`; for the package `scripts/build.ts` does.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';

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

const wasmInside = /"data:application\/wasm;base64,([A-Za-z0-9+/=]+)"/;

/**
 * The RDP client holds its WebAssembly as a text in its own code, a third larger and not to be compiled while it comes: it becomes a
 * file beside it, which the page's policy can name. Its URLs are noted in `urls`.
 */
function wasmBeside(outdir: string, urls: Set<string>): Plugin {
  return {
    name: 'wasm-beside',
    setup({ onLoad }) {
      onLoad({ filter: /iron-remote-desktop-rdp\.js$/ }, async ({ path }) => {
        const source = await readFile(path, 'utf8');
        const text = wasmInside.exec(source)?.[1];
        if (text === undefined) throw new Error(`${path} holds no WebAssembly where it was: look at how it loads it`);
        const wasm = Buffer.from(text, 'base64');
        const url = `/assets/iron-rdp-${createHash('sha256').update(wasm).digest('hex').slice(0, 8)}.wasm`;
        await addFile(join(outdir, url), wasm);
        urls.add(url);
        return { contents: source.replace(wasmInside, JSON.stringify(url)), loader: 'js' };
      });
    },
  };
}

/** The player is a file of its own, which other pages embed: the console takes the same one. */
function playerBeside(url: string): Plugin {
  return {
    name: 'player-beside',
    setup({ onResolve }) {
      onResolve({ filter: /\/player\/page\/lucid-player\.ts$/ }, () => ({ path: url, external: true }));
    },
  };
}

/** Bundles one browser entry. */
async function bundle(
  outdir: string,
  entry: string,
  define: Record<string, string> = {},
  plugins: Plugin[] = [],
): Promise<Bundled> {
  const { metafile, outputFiles } = await build({
    ...browserOptions,
    metafile: true,
    absWorkingDir: consoleRoot,
    entryPoints: [entry],
    outdir,
    define,
    plugins,
    write: false,
  });
  for (const { path, contents } of outputFiles ?? []) await addFile(path, contents);
  const outputs = Object.entries(metafile.outputs);
  const output = outputs.find(([, { entryPoint }]) => entryPoint === entry);
  if (!output) throw new Error(`esbuild gave no output for ${entry}: check that the file exists`);
  return { url: `/assets/${basename(output[0])}`, packages: packagesIn(metafile) };
}

/**
 * Builds the console into `outdir`: `index.html`, `connect.html` (a session's desktop, a document of its own), hashed files under `assets/` that may be cached for ever, and `lucid-player.js`,
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
  const wasmUrls = new Set<string>();
  const player = await bundle(outdir, 'src/player/page/lucid-player.ts', urls);
  const [main, connect] = await Promise.all([
    bundle(outdir, 'src/main.ts', {}, [playerBeside(player.url)]),
    bundle(outdir, 'src/connect/main.ts', {}, [wasmBeside(outdir, wasmUrls)]),
  ]);
  const court = await courtTemplate();
  await replaceFile(join(outdir, 'court.html'), court.document);
  const icon = await readFile(join(consoleRoot, 'src', 'icon.svg'));
  const iconPath = `/assets/icon-${createHash('sha256').update(icon).digest('hex').slice(0, 8)}.svg`;
  await addFile(join(outdir, iconPath), icon);
  await replaceFile(join(outdir, 'lucid-player.js'), `export * from '.${player.url}';\n`);
  const page = await readFile(join(consoleRoot, 'src', 'index.html'), 'utf8');
  const document = (code: string): string =>
    page.replace('%STYLE%', style.url).replace('%MAIN%', code).replace('%ICON%', iconPath);
  await replaceFile(join(outdir, 'index.html'), document(main.url));
  await replaceFile(join(outdir, 'connect.html'), document(connect.url));
  const bundles = [worker, main, player, connect];
  await removeOthers(
    join(outdir, 'assets'),
    [...bundles.map(({ url }) => url), style.url, iconPath, ...wasmUrls].map((path) => basename(path)),
  );
  return listBuilt(outdir, [...bundles.flatMap(({ packages }) => packages), ...court.packages]);
}

/** Bundles one entry into one text. */
async function bundleText(entry: string, change: BuildOptions = {}): Promise<{ text: string; packages: string[] }> {
  const { metafile, outputFiles } = await build({
    ...browserOptions,
    ...change,
    metafile: true,
    absWorkingDir: consoleRoot,
    entryPoints: [entry],
    outdir: 'nowhere',
    write: false,
  });
  const [output] = outputFiles;
  if (output === undefined || outputFiles.length > 1) throw new Error(`${entry} did not become one file`);
  return { text: output.text.trim(), packages: packagesIn(metafile) };
}

/**
 * The template of court files: one document with everything inside, whose policy names its own code by hash and allows no request at
 * all. What belongs to a recording is put in by `courtDocument` of packages/evidence.
 */
async function courtTemplate(): Promise<{ document: string; packages: string[] }> {
  const [style, worker, main, page] = await Promise.all([
    bundleText('src/court/court.css'),
    // No module: a document opened from a disk may load none from a blob.
    bundleText('src/court/worker.ts', { format: 'iife' }),
    bundleText('src/court/main.ts', { define: { PLAYER_WORKER_URL: 'globalThis.lucidWorkerUrl' } }),
    readFile(join(consoleRoot, 'src', 'court', 'court.html'), 'utf8'),
  ]);
  // Inside of a script element these would end it, or begin a comment.
  const code = main.text.replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--');
  const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const policy = [
    "default-src 'none'",
    // Decoders that need SIMD compile code of their own.
    `script-src ${hashOf(code)} 'wasm-unsafe-eval'`,
    `style-src ${hashOf(style.text)}`,
    'worker-src blob:',
    'img-src blob: data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const parts: Record<string, string> = {
    POLICY: policy,
    STYLE: style.text,
    WORKER: Buffer.from(worker.text).toString('base64'),
    MAIN: code,
  };
  return {
    document: page.replace(
      /%(POLICY|WORKER)%|\s*\/\*%(STYLE|MAIN)%\*\/\s*/g,
      (_, text, code) => parts[text ?? code] ?? '',
    ),
    packages: [...style.packages, ...worker.packages, ...main.packages],
  };
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
