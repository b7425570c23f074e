/** `npm run build`: the console's files, and the CLI as it is published (`apps/lucid-sessions/dist`, ready for `npm publish`). */
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { chmod, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { type Built, buildConsole, listBuilt, packagesIn } from '@lucid-sessions/console/build';
import { build, type Metafile, type Plugin } from 'esbuild';
import { linkedFiles } from './documents.ts';
import { manPage } from './src/cli/man-page.ts';
import { makeProgram } from './src/cli/program.ts';
import { buildListName, makeBuildList, sha256Of } from './src/server/build-list.ts';

const cliRoot = import.meta.dirname;
const root = join(cliRoot, '..', '..');
const scope = '@lucid-sessions/';

/** How this repository names a file that runs in a worker thread. */
const workerUrl = /new URL\('(\.[^']+)\.ts', import\.meta\.url\)/g;

/** `services/recorder/src/spool/spool-thread.ts` → `recorder-spool-thread`. */
function workerName(path: string): string {
  return relative(root, path)
    .replace(/^(?:packages|services|adapters|apps)[\\/]/, '')
    .replace(/\.ts$/, '')
    .split(/[\\/]/)
    .filter((part) => part !== 'src')
    .join('-');
}

/** Every file some source starts as a worker: each becomes a bundle of its own beside the main one. */
async function findWorkers(): Promise<Map<string, string>> {
  const workers = new Map<string, string>();
  for (const path of globSync('{packages,services,adapters,apps}/*/src/**/*.ts', { cwd: root }).sort()) {
    const text = await readFile(join(root, path), 'utf8');
    for (const [, target = ''] of text.matchAll(workerUrl)) {
      const file = resolve(root, dirname(path), `${target}.ts`);
      // What lies outside the workspaces (this script, which the server runs in development) is not published.
      if (/^(?:packages|services|adapters|apps)[\\/]/.test(relative(root, file))) workers.set(file, workerName(file));
    }
  }
  return workers;
}

/**
 * npm packages that are taken into the bundle: of viem (93 MB with what it needs) the product uses a few functions. Their
 * licences go into `third-party-licenses.txt`.
 */
const bundledPackages = /^(?:viem|ox|abitype|@scure|@noble|@adraffy|eventemitter3)(?:\/|$)/;
/** Asked for by viem's WebSocket transport alone, which nothing here uses. */
const neverLoaded = ['isows'];

/**
 * Bundles the workspaces' own code and leaves npm packages to be installed. Worker files get their new names, and
 * `import.meta.main` is true in the main bundle alone: a service's own main must not start because its code is inside.
 */
