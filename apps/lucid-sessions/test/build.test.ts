import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildCli } from '../build.ts';

test('bundles the CLI as a package that runs, its workers and console beside it', async () => {
  const cli = await mkdtemp(join(tmpdir(), 'lucid-cli-'));
  try {
    const { files } = await buildCli(cli);
    for (const name of [
      'lucid-sessions.js',
      'package.json',
      'man/lucid-sessions.1',
      'console/index.html',
      'log-embedded-log-head-worker.js',
      'processor-pool-worker.js',
      'recorder-spool-spool-thread.js',
    ])
      assert.ok(files.includes(name), name);
    const { dependencies } = JSON.parse(await readFile(join(cli, 'package.json'), 'utf8')) as { dependencies: object };
    assert.ok('fastify' in dependencies && !('esbuild' in dependencies));
    // Installed packages are found through the link, as npm would have put them there.
    await symlink(join(import.meta.dirname, '../../../node_modules'), join(cli, 'node_modules'));
    const { stdout } = await promisify(execFile)(process.execPath, [join(cli, 'lucid-sessions.js'), '--version']);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  } finally {
    await rm(cli, { recursive: true, force: true });
  }
});
