/** Outside anchors end to end: recorded sessions, the real pipeline, and a Blockchain Core that misbehaves. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { anchorSessionId } from '@lucid-sessions/anchors';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { readEvmAnchorProof, type VerificationReport } from '@lucid-sessions/evidence';
import {
  type CoreAnchoring,
  EvmNode,
  eventually,
  FakeBlockchainCore,
  FakeTimestampAuthority,
  temporaryDirectory,
} from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import {
  armSession,
  type Gateway,
  readText,
  recordSession,
  sessionIn,
  startGateway,
  verifySession,
} from './support/gateway.ts';

interface AnchorAnswer {
  receipts: { backend: string; status: string; block_height: number | null; detail: string | null }[];
  anchoring: { backend: string; state: string; next_check_at: string | null; detail: string | null }[];
}

const often = { LUCID_ANCHOR_POLL_SECONDS: '1', LUCID_ANCHOR_RECHECKS: '1s' };

async function coreAndGateway(t: TestContext, more: Record<string, string> = {}) {
  const core = await FakeBlockchainCore.start();
  t.after(() => core.stop());
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { BLOCKCHAIN_ANCHORING_URL: core.url, ...often, ...more });
  return { core, desktop, gateway };
}

const anchorOf = ({ api }: Gateway, id: string) => api.json<AnchorAnswer>('GET', `/sessions/${id}/anchor`);

const untilState = (gateway: Gateway, id: string, state: string) =>
  eventually(
    `the anchoring to be ${state}`,
    async () => {
      const { anchoring } = await anchorOf(gateway, id);
      return anchoring[0]?.state === state && anchoring[0];
    },
    30_000,
  );

async function auditOf({ api }: Gateway, type: string): Promise<{ resource_id: string; error_message: string }[]> {
  const { events } = await api.json<{ events: { resource_id: string; error_message: string }[] }>(
    'GET',
    `/audit?event_type=${type}`,
  );
  return events;
}

const anchoringOf = (core: FakeBlockchainCore, id: string): CoreAnchoring => {
  const found = core.anchorings.get(anchorSessionId(id));
  if (found === undefined) throw new Error(`nothing was anchored for ${id}`);
  return found;
};

test('a session is anchored, checked again, found reorganised, and anchored anew', { timeout: 180_000 }, async (t) => {
  const { core, desktop, gateway } = await coreAndGateway(t);
  const id = await recordSession(gateway, desktop.port);
  await untilState(gateway, id, 'pending');
  await eventually('the submission', async () => core.anchorings.has(anchorSessionId(id)));
  assert.deepEqual(
    (await verifySession(gateway, id)).findings.map(({ code }) => code),
    ['ANCHOR_PENDING'],
  );
  core.mine();
  const confirmed = await untilState(gateway, id, 'confirmed');
  assert.notEqual(confirmed.next_check_at, null, 'what is confirmed is asked about again');
  const anchored = await verifySession(gateway, id);
  assert.deepEqual(
    [anchored.clean, anchored.verdicts.time, anchored.verdicts.readability],
    [true, 'anchored', 'readable'],
  );

  core.reorganise(1);
  await untilState(gateway, id, 'reorged');
  assert.equal((await auditOf(gateway, 'anchor_reorged'))[0]?.resource_id, id);
  const report = await verifySession(gateway, id);
  assert.ok(report.findings.some(({ code }) => code === 'ANCHOR_REORGED'));
  assert.deepEqual([report.verdicts.integrity, report.verdicts.time], ['intact', 'contradicted']);
  assert.ok(
    gateway.logged.some((line) => line.includes(id)),
    'the operator is told',
  );

  core.mine();
  await untilState(gateway, id, 'confirmed');
  assert.equal((await auditOf(gateway, 'anchor_restored'))[0]?.resource_id, id);

  await t.test('one that was forgotten altogether is handed in again', async () => {
    core.reorganise(1, true);
    await untilState(gateway, id, 'reorged');
    await eventually('the second submission', async () => core.anchorings.has(anchorSessionId(id)), 30_000);
    core.mine();
    await untilState(gateway, id, 'confirmed');
    assert.equal((await verifySession(gateway, id)).clean, true);
  });
});

test('slow, failing and dropped answers delay the anchor and nothing else; it is submitted once', {
  timeout: 180_000,
}, async (t) => {
  const { core, desktop, gateway } = await coreAndGateway(t);
  core.faults.push({ kind: 'fail', status: 503 }, { kind: 'slow', ms: 1500 }, { kind: 'drop_answer' });
  const id = await recordSession(gateway, desktop.port);
  // The answer to the submission was lost: it asks before it sends again.
  await eventually('the submission', async () => core.anchorings.has(anchorSessionId(id)), 30_000);
  core.faults.push({ kind: 'drop_request' }, { kind: 'garbage', bytes: 100_000 });
  core.mine();
  await untilState(gateway, id, 'confirmed');
  assert.equal(core.submissionsCount, 1);

  await t.test('a core that hears everything twice', async () => {
    core.faults.push({ kind: 'duplicate' }, { kind: 'duplicate' });
    const second = await recordSession(gateway, desktop.port);
    await eventually('the submission', async () => core.anchorings.has(anchorSessionId(second)), 30_000);
    core.mine();
    await untilState(gateway, second, 'confirmed');
  });
});

test('recording, sealing and verifying go on while the core is gone', { timeout: 120_000 }, async (t) => {
  const { core, desktop, gateway } = await coreAndGateway(t);
  await core.stop();
  const id = await recordSession(gateway, desktop.port);
  assert.equal((await untilState(gateway, id, 'pending')).detail, 'not accepted yet');
  const report = await verifySession(gateway, id);
  assert.deepEqual([report.verdicts.integrity, report.verdicts.completeness], ['intact', 'whole']);
  const { anchoring } = await anchorOf(gateway, id);
  assert.notEqual(anchoring[0]?.next_check_at, null);
});

test('another root under our id is an alarm and never overwritten', { timeout: 180_000 }, async (t) => {
  const { core, desktop, gateway } = await coreAndGateway(t);
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const theirs = 'ab'.repeat(32);
  core.anchorings.set(anchorSessionId(id), {
    sessionId: anchorSessionId(id),
    anchoringId: 'a1',
    merkleRoot: theirs,
    status: 'confirmed',
    submittedAt: new Date().toISOString(),
    confirmedAt: new Date().toISOString(),
    blockHeight: 1,
    transactionId: 't1',
  });
  const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'ada' });
  await client.settled();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  const failed = await untilState(gateway, id, 'failed');
  assert.match(failed.detail ?? '', /equivocation/);
  assert.equal(anchoringOf(core, id).merkleRoot, theirs);
  assert.equal(core.submissionsCount, 0);
  const alarms = await auditOf(gateway, 'anchor_equivocation');
  assert.deepEqual(
    alarms.map(({ resource_id }) => resource_id),
    [id],
    'one event, however often it was told',
  );
  assert.ok(gateway.logged.some((line) => line.includes('ALARM') && line.includes(theirs)));

  await t.test('also when ours was confirmed first', async () => {
    const second = await recordSession(gateway, desktop.port);
    await eventually('the submission', async () => core.anchorings.has(anchorSessionId(second)), 30_000);
    core.mine();
    await untilState(gateway, second, 'confirmed');
    anchoringOf(core, second).merkleRoot = theirs;
    assert.match((await untilState(gateway, second, 'reorged')).detail ?? '', /equivocation/);
    assert.equal((await auditOf(gateway, 'anchor_equivocation')).length, 2);
  });
});

test('a confirmation that its own verification denies does not count', { timeout: 120_000 }, async (t) => {
  const { core, desktop, gateway } = await coreAndGateway(t);
  const id = await recordSession(gateway, desktop.port);
  await eventually('the submission', async () => core.anchorings.has(anchorSessionId(id)), 30_000);
  Object.assign(anchoringOf(core, id), {
    status: 'confirmed',
    confirmedAt: new Date().toISOString(),
    blockHeight: 9,
    transactionId: 'made-up',
  });
  await eventually(
    'the doubt',
    async () => /does not agree/.test((await anchorOf(gateway, id)).anchoring[0]?.detail ?? ''),
    30_000,
  );
  assert.equal((await anchorOf(gateway, id)).anchoring[0]?.state, 'pending');
});

test('a timestamp authority vouches for the time, and the policy names it', { timeout: 120_000 }, async (t) => {
  const directory = temporaryDirectory('tsa');
  const authority = new FakeTimestampAuthority();
  const url = await authority.start();
  t.after(() => authority.stop());
  const certificate = join(directory, 'tsa.pem');
  writeFileSync(certificate, new X509Certificate(authority.certificate).toString());
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_TSA_URL: url, LUCID_TSA_CERTIFICATE: certificate, ...often });
  const id = await recordSession(gateway, desktop.port);
  const { next_check_at } = await untilState(gateway, id, 'confirmed');
  assert.equal(next_check_at, null, 'a signature is not undone');
  const report = await verifySession(gateway, id);
  assert.deepEqual([report.clean, report.verdicts.time], [true, 'anchored']);
  const policy = await gateway.api.json<{ tsas: { name: string }[] }>('GET', '/evidence/policy');
  assert.deepEqual(
    policy.tsas.map(({ name }) => name),
    ['127.0.0.1'],
  );
});

test('evidence records take up what was recorded, one timestamp for all, and verify offline', {
  timeout: 300_000,
}, async (t) => {
  const directory = temporaryDirectory('renewal');
  const authority = new FakeTimestampAuthority();
  const url = await authority.start();
  t.after(() => authority.stop());
  const certificate = join(directory, 'tsa.pem');
  writeFileSync(certificate, new X509Certificate(authority.certificate).toString());
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const tsa = { LUCID_TSA_URL: url, LUCID_TSA_CERTIFICATE: certificate, LUCID_DATA_DIR: join(directory, 'data') };
  const before = await startGateway(t, { ...tsa, ...often });
  const ids = [await recordSession(before, desktop.port), await recordSession(before, desktop.port)];
  for (const id of ids) await untilState(before, id, 'confirmed');
  const renew = ({ lucid: { addresses, directory: of } }: Gateway) =>
    runCli(['renew'], { LUCID_API_URL: addresses.api ?? '', LUCID_DATA_DIR: of.root });
  const off = await renew(before);
  assert.equal(off.code, 1);
  assert.match(off.stderr, /LUCID_RENEWAL_DAYS is 0/);
  await before.lucid.dispose();
  const asked = authority.requestsCount;
  for (const [hash, requests] of [
    ['sha256', 1],
    ['sha512', 2],
    // Both have one under that hash now, and they are young.
    ['sha512', 2],
  ] as const) {
    const gateway = await startGateway(t, { ...tsa, ...often, LUCID_RENEWAL_DAYS: '365', LUCID_RENEWAL_HASH: hash });
    for (const id of ids)
      await eventually(
        'an evidence record that verifies',
        async () => {
          const report = await verifySession(gateway, id);
          assert.deepEqual([report.findings, report.verdicts.time], [[], 'anchored']);
          return report.facts.anchors_confirmed === 2 && authority.requestsCount === asked + requests;
        },
        120_000,
      );
    await gateway.lucid.dispose();
  }
  await t.test('by hand, what has ended since the last look', async () => {
    const gateway = await startGateway(t, {
      ...tsa,
      ...often,
      LUCID_RENEWAL_DAYS: '365',
      LUCID_RENEWAL_HASH: 'sha512',
    });
    // The look of its start is over then.
    assert.match((await renew(gateway)).stdout, /^0 evidence records begun or renewed$/m);
    const id = await recordSession(gateway, desktop.port);
    await untilState(gateway, id, 'confirmed');
    const { stdout, stderr } = await renew(gateway);
    assert.match(stdout, /^1 evidence records begun or renewed$/m, stderr);
    assert.equal((await verifySession(gateway, id)).facts.anchors_confirmed, 2);
    const events = await gateway.api.json<{ events: { details: object }[] }>(
      'GET',
      '/audit?event_type=evidence_renewed',
    );
    assert.deepEqual(events.events.map(({ details }) => details).at(0), { renewed: 1, finished: true });
    await gateway.lucid.dispose();
  });
  await assert.rejects(startGateway(t, { LUCID_RENEWAL_DAYS: '30' }), /LUCID_RENEWAL_DAYS needs LUCID_TSA_URL/);
});

test('a timestamp authority without its certificate is wrong usage', async (t) => {
  await assert.rejects(
    startGateway(t, { LUCID_TSA_URL: 'http://127.0.0.1:9' }),
    /LUCID_TSA_CERTIFICATE must name a PEM/,
  );
});

test('an EVM chain: deploy, anchor, prove without a node, be told of a reorganisation', {
  timeout: 180_000,
}, async (t) => {
  const directory = temporaryDirectory('evm');
  const node = await EvmNode.start();
  t.after(() => node.stop());
  const keyFile = join(directory, 'evm.key');
  writeFileSync(keyFile, `${node.privateKey}\n`, { mode: 0o600 });
  const chain = { LUCID_EVM_RPC_URL: node.url, LUCID_EVM_CHAIN_ID: `${node.chainId}`, LUCID_EVM_FINALITY: '2' };
  const sender = { ...chain, LUCID_EVM_KEY_FILE: keyFile };
  const deployed = await runCli(['--json', 'evm', 'deploy'], sender);
  assert.equal(deployed.code, 0, deployed.stderr);
  const { contract } = JSON.parse(deployed.stdout);
  await node.mine(3);
  const point = await node.snapshot();
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { ...sender, LUCID_EVM_CONTRACT: contract, ...often });
  const id = await recordSession(gateway, desktop.port);
  await eventually('the transaction', async () => (await anchorOf(gateway, id)).receipts.length > 0, 30_000);
  await node.mine(3);
  await untilState(gateway, id, 'confirmed');
  const checked = await verifySession(gateway, id);
  assert.deepEqual([checked.clean, checked.verdicts.time], [true, 'anchored']);

  const bundle = join(directory, 'evidence');
  const api = ['--api', gateway.lucid.addresses.api ?? '', '--token-file', gateway.lucid.directory.adminToken];
  assert.equal((await runCli([...api, 'export', id, '--out', bundle])).code, 0);
  const policyPath = `${bundle}.policy.json`;
  const verify = async (more: string[], environment: Record<string, string> = {}) => {
    const { stdout, code } = await runCli(['--json', 'verify', bundle, '--policy', policyPath, ...more], environment);
    return { code, report: JSON.parse(stdout) as VerificationReport };
  };
  await t.test(
    'offline it is a claim; with the node of whoever verifies, or a block they know, it is proven',
    async () => {
      assert.equal((await verify([])).report.facts.anchors_confirmed, 0);
      const asked = await verify(['--ask-chains'], chain);
      assert.deepEqual([asked.code, asked.report.verdicts.time], [0, 'anchored']);
      const { detail } = (await anchorOf(gateway, id)).receipts[0]!;
      const root = checked.facts.merkle_root ?? '';
      const { blockHash } = readEvmAnchorProof(detail ?? '', new Uint8Array(Buffer.from(root, 'hex')));
      const policy = { ...JSON.parse(readText(policyPath)), anchors_required: 1 };
      writeFileSync(
        policyPath,
        JSON.stringify({ ...policy, evm_blocks: [{ chain_id: 31337, block_hash: blockHash }] }),
      );
      const known = await verify([]);
      assert.deepEqual([known.code, known.report.verdicts.time], [0, 'anchored']);
    },
  );

  await t.test('a reorganisation is found and the root handed in again', async () => {
    await node.windBack(point);
    await node.mine(9);
    await untilState(gateway, id, 'reorged');
    assert.equal((await auditOf(gateway, 'anchor_reorged'))[0]?.resource_id, id);
    const mining = setInterval(() => void node.mine(1).catch(() => {}), 500);
    t.after(() => clearInterval(mining));
    await untilState(gateway, id, 'confirmed');
    assert.equal((await verifySession(gateway, id)).clean, true);
  });
  assert.ok(!gateway.logged.some((line) => line.includes(node.privateKey.slice(2))));
});

test('an EVM chain without a contract or a key file is wrong usage', async (t) => {
  const chain = { LUCID_EVM_RPC_URL: 'http://127.0.0.1:9', LUCID_EVM_CHAIN_ID: '5' };
  await assert.rejects(startGateway(t, chain), /LUCID_EVM_CONTRACT must be the address/);
  const contract = { ...chain, LUCID_EVM_CONTRACT: `0x${'1'.repeat(40)}` };
  await assert.rejects(startGateway(t, contract), /LUCID_EVM_KEY_FILE must name/);
  await assert.rejects(startGateway(t, { ...contract, LUCID_EVM_FINALITY: 'soon' }), /LUCID_EVM_FINALITY must be/);
});
