/**
 * `npm run release`: what is published, in one folder (`dist`): the package's tarball, an SBOM (CycloneDX) of what an installation of it
 * brings, and SHA-256 checksums. From one commit and one version of npm the bytes are the same wherever they are made: times
 * come from the commit, modes from a rule, identifiers from contents.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildCli, writeBuildList } from './build.ts';

const root = join(import.meta.dirname, '..', '..');

export interface Manifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
}

interface Lock {
  packages: Record<string, { version?: string; link?: boolean }>;
}

export interface Sbom {
  serialNumber: string;
  metadata: { timestamp: string; component: { 'bom-ref': string } };
  components: { 'bom-ref': string }[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

const readJson = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;
const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
const run = (command: string, args: string[], cwd: string): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'inherit'] });

/** The time of the commit, in seconds since 1970; SOURCE_DATE_EPOCH where it is set. */
export function sourceDate(): number {
  const text = process.env.SOURCE_DATE_EPOCH || run('git', ['log', '-1', '--format=%ct'], root).trim();
  if (!/^\d{1,11}$/.test(text)) throw new Error(`SOURCE_DATE_EPOCH must be seconds since 1970, not "${text}"`);
  return Number(text);
}

/** One mode for files, one for programs: what a umask or an archive left of them goes into the tarball otherwise. */
function normaliseModes(directory: string, programs: readonly string[]): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const isProgram = entry.isDirectory() || programs.includes(entry.name);
    chmodSync(join(entry.parentPath, entry.name), isProgram ? 0o755 : 0o644);
  }
}

/** A lock file for a package that needs what `manifest` says, in the versions of this repository's. */
export function ownLock(manifest: Manifest): Record<string, unknown> {
  const lock = readJson<Lock>(join(root, 'package-lock.json'));
  const installed = Object.entries(lock.packages).filter(
    ([path, { link }]) => path.startsWith('node_modules/') && link !== true,
  );
  const { name, version } = manifest;
  const packages = { '': manifest, ...Object.fromEntries(installed) };
  return { name, version, lockfileVersion: 3, requires: true, packages };
}

/**
 * What an installation brings, by npm: a root whose dependencies are those of the published manifest and the packages whose code is inside
 * (`bundled`, paths below node_modules), in the versions of the lock file. npm takes the root's name from its folder.
 */
function makeSbom(work: string, manifest: Manifest, bundled: readonly string[], epochS: number): string {
  const lock = readJson<Lock>(join(root, 'package-lock.json'));
  const { name, dependencies = {} } = manifest;
  const inside = bundled.map((path) => {
    const known = lock.packages[`node_modules/${path}`]?.version;
    if (known === undefined) throw new Error(`${path} is bundled, but not in package-lock.json: npm ci first`);
    return { path, ref: `${path.split('node_modules/').at(-1)}@${known}`, version: known };
  });
  const direct = inside.filter(({ path }) => !path.includes('/node_modules/')).map((each) => [each.path, each.version]);
  const top = { ...manifest, dependencies: { ...dependencies, ...Object.fromEntries(direct) } };
  const folder = join(work, name);
  mkdirSync(folder, { mode: 0o755 });
  writeFileSync(join(folder, 'package.json'), JSON.stringify(top), { mode: 0o644 });
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(ownLock(top)), { mode: 0o644 });
  // Without --omit=dev, which leaves out what a package for development needs as well (pg-types, of pg and of @types/pg).
  const args = ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only'];
  const sbom = JSON.parse(run('npm', args, folder)) as Sbom;
  const wanted = Object.entries(dependencies).map(([each, known]) => `${each}@${known}`);
  keepReached(sbom, wanted, new Set(inside.map(({ ref }) => ref)));
  return normaliseSbom(sbom, epochS);
}

