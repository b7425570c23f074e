/** The clipboard under a policy: each way alone, files apart from the rest, and nobody waits for what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClipboardFlag, ClipboardType, encodeClipboardFormats, readClipboardFormats } from '@lucid-sessions/rdp';
import { Writer } from '@lucid-sessions/wire';
import type { RelaySide } from '../src/events.ts';
import type { ClipboardWay } from '../src/index.ts';
import { exchange, refusalsOf, underPolicy } from './support/channel-talk.ts';
import { channels, type RunningRelay } from './support/running-relay.ts';

const clip = (msgType: number, data: Uint8Array = new Uint8Array(0), msgFlags = 0): Buffer =>
  Buffer.from(new Writer().u16le(msgType).u16le(msgFlags).u32le(data.length).slice(data).bytes());
const u32 = (...values: number[]): Uint8Array =>
  values.reduce((writer, value) => writer.u32le(value), new Writer()).bytes();
const caps = (flags: number): Buffer =>
  clip(ClipboardType.clipCaps, new Writer().u16le(1).u16le(0).u16le(1).u16le(12).u32le(2).u32le(flags).bytes());
const TEXT = { formatId: 13, formatName: '' };
const FILES = { formatId: 49_300, formatName: 'FileGroupDescriptorW' };
const list = (...formats: (typeof TEXT)[]): Buffer =>
  clip(ClipboardType.formatList, encodeClipboardFormats(formats, 'long'));
const ask = (formatId: number): Buffer => clip(ClipboardType.formatDataRequest, u32(formatId));
const askFile = (streamId: number): Buffer => clip(ClipboardType.fileContentsRequest, u32(streamId, 0, 2, 0, 0, 4096));
const given = (text: string): Buffer =>
  clip(ClipboardType.formatDataResponse, Buffer.from(text), ClipboardFlag.responseOk);
const givenFile = (streamId: number, text: string): Buffer =>
  clip(ClipboardType.fileContentsResponse, Buffer.concat([u32(streamId), Buffer.from(text)]), ClipboardFlag.responseOk);
const taken = clip(ClipboardType.formatListResponse, undefined, ClipboardFlag.responseOk).toString('hex');
const failed = clip(ClipboardType.formatDataResponse, undefined, ClipboardFlag.responseFail).toString('hex');

const say = (running: RunningRelay, from: RelaySide, message: Uint8Array, chunkBytes?: number) =>
  exchange(running, from, channels.cliprdr, message, chunkBytes);

/** Both said what they can, and the client has sent its first list. */
function ready(clipboard: ClipboardWay, clipboardFiles: ClipboardWay): RunningRelay {
  const running = underPolicy({ clipboard, clipboardFiles });
  say(running, 'server', caps(0x1e));
  say(running, 'server', clip(ClipboardType.monitorReady));
  say(running, 'client', caps(0x1e));
  assert.equal(say(running, 'client', list()).passed.length, 1, 'a server waits for the first list, whatever is in it');
  return running;
}

const sides = { in: ['client', 'server'], out: ['server', 'client'] } as const;

