import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type AnchorReceipt, LucidError } from '@lucid-sessions/contract';
import type { AnchorRequest } from '@lucid-sessions/pipeline';
import { type CoreFault, FakeBlockchainCore } from '@lucid-sessions/testkit';
import { retryAfterMs } from '../src/blockchain-core-http.ts';
import { anchorSessionId, BlockchainCoreAnchor, type BlockchainCoreOptions } from '../src/index.ts';

const request: AnchorRequest = {
  sessionId: '0f8fad5b-d9cb-469f-a165-70867728950e',
  merkleRoot: 'ab'.repeat(32),
  chunksCount: 3,
  totalBytes: 1000,
  createdAtUs: 1_800_000_000_000_000,
  checkpoint: null,
};
const POST = 'POST /api/v1/anchoring/session';
const retryable = (error: unknown): boolean =>
  error instanceof LucidError && error.code === 'LUCID_ERR_3013' && error.status === 502;
const final = (pattern: RegExp) => (error: unknown) =>
  error instanceof LucidError && error.code === 'LUCID_ERR_3013' && error.status === 500 && pattern.test(error.message);

describe('blockchain core anchor', () => {
  let core: FakeBlockchainCore;
  let waits: number[] = [];
  let alarms: string[] = [];
  let nowMs = 1_000;
  beforeEach(async () => {
    core = await FakeBlockchainCore.start();
    waits = [];
    alarms = [];
  });
  afterEach(() => core.stop());

  const anchorOf = (change: Partial<BlockchainCoreOptions> = {}): BlockchainCoreAnchor =>
    new BlockchainCoreAnchor({
      baseUrl: core.url,
      sleep: async (ms) => void waits.push(ms),
      random: () => 0.5,
      nowMs: () => nowMs,
      onEquivocation: ({ theirs }) => void alarms.push(theirs),
      ...change,
    });
  const posts = (): number => core.requests.filter((line) => line === POST).length;
  const confirmed = async (): Promise<AnchorReceipt> => {
    const anchor = anchorOf();
    await anchor.submit(request);
    core.mine();
    return anchor.submit(request);
  };

  it('is pending after 202 and confirmed once block, echo and verification agree', async () => {
    const anchor = anchorOf();
    const pending = await anchor.submit(request);
    assert.deepEqual([pending.status, pending.blockHeight, pending.confirmedAtUs], ['pending', null, null]);
    assert.match(pending.detail ?? '', /^anchoring /);
    assert.equal((await anchor.check(request, pending))?.status, 'pending');
    core.mine();
    const receipt = (await anchor.check(request, pending))!;
    assert.equal(receipt.status, 'confirmed');
    assert.equal(receipt.blockHeight, 1);
    assert.equal(receipt.transactionId, core.blocks[0]?.transactions[0]?.transactionId);
    assert.equal(receipt.merkleRoot, request.merkleRoot);
    assert.deepEqual(await anchor.check(request, receipt), receipt);
    assert.equal(posts(), 1);
  });

  it('anchors once, however often and by whomever it is asked', async () => {
    await anchorOf().submit(request);
    await anchorOf().submit(request);
    core.mine();
    assert.equal((await anchorOf().submit(request)).status, 'confirmed');
    assert.equal(core.submissionsCount, 1);
  });

  it('names sessions by a UUID, derived where the id is none', async () => {
    assert.equal(anchorSessionId(request.sessionId), request.sessionId);
    assert.equal(anchorSessionId('demo'), '200b023e-c33d-8ab2-aa7f-899e26080c38');
    assert.equal((await anchorOf().submit({ ...request, sessionId: 'demo' })).status, 'pending');
  });

  it('asks before it sends again when an answer was lost', async () => {
    core.faults.push({ kind: 'slow', ms: 0 }, { kind: 'drop_answer' });
    const receipt = await anchorOf().submit(request);
    assert.equal(receipt.status, 'pending');
    assert.equal(core.submissionsCount, 1);
    const path = `/api/v1/anchoring/session/${request.sessionId}`;
    assert.deepEqual(core.requests, [`GET ${path}`, POST, `GET ${path}`]);
  });

  it('sends again when the request itself was lost, or the first question after it', async () => {
    core.faults.push({ kind: 'slow', ms: 0 }, { kind: 'drop_request' }, { kind: 'drop_request' });
    assert.equal((await anchorOf().submit(request)).status, 'pending');
    assert.equal(posts(), 2);
    assert.equal(core.submissionsCount, 1);
  });

  it('survives every fault and anchors once', async () => {
    const faults: CoreFault[] = [
      { kind: 'fail', status: 500 },
      { kind: 'fail', status: 503, retryAfter: '2' },
      { kind: 'fail', status: 429, retryAfter: '1' },
      { kind: 'drop_answer' },
      { kind: 'drop_request' },
      { kind: 'garbage', bytes: 1_000_000 },
      { kind: 'slow', ms: 1 },
    ];
    for (const [at, fault] of faults.entries())
      for (const requestNumber of [0, 1]) {
        const sessionId = `fault-${at}-${requestNumber}`;
        const before = core.submissionsCount;
        core.faults.push(...Array<CoreFault>(requestNumber).fill({ kind: 'slow', ms: 0 }), fault);
        assert.equal(
          (await anchorOf().submit({ ...request, sessionId })).status,
          'pending',
          `${fault.kind} at ${requestNumber}`,
        );
        core.mine();
        assert.equal((await anchorOf().submit({ ...request, sessionId })).status, 'confirmed');
        assert.equal(core.submissionsCount - before, 1, `${fault.kind} at ${requestNumber}`);
      }
  });

  it('is unharmed by a service that does things twice', async () => {
    core.faults.push({ kind: 'slow', ms: 0 }, { kind: 'duplicate' });
    await anchorOf().submit(request);
    core.mine();
    assert.equal((await anchorOf().submit(request)).status, 'confirmed');
  });

  it('waits as long as it is told, and not longer than it may', async () => {
    core.faults.push({ kind: 'fail', status: 429, retryAfter: '7' });
    await anchorOf().submit(request);
    assert.deepEqual(waits, [7000]);
    core.faults.push({ kind: 'fail', status: 429, retryAfter: '3600' });
    await assert.rejects(anchorOf().submit(request), retryable);
    assert.deepEqual(waits, [7000]);
  });

  it('gives up for now after a few attempts, each later by a growing random time', async () => {
    core.faults.push(...Array<CoreFault>(4).fill({ kind: 'fail', status: 500 }));
    await assert.rejects(anchorOf().submit(request), retryable);
    assert.deepEqual(waits, [250, 500, 1000]);
  });

  it('leaves a failing service alone, then tries once', async () => {
    const anchor = anchorOf({ attemptsMax: 1, breakerFailuresMax: 2, breakerOpenMs: 5_000 });
    core.faults.push({ kind: 'fail', status: 500 }, { kind: 'fail', status: 500 }, { kind: 'fail', status: 500 });
    await assert.rejects(anchor.submit(request), retryable);
    await assert.rejects(anchor.submit(request), retryable);
    await assert.rejects(anchor.submit(request), /left alone/);
    assert.equal(core.requests.length, 2);
    nowMs += 5_000;
    await assert.rejects(anchor.submit(request), /answered 500/);
    await assert.rejects(anchor.submit(request), /left alone/);
    nowMs += 5_000;
    assert.equal((await anchor.submit(request)).status, 'pending');
    assert.equal((await anchor.submit(request)).status, 'pending');
  });

  it('times out', async () => {
    core.faults.push({ kind: 'slow', ms: 60_000 });
    await assert.rejects(anchorOf({ timeoutMs: 20, attemptsMax: 1 }).submit(request), retryable);
  });

  it('raises an alarm over another root under our id and never sends over it', async () => {
    await anchorOf().submit({ ...request, merkleRoot: 'cd'.repeat(32) });
    await assert.rejects(anchorOf().submit(request), final(/equivocation/));
    core.mine();
    await assert.rejects(anchorOf().submit(request), final(/equivocation/));
    await assert.rejects(anchorOf().check(request, pendingReceipt), final(/equivocation/));
    core.anchorings.get(request.sessionId)!.status = 'failed';
    await assert.rejects(anchorOf().submit(request), final(/equivocation/));
    assert.equal(posts(), 1);
    assert.ok(alarms.length >= 3 && alarms.every((theirs) => theirs === 'cd'.repeat(32)));
  });

  it('does not take a confirmation at its word', async () => {
    await anchorOf().submit(request);
    core.mine();
    const nothing: CoreFault = { kind: 'slow', ms: 0 };
    const lies: CoreFault[][] = [
      [{ kind: 'lie', fields: { block_height: null } }],
      [{ kind: 'lie', fields: { transaction_id: '' } }],
      [{ kind: 'lie', fields: { confirmed_at: 'soon' } }],
      [nothing, { kind: 'lie', fields: { verified: false } }],
      [nothing, { kind: 'lie', fields: { merkle_proof_valid: false } }],
      [nothing, { kind: 'lie', fields: { block_height: 99 } }],
      [nothing, { kind: 'lie', fields: { transaction_id: 'other' } }],
    ];
    for (const faults of lies) {
      core.faults.push(...faults);
      const receipt = await anchorOf().submit(request);
      assert.equal(receipt.status, 'processing', JSON.stringify(faults));
      assert.equal(receipt.blockHeight, null);
      assert.ok(receipt.detail !== null);
    }
    for (const fields of [
      { session_id: anchorSessionId('other') },
      { session_id: 5 },
      { status: 'done' },
      { merkle_root: 'x' },
    ]) {
      core.faults.push({ kind: 'lie', fields });
      await assert.rejects(anchorOf().submit(request), retryable, JSON.stringify(fields));
    }
    assert.equal((await anchorOf().submit(request)).status, 'confirmed');
  });

  it('notices reorganisations when it checks again', async () => {
    const receipt = await confirmed();
    core.reorganise(1);
    assert.equal((await anchorOf().check(request, receipt))?.status, 'reorged');
    core.mine();
    core.blocks[0]!.height = 2;
    core.anchorings.get(request.sessionId)!.blockHeight = 2;
    const moved = await anchorOf().check(request, receipt);
    assert.equal(moved?.status, 'confirmed');
    assert.match(moved?.detail ?? '', /moved from block 1 to block 2/);
    core.reorganise(1, true);
    assert.equal((await anchorOf().check(request, receipt))?.status, 'reorged');
    assert.equal(await anchorOf().check(request, { ...receipt, status: 'pending' }), null);
  });

  it('reports a failed anchoring, and sends it again when asked again', async () => {
    const pending = await anchorOf().submit(request);
    core.anchorings.get(request.sessionId)!.status = 'failed';
    const failed = (await anchorOf().check(request, pending))!;
    assert.equal(failed.status, 'failed');
    assert.equal(await anchorOf().check(request, failed), null);
    assert.equal((await anchorOf().submit(request)).status, 'pending');
    assert.equal(core.submissionsCount, 2);
  });

  it('takes a refusal as final', async () => {
    await assert.rejects(anchorOf().submit({ ...request, merkleRoot: 'nothing' }), final(/status 400/));
    core.faults.push({ kind: 'fail', status: 401 });
    await assert.rejects(anchorOf().submit(request), final(/status 401/));
  });

  it('looks again after a conflict', async () => {
    core.faults.push({ kind: 'slow', ms: 0 }, { kind: 'fail', status: 409 });
    await assert.rejects(anchorOf().submit(request), retryable);
    await anchorOf().submit({ ...request, sessionId: 'other' });
    const anchoring = core.anchorings.get(anchorSessionId('other'))!;
    core.faults.push({ kind: 'fail', status: 404 }, { kind: 'fail', status: 409 });
    assert.equal((await anchorOf().submit({ ...request, sessionId: 'other' })).status, anchoring.status);
  });

  it('tells how the service is', async () => {
    await anchorOf().submit(request);
    assert.deepEqual(await anchorOf().health(), { status: 'healthy', pendingCount: 1 });
    core.faults.push({ kind: 'fail', status: 500 });
    assert.deepEqual(await anchorOf().health(), { status: 'error', pendingCount: null });
  });

  it('sends its authorization and follows no redirect', async () => {
    const seen: (string | null)[] = [];
    const spy: typeof fetch = async (input, init) => {
      seen.push(new Headers(init?.headers).get('authorization'));
      assert.equal(init?.redirect, 'error');
      return fetch(input, init);
    };
    await anchorOf({ authorization: 'Bearer x', fetch: spy }).submit(request);
    assert.deepEqual(seen, ['Bearer x', 'Bearer x']);
  });
});

const pendingReceipt: AnchorReceipt = {
  backend: 'blockchain-core',
  status: 'pending',
  submittedAtUs: 0,
  confirmedAtUs: null,
  blockHeight: null,
  transactionId: null,
  merkleRoot: request.merkleRoot,
  detail: null,
};

describe('Retry-After', () => {
  it('is seconds or a date', () => {
    assert.equal(retryAfterMs('3', 0), 3000);
    assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:00:05 GMT', 2000), 3000);
    assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:00:01 GMT', 2000), 0);
    assert.equal(retryAfterMs('later', 0), null);
    assert.equal(retryAfterMs(null, 0), null);
  });
});
