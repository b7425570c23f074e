import assert from 'node:assert/strict';

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { type Built, buildConsole } from '../build.ts';

let outdir: string;
let built: Built;

before(async () => {
  outdir = await mkdtemp(join(tmpdir(), 'lucid-build-'));
  await buildConsole(outdir);
  await writeFile(join(outdir, 'assets', 'main-OLD.js'), 'left by an earlier build');
  built = await buildConsole(outdir);
});
after(() => rm(outdir, { recursive: true, force: true }));

test('gives its documents, the template of court files, hashed assets and the player under a name of its own', () => {
  const names = built.files.map((file) => file.replace(/-[A-Za-z0-9]{8}\./, '-HASH.'));
  assert.deepEqual(names, [
    'assets/console-HASH.css',
    'assets/icon-HASH.svg',
    'assets/iron-rdp-HASH.wasm',
    'assets/lucid-player-HASH.js',
    'assets/main-HASH.js',
    'assets/main-HASH.js',
    'assets/worker-HASH.js',
    'connect.html',
    'court.html',
    'index.html',
    'lucid-player.js',
  ]);
});

test('what the documents and the player name is there', async () => {
  const html = (
    await Promise.all(['index', 'connect'].map((name) => readFile(join(outdir, `${name}.html`), 'utf8')))
  ).join('');
  const player = await readFile(join(outdir, 'lucid-player.js'), 'utf8');
  const named = [...(html + player).matchAll(/\/assets\/[\w.-]+/g)].map(([path]) => path);
  assert.equal(named.length, 7);
  for (const path of named) assert.ok((await stat(join(outdir, path))).size > 0, path);
  assert.doesNotMatch(html, /%[A-Z]+%|<style|<script(?![^>]*\ssrc=)/);
});

test('stays small: what is loaded before the first picture', async () => {
  // Of the other document alone, which nobody waits for before they connect; and what is made into files.
  const later = built.files.filter((file) => file.endsWith('.wasm') || file === 'court.html');
  const sizes = await Promise.all(later.map(async (file) => (await stat(join(outdir, file))).size));
  const bytes = sizes.reduce((left, size) => left - size, built.totalBytes);
  assert.ok(bytes < 800_000, `${bytes} bytes`);
});