for (const way of ['in', 'out'] as const)
  for (const what of ['text', 'files'] as const)
    test(`${what} ${way} alone: offered and given that way, neither told nor given the other`, () => {
      const [owner, other] = sides[way];
      const running = what === 'text' ? ready(way, 'off') : ready('off', way);
      const [good, bad] = what === 'text' ? [TEXT, FILES] : [FILES, TEXT];
      const [offered] = say(running, owner, list(good, bad)).passed;
      const formats = Buffer.from(offered!, 'hex').subarray(8);
      assert.deepEqual(readClipboardFormats(formats, 0, true), [good]);
      assert.equal(say(running, other, ask(good.formatId)).passed.length, 1);
      const long = 'x'.repeat(5000);
      assert.deepEqual(say(running, owner, given(long), 700).passed, [given(long).toString('hex')]);
      const answerTo = other === 'client' ? 'toClient' : 'toServer';
      const refused = say(running, other, ask(bad.formatId));
      assert.deepEqual([refused.passed, refused[answerTo]], [[], [failed]]);
      const file = say(running, other, askFile(7));
      if (what === 'files') {
        assert.equal(file.passed.length, 1);
        assert.deepEqual(say(running, owner, givenFile(8, 'unasked')).passed, []);
        assert.deepEqual(say(running, owner, givenFile(7, 'asked')).passed, [givenFile(7, 'asked').toString('hex')]);
      } else
        assert.deepEqual(
          file[answerTo].map((hex) => hex.slice(0, 8)),
          ['09000200'],
        );
      // What nobody was let ask for.
      assert.deepEqual(say(running, owner, given('unasked')).passed, []);
      // The other way round nothing is offered, and the one who offers is told that it was taken.
      const back = say(running, other, list(TEXT, FILES));
      assert.deepEqual([back.passed, back[owner === 'client' ? 'toServer' : 'toClient']], [[], [taken]]);
      assert.deepEqual(say(running, owner, ask(TEXT.formatId)).passed, []);
      assert.deepEqual(say(running, other, given('stolen')).passed, []);
      assert.ok(
        refusalsOf(running).some((told) => told.includes(way === 'in' ? 'out of the session' : 'into the session')),
      );
    });

test('text under the name of files is text', () => {
  const running = ready('off', 'in');
  const named = { formatId: TEXT.formatId, formatName: FILES.formatName };
  const [offered] = say(running, 'client', list(FILES, named)).passed;
  assert.deepEqual(readClipboardFormats(Buffer.from(offered!, 'hex').subarray(8), 0, true), [FILES]);
  assert.deepEqual(say(running, 'server', ask(TEXT.formatId)).passed, []);
  assert.ok(refusalsOf(running).includes('clipboard into the session refused'));
});

test('with files off on both ways their abilities are not announced, and a lock of them goes no further', () => {
  const running = ready('both', 'off');
  assert.deepEqual(say(running, 'client', caps(0x3e)).passed, [caps(0x02).toString('hex')]);
  assert.deepEqual(say(running, 'client', clip(ClipboardType.lockClipdata, u32(1))).passed, []);
  assert.deepEqual(say(running, 'client', clip(ClipboardType.tempDirectory, Buffer.alloc(520, 0x41))).passed, []);
  assert.equal(
    say(ready('both', 'in'), 'client', clip(ClipboardType.tempDirectory, Buffer.alloc(520))).passed.length,
    1,
  );
  const short = new Writer()
    .u32le(13)
    .slice(Buffer.alloc(32))
    .u32le(49_300)
    .slice(Buffer.from('FileContents'.padEnd(32, '\0')));
  const [passed] = say(
    running,
    'client',
    clip(ClipboardType.formatList, short.bytes(), ClipboardFlag.asciiNames),
  ).passed;
  assert.equal(passed!.length, 2 * (8 + 36), 'short names stay short');
});

test('what nobody can read is refused: unknown types, wrong sides, lengths that lie', () => {
  const running = ready('in', 'in');
  for (const message of [
    clip(77, Buffer.from('x')),
    clip(ClipboardType.monitorReady),
    Buffer.from(new Writer().u16le(ClipboardType.formatDataRequest).u16le(0).u32le(400).u32le(13).bytes()),
    clip(ClipboardType.formatDataRequest),
    clip(ClipboardType.fileContentsRequest, Buffer.alloc(40)),
    clip(ClipboardType.clipCaps),
    Buffer.from([1]),
  ])
    assert.deepEqual(say(running, 'client', message).passed, [], message.toString('hex'));
  assert.ok(refusalsOf(running).includes('what could not be read on cliprdr refused'));
});

test('bytes behind a message are not passed on, padding of a few is', () => {
  const running = ready('in', 'in');
  say(running, 'client', list(TEXT));
  const padded = Buffer.concat([ask(13), Buffer.alloc(4)]);
  assert.deepEqual(say(running, 'server', padded).passed, [padded.toString('hex')]);
  const more = Buffer.concat([ask(13), Buffer.from('smuggled')]);
  assert.deepEqual(say(running, 'server', more).passed, [ask(13).toString('hex')]);
});
