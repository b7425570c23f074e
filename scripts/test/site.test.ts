import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadLinks, makeSite } from '../site.ts';

test('every document is a page, every link of a page leads somewhere, and every operation of the API is told', async () => {
  const { pages, files } = await makeSite();
  for (const page of ['index.html', 'docs/operations.html', 'docs/integrators.html', 'docs/api.html'])
    assert.ok(pages.has(page), page);
  assert.ok(files.has('docs/openapi.json'));
  const api = pages.get('docs/api.html')!;
  assert.match(api, /<details id="listSessions"><summary><span class="method">GET<\/span>/);
  assert.match(api, /<details id="signIn">/);
  assert.match(pages.get('docs/operations.html')!, /<a href="users\.html" *>Users and roles</);
});

test('links to no page, no heading and no file are found', () => {
  const pages = new Map([
    [
      'index.html',
      '<a href="docs/a.html#one">a</a><a href="docs/a.html#two">b</a><img src="x.png"><a href="https://x">c</a>',
    ],
    [
      'docs/a.html',
      '<h2 id="one">One</h2><a href="../index.html">up</a><a href="b.html">b</a><a href="../y.png">y</a>',
    ],
  ]);
  assert.deepEqual(deadLinks(pages, new Set(['y.png'])), [
    'index.html: docs/a.html#two',
    'index.html: x.png',
    'docs/a.html: b.html',
  ]);
});
