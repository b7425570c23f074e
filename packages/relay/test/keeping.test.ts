import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { type IndexEvent, SessionIndexer } from '@lucid-sessions/recording/session-index';
import { readCapture } from '@lucid-sessions/testkit';
import { type FrameTap, type Keeping, Relay, type RelayEvent } from '../src/index.ts';

const captures = new URL('../../../testkit/captures/', import.meta.url);

/** Frames in the order they were completed, as a spool has them. */
class Frames implements FrameTap {
  readonly frames: Frame[] = [];
  readonly #open: (Frame & { filled: number })[] = [];
  frame(_kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void {
    this.frames.push({ kind: frameKinds.pdu, flags, channelId, timeUs, body: Uint8Array.from(bytes) });
  }
  begin(flags: number, channelId: number, length: number, timeUs: number): void {
    const frame = { kind: frameKinds.pdu, flags, channelId, timeUs, body: new Uint8Array(length), filled: 0 };
    this.frames.push(frame);
    this.#open[flags & 1] = frame;
  }
  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const frame = this.#open[direction]!;
    frame.body.set(bytes, frame.filled);
    frame.filled += bytes.length;
  }
}

/** As a reader with the right to inputs sees it. */
const opened = (frame: Frame): Frame => ({ ...frame, flags: frame.flags & ~frameFlags.inputs });

function recorded(name: string, keep: { input: Keeping; clipboard: Keeping }, pieceBytes = 700) {
  const tap = new Frames();
  const relay = new Relay({ requestedProtocols: 11, selectedProtocol: 1, graphics: 'passthrough', keep }, tap);
  const forwarded: Buffer[] = [];
  const events: RelayEvent[] = [];
  for (const { fromServer, beforeTls, timeMs, bytes } of readCapture(new URL(`${name}.rdpcap.gz`, captures).pathname)
    .records) {
    if (beforeTls) continue;
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const piece = bytes.slice(at, at + pieceBytes);
      const step = relay.step(fromServer ? 'server' : 'client', piece, timeMs * 1000);
      forwarded.push(...step.forward.map((view) => Buffer.from(view)));
      events.push(...step.events);
    }
  }
  const indexer = new SessionIndexer(keep);
  for (const frame of tap.frames) indexer.push(opened(frame));
  return { frames: tap.frames, forwarded: Buffer.concat(forwarded), events, index: indexer.take(0, true).events };
}

const full = { input: 'full', clipboard: 'full' } as const;
const masked = { input: 'masked', clipboard: 'masked' } as const;
const none = { input: 'none', clipboard: 'none' } as const;
const ofKind = <K extends IndexEvent['kind']>(events: readonly IndexEvent[], kind: K) =>
  events.filter((event): event is Extract<IndexEvent, { kind: K }> => event.kind === kind);
const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le');

for (const name of ['xorg-default', 'xorg-nofastpath'])
  for (const pieceBytes of [700, 5])
    test(`${name}, pieces of ${pieceBytes}: masked keys have their times and no values, and peers get every byte`, () => {
      const all = recorded(name, full, pieceBytes);
      const some = recorded(name, { input: 'masked', clipboard: 'full' }, pieceBytes);
      const keys = (events: readonly IndexEvent[]) => ofKind(events, 'typed').reduce((sum, line) => sum + line.keys, 0);
      assert.ok(keys(all.index) > 0, 'something was typed');
      assert.ok(ofKind(all.index, 'typed').every(({ text }) => text !== null));
      assert.ok(ofKind(some.index, 'typed').every(({ text }) => text === null));
      assert.ok(keys(some.index) >= keys(all.index));
      assert.deepEqual(ofKind(some.index, 'click'), ofKind(all.index, 'click'));
      assert.deepEqual(ofKind(some.index, 'error'), ofKind(all.index, 'error'));
      assert.equal(some.forwarded.equals(all.forwarded), true);
      assert.equal(some.frames.length, all.frames.length);
      assert.ok(some.frames.some(({ flags }) => (flags & frameFlags.blanked) !== 0));
      // Keys read as if everything were kept say nothing either: the bytes are gone, not the view of them.
      const open = new SessionIndexer();
      for (const frame of some.frames) open.push(opened(frame));
      for (const { text } of ofKind(open.take(0, true).events, 'typed')) assert.match(text ?? '', /^(?:\[key 0\])+$/);
      for (let i = 1; i < some.frames.length; i += 1)
        assert.ok(some.frames[i]!.timeUs >= some.frames[i - 1]!.timeUs, 'times never go back');
    });

