/** Everything the product writes is for its user alone, whatever the umask: data directory, exports, videos, backups. */
import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { peersMissing, temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { armSession, sessionIn, startGateway } from './support/gateway.ts';

/** Paths below, and the directory itself, that others may read, write or enter. */
function openTo(directory: string): string[] {
  const found: string[] = [];
  const look = (path: string): void => {
    const facts = lstatSync(path, { throwIfNoEntry: false });
    if (facts === undefined) return;
    if ((facts.mode & 0o077) !== 0) found.push(`${(facts.mode & 0o7777).toString(8)} ${path}`);
    if (facts.isDirectory()) for (const name of readdirSync(path)) look(join(path, name));
  };
  look(directory);
  return found;
}

for (const umask of [0o000, 0o022])
  test(`under umask ${umask.toString(8).padStart(3, '0')} no file or folder has a bit for others`, {
    skip: process.platform === 'win32',
    timeout: 240_000,
  }, async (t) => {
    const before = process.umask(umask);
    t.after(() => process.umask(before));
    const root = temporaryDirectory('modes');
    const dataDir = join(root, 'made', 'data');
    // What is made by every command goes below here, in folders that are not there yet.
    const out = (name: string) => join(root, 'out', name, name);
    const cli = async (...args: string[]) => {
      const { code, stderr } = await runCli(['--data-dir', dataDir, ...args]);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    };
    mkdirSync(join(root, 'out'), { mode: 0o700 });
    mkdirSync(join(root, 'out', 'keys'), { mode: 0o700 });
    await cli('keys', 'init', '--auditor', join(root, 'out', 'keys', 'auditor.txt'));
    await cli('keys', 'export-public', '--out', join(root, 'out', 'keys', 'policy.json'));

    const desktop = await startDesktop();
    t.after(() => desktop.stop());
    const gateway = await startGateway(t, { LUCID_DATA_DIR: dataDir });
    const { id, routingToken } = await armSession(gateway, desktop.port);
    const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'ada' });
    await client.type('kept\n', 5);
    await client.settled();
    assert.deepEqual(openTo(dataDir), [], 'while it records: spool, databases and their logs');
    await client.close();
    await sessionIn(gateway, id, 'completed');

    const api = ['--api', gateway.lucid.addresses.api ?? ''];
    // An umask takes bits away: what passes without one is closed under any, and a few commands show it.
    const isWhole = umask === 0;
    await cli(...api, 'sessions', 'create', 'host.example', '--name', 'x', '--rdp-file', out('x.rdp'));
    await cli(...api, 'export', id, '--out', out('bundle'));
    if (isWhole) {
      await cli(...api, 'export', id, '--out', out('bundle.tar'));
      await cli(...api, 'extract', id, '--out', out('contents'));
      await cli(...api, 'picture', id, '--at', 'end', '--out', out('picture.png'));
    }
    if (isWhole && peersMissing('ffmpeg').length === 0) await cli(...api, 'video', id, '--out', out('video.mp4'));
    await cli('backup', out('backup'));
    const restored = await runCli(['--data-dir', out('restored'), 'restore', out('backup')]);
    assert.equal(restored.code, 0, restored.stderr);
    await gateway.lucid.dispose();
    assert.deepEqual(openTo(join(root, 'made')), []);
    assert.deepEqual(openTo(join(root, 'out')), []);

    // An installation of before: its folders are closed by the next start.
    for (const folder of ['chunks', 'log']) chmodSync(join(dataDir, folder), 0o755);
    await (await startGateway(t, { LUCID_DATA_DIR: dataDir })).lucid.dispose();
    assert.deepEqual(openTo(dataDir), []);
  });
