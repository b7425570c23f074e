import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkManifests, checkRules, type Manifest, readManifests, readSources } from '../rules.ts';

const root = join(import.meta.dirname, '../..');

test('the sources of this repository keep the dependency rule', () => {
  assert.deepEqual(checkRules(readSources(root)), []);
});

test('the manifests of this repository tell what is imported', () => {
  assert.deepEqual(checkManifests(readSources(root), readManifests(root)), []);
});

test('a broken rule is found and named', () => {
  const broken: [string, string, RegExp][] = [
    ['packages/wire/src/a.ts', "import { x } from '@lucid-sessions/rdp';", /may not import/],
    ['packages/rdp/src/b.ts', "import { readFile } from 'node:fs/promises';", /runs in browsers/],
    ['packages/rdp/src/b.ts', "const g = await import('@lucid-sessions/graphics');", /may not import/],
    ['packages/evidence/src/c.ts', 'const now = Date.now();', /is pure/],
    ['packages/contract/src/c.ts', "import { y } from '@lucid-sessions/recording';", /may not import .* but its types/],
    ['services/api/src/d.ts', "import { y } from '@lucid-sessions/storage';", /may not import/],
    ['services/api/src/d.ts', "import type { Y } from '@lucid-sessions/storage';", /may not import/],
    ['adapters/files/src/e.ts', "import { z } from '@lucid-sessions/storage';", /may not import .* but its types/],
    ['adapters/sqlite/src/e.ts', "import { z } from '@lucid-sessions/log';", /may not import/],
    ['apps/lucid-sessions/src/e.ts', "import { z } from '@lucid-sessions/testkit';", /may not import/],
    ['apps/lucid-sessions/src/e.ts', "await import('../../../scripts/rules.ts');", /by its package name/],
    ['scripts/x.ts', "import { z } from '../apps/lucid-sessions/test/support/gateway.ts';", /may not import tests/],
    ['packages/contract/src/f.ts', 'export const f = (x: any) => x;', /no any/],
    [
      'services/storage/src/h.ts',
      "import { mkdir } from 'node:fs/promises';\nawait mkdir(path, { recursive: true });",
      /say the mode/,
    ],
    [
      'apps/lucid-sessions/src/i.ts',
      "import * as fs from 'node:fs';\nconst file = fs.openSync(path, 'wx');",
      /say the mode/,
    ],
    ['packages/recording/src/g.ts', "export {\n  a,\n  b,\n} from 'node:zlib';", /runs in browsers/],
  ];
  for (const [path, text, finding] of broken) {
    const findings = checkRules([{ path, text }]);
    assert.equal(findings.length, 1, `${path}: ${text}`);
    assert.match(findings[0]!, finding);
  }
  const kept: [string, string][] = [
    ['services/storage/src/h.ts', "import { mkdir } from 'node:fs/promises';\nawait mkdir(path, { mode: 0o700 });"],
    ['adapters/files/src/e.ts', "import type { Z } from '@lucid-sessions/storage';"],
    ['adapters/files/src/e.ts', "import { type Y, type Z } from '@lucid-sessions/storage';"],
  ];
  for (const [path, text] of kept) assert.deepEqual(checkRules([{ path, text }]), [], path);
});

test('code of another thread is found, however far away', () => {
  const thread = { path: 'services/recorder/src/spool/spool-thread.ts', text: "import { a } from './a.ts';" };
  const within = { path: 'services/recorder/src/spool/a.ts', text: "import type { B } from '../front-door/b.ts';" };
  const outside = { path: 'services/recorder/src/front-door/b.ts', text: '' };
  assert.deepEqual(checkRules([thread, within, outside]), []);
  const reaching = { ...within, text: "import { b } from '../front-door/b.ts';" };
  assert.match(checkRules([thread, reaching, outside]).join(), /not of the thread that begins in/);
});