test('masked and unkept clipboards: the text that was copied is nowhere in the recording', () => {
  const all = recorded('xorg-clip-drive', full);
  const [copied] = ofKind(all.index, 'clipboard_text');
  const bytesOf = ({ frames }: { frames: readonly Frame[] }) => Buffer.concat(frames.map(({ body }) => body));
  const text = utf16(copied!.text!);
  assert.ok(text.length > 4 && bytesOf(all).includes(text));
  const some = recorded('xorg-clip-drive', masked);
  assert.equal(bytesOf(some).includes(text), false);
  assert.ok(ofKind(some.index, 'clipboard_text').every((event) => event.text === null && event.characters > 0));
  const no = recorded('xorg-clip-drive', none);
  assert.equal(bytesOf(no).includes(text), false);
  assert.ok(no.forwarded.includes(text), 'it was delivered');
  assert.equal(all.forwarded.length, no.forwarded.length);
});

test('what is not kept is recorded as a downgrade, and nothing of it is in the frames', () => {
  const { events, frames, index } = recorded('xorg-nofastpath', none);
  assert.deepEqual(
    events.flatMap((event) => (event.kind === 'downgrade' && event.what.includes('not kept') ? [event.what] : [])),
    ['input not kept in the recording: none', 'clipboard not kept in the recording: none'],
  );
  assert.deepEqual(ofKind(index, 'typed'), []);
  assert.deepEqual(ofKind(index, 'click'), []);
  assert.deepEqual(
    ofKind(index, 'not_kept').map(({ what }) => what),
    ['input', 'clipboard'],
  );
  const fastInput = frames.filter(({ flags }) => (flags & frameFlags.fastPath) !== 0 && (flags & 1) === 0);
  assert.deepEqual(fastInput, []);
  assert.ok(recorded('xorg-nofastpath', full).frames.length > frames.length);
});

for (const name of ['xorg-default', 'xorg-nofastpath', 'xorg-clip-drive'])
  for (const pieceBytes of [70_000, 700, 5])
    test(`${name}, pieces of ${pieceBytes}: what was typed, copied or redirected is flagged, and pictures need none of it`, () => {
      const { frames, events, forwarded } = recorded(name, full, pieceBytes);
      const named = events.find((event) => event.kind === 'channels')?.channels ?? [];
      const sealed = named
        .filter((channel) => /^(cliprdr|rdpdr)$/i.test(channel.name))
        .map(({ channelId }) => channelId);
      const flagged = frames.filter(({ flags }) => (flags & frameFlags.inputs) !== 0);
      assert.ok(flagged.length > 0);
      for (const { flags, channelId } of frames) {
        const inputs = (flags & frameFlags.inputs) !== 0;
        if (sealed.includes(channelId)) assert.equal(inputs, true);
        else if ((flags & frameFlags.serverToClient) !== 0) assert.equal(inputs, false, 'pictures stay clear');
      }
      // An index of what is left, flags or none, tells of no key and no text; clicks are still there.
      const openly = (all: Frame[]) => {
        const indexer = new SessionIndexer();
        for (const frame of all) indexer.push(opened(frame));
        return indexer.take(0, true).events;
      };
      const everything = openly(frames);
      const left = openly(frames.filter((frame) => !flagged.includes(frame)));
      assert.deepEqual(ofKind(left, 'typed'), []);
      assert.deepEqual(ofKind(left, 'clipboard_text'), []);
      assert.deepEqual(ofKind(left, 'click'), ofKind(everything, 'click'));
      if (name !== 'xorg-clip-drive') assert.ok(ofKind(everything, 'typed').length > 0);
      // Pieces change nothing of what peers get.
      assert.equal(forwarded.equals(recorded(name, full, 700).forwarded), true);
    });
