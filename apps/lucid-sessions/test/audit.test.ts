/** The audit log of a whole installation: one chain through crashes and several processes, and what is found when its rows are changed. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import {
  type AuditReport,
  auditExportBegin,
  auditExportEnd,
  makeAuditRow,
  type VerificationReport,
} from '@lucid-sessions/evidence';
import { eventually, temporaryDirectory } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { armSession, sessionIn, startGateway, verifySession } from './support/gateway.ts';

const often = { LUCID_HEADS_MS: '200' };

test('rows that somebody changes with the database in hand are found, in the store and in an export', {
  timeout: 180_000,
}, async (t) => {
  const directory = temporaryDirectory('audit');
  const data = join(directory, 'data');
  const environment = { LUCID_DATA_DIR: data, ...often };
  const gateway = await startGateway(t, environment);
  const api = ['--api', gateway.lucid.addresses.api ?? '', '--token-file', gateway.lucid.directory.adminToken];
  const verify = async (...more: string[]) => {
    const { stdout, stderr, code } = await runCli(['--json', 'audit', 'verify', ...more], environment);
    assert.ok(stdout !== '', stderr);
    return { code, report: JSON.parse(stdout) as AuditReport };
  };
  for (let at = 0; at < 12; at += 1)
    await gateway.api.json('POST', '/sessions', {
      name: `session ${at}`,
      rdp_config: { host: '127.0.0.1', port: 3389, username: `u${at}` },
    });
  const whole = await eventually('rows that are logged', async () => {
    const seen = await verify();
    return seen.report.facts.covered_to !== null && seen.report.facts.rows_not_covered === 0 && seen;
  });
  assert.deepEqual([whole.code, whole.report.findings], [0, []]);
  assert.ok(whole.report.facts.rows >= 13);

  const file = join(directory, 'audit.jsonl');
  const exported = await runCli([...api, 'audit', 'export', '--out', file]);
  assert.equal(exported.code, 0, exported.stderr);
  const policy = join(directory, 'policy.json');
  writeFileSync(policy, JSON.stringify(await gateway.api.json('GET', '/evidence/policy')));
  const log = `${gateway.lucid.addresses.api}/log`;
  await t.test('a file is checked with its proof alone, and against the log', async () => {
    const alone = await verify(file, '--policy', policy);
    assert.deepEqual([alone.code, alone.report.facts.log_size], [0, null]);
    assert.ok((alone.report.facts.covered_to ?? 0) >= 12);
    const compared = await verify(file, '--policy', policy, '--log', log);
    assert.deepEqual([compared.code, compared.report.findings], [0, []]);
    assert.ok((compared.report.facts.log_size ?? 0) > 0);
    const { events } = await gateway.api.json<{ events: { user_id: string }[] }>(
      'GET',
      '/audit?event_type=audit_exported',
    );
    assert.equal(events.length, 1);
  });

  await t.test('a file that was changed or cut is found', async () => {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const changed = join(directory, 'changed.jsonl');
    const codeOf = async (kept: readonly string[]) => {
      writeFileSync(changed, `${kept.join('\n')}\n`);
      return (await verify(changed, '--policy', policy, '--log', log)).code;
    };
    assert.equal(await codeOf(lines), 0);
    const at = 5;
    assert.equal(await codeOf(lines.map((line, index) => (index === at ? line.replace('"ip_', '"iq_') : line))), 10);
    assert.equal(
      await codeOf(lines.map((line, index) => (index === at ? line.replace('127.0.0.1', '127.0.0.2') : line))),
      50,
    );
    assert.equal(await codeOf(lines.slice(0, -1)), 10);
    const end = lines.at(-1)!.replace(/"rows":\d+/, `"rows":${lines.length - 3}`);
    assert.equal(await codeOf([...lines.slice(0, at), ...lines.slice(at + 1, -1), end]), 51);
  });

  await gateway.lucid.dispose();
  const path = join(data, 'metadata.db');
  const pristine = join(directory, 'pristine.db');
  const folded = new DatabaseSync(path);
  folded.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  folded.close();
  copyFileSync(path, pristine);
  const rows = whole.report.facts.rows;
  for (const [what, sql, code] of [
    [
      'a user is put in another’s place',
      `UPDATE audit SET document = replace(document, '"success":true', '"success":false') WHERE sequence = 4`,
      50,
    ],
    ['a row is removed', 'DELETE FROM audit WHERE sequence = 4', 51],
    ['the end is cut off', `DELETE FROM audit WHERE sequence >= ${rows - 4}`, 51],
    ['all is removed', 'DELETE FROM audit', 51],
    [
      'a row is added beside the chain',
      `INSERT INTO audit SELECT 'made up', timestamp_us, event_type, user_id, resource_id, document, NULL FROM audit WHERE sequence = 4`,
      52,
    ],
    [
      'two rows change places',
      'UPDATE audit SET sequence = -1 WHERE sequence = 4; UPDATE audit SET sequence = 4 WHERE sequence = 5; UPDATE audit SET sequence = 5 WHERE sequence = -1',
      51,
    ],
    ['a row is hidden from lists', `UPDATE audit SET event_type = 'nothing' WHERE sequence = 4`, 53],
  ] as const)
    await t.test(what, async () => {
      for (const file of [`${path}-wal`, `${path}-shm`]) rmSync(file, { force: true });
      copyFileSync(pristine, path);
      assert.equal((await verify()).code, 0);
      const database = new DatabaseSync(path);
      database.exec(sql);
      database.close();
      const { code: found, report } = await verify();
      assert.equal(report.clean, false);
      assert.ok(report.findings.length > 0);
      assert.equal(found, code, JSON.stringify(report.findings));
    });

  await t.test('what was cut off stays found when the chain grew on', async () => {
    for (const file of [`${path}-wal`, `${path}-shm`]) rmSync(file, { force: true });
    copyFileSync(pristine, path);
    const database = new DatabaseSync(path);
    database.exec(`DELETE FROM audit WHERE sequence >= ${rows - 4}`);
    database.close();
    const again = await startGateway(t, environment);
    for (let at = 0; at < 9; at += 1)
      await again.api.json('POST', '/sessions', {
        name: 'more',
        rdp_config: { host: '127.0.0.1', username: `v${at}` },
      });
    const { code, report } = await eventually('more heads', async () => {
      const seen = await verify();
      return (seen.report.facts.covered_to ?? 0) > rows && seen;
    });
    assert.equal(code, 51);
    assert.match(report.findings[0]!.message, /heads? in the log/);
  });
});

test('a backup that is made while rows come holds every row that its log names', { timeout: 120_000 }, async (t) => {
  const directory = temporaryDirectory('audit-backup');
  const environment = { LUCID_DATA_DIR: join(directory, 'data'), LUCID_HEADS_MS: '100' };
  const gateway = await startGateway(t, environment);
  const busy = { is: true };
  const writing = (async () => {
    for (let at = 0; busy.is; at += 1)
      await gateway.api.json('POST', '/sessions', { name: 'x', rdp_config: { host: '127.0.0.1', username: `u${at}` } });
  })();
  const backup = join(directory, 'backup');
  for (let run = 0; run < 2; run += 1) {
    const made = await runCli(['backup', backup], environment);
    assert.equal(made.code, 0, made.stderr);
  }
  busy.is = false;
  await writing;
  const restored = { ...environment, LUCID_DATA_DIR: join(directory, 'restored') };
  const done = await runCli(['restore', backup], restored);
  assert.equal(done.code, 0, done.stderr);
  const verify = async () => {
    const { stdout, stderr, code } = await runCli(['--json', 'audit', 'verify'], restored);
    assert.equal(code, 0, stdout + stderr);
    return JSON.parse(stdout) as AuditReport;
  };
  const before = await verify();
  const again = await startGateway(t, restored);
  await again.api.json('POST', '/sessions', { name: 'y', rdp_config: { host: '127.0.0.1', username: 'y' } });
  const after = await eventually('the chain goes on', async () => {
    const seen = await verify();
    return (seen.facts.covered_to ?? 0) > before.facts.rows && seen;
  });
  assert.equal(after.facts.chain, before.facts.chain);
});

test('what a running session held is in the log while it runs, and its bundle shows it', {
  timeout: 120_000,
}, async (t) => {
  const directory = temporaryDirectory('progress');
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_HEADS_MS: '200', LUCID_CHUNK_AGE_MS: '300' });
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'ada' });
  const seen = await eventually('heads of a session that runs', async () => {
    await client.type('still here\n', 5);
    const report = await verifySession(gateway, id);
    return (report.facts.progress?.leaves_count ?? 0) >= 3 && report;
  });
  assert.deepEqual(
    seen.findings.map(({ code }) => code),
    ['UNCLOSED'],
  );
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  const bundle = join(directory, 'evidence');
  const api = ['--api', gateway.lucid.addresses.api ?? '', '--token-file', gateway.lucid.directory.adminToken];
  const exported = await runCli([...api, 'export', id, '--out', bundle]);
  assert.equal(exported.code, 0, exported.stderr);
  const verify = async () => {
    const log = ['--log', `${gateway.lucid.addresses.api}/log`];
    const { stdout, code } = await runCli(['--json', 'verify', bundle, '--policy', `${bundle}.policy.json`, ...log]);
    return { code, report: JSON.parse(stdout) as VerificationReport };
  };
  const whole = await verify();
  assert.deepEqual([whole.code, whole.report.findings], [0, []]);
  assert.ok((whole.report.facts.progress?.heads ?? 0) >= 2);
  const monitored = await runCli([
    'log',
    'monitor',
    `${gateway.lucid.addresses.api}/log`,
    '--policy',
    `${bundle}.policy.json`,
  ]);
  assert.match(monitored.stdout, /\d+ progress/);
  assert.equal(monitored.code, 0);
});

test('an exported file is read line by line as it was written, and its first and last line stand in their places', async () => {
  const directory = temporaryDirectory('audit');
  const file = join(directory, 'audit.jsonl');
  const policy = join(directory, 'policy.json');
  writeFileSync(policy, JSON.stringify({ v: 1, identity_keys: [] }));
  const rows: ReturnType<typeof makeAuditRow>[] = [];
  for (let at = 0; at < 3; at += 1)
    rows.push(
      makeAuditRow(rows.at(-1) ?? null, {
        event_id: `e${at}`,
        timestamp_us: at,
        event_type: at === 0 ? 'audit_chain_began' : 'session_created',
        user_id: 'a\u2028b\u2029c\u0085d\r',
        resource_id: null,
        ip_address: null,
        user_agent: null,
        success: true,
        error_message: null,
        details: { uncovered_rows: 0 },
      }),
    );
  const texts = rows.map(({ text }) => text);
  const begin = auditExportBegin({ exported_us: 1, exported_by: 'ada', unchained: 0 });
  const end = auditExportEnd({ rows: 3, proof: null });
  const codeOf = async (...lines: (string | Uint8Array)[]) => {
    writeFileSync(file, Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\n')])));
    return (await runCli(['--json', 'audit', 'verify', file, '--policy', policy])).code;
  };
  assert.equal(await codeOf(begin, ...texts, end), 0);
  const [first, ...others] = texts;
  for (const lines of [
    [first!, begin, ...others, end],
    [begin, first!, end, ...others],
    [begin, begin, ...texts, end],
    [begin, ...texts, end, end],
    [begin, first!, Uint8Array.of(0xff), texts[2]!, end],
  ])
    assert.equal(await codeOf(...lines), 10);
});
