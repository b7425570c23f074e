import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { makeRelease } from '../release.ts';
import { compareBuild, parseBuildList } from '../src/server/build-list.ts';

test('a release made twice, elsewhere and under another umask, has the same bytes, times and modes', async () => {
  const directory = temporaryDirectory('released');
  const epochS = 1_700_000_000;
  const facts = async (name: string, umask: number) => {
    const usual = process.umask(umask);
    try {
      const outdir = join(directory, name);
      await makeRelease(outdir, epochS);
      return readdirSync(outdir)
        .sort()
        .map((file) => {
          const { mode, mtimeMs } = statSync(join(outdir, file));
          return { file, mode: mode & 0o777, mtimeMs, text: readFileSync(join(outdir, file), 'latin1') };
        });
    } finally {
      process.umask(usual);
    }
  };
  const [first, second] = [await facts('a', 0o022), await facts('b/deeper', 0o077)];
  assert.deepEqual(
    first.map(({ file }) => file.replace(/\d+\.\d+\.\d+/, 'V')),
    ['SHA256SUMS', 'lucid-sessions-V.cdx.json', 'lucid-sessions-V.tgz'],
  );
  first.forEach((one, at) => {
    const { text, ...rest } = one;
    const { text: other, ...otherRest } = second[at]!;
    assert.ok(text === other, `${one.file} differs`);
    assert.deepEqual(otherRest, rest);
    assert.deepEqual(rest, { file: one.file, mode: 0o644, mtimeMs: epochS * 1000 });
  });

  const [sums, sbomText, tarball] = first.map(({ text }) => text) as [string, string, string];
  for (const line of sums.trimEnd().split('\n')) {
    const [sum, file] = line.split('  ');
    const bytes = Buffer.from(file?.endsWith('.tgz') ? tarball : sbomText, 'latin1');
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sum);
  }
  const sbom = JSON.parse(sbomText) as { metadata: { component: { name: string } }; components: { name: string }[] };
  assert.equal(sbom.metadata.component.name, 'lucid-sessions');
  const names = sbom.components.map(({ name }) => name);
  // Installed beside it, bundled into it, into the console; nothing that only develops or tests it.
  for (const name of ['fastify', 'viem', 'zod']) assert.ok(names.includes(name), name);
  for (const name of ['esbuild', 'typescript', 'testkit', 'anvil']) assert.ok(!names.includes(name), name);

  // The package's list of files names this SBOM; another file makes another list.
  const unpacked = join(directory, 'unpacked');
  mkdirSync(unpacked);
  execFileSync('tar', ['-xzf', join(directory, 'a', first[2]!.file), '-C', unpacked]);
  const installed = join(unpacked, 'package');
  const list = parseBuildList(readFileSync(join(installed, 'build.json'), 'utf8'));
  assert.equal(list.sbom_sha256, createHash('sha256').update(Buffer.from(sbomText, 'latin1')).digest('hex'));
  assert.deepEqual(await compareBuild(installed, list), []);
  writeFileSync(join(installed, 'main.js'), '');
  writeFileSync(join(installed, 'console', 'more.js'), '');
  rmSync(join(installed, 'LICENSE'));
  assert.deepEqual(await compareBuild(installed, list), [
    'missing: LICENSE',
    'changed: main.js',
    'added: console/more.js',
  ]);
});