function nodePlugin(workers: Map<string, string>, main: string): Plugin {
  return {
    name: 'lucid-sessions',
    setup(builder) {
      builder.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
        if (kind === 'entry-point' || path.startsWith(scope) || path.startsWith('node:')) return undefined;
        if (bundledPackages.test(path)) return undefined;
        return { path, external: true };
      });
      builder.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        if (path.includes('node_modules')) return undefined;
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

const inPackage = /new URL\("\.\/([\w.-]+)", import\.meta\.url\)|import\.meta\.dirname, "(console|build\.json)"/g;
const besides = new Set(['console', buildListName]);
const hidden = /import\.meta\.(?:url|dirname|filename|resolve)|\bcreateRequire\b|\b(?:__)?require\(/;

/**
 * What runs from the checkout and not from the package: a path beside a source file, a module that is named where the build
 * does not see it. Nothing of that may be left in what was built.
 */
async function refuseHidden(outdir: string, outputs: readonly string[]): Promise<void> {
  const names = new Set(outputs.map((path) => basename(path)));
  for (const name of names) {
    const text = await readFile(join(outdir, name), 'utf8');
    const rest = text.replace(inPackage, (whole, file: string | undefined, beside: string | undefined) =>
      (file !== undefined && names.has(file)) || (beside !== undefined && besides.has(beside)) ? '' : whole,
    );
    const line = rest.split('\n').find((each) => hidden.test(each) && !/^\s*(?:\/\/|\*)/.test(each));
    if (line !== undefined) throw new Error(`${name} would miss something once it is installed: ${line.trim()}`);
  }
}

/** Names of the npm packages the built files import. */
function externalsOf(metafile: Metafile): string[] {
  const paths = Object.values(metafile.outputs)
    .flatMap(({ imports }) => imports)
    .filter(({ path, external }) => external === true && !builtinModules.includes(path) && !path.startsWith('node:'))
    .map(({ path }) =>
      path
        .split('/')
        .slice(0, path.startsWith('@') ? 2 : 1)
        .join('/'),
    );
  return [...new Set(paths)].filter((name) => !neverLoaded.includes(name));
}

/** The licence of every npm package whose code is inside: they ask for it to go along. */
async function licencesOf(packages: readonly string[]): Promise<string> {
  const texts = packages.map(async (name) => {
    const directory = join(root, 'node_modules', name);
    const file = (await readdir(directory)).find((each) => /^licen[sc]e(?:\.(?:md|txt))?$/i.test(each));
    const {
      name: ownName,
      version,
      license,
    } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest & { license?: string };
    // Of the licences it offers in its manifest alone, ours is one.
    const isOurs = file === undefined && license?.split(' OR ').includes('Apache-2.0') === true;
    if (file === undefined && !isOurs)
      throw new Error(`${name} has no licence file: it can't be taken into the bundle`);
    const text = await readFile(file === undefined ? join(root, 'LICENSE') : join(directory, file), 'utf8');
    return `${ownName} ${version} (${license})\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`);
}

interface Manifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
}

/** The versions the workspaces ask for, of the packages the bundle really imports. */
async function versionsOf(names: Iterable<string>): Promise<Record<string, string>> {
  const known = new Map<string, string>();
  for (const path of globSync('{packages,services,adapters,apps,desktop,testkit}/{*/,}package.json', { cwd: root })) {
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
export async function buildCli(outdir = join(cliRoot, 'dist'), date = new Date()): Promise<Built> {
  const main = join(cliRoot, 'src', 'main.ts');
  const workers = await findWorkers();
  await rm(outdir, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [{ in: main, out: 'main' }, ...[...workers].map(([path, out]) => ({ in: path, out }))],
    outdir,
    bundle: true,
    splitting: true,
    metafile: true,
    format: 'esm',
    platform: 'node',
    target: ['node26'],
    define: { IS_PUBLISHED: 'true' },
    // Leaves out what can't be reached in the package.
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [nodePlugin(workers, main)],
  });
  await refuseHidden(outdir, Object.keys(metafile.outputs));
  await writeLauncher(outdir);
  const web = await buildConsole(join(outdir, 'console'));
  const packages = [...packagesIn(metafile), ...web.packages];
  await writeFile(join(outdir, 'third-party-licenses.txt'), await licencesOf([...new Set(packages)].sort()));
  const manifest = JSON.parse(await readFile(join(cliRoot, 'package.json'), 'utf8')) as Manifest &
    Record<string, unknown>;
  const published = {
    ...manifest,
    private: undefined,
    exports: undefined,
    scripts: undefined,
    devDependencies: undefined,
    bin: { 'lucid-sessions': launcherName },
    man: [manPagePath],
    engines: { node: '>=26' },
    dependencies: await versionsOf(externalsOf(metafile)),
  };
  await writeFile(join(outdir, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  await copyDocuments(outdir);
  await mkdir(dirname(join(outdir, manPagePath)), { recursive: true });
  const page = manPage(makeProgram(true), manifest.version, date.toISOString().slice(0, 10));
  await writeFile(join(outdir, manPagePath), page);
  await writeBuildList(outdir, null);
  return listBuilt(outdir, packages);
}

/** The commit of the tree that is built, or null: changed, or no checkout. */
function cleanCommit(): string | null {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return git('status', '--porcelain') === '' ? git('rev-parse', 'HEAD') : null;
  } catch {
    return null;
  }
}

/** Last of all, behind the SBOM where there is one: it lists every file. */
export async function writeBuildList(outdir: string, sbom: string | null): Promise<void> {
  const { name, version } = JSON.parse(await readFile(join(outdir, 'package.json'), 'utf8')) as Manifest;
  const facts = { name, version, commit: cleanCommit(), sbom_sha256: sbom === null ? null : sha256Of(sbom) };
  await writeFile(join(outdir, buildListName), await makeBuildList(outdir, facts));
}

/** README and all it leads to: its links work where it is installed, too. */
async function copyDocuments(outdir: string): Promise<void> {
  const { files, dead } = await linkedFiles(root);
  if (dead.length > 0) throw new Error(`links that lead nowhere: ${dead.join(', ')}`);
  for (const name of ['LICENSE', ...files]) await cp(join(root, name), join(outdir, name));
}

const manPagePath = 'man/lucid-sessions.1';
const launcherName = 'lucid-sessions.js';

/** Copied, not bundled: an old Node reads it. */
async function writeLauncher(outdir: string): Promise<void> {
  const text = await readFile(join(cliRoot, 'bin', launcherName), 'utf8');
  const entry = "'../src/main.ts'";
  if (!text.includes(entry)) throw new Error(`bin/${launcherName} does not import ${entry} any more`);
  await writeFile(join(outdir, launcherName), text.replace(entry, "'./main.js'"));
  await chmod(join(outdir, launcherName), 0o755);
}

if (import.meta.main) {
  const [web, cli] = [await buildConsole(), await buildCli()];
  for (const { outdir, files, totalBytes } of [web, cli])
    console.log(`${relative(root, outdir)}: ${files.length} files, ${totalBytes} bytes`);
}
