/** Connection files at the command line: of a new session and of one that is there, and what is left where none can be written. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { startGateway } from './support/gateway.ts';

test('sessions rdp-file, and create where no file can be written', { timeout: 60_000 }, async (t) => {
  const folder = temporaryDirectory('rdp-file');
  const gateway = await startGateway(t);
  const api = { LUCID_API_URL: gateway.lucid.addresses.api ?? '', LUCID_DATA_DIR: gateway.lucid.directory.root };
  const sessions = (...args: string[]) => runCli(['sessions', ...args], api);
  const create = (...args: string[]) => sessions('create', 'host.example', '--name', 'x', ...args);
  const count = async () =>
    (await gateway.api.json<{ sessions: unknown[] }>('GET', '/sessions?limit=100')).sessions.length;
  const tokenIn = (path: string) => /^loadbalanceinfo:s:Cookie: msts=(\S+)/m.exec(readFileSync(path, 'utf8'))?.[1];

  const there = join(folder, 'there.rdp');
  writeFileSync(there, 'somebody’s');
  const refused = await create('--rdp-file', there);
  assert.deepEqual([refused.code, await count()], [1, 0], 'said before a session is made');
  assert.match(refused.stderr, /is there already/);

  // Where the file would lead is the API's to know: here through no gateway.
  const noWay = join(folder, 'no-way.rdp');
  const led = await create('--rdp-file', noWay, '--via', 'gateway');
  assert.notEqual(led.code, 0);
  assert.match(led.stderr, /RDP_GATEWAY/);
  const [, id = ''] = /sessions rdp-file (\S+) FILE/.exec(led.stderr) ?? [];
  assert.deepEqual([await count(), existsSync(noWay)], [1, false]);

  const first = join(folder, 'first.rdp');
  const made = await sessions('rdp-file', id, first);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /open .*first\.rdp with mstsc/);
  const second = join(folder, 'second.rdp');
  assert.equal((await sessions('rdp-file', id, second)).code, 0);
  assert.ok(tokenIn(first));
  assert.notEqual(tokenIn(first), tokenIn(second));
  const again = await sessions('rdp-file', id, second);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /is there already/);
});
