import assert from 'node:assert/strict';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { linkedFiles } from '../documents.ts';

test('every link of README, and of what it leads to, leads somewhere', async () => {
  const { files, dead } = await linkedFiles(join(import.meta.dirname, '../../..'));
  assert.deepEqual(dead, []);
  for (const name of ['ARCHITECTURE.md', 'docs/operations.md', 'docs/openapi.json', 'docs/console/system.png'])
    assert.ok(files.includes(name), name);
});

test('every path of this repository that a document names is there', () => {
  const root = join(import.meta.dirname, '../../..');
  const named = /`((?:packages|services|adapters|apps|desktop|testkit|bench|scripts|docs|\.ci)\/[\w./-]*)/g;
  const paths = globSync('{*,docs/**/*}.md', { cwd: root }).flatMap((document) =>
    [...readFileSync(join(root, document), 'utf8').matchAll(named)].map(([, path = '']) => ({ document, path })),
  );
  assert.ok(paths.length > 60);
  assert.deepEqual(
    paths.filter(({ path }) => !path.endsWith('/dist') && !existsSync(join(root, path))),
    [],
  );
});

test('a link to a file or a heading that is not there is found, in whatever document', async () => {
  const directory = temporaryDirectory('links');
  const texts = {
    'README.md': '[a](docs/a.md#what-its-made-of) ![p](docs/p.png) [w](https://x.example/y) [n](gone.md)\n',
    'docs/a.md': "# What it's made of\n[up](../README.md) [self](#nowhere) [out](../../etc/passwd) [d](../docs)\n",
    'docs/p.png': '',
    'docs/unlinked.md': '[n](nothing.md)\n```\n[in code](x)\n```\n',
  };
  for (const [path, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  assert.deepEqual(await linkedFiles(directory), {
    files: ['README.md', 'docs/a.md', 'docs/p.png'],
    dead: ['README.md: gone.md', 'docs/a.md: #nowhere', 'docs/a.md: ../../etc/passwd', 'docs/a.md: ../docs'],
  });
});
