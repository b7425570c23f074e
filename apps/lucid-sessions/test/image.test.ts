/** What a container image holds beside its base, made without containers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipUnlessPeers, temporaryDirectory } from '@lucid-sessions/testkit';
import { makeImage } from '../image.ts';

/** gcr.io/distroless/cc-debian12, as made of the same Debian packages (deploy/stand-ins.sh base). */
const baseBytes = 25e6;
const imageBytesMax = 200e6;

test('an image is small, runs with its own Node, lists all that is in it, and holds nothing that develops or tests', async (t) => {
  if (skipUnlessPeers(t, 'binutils')) return;
  const directory = temporaryDirectory('image-test');
  const { bytes, nodeVersion } = await makeImage(directory, 1_700_000_000);
  assert.ok(bytes + baseBytes < imageBytesMax, `${bytes} bytes`);
  assert.equal(`v${nodeVersion}`, process.version);

  const node = join(directory, 'usr', 'bin', 'node');
  const program = join(directory, 'opt', 'lucid-sessions', 'lucid-sessions.js');
  const run = (...args: string[]) => execFileSync(node, [program, ...args], { encoding: 'utf8' });
  assert.match(run('--version'), /^\d+\.\d+\.\d+\n$/);
  // Loads what the services need, and finds none.
  assert.throws(() => run('up', '--services', 'coffee'), /unknown service coffee/);
  assert.equal(statSync(node).mode & 0o777, 0o755);

  const sbom = JSON.parse(readFileSync(join(directory, 'usr/share/doc/lucid-sessions/sbom.cdx.json'), 'utf8')) as {
    components: { name: string; version: string }[];
  };
  const listed = new Set(sbom.components.map(({ name, version }) => `${name}@${version}`));
  assert.ok(listed.has(`node@${nodeVersion}`));
  const app = join(directory, 'opt', 'lucid-sessions');
  const installed = globSync('node_modules/**/package.json', { cwd: app })
    .map((path) => JSON.parse(readFileSync(join(app, path), 'utf8')) as { name?: string; version?: string })
    .filter(({ name, version }) => name !== undefined && version !== undefined);
  assert.ok(installed.length > 30);
  // npm names scoped packages by group and name.
  const group = (name: string): string => name.split('/').at(-1) ?? name;
  for (const { name = '', version } of installed)
    assert.ok(listed.has(`${name}@${version}`) || listed.has(`${group(name)}@${version}`), `${name}@${version}`);
  for (const name of ['typescript', 'esbuild', '@lucid-sessions', '@types'])
    assert.ok(!existsSync(join(app, 'node_modules', name)), name);
});
