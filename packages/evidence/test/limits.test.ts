/** The limits of files and their numbers (docs/format.md, 8 and 12): to the byte, and found before what is larger is read. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type BundleSource,
  bundleNames,
  CUSTODY_BYTES_MAX,
  type CustodyBody,
  type EraseBody,
  memoryBundle,
  NUMBERED_BYTES_MAX,
  NUMBERED_MAX,
  type ResumeBody,
  recordBase,
  SMALL_FILE_BYTES_MAX,
  signRecord,
  toHex,
  type VerificationReport,
  verifyBundle,
} from '../src/index.ts';
import { filesOf, fitAndSign, identity, options, record, T0 } from './recording-fixture.ts';

const good = await record();
const goodFiles = await filesOf(good.input);
const { sessionId } = good.input;
const found = ({ findings }: VerificationReport) => findings.map(({ check, file }) => `${check} ${file}`);

async function withFiles(...files: [name: string, content: Uint8Array][]): Promise<VerificationReport> {
  const all = new Map([...goodFiles, ...files]);
  await fitAndSign(all);
  return verifyBundle(memoryBundle(all), options);
}

const resume: ResumeBody = {
  ...recordBase('resume', sessionId),
  open_sha256: 'ab'.repeat(32),
  index: 0,
  previous_leaf_hash: '00'.repeat(32),
  seal_key: 'cd'.repeat(32),
  resumed_us: T0,
  epoch: 1,
  reason: '',
};
const erase: EraseBody = {
  ...recordBase('erase', sessionId),
  at_us: T0,
  actor: '',
  reason: '',
  erased: 'keys',
  dek_id: null,
  merkle_root: null,
};

/** Any text a field may hold, at its full length. */
const fullText = (length: number): fc.Arbitrary<string> =>
  fc.constantFrom('\u0000', '"', '\\', 'a', 'é', '\u2028').map((unit) => unit.repeat(length));

describe('a numbered record', () => {
  it('of which every text has its full length is within its limit', async () => {
    await fc.assert(
      fc.asyncProperty(fullText(2000), fullText(1000), fullText(500), async (reason, short, actor) => {
        for (const body of [
          { ...erase, reason, actor },
          { ...resume, reason: short },
        ])
          assert.ok((await signRecord(identity, body)).length < NUMBERED_BYTES_MAX / 2);
      }),
      { numRuns: 30 },
    );
  });

  it('is FORMAT from its limit on, and is not read', async () => {
    const padded = async (length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(length).fill(0x20);
      bytes.set((await signRecord(identity, resume)).subarray(0, length));
      return bytes;
    };
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: -3, max: 3 }), fc.constantFrom('resume', 'erase'), async (more, kind) => {
        const name = kind === 'resume' ? bundleNames.resume(0) : bundleNames.erase(0);
        const report = await withFiles([name, await padded(NUMBERED_BYTES_MAX + more)]);
        const [told] = report.findings.filter(({ check, file }) => check === 'B4' && file === name);
        assert.match(told?.message ?? '', more > 0 ? /65536/ : /canonical/);
      }),
      { numRuns: 20 },
    );
  });

  it('behind the last number is led to by nothing', async () => {
    const last = await signRecord(identity, resume);
    for (const at of [1, NUMBERED_MAX - 1, NUMBERED_MAX]) {
      const name = bundleNames.resume(at);
      assert.deepEqual(found(await withFiles([name, last])), [`B12 ${name}`]);
    }
  });
});

describe('a chain of custody', () => {
  async function chainOf(count: number): Promise<Uint8Array[]> {
    const lines: Uint8Array[] = [];
    for (let sequence = 0; sequence < count; sequence += 1) {
      const previous = lines.at(-1)?.subarray(0, -1);
      const body: CustodyBody = {
        ...recordBase('custody', sessionId),
        at_us: T0 + 100_000_000 + sequence,
        action: 'view',
        actor: 'auditor',
        detail: '',
        sequence,
        previous_sha256: previous === undefined ? null : toHex(await options.crypto.sha256(previous)),
      };
      lines.push(Buffer.concat([await signRecord(identity, body), Buffer.from('\n')]));
    }
    return lines;
  }

  it('is told as it is wherever it breaks, with hundreds of records checked beside each other', async () => {
    const policyless = {
      ...options,
      policy: { ...options.policy, logKeys: [], witnesses: [], witnessesRequired: 0, logRequired: false },
    };
    const lines = await chainOf(200);
    const judged = async (custody: readonly Uint8Array[]): Promise<[string[], number]> => {
      const files = new Map([...goodFiles, [bundleNames.custody, new Uint8Array(Buffer.concat(custody))] as const]);
      await fitAndSign(files);
      const report = await verifyBundle(memoryBundle(files), policyless);
      return [found(report), report.facts.custody_count];
    };
    assert.deepEqual(await judged(lines), [[], 200]);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 198 }), async (at) => {
        const { custody } = bundleNames;
        assert.deepEqual(await judged(lines.toSpliced(at, 1)), [[`R22 ${custody}`], at]);
        assert.deepEqual(await judged(lines.toSpliced(at, 1, Buffer.from('nothing\n'))), [[`B4 ${custody}`], at]);
        const cut = lines.with(199, lines[199]!.subarray(0, -1));
        assert.deepEqual(await judged(cut), [[`R21 ${custody}`], 199]);
        const swapped = lines.with(at, lines[at + 1]!).with(at + 1, lines[at]!);
        assert.deepEqual(await judged(swapped), [[`R22 ${custody}`], at]);
      }),
      { numRuns: 10 },
    );
  });

  for (const [what, name, limit] of [
    ['custody.jsonl', bundleNames.custody, CUSTODY_BYTES_MAX],
    ['any other small file', bundleNames.wraps, SMALL_FILE_BYTES_MAX],
  ] as const)
    it(`and its limit: ${what} that says it is larger is not read`, async () => {
      const inner = memoryBundle(goodFiles);
      const list = (await inner.list()).map((file) => (file.name === name ? { ...file, bytes: limit + 1 } : file));
      const source: BundleSource = {
        list: () => list,
        read: (file, offset, length) => inner.read(file, offset, length),
      };
      const report = await verifyBundle(source, options);
      const told = report.findings.filter(({ check, file }) => check === 'B4' && file === name);
      assert.ok(
        told.some(({ message }) => message.includes(String(limit))),
        JSON.stringify(told),
      );
    });
});
