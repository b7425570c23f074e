/**
 * The dependency rule of ARCHITECTURE.md as a check: which workspace may import which, what pure packages may touch, that every
 * manifest tells the truth, and what code of one thread may not reach.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

const scope = '@lucid-sessions/';

interface Room {
  /** Rooms its `src` may import. */
  imports: readonly string[];
  /** Rooms it may name types of, and nothing else: the ports an adapter implements. */
  types?: readonly string[];
}

export const rooms: Readonly<Record<string, Room>> = {
  'packages/wire': { imports: [] },
  'packages/rdp': { imports: ['wire'] },
  'packages/graphics': { imports: ['wire', 'rdp'] },
  'packages/recording': { imports: ['wire', 'rdp', 'graphics'] },
  'packages/relay': { imports: ['wire', 'rdp', 'graphics', 'recording', 'screens'] },
  'packages/screens': { imports: ['wire', 'rdp'] },
  'packages/evidence': { imports: ['wire', 'recording'] },
  'packages/contract': { imports: [], types: ['recording'] },
  'services/kit': { imports: ['contract'] },
  'services/recorder': { imports: ['kit', 'wire', 'rdp', 'recording', 'relay', 'screens', 'contract'] },
  'services/processor': { imports: ['kit', 'wire', 'recording', 'evidence', 'contract'] },
  'services/storage': { imports: ['kit', 'wire', 'evidence', 'contract'] },
  'services/pipeline': { imports: ['kit', 'wire', 'evidence', 'contract'] },
  'services/api': { imports: ['kit', 'wire', 'evidence', 'recording', 'contract'] },
  'services/indexer': { imports: ['kit', 'wire', 'rdp', 'graphics', 'recording', 'evidence', 'contract'] },
  'adapters/node': { imports: ['wire', 'graphics', 'recording', 'evidence'], types: ['indexer'] },
  'adapters/files': { imports: ['node', 'wire', 'evidence', 'contract'], types: ['storage'] },
  'adapters/s3': { imports: ['files', 'evidence', 'contract'], types: ['storage', 'log'] },
  'adapters/sqlite': { imports: ['contract'], types: ['storage', 'pipeline'] },
  'adapters/mongodb': { imports: ['contract'], types: ['storage', 'pipeline'] },
  'adapters/postgres': { imports: ['contract'], types: ['storage', 'pipeline'] },
  'adapters/redis': { imports: ['contract'], types: ['api', 'pipeline'] },
  'adapters/log': { imports: ['node', 'wire', 'evidence'], types: ['pipeline'] },
  'adapters/keys': { imports: ['node', 'wire', 'evidence', 'contract'], types: ['processor', 'pipeline', 'api'] },
  'adapters/anchors': { imports: ['node', 'wire', 'evidence', 'contract'], types: ['pipeline'] },
  'adapters/siem': { imports: ['contract'], types: ['pipeline'] },
  'adapters/kerberos': { imports: ['rdp'], types: ['recorder'] },
  'apps/console': { imports: ['wire', 'rdp', 'graphics', 'recording', 'evidence', 'contract'] },
  'apps/lucid-sessions': {
    imports: [
      ...['wire', 'rdp', 'graphics', 'recording', 'evidence', 'contract', 'kit', 'console', 'desktop'],
      ...['recorder', 'processor', 'storage', 'pipeline', 'api', 'indexer'],
      ...[
        'node',
        'files',
        's3',
        'sqlite',
        'postgres',
        'mongodb',
        'redis',
        'log',
        'keys',
        'anchors',
        'kerberos',
        'siem',
      ],
    ],
  },
  desktop: { imports: ['wire', 'rdp', 'graphics'] },
};

export const purePackages: readonly string[] = [
  'packages/wire',
  'packages/rdp',
  'packages/graphics',
  'packages/recording',
  'packages/relay',
  'packages/screens',
  'packages/evidence',
];
const nodeFree = [...purePackages, 'packages/contract', 'apps/console'];

