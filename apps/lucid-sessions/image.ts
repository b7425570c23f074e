/**
 * `node apps/lucid-sessions/image.ts DIRECTORY`: what a container image holds beside its base (deploy/Dockerfile): the release's package with
 * what it needs in `/opt/lucid-sessions`, Node in `/usr/bin`, an SBOM (CycloneDX) of all that in `/usr/share/doc/lucid-sessions`.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { makeRelease, ownLock, type Sbom, sourceDate } from './release.ts';

const root = join(import.meta.dirname, '..', '..');

/** Of npm packages: types, maps, sources of what is compiled, documents. Licences stay. */
const unneeded = /\.(?:d\.[cm]?ts|[cm]?ts|map|markdown|md|flow)$|\/(?:tests?|__tests__|examples?|benchmarks?)\//;
const kept = /\/(?:licen[sc]e|notice|copying)/i;

export interface ImageFacts {
  bytes: number;
  nodeVersion: string;
}

/** Makes the directory anew. Needs `npm ci` done here, a Debian with binutils and libatomic1. */
export async function makeImage(outdir: string, epochS: number): Promise<ImageFacts> {
  const work = mkdtempSync(join(tmpdir(), 'lucid-image-'));
  try {
    rmSync(outdir, { recursive: true, force: true });
    const app = join(outdir, 'opt', 'lucid-sessions');
    mkdirSync(app, { recursive: true, mode: 0o755 });
    const { files } = await makeRelease(work, epochS);
    const [tarball = '', sbomFile = ''] = ['.tgz', '.cdx.json'].map((end) => files.find((file) => file.endsWith(end)));
    execFileSync('tar', ['-xzf', join(work, tarball), '--strip-components=1', '-C', app]);
    installNeeded(app);
    const { version, licence } = putNode(outdir);
    const libraries = putLibraries(outdir);
    const documents = join(outdir, 'usr', 'share', 'doc', 'lucid-sessions');
    mkdirSync(documents, { recursive: true, mode: 0o755 });
    writeFileSync(join(documents, 'node-license.txt'), licence, { mode: 0o644 });
    const sbom = JSON.parse(readFileSync(join(work, sbomFile), 'utf8')) as Sbom;
    writeFileSync(join(documents, 'sbom.cdx.json'), withRuntime(sbom, [nodeComponent(version), ...libraries]), {
      mode: 0o644,
    });
    return { bytes: bytesUnder(outdir), nodeVersion: version };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The versions of package-lock.json, by npm; then without what no process reads. */
function installNeeded(app: string): void {
  writeFileSync(
    join(app, 'package-lock.json'),
    JSON.stringify(ownLock(JSON.parse(readText(join(app, 'package.json'))))),
  );
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  execFileSync('npm', ['ci', '--omit=dev', '--ignore-scripts', ...quiet], { cwd: app, stdio: 'inherit' });
  for (const name of [
    'package-lock.json',
    ...['.package-lock.json', '.bin', '@types'].map((each) => `node_modules/${each}`),
  ])
    rmSync(join(app, name), { recursive: true, force: true });
  for (const path of globSync('node_modules/**', { cwd: app }))
    if (unneeded.test(path) && !kept.test(path)) rmSync(join(app, path), { recursive: true, force: true });
}

/** Node of the lock file's package for this machine, without its symbols: they are a fifth of it. */
function putNode(outdir: string): { version: string; licence: string } {
  const [from] = globSync('node_modules/node-linux-*/package.json', { cwd: root });
  if (from === undefined)
    throw new Error('no node-linux package is installed: an image is made on Linux, after npm ci');
  const directory = join(root, dirname(from));
  const node = join(outdir, 'usr', 'bin', 'node');
  mkdirSync(dirname(node), { recursive: true, mode: 0o755 });
  cpSync(join(directory, 'bin', 'node'), node);
  execFileSync('strip', ['--strip-unneeded', node]);
  chmodSync(node, 0o755);
  const { version } = JSON.parse(readText(join(directory, 'package.json'))) as { version: string };
  return { version, licence: readText(join(directory, 'LICENSE')) };
}

interface Component {
  'bom-ref': string;
  [field: string]: unknown;
}

const nodeComponent = (version: string): Component => ({
  'bom-ref': `node@${version}`,
  type: 'application',
  name: 'node',
  version,
  purl: `pkg:generic/node@${version}`,
  cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
  licenses: [{ license: { id: 'MIT' } }],
});

/** What Node links and a distroless base with libstdc++ lacks: libatomic, of the Debian this runs on. */
function putLibraries(outdir: string): Component[] {
  const linked = execFileSync('ldd', [join(outdir, 'usr', 'bin', 'node')], { encoding: 'utf8' });
  const path = /libatomic\.so\.1 => (\S+)/.exec(linked)?.[1];
  if (path === undefined) return [];
  const to = join(outdir, 'usr', 'lib', basename(dirname(path)), 'libatomic.so.1');
  mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
  cpSync(realpathSync(path), to);
  chmodSync(to, 0o644);
  const [, version = ''] = execFileSync('dpkg-query', ['-W', 'libatomic1'], { encoding: 'utf8' }).trim().split('\t');
  const purl = `pkg:deb/debian/libatomic1@${encodeURIComponent(version)}?distro=debian-12`;
  const licenses = [{ expression: 'GPL-3.0-or-later WITH GCC-exception-3.1' }];
  return [{ 'bom-ref': `libatomic1@${version}`, type: 'library', name: 'libatomic1', version, purl, licenses }];
}

function withRuntime(sbom: Sbom, runtime: readonly Component[]): string {
  const refs = runtime.map((each) => each['bom-ref']);
  const own = sbom.metadata.component['bom-ref'];
  const dependencies = [
    ...sbom.dependencies.map((each) =>
      each.ref === own ? { ...each, dependsOn: [...each.dependsOn, ...refs].sort() } : each,
    ),
    ...refs.map((ref) => ({ ref, dependsOn: [] })),
  ];
  return `${JSON.stringify({ ...sbom, components: [...sbom.components, ...runtime], dependencies }, null, 2)}\n`;
}

const readText = (path: string): string => readFileSync(path, 'utf8');

const bytesUnder = (directory: string): number =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);

if (import.meta.main) {
  const [outdir] = process.argv.slice(2);
  if (outdir === undefined) throw new Error('usage: image.ts DIRECTORY');
  const { bytes, nodeVersion } = await makeImage(outdir, sourceDate());
  console.log(`${outdir}: ${(bytes / 1e6).toFixed(1)} MB beside the base, Node ${nodeVersion}`);
}
