import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FsChunkStore } from '@lucid-sessions/files';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import {
  createStorageService,
  decodeLeafFields,
  leafBytes,
  noLeafHash,
  sealedLeafBytes,
} from '@lucid-sessions/storage';

const writer = fileURLToPath(new URL('support/writer.ts', import.meta.url));

/** Runs the writer until it has said `lines` lines, then kills it with whatever it has under way. */
async function runAndKill(path: string, lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [writer, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.split('\n').length > lines) child.kill('SIGKILL');
  });
  await ended;
  return said.split('\n').slice(0, -1);
}

test('whenever storage is killed, everything it said it stored is there, whole and in one chain', async () => {
  const path = await mkdtemp(join(tmpdir(), 'lucid-killed-'));
  let acknowledged = 0;
  for (const lines of [1, 5, 17, 30]) {
    const said = await runAndKill(path, lines);
    assert.ok(
      said.every((line) => line.endsWith(' true')),
      said.join(),
    );
    acknowledged += said.length;

    const storage = createStorageService({
      metadata: new SqliteMetadataStore(join(path, 'metadata.db')),
      chunks: new FsChunkStore({ path: join(path, 'chunks'), temporaryAgeMs: -1 }),
      nowUs: () => Date.now() * 1000,
    });
    const report = await storage.start();
    assert.deepEqual(report.findings, []);
    assert.deepEqual(await readdir(join(path, 'chunks', 'tmp')), []);
    const { leaves } = await storage.readLeaves({ sessionId: 's1' });
    const count = leaves.length / sealedLeafBytes;
    assert.ok(count >= acknowledged, `${count} of ${acknowledged}`);
    assert.equal((await storage.listChunks({ sessionId: 's1', limit: 1, offset: 0 })).total, count);
    let previous = noLeafHash;
    for (let index = 0; index < count; index++) {
      const leaf = decodeLeafFields(leaves.subarray(index * sealedLeafBytes, index * sealedLeafBytes + leafBytes));
      assert.deepEqual([leaf.index, leaf.previousLeafHash], [index, previous]);
      previous = leaf.leafHash;
      const { file } = await storage.readChunk({ sessionId: 's1', index });
      assert.equal(createHash('sha256').update(file!).digest('hex'), leaf.fileSha256);
    }
    acknowledged = count;
    await storage.dispose();
  }
  await rm(path, { recursive: true });
});
