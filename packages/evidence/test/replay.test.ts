import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Frame, portableDecompressor, REPLAY_RULES, type ReplayTally } from '@lucid-sessions/recording';
import { ReplayWalk } from '@lucid-sessions/recording/replay';
import fc from 'fast-check';
import {
  bundleNames,
  exitCodes,
  formatReport,
  isMostlyOneColour,
  memoryBundle,
  type ReplayBody,
  type ReplayWalker,
  readRecord,
  readRecordOf,
  recordBase,
  replayFields,
  type Signer,
  signRecord,
  type VerifyOptions,
  verifyBundle,
} from '../src/index.ts';
import { dek, filesOf, fitDescription, identity, options, record, stranger, T0 } from './recording-fixture.ts';

const good = await record();
const reading: VerifyOptions = { ...options, decompressor: portableDecompressor, dek };
const { replay: _, ...asToday } = (await verifyBundle(memoryBundle(await filesOf(good.input)), options)).verdicts;

const drawn: ReplayTally = {
  chunks: 5,
  untilUs: 42_000_000,
  pictures: 12,
  lit: true,
  notDrawn: [],
  sharePermille: 0,
  oneColour: { activeSeconds: 30, seconds: 0, longest: null },
  ended: null,
};
const hole = {
  kind: 'gfx.codec.119',
  count: 3,
  firstUs: 3_000_000,
  lastUs: 62_500_000,
  located: 2,
  sharePermille: 407,
};
const parts: ReplayTally = { ...drawn, notDrawn: [hole], sharePermille: 407 };

async function signed(
  tally: ReplayTally,
  change: Partial<ReplayBody> = {},
  signer: Signer = identity,
): Promise<Uint8Array> {
  const body: ReplayBody = {
    ...recordBase('replay', good.input.sessionId),
    manifest_sha256: readRecord(good.manifestRecord).sha256,
    examined_us: T0 + 100_000_000,
    software: 'lucid-sessions 0.1.0',
    rules: REPLAY_RULES,
    ...replayFields(tally),
    ...change,
  };
  return signRecord(signer, body);
}

async function judged(replay: Uint8Array | null, how: VerifyOptions = options) {
  const report = await verifyBundle(memoryBundle(await filesOf({ ...good.input, replay })), how);
  const codes = [...new Set(report.findings.map(({ code }) => code))];
  return { report, codes, state: report.verdicts.replay, text: formatReport(report) };
}

/** A decoder whose result is set by the test, and which keeps what it was given. */
class ToldWalk implements ReplayWalker {
  readonly #tally: ReplayTally;
  readonly given: (number | null)[] = [];

  constructor(tally: ReplayTally) {
    this.#tally = tally;
  }

  async chunk(frames: Iterable<Frame> | null): Promise<void> {
    this.given.push(frames && [...frames].length);
  }

  async end(): Promise<ReplayTally> {
    return this.#tally;
  }
}

const tallies: fc.Arbitrary<ReplayTally> = fc.record({
  chunks: fc.constant(5),
  untilUs: fc.nat(),
  pictures: fc.nat(),
  lit: fc.boolean(),
  notDrawn: fc.uniqueArray(
    fc.record({
      kind: fc.constantFrom('gfx.a', 'order.b', 'bitmap.c', 'sound.d'),
      count: fc.integer({ min: 1, max: 1_000_000 }),
      firstUs: fc.nat(),
      lastUs: fc.nat(),
      located: fc.nat(),
      sharePermille: fc.nat(1000),
    }),
    { selector: ({ kind }) => kind },
  ),
  sharePermille: fc.nat(1000),
  oneColour: fc.record({
    activeSeconds: fc.nat(1000),
    seconds: fc.nat(1000),
    longest: fc.option(fc.record({ fromUs: fc.nat(), untilUs: fc.nat(), seconds: fc.integer({ min: 1, max: 1000 }) })),
  }),
  ended: fc.option(fc.record({ reason: fc.constant('chunk' as const), chunk: fc.nat(4), atUs: fc.nat() })),
});