const player = 'apps/console/src/player';
/** What both sides of the player may use: messages, and what is told in the same words. */
const playerShared = [`${player}/protocol.ts`, `${player}/no-h264.ts`, 'apps/console/src/ui/format.ts'];

/** Entries of threads, and where their code stays: what it imports runs in another thread than its neighbours. */
const threadBorders: Readonly<Record<string, readonly string[]>> = {
  'services/recorder/src/spool/spool-thread.ts': ['services/recorder/src/spool/'],
  'services/processor/src/pool/worker.ts': ['services/processor/src/pool/'],
  'adapters/sqlite/src/sqlite-thread-worker.ts': ['adapters/sqlite/src/'],
  'adapters/log/src/embedded-log-head-worker.ts': [
    'adapters/log/src/embedded-log-head',
    'adapters/log/src/log-error.ts',
  ],
  'adapters/files/src/file-hasher-worker.ts': ['adapters/files/src/file-hasher'],
  'services/indexer/src/worker.ts': ['services/indexer/src/'],
  'services/indexer/src/search-worker.ts': ['services/indexer/src/search-'],
  'services/indexer/src/alerts/judge-worker.ts': ['services/indexer/src/alerts/judge-'],
  [`${player}/worker/worker.ts`]: [`${player}/worker/`, `${player}/live/`, 'apps/console/src/api/', ...playerShared],
  'apps/console/src/court/worker.ts': [
    'apps/console/src/court/',
    `${player}/worker/`,
    `${player}/live/`,
    'apps/console/src/api/',
    ...playerShared,
  ],
  [`${player}/page/lucid-player.ts`]: [`${player}/page/`, 'apps/console/src/ui/', ...playerShared],
};
/** Of the page alone: what a worker in the browser does not have. */
const pageOnly = /\b(?:document|window|localStorage|HTMLElement)\b[.(]/;

/** Names a pure package must take as arguments instead: clocks, randomness, environment, sockets, Node's Buffer. */
const impure =
  /\b(?:Date\.now|new Date\(\)|performance\.now|Math\.random|process\.|Buffer\.|setTimeout|setInterval|fetch\(|crypto\.subtle|crypto\.getRandomValues)/;

/** Calls of node:fs that make files or folders; without a mode they would be as open as the umask lets them. */
const making =
  /(?<![\w.])(?:fs\.)?(?:(?:mkdir|mkdirSync|writeFile|writeFileSync|createWriteStream|appendFile|appendFileSync)\(|open(?:Sync)?\([^;]*?'(?:w|a)x?\+?')[^;]*;/g;

export interface Source {
  /** Path from the repository's root, with `/`. */
  path: string;
  text: string;
}

interface Import {
  specifier: string;
  /** Nothing of it is there when the program runs. */
  typeOnly: boolean;
}

const roomOf = (path: string): string => {
  const [top = '', second = ''] = path.split('/');
  return ['desktop', 'testkit', 'bench', 'scripts'].includes(top) ? top : `${top}/${second}`;
};

/** `import`, `export … from`, `import()`, `require()` and `import.meta.resolve()`. */
export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const statements = /^\s*(?:import|export)\s+(type\s+)?(?:([^'"()]*?)\sfrom\s+)?['"]([^'"]+)['"]/gm;
  for (const [, type, names = '', specifier = ''] of text.matchAll(statements)) {
    const listed = /^\{([^}]*)\}$/.exec(names.trim())?.[1];
    const allTypes = listed?.split(',').every((name) => name.trim() === '' || name.trim().startsWith('type '));
    found.push({ specifier, typeOnly: type !== undefined || allTypes === true });
  }
  const calls = /(typeof\s+)?(?:\bimport|\brequire|\bimport\.meta\.resolve)\(\s*['"]([^'"]+)['"]/g;
  for (const [, type, specifier = ''] of text.matchAll(calls)) found.push({ specifier, typeOnly: type !== undefined });
  return found;
}

/** Findings, one line each; empty when the house stands as drawn. */
export function checkRules(sources: readonly Source[]): string[] {
  return [...sources.flatMap(checkSource), ...checkThreads(sources), ...checkVariables(sources)];
}

function checkSource({ path, text }: Source): string[] {
  const room = roomOf(path);
  const findings: string[] = [];
  if (path.startsWith('scripts/') || !path.startsWith(`${room}/src/`)) {
    if (room === 'scripts')
      for (const { specifier } of importsOf(text))
        if (/\/test\//.test(specifier)) findings.push(`${path}: scripts may not import tests: ${specifier}`);
    return findings;
  }
  for (const { specifier, typeOnly } of importsOf(text)) findings.push(...checkImport(path, room, specifier, typeOnly));
  if (rooms[room] === undefined) return findings;
  if (purePackages.includes(room))
    text.split('\n').forEach((line, index) => {
      if (!/^\s*(?:\/\/|\*|\/\*)/.test(line) && impure.test(line))
        findings.push(`${path}:${index + 1}: ${room} is pure: ${line.trim()}`);
    });
  if (/from 'node:fs(?:\/promises)?'/.test(text) && !path.startsWith('apps/console/'))
    for (const [call] of text.matchAll(making))
      if (!/\bmode\b|\bown\w*Mode\b|0o[67]00\b/.test(call))
        findings.push(`${path}: say the mode (own-file.ts): ${call.split('\n')[0]}`);
  if (/\bas any\b|:\s*any\b/.test(text)) findings.push(`${path}: no any`);
  return findings;
}

function checkImport(path: string, room: string, specifier: string, typeOnly: boolean): string[] {
  const findings: string[] = [];
  const rule = rooms[room];
  if (rule && specifier.startsWith(scope)) {
    const name = specifier.slice(scope.length).split('/')[0] ?? '';
    const allowed = rule.imports.includes(name) || (typeOnly && rule.types?.includes(name) === true);
    if (!allowed)
      findings.push(
        `${path}: ${room} may not import ${specifier}${rule.types?.includes(name) ? ' but its types' : ''}`,
      );
  }
  if (nodeFree.includes(room) && /^node:/.test(specifier))
    findings.push(`${path}: ${room} runs in browsers and may not import ${specifier}`);
  if (specifier.startsWith('.') && !normalize(join(dirname(path), specifier)).startsWith(`${room}/`))
    findings.push(`${path}: import ${specifier} by its package name`);
  return findings;
}

/** What the entry of a thread reaches by relative imports stays in its folders; what a worker of the page reaches asks for no page. */
function checkThreads(sources: readonly Source[]): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source.text]));
  return Object.entries(threadBorders).flatMap(([entry, within]) => {
    const findings: string[] = [];
    const seen = new Set<string>();
    const visit = (path: string, from: string): void => {
      const text = byPath.get(path);
      if (text === undefined || seen.has(path)) return;
      seen.add(path);
      if (!within.some((place) => path.startsWith(place)))
        findings.push(`${from}: ${path} is not of the thread that begins in ${entry}`);
      if (entry === `${player}/worker/worker.ts` && pageOnly.test(text.replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, '')))
        findings.push(`${path}: a worker has no page`);
      for (const { specifier, typeOnly } of importsOf(text))
        if (!typeOnly && specifier.startsWith('.')) visit(normalize(join(dirname(path), specifier)), path);
    };
    visit(entry, entry);
    return findings;
  });
}

/** A variable read in two files has two bounds sooner or later: who shares one reads it by `services/kit/src/variables.ts`. */
function checkVariables(sources: readonly Source[]): string[] {
  const readers = /\b(?:read[A-Z]\w*|integer)\(\s*(?:environment,\s*)?'([A-Z][A-Z0-9]*_[A-Z0-9_]+)'/g;
  const places = new Map<string, Set<string>>();
  for (const { path, text } of sources)
    if (/^(?:services|apps)\/[^/]+\/src\//.test(path))
      // By name alone: its bounds are where the reader is.
      for (const [call, variable = ''] of text.matchAll(readers))
        if (!/^readServicePort|^readInternalService/.test(call))
          places.set(variable, (places.get(variable) ?? new Set()).add(path));
  return [...places]
    .filter(([, paths]) => paths.size > 1)
    .map(([variable, paths]) => `${[...paths].join(' and ')}: ${variable} is read in two places`);
}

export interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/**
 * Manifests against what is imported: `src` by `dependencies`, tests and what only types are taken of by `devDependencies` or the
 * root's, and nothing declared that is not used. `manifests` by the workspace's folder, the root's by ''.
 */
export function checkManifests(sources: readonly Source[], manifests: ReadonlyMap<string, Manifest>): string[] {
  const findings: string[] = [];
  const shared = Object.keys(manifests.get('')?.devDependencies ?? {});
  for (const [room, { name, dependencies = {}, devDependencies = {} }] of manifests) {
    if (room === '') continue;
    const used = { src: new Set<string>(), types: new Set<string>(), test: new Set<string>() };
    for (const { path, text } of sources) {
      if (!path.startsWith(`${room}/`)) continue;
      const isSource = path.startsWith(`${room}/src/`);
      for (const { specifier, typeOnly } of importsOf(text)) {
        if (/^[./]|^node:|^data:/.test(specifier)) continue;
        const words = specifier.split('/');
        const wanted = words.slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
        if (wanted !== name) (isSource ? (typeOnly ? used.types : used.src) : used.test).add(wanted);
      }
    }
    for (const each of used.src)
      if (!(each in dependencies))
        findings.push(`${room}/package.json: src imports ${each}, which is not in dependencies`);
    for (const each of used.types)
      if (!(each in dependencies) && !(each in devDependencies))
        findings.push(`${room}/package.json: src takes types of ${each}, which is not declared`);
    for (const each of used.test)
      if (!(each in dependencies) && !(each in devDependencies) && !shared.includes(each))
        findings.push(`${room}/package.json: tests import ${each}, which is not in devDependencies`);
    for (const each of Object.keys(dependencies))
      if (!used.src.has(each))
        findings.push(`${room}/package.json: ${each} is in dependencies, and src does not import it`);
    for (const each of Object.keys(devDependencies))
      if (!used.test.has(each) && !used.types.has(each))
        findings.push(`${room}/package.json: ${each} is in devDependencies, and neither a test nor a type asks for it`);
  }
  return findings;
}

const tops = ['packages', 'services', 'adapters', 'apps', 'desktop', 'testkit', 'bench', 'scripts'];

/** Every TypeScript source under the workspaces of the repository at `root`. */
export function readSources(root: string): Source[] {
  const sources: Source[] = [];
  const walk = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name === 'dist' || entry.name === 'captures') continue;
      const path = join(directory, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.name.endsWith('.ts'))
        sources.push({ path: relative(root, path).replaceAll('\\', '/'), text: readFileSync(path, 'utf8') });
    }
  };
  for (const top of tops) walk(join(root, top));
  return sources;
}

/** The manifests of all workspaces by their folder, the root's by ''. */
export function readManifests(root: string): Map<string, Manifest> {
  const manifests = new Map<string, Manifest>();
  const read = (room: string): void => {
    const path = join(root, room, 'package.json');
    if (existsSync(path)) manifests.set(room, JSON.parse(readFileSync(path, 'utf8')) as Manifest);
  };
  read('');
  for (const top of tops) {
    read(top);
    if (manifests.has(top)) continue;
    for (const entry of readdirSync(join(root, top))) read(`${top}/${entry}`);
  }
  return manifests;
}
