/** What anybody may send to the REST API, as schemathesis makes it of the OpenAPI document: nothing breaks it, every answer is documented. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openApiDocument, roles } from '@lucid-sessions/contract';
import { startDesktop } from '@lucid-sessions/desktop';
import { peerPath, skipUnlessPeers } from '@lucid-sessions/testkit';
import { makeToken } from '../../src/commands/token.ts';
import { recordSession, startGateway } from '../support/gateway.ts';

/** Limits are tried elsewhere; here they would hide what is behind them. */
const unlimited = Object.fromEntries(
  ['CREATE', 'READ', 'UPDATE', 'DELETE', 'CHUNKS', 'PIPELINE', 'STATISTICS', 'BULK', 'SIGN_IN', 'OPEN'].map((kind) => [
    `LUCID_RATE_LIMIT_${kind}`,
    '1000000',
  ]),
);

const checks = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_schema_conformance',
  'unsupported_method',
  'allow_header_conformance',
];
/** The same requests each time. */
const settled = [
  ...['--checks', checks.join(','), '--continue-on-failure', '--no-color', '--no-shrink', '--seed', '15'],
  ...['--generation-deterministic', '--suppress-health-check', 'all'],
  ...['--request-timeout', '120', '--warnings', 'off'],
];

async function run(directory: string, args: readonly string[]): Promise<{ code: number | null; said: string }> {
  const env = { PATH: peerPath(), HOME: directory };
  const child = spawn('schemathesis', args, { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const parts: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => parts.push(part.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said: parts.join('') };
}

test('whatever is sent by whichever role is answered as documented', { timeout: 1_800_000 }, async (t) => {
  if (skipUnlessPeers(t, 'schemathesis')) return;
  const directory = mkdtempSync(join(tmpdir(), 'lucid-fuzz-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { ...unlimited, RDP_CONNECTIONS_PER_SECOND: '1000' });
  const id = await recordSession(gateway, desktop.port);
  writeFileSync(join(directory, 'openapi.json'), JSON.stringify(openApiDocument('0.1.0')));
  // What is there is found, too; of other ids there are enough.
  writeFileSync(
    join(directory, 'schemathesis.toml'),
    `[parameters]\nsession_id = "${id}"\nchunk_id = "${id}.000001"\n`,
  );
  const secret = readFileSync(join(gateway.lucid.directory.root, 'secrets', 'jwt'), 'utf8').trim();
  for (const role of roles) {
    const token = await makeToken(secret, { userId: `of-${role}`, roles: [role], lifetimeS: 3600 });
    const isAdmin = role === 'admin';
    const { code, said } = await run(directory, [
      ...['run', 'openapi.json', '--url', gateway.lucid.addresses.api!, '-H', `Authorization: Bearer ${token}`],
      // Every bound of every field and every other method once; the rest differs by role.
      ...['--phases', isAdmin ? 'coverage' : 'fuzzing', '--max-examples', '1'],
      // Bytes of a file: nothing a document describes.
      ...['--exclude-operation-id', 'importSession'],
      ...settled,
    ]);
    assert.equal(code, 0, `${role}:\n${said.slice(-20_000)}`);
  }
});
