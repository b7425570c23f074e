/** The dependency rule of ARCHITECTURE.md as a check: which workspace may import which, and what pure packages may touch. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const scope = '@lucid-sessions/';

/** Workspaces a room may import from its `src`. A room not listed may import nothing of ours. */
export const allowedImports: Record<string, readonly string[]> = {
  'packages/wire': [],
  'packages/rdp': ['wire'],
  'packages/recording': ['wire', 'rdp'],
  'packages/evidence': ['wire', 'recording'],
  'packages/contract': [],
  'packages/adapters': ['wire', 'rdp', 'recording', 'evidence', 'contract', 'storage', 'pipeline', 'processor'],
  'services/recorder': ['wire', 'rdp', 'recording', 'contract'],
  'services/processor': ['wire', 'recording', 'evidence', 'contract'],
  'services/storage': ['wire', 'evidence', 'contract'],
  'services/pipeline': ['evidence', 'contract'],
  'services/api': ['wire', 'evidence', 'recording', 'contract'],
  'apps/console': ['wire', 'rdp', 'recording', 'evidence', 'contract'],
};

export const purePackages: readonly string[] = [
  'packages/wire',
  'packages/rdp',
  'packages/recording',
  'packages/evidence',
];
const nodeFree = [...purePackages, 'packages/contract', 'apps/console'];

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

/** Findings, one line each; empty when the house stands as drawn. */
export function checkRules(sources: readonly Source[]): string[] {
  const findings: string[] = [];
  for (const { path, text } of sources) {
    const room = path.split('/').slice(0, 2).join('/');
    if (!path.startsWith(`${room}/src/`)) continue;
    const allowed = allowedImports[room];
    for (const [, typeOnly, specifier = ''] of text.matchAll(
      /^\s*(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm,
    )) {
      if (allowed && specifier.startsWith(scope)) {
        const name = specifier.slice(scope.length).split('/')[0] ?? '';
        const ownName = room.split('/')[1];
        // An adapter implements a service's port: it may know the port's type, never the service's code.
        const portOnly =
          room === 'packages/adapters' && ['storage', 'pipeline', 'processor'].includes(name) && !typeOnly;
        if (name !== ownName && (!allowed.includes(name) || portOnly))
          findings.push(`${path}: ${room} may not import ${specifier}`);
      }
      if (nodeFree.includes(room) && /^node:/.test(specifier))
        findings.push(`${path}: ${room} runs in browsers and may not import ${specifier}`);
      if (/(?:^|\/)\.\.\/\.\.\/\.\.\/(?:packages|services|apps)/.test(specifier))
        findings.push(`${path}: import ${specifier} by its package name`);
    }
    if (purePackages.includes(room)) {
      text.split('\n').forEach((line, index) => {
        if (!/^\s*(?:\/\/|\*|\/\*)/.test(line) && impure.test(line))
          findings.push(`${path}:${index + 1}: ${room} is pure: ${line.trim()}`);
      });
    }
    if (/from 'node:fs(?:\/promises)?'/.test(text) && !path.startsWith('apps/console/'))
      for (const [call] of text.matchAll(making))
        if (!/\bmode\b|\bown\w*Mode\b|0o[67]00\b/.test(call))
          findings.push(`${path}: say the mode (own-file.ts): ${call.split('\n')[0]}`);
    if (/\bas any\b|:\s*any\b/.test(text)) findings.push(`${path}: no any`);
  }
  return findings;
}

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
  for (const top of ['packages', 'services', 'apps', 'testkit', 'bench']) walk(join(root, top));
  return sources;
}
