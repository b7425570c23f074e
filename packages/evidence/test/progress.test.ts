import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type BundleInput,
  bundleNames,
  encodeJson,
  formatReport,
  LEAF_RECORD_BYTES,
  parseCanonicalJson,
  parseLogEntry,
  progressEntry,
  progressStatement,
  type VerificationReport,
} from '../src/index.ts';
import { keptVerify } from './kit.ts';
import {
  erasing,
  filesOf,
  fitAndSign,
  identity,
  logOf,
  options,
  policyOf,
  type RecordingOptions,
  record,
  signedExport,
  T0,
} from './recording-fixture.ts';

const verify = keptVerify();
const SECOND = 1_000_000;

async function signed(input: BundleInput): Promise<Map<string, Uint8Array>> {
  return filesOf({ ...input, signExport: (sha256) => signedExport(identity, input.sessionId, sha256) });
}
const recorded = async (how: RecordingOptions, more = options): Promise<VerificationReport> =>
  verify(await signed((await record(how)).input), more);
const found = ({ findings }: VerificationReport) => findings.map(({ code, check }) => `${code} ${check}`);
const good = await record({ progressAt: [0, 2, 4] });

/** A file changed, the bundle signed anew over it. */
async function changed(name: string, change: (body: Record<string, unknown>) => object): Promise<VerificationReport> {
  const files = await signed(good.input);
  const bytes = files.get(name)!;
  files.set(name, encodeJson(change(parseCanonicalJson(bytes, bytes.length) as Record<string, unknown>)));
  await fitAndSign(files);
  return verify(files, options);
}

