import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pid } from 'node:process';
import { test } from 'node:test';
import { createFileDurably, writeFileDurably } from '../src/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function directoryFor(t: { after: (work: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-durable-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('what a crash left of a file is in nobody’s way, also where the process has the same number again', async (t) => {
  const directory = directoryFor(t);
  const path = join(directory, 'checkpoint');
  for (let count = 0; count < 20; count += 1) writeFileSync(`${path}.${pid}-${count}.tmp`, 'half');
  await writeFileDurably(path, bytes('one'));
  await writeFileDurably(path, bytes('two'));
  assert.equal(readFileSync(path, 'utf8'), 'two');
  assert.equal(await createFileDurably(path, bytes('three')), false);
  assert.equal(await createFileDurably(`${path}2`, bytes('three')), true);
  assert.equal(readdirSync(directory).length, 22);
});

test('a file that could not be written leaves nothing beside it', async (t) => {
  const directory = directoryFor(t);
  const path = join(directory, 'taken');
  mkdirSync(path);
  await assert.rejects(writeFileDurably(path, bytes('x')));
  assert.equal(await createFileDurably(path, bytes('x')), false);
  await assert.rejects(createFileDurably(join(directory, 'nowhere', 'x'), bytes('x')), /ENOENT/);
  assert.deepEqual(readdirSync(directory), ['taken']);
});
