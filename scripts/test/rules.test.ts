import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkRules, readSources } from '../rules.ts';

test('the sources of this repository keep the dependency rule', () => {
  assert.deepEqual(checkRules(readSources(join(import.meta.dirname, '../..'))), []);
});

test('a broken rule is found and named', () => {
  const broken = [
    { path: 'packages/wire/src/a.ts', text: "import { x } from '@lucid-sessions/rdp';" },
    { path: 'packages/rdp/src/b.ts', text: "import { readFile } from 'node:fs/promises';" },
    { path: 'packages/evidence/src/c.ts', text: 'const now = Date.now();' },
    { path: 'services/api/src/d.ts', text: "import { y } from '@lucid-sessions/storage';" },
    { path: 'packages/adapters/src/e.ts', text: "import { z } from '@lucid-sessions/storage';" },
    { path: 'packages/contract/src/f.ts', text: 'export const f = (x: any) => x;' },
    {
      path: 'services/storage/src/h.ts',
      text: "import { mkdir } from 'node:fs/promises';\nawait mkdir(path, { recursive: true });",
    },
    {
      path: 'apps/lucid-sessions/src/i.ts',
      text: "import * as fs from 'node:fs';\nconst file = fs.openSync(path, 'wx');",
    },
    { path: 'packages/recording/src/g.ts', text: "export {\n  a,\n  b,\n} from 'node:zlib';" },
  ];
  for (const source of broken) assert.equal(checkRules([source]).length, 1, source.path);
  const own = "import { mkdir } from 'node:fs/promises';\nawait mkdir(path, { mode: 0o700 });";
  assert.deepEqual(checkRules([{ path: 'services/storage/src/h.ts', text: own }]), []);
  assert.deepEqual(
    checkRules([{ path: 'packages/adapters/src/e.ts', text: "import type { Z } from '@lucid-sessions/storage';" }]),
    [],
  );
});