describe('progress', () => {
  it('is clean where the recording is the one that was logged while it ran', async () => {
    const report = await recorded({ progressAt: [0, 2, 4] });
    assert.deepEqual([found(report), report.clean], [[], true]);
    assert.deepEqual(report.facts.progress, { heads: 3, leaves_count: 4, at_us: T0 + 41 * SECOND });
    assert.match(formatReport(report), /4 leaves were logged by/);
    assert.equal((await recorded({})).facts.progress, null);
  });

  it('is compared with the log, which knows its entries', async () => {
    const report = await verify(await signed(good.input), { ...options, log: logOf(await good.log.files()) });
    assert.deepEqual(found(report), []);
    const kinds = good.log.entries.map((entry) => parseLogEntry(entry)?.kind);
    assert.equal(kinds.filter((kind) => kind === 'progress').length, 3);
  });

  it('finds a recording that is another than was logged', async () => {
    const report = await recorded({ progressAt: [2, 4], progressHead: () => ({ leafHash: 'ab'.repeat(32) }) });
    assert.deepEqual(found(report), ['DISOWNED L25']);
    assert.deepEqual(
      [report.exit_code, report.verdicts.integrity, report.verdicts.time],
      [40, 'broken', 'contradicted'],
    );
  });

  it('finds a manifest that ends before what was logged', async () => {
    const report = await recorded({ progressAt: [4], progressHead: () => ({ leavesCount: 7 }) });
    assert.deepEqual(found(report), ['TRUNCATED L26']);
  });

  it('finds leaves cut off a recording that has no manifest', async () => {
    const { input } = await record({ progressAt: [4], closed: false });
    assert.deepEqual(found(await verify(await signed(input), options)), ['UNCLOSED R5']);
    const cut = {
      ...input,
      leaves: input.leaves.subarray(0, 3 * LEAF_RECORD_BYTES),
      chunk: (index: number) => (index < 3 ? input.chunk(index) : null),
    };
    assert.deepEqual(found(await verify(await signed(cut), options)), ['UNCLOSED R5', 'TRUNCATED L26']);
  });

  it('finds a manifest that ends before what was logged where the chunks were destroyed, too', async () => {
    const destroyed = { leaves: new Uint8Array(0), chunk: () => null, wraps: [] };
    const gone = async (how: RecordingOptions) =>
      verify(await signed({ ...(await record({ ...how, ...erasing() })).input, ...destroyed }), options);
    const told = await gone({ progressAt: [2, 4] });
    assert.deepEqual([found(told), told.verdicts.completeness], [[], 'erased']);
    const short = await gone({ chunksCount: 2, progressAt: [1], progressHead: () => ({ leavesCount: 4 }) });
    assert.deepEqual([found(short), short.verdicts.completeness], [['TRUNCATED L26'], 'incomplete']);
  });

  it('counts a head that is there twice once', async () => {
    const files = await signed(good.input);
    for (const name of [bundleNames.progress, bundleNames.progressProof]) files.set(name(3), files.get(name(2))!);
    await fitAndSign(files);
    const report = await verify(files, options);
    assert.deepEqual([found(report), report.facts.progress?.heads], [[], 3]);
  });

  it('is judged in a part as far as the part goes', async () => {
    const part = { range: { first: 1, last: 2 } };
    const known = await recorded({ ...part, progressAt: [2, 4] });
    assert.deepEqual([found(known), known.verdicts.completeness], [[], 'part']);
    const other = await recorded({ ...part, progressAt: [2], progressHead: () => ({ leafHash: 'ab'.repeat(32) }) });
    assert.deepEqual(found(other), ['DISOWNED L25']);
  });

  it('is nothing without its proofs', async () => {
    const name = bundleNames.progress(1);
    assert.deepEqual(found(await changed(name, (body) => ({ ...body, index: 1 }))), ['LOG_INCLUSION L23']);
    assert.deepEqual(found(await changed(name, (body) => ({ ...body, leaf_hash: 'cd'.repeat(32) }))), [
      'LOG_INCLUSION L23',
    ]);
    assert.deepEqual(found(await changed(name, (body) => ({ ...body, at_us: T0 }))), ['LOG_INCLUSION L24']);
    assert.deepEqual(found(await changed(name, (body) => ({ ...body, more: 1 }))), ['FORMAT B4']);
    const large = Array.from({ length: 300 }, () => 'cd'.repeat(32));
    assert.deepEqual(found(await changed(name, (body) => ({ ...body, hashes: large.slice(0, 64) }))), [
      'LOG_INCLUSION L23',
    ]);
    const [tooLarge] = (await changed(name, (body) => ({ ...body, hashes: large }))).findings;
    assert.match(`${tooLarge?.check} ${tooLarge?.message}`, /^B4 .*16384/);
    const files = await signed(good.input);
    files.delete(bundleNames.progressProof(2));
    await fitAndSign(files);
    assert.deepEqual(found(await verify(files, options)), ['LOG_INCLUSION L24']);
    const holed = await signed(good.input);
    holed.set(bundleNames.progress(5), holed.get(name)!);
    await fitAndSign(holed);
    assert.deepEqual(found(await verify(holed, options)), ['FORMAT B12']);
  });

  it('is a finding to leave out where the policy asks for it', async () => {
    const asking = (seconds: number) => ({ ...options, policy: policyOf({ progress_us: seconds * SECOND }) });
    // The last head is of 41 s, and it ended at 50 s.
    assert.deepEqual(found(await recorded({ progressAt: [2, 4] }, asking(9))), []);
    assert.deepEqual(found(await recorded({ progressAt: [2, 4] }, asking(8))), ['LOG_INCLUSION L28']);
    assert.deepEqual(found(await recorded({}, asking(49))), ['LOG_INCLUSION L28']);
    assert.deepEqual(found(await recorded({}, asking(50))), []);
    // One of no leaf says nothing of what was recorded.
    assert.deepEqual(found(await recorded({ progressAt: [0] }, asking(49))), ['LOG_INCLUSION L28']);
    const part = { range: { first: 0, last: 1 } };
    assert.deepEqual(found(await recorded({ ...part, progressAt: [4] }, asking(9))), []);
    assert.deepEqual(found(await recorded(part, asking(9))), ['LOG_INCLUSION L28']);
    const unclosed = await record({ closed: false });
    assert.deepEqual(found(await verify(await signed(unclosed.input), asking(9))), ['UNCLOSED R5']);
  });

  it('counts for that only where it was logged before the manifest', async () => {
    const { input, log } = await record({ progressAt: [4] });
    const [first] = input.progress!;
    const { head } = first!;
    const entry = progressEntry({
      statement: progressStatement({ atUs: head.at_us, count: head.count, root: head.root }),
      root: head.root,
    });
    const index = log.put(entry);
    const last = await log.checkpoint(T0 + 60 * SECOND);
    const [, before] = input.consistency;
    const asked = { ...options, policy: policyOf({ progress_us: 9 * SECOND }) };
    const late = {
      ...input,
      progress: [{ head, proof: log.proof(index, last) }],
      consistency: [...input.consistency, log.consistencyOf(before!.second, last)],
    };
    assert.deepEqual(found(await verify(await signed(late), options)), []);
    assert.deepEqual(found(await verify(await signed(late), asked)), ['LOG_INCLUSION L28']);
  });

  it('tells nothing to who trusts no log', async () => {
    const policy = policyOf({ log_keys: [], witnesses: [], witnesses_required: 0, log_required: false });
    const report = await recorded(
      { progressAt: [4], progressHead: () => ({ leavesCount: 7 }) },
      { ...options, policy },
    );
    assert.deepEqual([found(report), report.facts.progress], [[], null]);
  });

  it('finds a head that was logged before its leaf says it was closed', async () => {
    const report = await recorded({
      progressAt: [3],
      leaf: (leaf) => (leaf.index === 2 ? { ...leaf, closedUs: leaf.closedUs + 400 * SECOND } : leaf),
    });
    assert.ok(found(report).includes('TIME_ORDER L27'));
  });
});
