/** Keys that several people open together, at the command line: with an installation, and offline without one. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { makeToken } from '../src/commands/token.ts';
import { runCli } from './support/cli.ts';
import { type Gateway, recordSession, startGateway } from './support/gateway.ts';

test('viewings and shared keys: asked for, given by holders, opened offline by the same holders', {
  timeout: 240_000,
}, async (t) => {
  const directory = temporaryDirectory('holders');
  const at = (name: string) => join(directory, name);
  const dataDir = at('data');
  const cli = (args: string[], more: Record<string, string> = {}) => runCli(['--data-dir', dataDir, ...args], more);
  for (const name of ['a', 'b', 'c']) assert.equal((await cli(['keys', 'holder', at(name)])).code, 0);
  assert.equal(statSync(at('a')).mode & 0o077, 0);
  const recipients = ['a', 'b', 'c'].map((name) => readFileSync(at(`${name}.pub`), 'utf8').trim());

  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const open = await startGateway(t, { LUCID_DATA_DIR: dataDir });
  const older = await recordSession(open, desktop.port);
  const pubs = ['a', 'b', 'c'].map((name) => at(`${name}.pub`));
  const share = ['keys', 'share', '--threshold', '2', '--holders'];
  assert.match((await cli([...share, ...pubs])).stderr, /services are running/);
  await open.lucid.dispose();
  assert.match((await cli([...share, at('a'), at('b.pub')])).stderr, /holds a secret/);
  assert.equal((await cli([...share, pubs[0]!])).code, 2, 'one holder is none');
  assert.equal((await cli(['keys', 'share', '--threshold', '4', '--holders', ...pubs])).code, 2);
  const shared = await cli([...share, ...pubs, '--reason', 'agreement 12']);
  assert.equal(shared.code, 0, shared.stderr);
  assert.match(shared.stdout, /rewrapped {2}1 of 1 sessions/);
  assert.match((await cli([...share, ...pubs])).stdout, /rewrapped {2}0 of 1/, 'a second time nothing is left to do');

  const holders = { LUCID_KEY_HOLDERS: recipients.join(','), LUCID_KEY_THRESHOLD: '2' };
  const gateway = await startGateway(t, { LUCID_DATA_DIR: dataDir, ...holders });
  const newer = await recordSession(gateway, desktop.port);
  const as = await peopleOf(gateway, dataDir);

  for (const id of [older, newer])
    await t.test(`a recording ${id === older ? 'from before' : 'made under it'}`, async () => {
      const refused = await as('ann', 'picture', id, '--out', at(`${id}-no.png`), '--at', 'end');
      assert.equal(refused.code, 4);
      assert.match(refused.stderr, /shown on request only/);
      const asked = await as('ann', 'viewings', 'ask', id, '--reason', 'incident 7', '--minutes', '10');
      assert.equal(asked.code, 0, asked.stderr);
      assert.match(asked.stdout, /waiting {2}0 of 2 shares {2}ann: incident 7/);
      assert.match((await as('hans', 'viewings', 'give', id, '--identity', at('a'))).stdout, /1 of 2 shares/);
      assert.match((await as('hans', 'viewings', 'give', id, '--identity', at('a'))).stderr, /given already/);
      const other = at(`stranger-${id}`);
      await cli(['keys', 'holder', other]);
      assert.match((await as('eve', 'viewings', 'give', id, '--identity', other)).stderr, /holds no share of this key/);
      const given = await as('greta', 'viewings', 'give', id, '--identity', at('c'));
      assert.match(given.stdout, /granted/, given.stderr);
      const shown = await as('ann', 'picture', id, '--out', at(`${id}.png`), '--at', 'end');
      assert.equal(shown.code, 0, shown.stderr);
      assert.notEqual(
        (await as('eve', 'picture', id, '--out', at(`${id}-eve.png`), '--at', 'end')).code,
        0,
        'a grant is one person’s',
      );
      const bundle = at(`bundle-${id}`);
      assert.equal((await as('ann', 'export', id, '--out', bundle)).code, 0);

      const texts: string[] = [];
      for (const name of ['a', 'b', 'c']) {
        const opened = await cli(['keys', 'open-share', bundle, '--identity', at(name)]);
        assert.match(opened.stdout, /^lucid-share-1-[A-Za-z0-9_-]+\n$/, opened.stderr);
        texts.push(opened.stdout.trim());
      }
      const judge = (name: string, lines: readonly string[]) => {
        writeFileSync(at(name), `${lines.join('\n')}\n`);
        return cli(['--json', 'verify', bundle, '--policy', `${bundle}.policy.json`, '--identity', at(name)]);
      };
      const secrets = ['a', 'b'].map((name) => readFileSync(at(name), 'utf8'));
      for (const [name, lines] of [
        [`two-${id}`, [texts[0]!, texts[2]!]],
        [`identities-${id}`, secrets],
      ] as const) {
        const judged = await judge(name, lines);
        assert.match(judged.stdout, /"readability": "readable"/, judged.stderr);
      }
      const one = await judge(`same-${id}`, [texts[1]!, texts[1]!]);
      assert.equal(one.code, 1);
      assert.match(one.stderr, /it takes 2 shares, 1 are there/);
      const offline = at(`${id}-offline.png`);
      const drawn = await cli(['picture', bundle, '--out', offline, '--at', 'end', '--identity', at(`two-${id}`)]);
      assert.equal(drawn.code, 0, drawn.stderr);
      assert.ok(readFileSync(offline).equals(readFileSync(at(`${id}.png`))));
    });
});

/** The program as this person. */
async function peopleOf(gateway: Gateway, dataDir: string) {
  const secret = readFileSync(join(dataDir, 'secrets', 'jwt'), 'utf8').trim();
  return async (userId: string, ...args: string[]) =>
    runCli(['--data-dir', dataDir, '--api', gateway.api.url, ...args], {
      LUCID_TOKEN: await makeToken(secret, { userId, roles: ['admin'], lifetimeS: 600 }),
    });
}
