/** What of the sessions somebody sees, set at the command line, and tried by that person's own browser. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCli } from './support/cli.ts';
import { startGateway } from './support/gateway.ts';

test('users --scope limits what is seen, and grants let in to one recording', { timeout: 300_000 }, async (t) => {
  const gateway = await startGateway(t);
  const { root } = gateway.lucid.directory;
  const url = gateway.lucid.addresses.api ?? '';
  const cli = (...args: string[]) => runCli(args, { LUCID_API_URL: url, LUCID_DATA_DIR: root });
  const done = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const sessionOf = async (project: string): Promise<string> => {
    const body = { name: project, rdp_config: { host: '127.0.0.1', port: 3389 }, metadata: { project } };
    return (await gateway.api.json<{ session_id: string }>('POST', '/sessions', body)).session_id;
  };
  const [inside, outside] = [await sessionOf('p'), await sessionOf('q')];

  const file = join(root, 'link');
  await done('users', 'add', 'ann', '--scope', 'project:p', 'own', '--out', file);
  const invited = await fetch(`${url}/api/v1/auth/invite`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      token: readFileSync(file, 'utf8').trim().split(/[#/=]/).at(-1),
      password: 'a long enough password',
    }),
  });
  assert.equal(invited.status, 200, await invited.text());
  const cookie = invited.headers
    .getSetCookie()
    .map((text) => text.split(';')[0])
    .join('; ');
  const statusOf = async (id: string): Promise<number> =>
    (await fetch(`${url}/api/v1/sessions/${id}`, { headers: { cookie } })).status;
  assert.deepEqual([await statusOf(inside), await statusOf(outside)], [200, 404]);
  assert.match(await done('users', 'list'), /^ann +session_viewer +own project:p +password/m);

  assert.match(await done('sessions', 'grants', 'list', outside), /nobody is let see it/);
  const give = ['sessions', 'grants', 'give', outside, 'ann', '--days', '2', '--reason'];
  assert.match(await done(...give, 'ticket 4711'), /^ann is let see .+ until \d{4}-/);
  assert.equal(await statusOf(outside), 200);
  assert.match(await done('sessions', 'grants', 'list', outside), /^ann +\S+ +admin +\S+ +ticket 4711$/m);
  await done('sessions', 'grants', 'take', outside, 'ann');
  assert.equal(await statusOf(outside), 404);
  assert.equal((await cli('sessions', 'grants', 'take', outside, 'ann')).code, 1, 'there is none any more');

  const changed = await done('users', 'change', 'ann', '--scope', 'label:blue', 'project:q', 'label:red');
  assert.match(changed, /^ann: session_viewer, sees project:q label:blue label:red, signs in by password$/m);
  assert.deepEqual([await statusOf(inside), await statusOf(outside)], [404, 200]);
  await done('users', 'change', 'ann', '--display-name', 'Ann');
  assert.equal(await statusOf(inside), 404, 'what is left out stays');
  assert.match(await done('users', 'change', 'ann', '--scope', 'all'), /sees all,/);
  assert.equal(await statusOf(inside), 200);
  const admin = await cli('users', 'change', 'ann', '--role', 'admin', '--scope', 'own');
  assert.match(admin.stderr, /an administrator is not limited/);
});