describe('the replay verdict', () => {
  it('stands apart from the other five, which say what they said', async () => {
    for (const tally of [drawn, parts, { ...drawn, lit: false }]) {
      const { replay: __, ...others } = (await judged(await signed(tally))).report.verdicts;
      assert.deepEqual(others, asToday);
    }
  });

  it('says how long all of it was one colour while something went on, which is no fault', async () => {
    const dark = (seconds: number): ReplayTally => ({
      ...drawn,
      oneColour: { activeSeconds: 40, seconds, longest: { fromUs: 65_000_000, untilUs: 371_000_000, seconds } },
    });
    const { report, codes, state, text } = await judged(await signed(dark(31)));
    assert.deepEqual([state, codes, report.clean], ['drawn', [], true]);
    assert.match(
      text,
      /^Replay {8}everything recorded can be seen \(.*in 31 of 40 seconds in which something went on the whole picture was one colour, at the longest from 1:05\.0 to 6:11\.0/m,
    );
    assert.equal(isMostlyOneColour(report.facts.replay!), true);
    const short = await judged(await signed(dark(9)));
    assert.doesNotMatch(short.text, /one colour/);
    assert.equal(isMostlyOneColour(short.report.facts.replay!), false);
    const differing = await judged(await signed(dark(31)), { ...reading, replay: new ToldWalk(dark(30)) });
    assert.ok(differing.codes.includes('REPLAY_DIFFERS'));
    // Records of earlier rules say nothing of it.
    const early = { ...readRecordOf('replay', await signed(dark(31))).body, rules: 1 };
    delete early.one_colour;
    const before = await judged(await signRecord(identity, early), { ...reading, replay: new ToldWalk(dark(31)) });
    assert.deepEqual([before.state, before.codes], ['drawn', []]);
  });

  it('says plainly that nobody examined a recording, as those from before', async () => {
    const { report, state, text } = await judged(null);
    assert.deepEqual([state, report.clean, report.exit_code, report.facts.replay], ['unexamined', true, 0, null]);
    assert.match(text, /^Result {8}CLEAN as evidence; whether all of it can be seen was NOT EXAMINED$/m);
    assert.match(text, /^Replay {8}NOT EXAMINED \(nobody has walked through the recording\)$/m);
  });

  it('tells a recording of which everything can be seen', async () => {
    const { report, state, text } = await judged(await signed(drawn));
    assert.deepEqual([state, report.clean, report.findings], ['drawn', true, []]);
    assert.match(text, /^Result {8}CLEAN$/m);
    assert.match(
      text,
      /everything recorded can be seen \(12 pictures, nothing left out, examined 2027-.*by lucid-sess/,
    );
  });

  it('tells what can not be seen, when and how much: such a recording is not clean', async () => {
    const { report, codes, state, text } = await judged(await signed(parts));
    assert.deepEqual([state, codes, report.exit_code], ['parts', ['NOT_DRAWN'], exitCodes.NOT_DRAWN]);
    assert.match(text, /^Result {8}NOT CLEAN/m);
    assert.match(text, /gfx\.codec\.119 × 3 from 0:03\.0 to 1:02\.5, on up to 40\.7 % of the screen/);
  });

  it('tells a recording that shows black, and one in which nothing was drawn', async () => {
    const black = await judged(await signed({ ...drawn, lit: false }));
    assert.deepEqual([black.state, black.codes], ['nothing', ['NOT_DRAWN']]);
    assert.match(black.text, /NOTHING can be seen \(it shows black from beginning to end/);
    const none = await judged(await signed({ ...drawn, lit: false, pictures: 0 }));
    assert.match(none.text, /NOTHING can be seen \(nothing was drawn at all/);
    const all = await judged(await signed({ ...parts, lit: false }));
    assert.equal(all.state, 'nothing');
  });

  it('names why a walk ended: no decoder leaves it unexamined, a lost chunk is not drawn', async () => {
    const h264 = await judged(await signed({ ...drawn, ended: { reason: 'h264', chunk: 2, atUs: 20_000_000 } }));
    assert.deepEqual([h264.state, h264.report.clean], ['unexamined', true]);
    assert.match(h264.text, /NOT EXAMINED \(from 0:20\.0 on it was not examined: there was no decoder for H\.264/);
    const lost = await judged(await signed({ ...drawn, chunks: 3, ended: { reason: 'chunk', chunk: 3, atUs: 30e6 } }));
    assert.deepEqual([lost.state, lost.codes], ['parts', ['NOT_DRAWN']]);
    assert.match(lost.text, /from 0:30\.0 on it can not be seen: a chunk is lost or can not be read/);
    assert.equal((await judged(await signed({ ...drawn, chunks: 3 }))).state, 'unexamined', 'two chunks left out');
  });

  it('believes no record that is forged, a stranger’s or about another manifest', async () => {
    const bad = (await signed(drawn)).slice();
    const text = new TextDecoder()
      .decode(bad)
      .replace(/"sig":"(.)/, (_, first) => `"sig":"${first === 'A' ? 'B' : 'A'}`);
    const forged = await judged(new TextEncoder().encode(text));
    assert.deepEqual([forged.codes, forged.state], [['SIG_BAD'], 'unexamined']);
    const strange = await judged(await signed(drawn, {}, stranger));
    assert.deepEqual([strange.codes, strange.state], [['KEY_UNTRUSTED'], 'unexamined']);
    const other = await judged(await signed(drawn, { manifest_sha256: '00'.repeat(32) }));
    assert.deepEqual([other.codes, other.state], [['SPLICED'], 'unexamined']);
    const open = await filesOf({ ...good.input, manifest: null, replay: await signed(drawn) });
    fitDescription(open);
    const unclosed = await verifyBundle(memoryBundle(open), options);
    assert.ok(unclosed.findings.some(({ code, file }) => code === 'SPLICED' && file === bundleNames.replay));
  });
});

describe('a replay record made again by the verifier', () => {
  it('agrees with what an honest walk signed, and differs where any of it was changed', async () => {
    await fc.assert(
      fc.asyncProperty(tallies, tallies, async (tally, other) => {
        const same = await judged(await signed(tally), { ...reading, replay: new ToldWalk(tally) });
        assert.ok(!same.codes.includes('REPLAY_DIFFERS'));
        assert.equal(same.report.facts.replay?.remade, true);
        fc.pre(JSON.stringify(replayFields(tally)) !== JSON.stringify(replayFields(other)));
        const changed = await judged(await signed(other), { ...reading, replay: new ToldWalk(tally) });
        assert.ok(changed.codes.includes('REPLAY_DIFFERS'));
        assert.equal(changed.state, same.state, 'the verifier goes by what it saw');
      }),
      { numRuns: 30 },
    );
    const { report } = await judged(await signed(drawn), { ...reading, replay: new ToldWalk(parts) });
    assert.equal(report.exit_code, exitCodes.REPLAY_DIFFERS);
    assert.match(
      report.findings[0]!.message,
      /says 12 pictures in 5 chunks, nothing left out; .* gives .*codec\.119 × 3/,
    );
  });

  it('is not compared where one had no decoder, or counts by other rules', async () => {
    const ended = { reason: 'h264', chunk: 2, atUs: 20_000_000 } as const;
    const here = await judged(await signed(drawn), { ...reading, replay: new ToldWalk({ ...drawn, ended }) });
    assert.deepEqual([here.codes, here.state], [['NOT_DRAWN'], 'unexamined'], 'asked for, and could not be done');
    const there = await judged(await signed({ ...drawn, ended }), { ...reading, replay: new ToldWalk(drawn) });
    assert.deepEqual([there.codes, there.state], [[], 'drawn']);
    const rules = await judged(await signed(parts, { rules: 99 }), { ...reading, replay: new ToldWalk(drawn) });
    assert.deepEqual([rules.codes, rules.state], [[], 'drawn']);
  });

  it('is given every chunk in order, null for one that is altered, and nothing without a key or of a part', async () => {
    const walk = new ToldWalk(drawn);
    await judged(null, { ...reading, replay: walk });
    assert.deepEqual(walk.given, [3, 3, 3, 0, 3]);
    const files = await filesOf(good.input);
    const altered = files.get(bundleNames.chunk(2))!;
    altered[170]! ^= 1;
    files.delete(bundleNames.chunk(4));
    const damaged = new ToldWalk(drawn);
    await verifyBundle(memoryBundle(files), { ...reading, replay: damaged });
    assert.deepEqual(damaged.given, [3, 3, null, 0, null]);
    const blind = new ToldWalk(drawn);
    assert.equal(
      (await judged(null, { ...options, decompressor: portableDecompressor, replay: blind })).state,
      'unexamined',
    );
    const part = await filesOf({ ...good.input, range: { first: 1, last: 2 } });
    await verifyBundle(memoryBundle(part), { ...reading, replay: blind });
    assert.deepEqual(blind.given, []);
  });

  it('by the player’s own decoder: frames that are no PDUs show nothing, and a record that says otherwise differs', async () => {
    const walk = new ReplayWalk(() => assert.fail('there is no H.264 in it'));
    const { state, codes, report } = await judged(await signed(drawn), { ...reading, replay: walk });
    walk.close();
    assert.deepEqual([state, codes], ['nothing', ['REPLAY_DIFFERS', 'NOT_DRAWN']]);
    assert.ok(report.facts.replay!.not_drawn.length > 0);
  });
});