/** What is installed with all it needs; of what is bundled only what is inside: viem's optional peers (typescript) come with nothing. */
function keepReached(sbom: Sbom, installed: readonly string[], bundled: ReadonlySet<string>): void {
  const needs = new Map(sbom.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  // A set hands out what is added while it is walked.
  const reached = new Set(installed);
  for (const ref of reached) for (const each of needs.get(ref) ?? []) reached.add(each);
  for (const ref of [...bundled, sbom.metadata.component['bom-ref']]) reached.add(ref);
  const listed = new Set([sbom.metadata.component['bom-ref'], ...sbom.components.map((each) => each['bom-ref'])]);
  for (const ref of reached) if (!listed.has(ref)) throw new Error(`npm sbom does not list ${ref}`);
  sbom.components = sbom.components.filter((each) => reached.has(each['bom-ref']));
  sbom.dependencies = sbom.dependencies.filter(({ ref }) => reached.has(ref));
  for (const each of sbom.dependencies) each.dependsOn = each.dependsOn.filter((ref) => reached.has(ref));
}

/** One order; the time is the commit's, and the serial number comes from what is listed. */
function normaliseSbom(sbom: Sbom, epochS: number): string {
  const byText = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
  sbom.components.sort((a, b) => byText(a['bom-ref'], b['bom-ref']));
  sbom.dependencies.sort((a, b) => byText(a.ref, b.ref));
  for (const each of sbom.dependencies) each.dependsOn.sort(byText);
  sbom.metadata.timestamp = new Date(epochS * 1000).toISOString();
  // A UUID of version 8, whose bits are the maker's own ([RFC 9562] 5.8).
  const hex = sha256(JSON.stringify([sbom.metadata, sbom.components, sbom.dependencies]));
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  sbom.serialNumber = `urn:uuid:${parts.join('-')}`;
  return `${JSON.stringify(sbom, null, 2)}\n`;
}

export interface Released {
  /** Names in the folder, sorted. */
  files: string[];
}

/** Makes the folder anew. */
export async function makeRelease(outdir: string, epochS = sourceDate()): Promise<Released> {
  const work = mkdtempSync(join(tmpdir(), 'lucid-release-'));
  try {
    rmSync(outdir, { recursive: true, force: true });
    mkdirSync(outdir, { recursive: true, mode: 0o755 });
    const built = join(work, 'package');
    const { packages } = await buildCli(built, new Date(epochS * 1000));
    const manifest = readJson<Manifest & { bin: Record<string, string> }>(join(built, 'package.json'));
    // In the package as well: who has that alone knows what belongs beside it.
    const sbom = makeSbom(work, manifest, packages, epochS);
    writeFileSync(join(built, 'sbom.cdx.json'), sbom);
    await writeBuildList(built, sbom);
    normaliseModes(built, Object.values(manifest.bin));
    const [packed] = JSON.parse(run('npm', ['pack', '--json', built], work)) as { filename: string }[];
    if (packed === undefined) throw new Error('npm pack made no file');
    const name = `${manifest.name}-${manifest.version}`;
    writeFileSync(join(outdir, `${name}.tgz`), readFileSync(join(work, packed.filename)), { mode: 0o644 });
    writeFileSync(join(outdir, `${name}.cdx.json`), sbom, { mode: 0o644 });
    const sums = readdirSync(outdir)
      .sort()
      .map((file) => `${sha256(readFileSync(join(outdir, file)))}  ${file}\n`);
    writeFileSync(join(outdir, 'SHA256SUMS'), sums.join(''), { mode: 0o644 });
    const files = readdirSync(outdir).sort();
    for (const file of files) {
      chmodSync(join(outdir, file), 0o644);
      utimesSync(join(outdir, file), epochS, epochS);
    }
    return { files };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const [outdir = join(root, 'dist')] = process.argv.slice(2);
  const changed = run('git', ['status', '--porcelain'], root);
  if (changed !== '') throw new Error(`a release is made of a commit: commit or stash first\n${changed}`);
  await makeRelease(outdir);
  console.log(readFileSync(join(outdir, 'SHA256SUMS'), 'utf8').trimEnd());
  console.log(`in ${outdir}; check there with sha256sum -c SHA256SUMS`);
}
