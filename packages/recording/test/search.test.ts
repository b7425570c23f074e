import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import {
  encodeWholeIndex,
  type IndexEvent,
  type IndexSegment,
  searchedPart,
  searchIndexText,
  searchSegments,
  segmentsOfText,
  TextFilter,
  textFilterOf,
  textsOf,
} from '@lucid-sessions/recording/session-index';
import fc from 'fast-check';

const text = fc.string({ unit: 'binary', maxLength: 60 });

test('a filter never says of a part of its texts that it is not there', () => {
  fc.assert(
    fc.property(fc.array(text, { maxLength: 40 }), fc.nat(), fc.nat(), fc.nat(), (texts, which, from, length) => {
      const filter = new TextFilter(textFilterOf(texts).bytes);
      if (texts.length === 0) return;
      const one = texts[which % texts.length]!.toLowerCase();
      const start = from % (one.length + 1);
      assert.ok(filter.mayHold(one.slice(start, start + 1 + (length % 20))));
      assert.ok(filter.mayHold(one.toUpperCase().toLowerCase() === one ? one.toUpperCase() : one));
    }),
  );
});

test('a filter passes over most recordings that do not hold a word', () => {
  const word = (number: number) =>
    String.fromCharCode(
      ...createHash('sha256')
        .update(`${number}`)
        .digest()
        .subarray(0, 9)
        .map((byte) => 97 + (byte % 26)),
    );
  const words = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => `line ${word(from + i)} of a text`);
  const filter = textFilterOf(words(0, 500));
  const wrong = words(100_000, 1000)
    .map((line) => line.slice(5, 14))
    .filter((part) => filter.mayHold(part));
  assert.ok(wrong.length < 100, `${wrong.length} of 1000`);
  assert.ok(textFilterOf([]).bytes.length <= 64);
  assert.ok(textFilterOf(words(0, 30_000)).bytes.length <= 128 * 1024);
});

const typed = (timeUs: number, said: string, atLogon = false): IndexEvent => ({
  kind: 'typed',
  timeUs,
  untilUs: timeUs,
  text: said,
  keys: said.length,
  erased: 0,
  entered: true,
  approximate: false,
  atLogon,
});
const opened = (timeUs: number, path: string): IndexEvent => ({
  kind: 'drive_open',
  timeUs,
  drive: 'home',
  path,
  opened: true,
  forWriting: false,
});
const segment = (chunkIndex: number, events: IndexEvent[]): IndexSegment => ({
  chunkIndex,
  last: false,
  untilUs: 0,
  dropped: 0,
  activity: [],
  events,
});
const all = { inputs: true, logon: true, foundMax: 100 };

test('a search finds what a plain look at every text that may be seen finds', () => {
  const event = fc.oneof(
    fc.tuple(fc.nat(1000), text, fc.boolean()).map(([time, said, atLogon]) => typed(time, said, atLogon)),
    fc.tuple(fc.nat(1000), text).map(([time, path]) => opened(time, path)),
  );
  fc.assert(
    fc.property(
      fc.array(fc.array(event, { maxLength: 10 }), { maxLength: 4 }),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }),
      fc.boolean(),
      fc.boolean(),
      (chunks, part, inputs, logon) => {
        const { found, more } = searchSegments(
          chunks.map((events, at) => segment(at, events)),
          {
            text: part,
            inputs,
            logon,
            foundMax: 1000,
          },
        );
        const wanted = chunks
          .flat()
          .filter((one) => one.kind !== 'typed' || (inputs && (logon || !one.atLogon)))
          .filter((one) => textsOf(one).some((said) => said.toLowerCase().includes(part.toLowerCase())));
        assert.equal(more, false);
        assert.deepEqual(
          found.map(({ timeUs }) => timeUs),
          wanted.map(({ timeUs }) => timeUs).sort((a, b) => a - b),
        );
      },
    ),
  );
});

test('looking before reading, by the text or by a filter of it, never misses what reading finds', async () => {
  const odd = fc.constantFrom(
    '\\"',
    'ΑΣ',
    'ας',
    'σ',
    '\ud83d',
    '\ude00',
    '😀',
    'İ',
    'K',
    '\n',
    '\u0001',
    'ß',
    'ﬀ',
    'é',
  );
  const mixed = fc.array(fc.oneof(odd, fc.string({ unit: 'binary', maxLength: 4 }), fc.string()), { maxLength: 5 });
  const said = mixed.map((parts) => parts.join(''));
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 5 }), said, fc.nat(), fc.nat(), async (texts, other, from, length) => {
      const packed = await encodeWholeIndex([
        segment(
          0,
          texts.map((one, at) => typed(at, one.toWellFormed())),
        ),
      ]);
      const text = new TextDecoder().decode(gunzipSync(packed!));
      const lower = text.toLowerCase();
      const filter = textFilterOf([lower]);
      const source = texts.join('').toWellFormed();
      const start = from % (source.length + 1);
      for (const part of [source.slice(start, start + 1 + (length % 8)), other]) {
        const wish = { ...all, text: part };
        const found = searchSegments(segmentsOfText(text), wish);
        assert.deepEqual(searchIndexText(text, lower, wish), found);
        const raw = searchedPart(part);
        if (found.found.length > 0 && raw !== null) assert.ok(filter.mayHold(raw));
      }
    }),
    { numRuns: 300 },
  );
});

test('an excerpt shows what was found and little around it', () => {
  const long = `${'a'.repeat(5000)} DROP TABLE users ${'b'.repeat(5000)}`;
  const segments = [segment(0, [typed(7, long), opened(3, 'C:\\drop table.sql')])];
  const { found, more } = searchSegments(segments, { ...all, text: 'drop table' });
  assert.deepEqual(
    found.map(({ timeUs, kind }) => [timeUs, kind]),
    [
      [3, 'drive_open'],
      [7, 'typed'],
    ],
  );
  assert.ok(found[1]!.excerpt.includes('DROP TABLE users') && found[1]!.excerpt.length < 250);
  assert.equal(more, false);
  const first = searchSegments(segments, { ...all, text: 'drop table', foundMax: 1 });
  assert.deepEqual([first.found.length, first.more], [1, true]);
});

test('what kind an event is, and whose, is no text of it', () => {
  const segments = [segment(0, [typed(1, 'hello'), { kind: 'disconnect', timeUs: 2, from: 'client', reason: 0 }])];
  for (const part of ['typed', 'client', 'disconnect'])
    assert.deepEqual(searchSegments(segments, { ...all, text: part }).found, []);
  assert.equal(searchSegments(segments, { ...all, text: 'ELLO', kind: 'typed' }).found.length, 1);
  assert.equal(searchSegments(segments, { ...all, text: 'ELLO', kind: 'click' }).found.length, 0);
});