test('page and worker of the player meet in messages alone, and a worker asks for no page', () => {
  const at = (path: string, text = '') => ({ path: `apps/console/src/${path}`, text });
  const worker = at('player/worker/worker.ts', "import { a } from './a.ts';\nimport { b } from '../live/b.ts';");
  const page = at(
    'player/page/lucid-player.ts',
    "import { c } from '../protocol.ts';\nimport { d } from '../../ui/d.ts';",
  );
  const sound = [
    worker,
    page,
    at('player/worker/a.ts'),
    at('player/live/b.ts'),
    at('player/protocol.ts'),
    at('ui/d.ts'),
  ];
  assert.deepEqual(checkRules(sound), []);
  const broken: [string, string, RegExp][] = [
    ['player/worker/a.ts', "document.querySelector('a');", /a worker has no page/],
    ['player/worker/a.ts', "import { x } from '../page/x.ts';", /page\/x\.ts is not of the thread/],
    ['player/live/b.ts', "import { x } from '../../ui/x.ts';", /ui\/x\.ts is not of the thread/],
    ['ui/d.ts', "import { a } from '../player/worker/x.ts';", /worker\/x\.ts is not of the thread/],
    ['player/protocol.ts', "import { a } from './live/x.ts';", /live\/x\.ts is not of the thread/],
  ];
  const others = [at('player/page/x.ts'), at('ui/x.ts'), at('player/worker/x.ts'), at('player/live/x.ts')];
  for (const [path, text, finding] of broken) {
    const changed = sound.map((source) => (source.path === at(path).path ? { ...source, text } : source));
    const findings = checkRules([...changed, ...others]);
    assert.equal(findings.length, 1, path);
    assert.match(findings[0]!, finding);
  }
});

test('a variable with two readers is found, wherever they are', () => {
  const reading = (path: string, call: string) => ({ path, text: `const value = ${call};` });
  const first = reading('services/x/src/config.ts', "readInteger(environment, 'SOME_LIMIT', bounds)");
  const second = reading('apps/y/src/z.ts', "integer('SOME_LIMIT', 1, 2, 3)");
  assert.match(checkRules([first, second]).join(), /config\.ts and apps\/y.*: SOME_LIMIT is read in two places/);
  assert.deepEqual(checkRules([first, reading('apps/y/src/z.ts', "readText(environment, 'OTHER_LIMIT', '')")]), []);
});

test('a manifest that hides or invents a dependency is found', () => {
  const source = (path: string, text: string) => ({ path, text });
  const sources = [
    source(
      'services/x/src/a.ts',
      "import a from 'a';\nconst b = await import('b/sub');\nimport.meta.resolve('@c/d/e');",
    ),
    source('services/x/test/a.test.ts', "import fc from 'fast-check';\nimport { t } from 't';"),
  ];
  const told = { name: 'x', dependencies: { a: '1', b: '1', '@c/d': '1' }, devDependencies: { t: '1' } };
  const check = (manifest: Manifest) =>
    checkManifests(
      sources,
      new Map<string, Manifest>([
        ['', { name: 'root', devDependencies: { 'fast-check': '1' } }],
        ['services/x', manifest],
      ]),
    );
  assert.deepEqual(check(told), []);
  for (const hidden of ['a', 'b', '@c/d']) {
    const { [hidden]: _, ...dependencies } = told.dependencies as Record<string, string>;
    assert.equal(check({ ...told, dependencies }).length, 1, hidden);
  }
  assert.match(check({ ...told, devDependencies: {} }).join(), /tests import t/);
  assert.match(check({ ...told, dependencies: { ...told.dependencies, e: '1' } }).join(), /src does not import it/);
  assert.match(check({ ...told, devDependencies: { t: '1', u: '1' } }).join(), /neither a test nor a type/);
  sources.push(source('services/x/src/b.ts', "import type { V } from 'v';"));
  assert.match(check(told).join(), /takes types of v, which is not declared/);
  assert.deepEqual(check({ ...told, devDependencies: { t: '1', v: '1' } }), []);
  // What only types are taken of need not be installed with it.
  assert.match(check({ ...told, dependencies: { ...told.dependencies, v: '1' } }).join(), /src does not import it/);
});
