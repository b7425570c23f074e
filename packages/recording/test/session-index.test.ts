import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type FastPathInputEvent, fastPathInput } from '@lucid-sessions/rdp';
import { encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { encodeNote, type Frame, FrameWriter, frameFlags, frameKinds, PAYLOAD_HEADER_BYTES } from '../src/index.ts';
import {
  type ContentPiece,
  compressState,
  decodeIndexSegment,
  decompressState,
  encodeIndexSegment,
  type IndexEvent,
  type IndexSegment,
  ResumableSha256,
  SessionIndexer,
  type SessionIndexerOptions,
  type SessionIndexerState,
  textsOf,
  withoutInputs,
} from '../src/session-index/index.ts';
import { captureFrames } from './support/frames.ts';

function indexed(frames: readonly Frame[], options?: SessionIndexerOptions): IndexSegment {
  const indexer = new SessionIndexer(options);
  for (const frame of frames) indexer.push(frame);
  return indexer.take(0, true);
}

const ofKind = <K extends IndexEvent['kind']>(events: readonly IndexEvent[], kind: K) =>
  events.filter((event): event is Extract<IndexEvent, { kind: K }> => event.kind === kind);

const input = (timeUs: number, ...events: FastPathInputEvent[]): Frame => ({
  kind: frameKinds.pdu,
  flags: frameFlags.fastPath,
  channelId: 0,
  timeUs,
  body: encode(fastPathInput, { flags: 0, events }),
});
const press = (keyCode: number, extended = false): FastPathInputEvent[] => [
  { kind: 'scancode', flags: extended ? 2 : 0, keyCode },
  { kind: 'scancode', flags: extended ? 3 : 1, keyCode },
];

/** The start of a capture up to the desktop: afterwards fast-path input is understood. */
const connected = captureFrames('xorg-clip-drive').slice(0, 60);
const untilInput = (...frames: Frame[]): Frame[] => [
  ...connected,
  ...frames.map((f) => ({ ...f, timeUs: f.timeUs + 60e6 })),
];
const typed = (options: SessionIndexerOptions, ...frames: Frame[]) => {
  const { events } = indexed(untilInput(...frames), options);
  return events.filter((event) => event.timeUs >= 60e6);
};

test('typed keys become lines: shift, caps, backspace, tab, enter, arrows, the number block', () => {
  const shift = (down: boolean): FastPathInputEvent => ({ kind: 'scancode', flags: down ? 0 : 1, keyCode: 0x2a });
  const events = typed(
    {},
    input(1e6, shift(true), ...press(0x23), shift(false), ...press(0x17), ...press(0x18), ...press(0x0e)),
    input(
      2e6,
      { kind: 'sync', flags: 2 },
      ...press(0x02),
      ...press(0x0f),
      ...press(0x4f),
      ...press(0x4b, true),
      ...press(0x1c),
    ),
    input(3e6, { kind: 'sync', flags: 4 }, ...press(0x1e), ...press(0x3a), ...press(0x1e)),
    input(20e6, { kind: 'unicode', flags: 0, unicodeCode: 0xe9 }, { kind: 'unicode', flags: 1, unicodeCode: 0xe9 }),
  );
  assert.deepEqual(
    ofKind(events, 'typed').map(({ text, entered, erased }) => [text, entered, erased]),
    [
      ['Hi1\t1[←]', true, 1],
      ['Aa', false, 0],
      ['é', false, 0],
    ],
  );
});

test('keys pressed together are a combination, clicks end a line', () => {
  const ctrl = (down: boolean): FastPathInputEvent => ({ kind: 'scancode', flags: down ? 0 : 1, keyCode: 0x1d });
  const events = typed(
    {},
    input(1e6, ...press(0x1e), { kind: 'mouse', flags: 0, pointerFlags: 0x9000, x: 10, y: 20 }, ...press(0x30)),
    input(2e6, ctrl(true), ...press(0x2e), ctrl(false)),
  );
  assert.deepEqual(
    events.map((event) => [event.kind, textsOf(event).at(-1)]),
    [
      ['typed', 'a'],
      ['click', 'left'],
      ['typed', 'b'],
      ['combination', 'Ctrl+C'],
    ],
  );
  assert.deepEqual(
    ofKind(events, 'click').map(({ x, y }) => [x, y]),
    [[10, 20]],
  );
});

test('what the policy does not keep is a fact, not a text', () => {
  const line = input(1e6, ...press(0x1e), ...press(0x1c));
  const masked = typed({ input: 'masked' }, line);
  assert.deepEqual(
    ofKind(masked, 'typed').map(({ text, keys }) => [text, keys]),
    [[null, 2]],
  );
  assert.deepEqual(typed({ input: 'none' }, line), []);
  const facts = ofKind(indexed(connected, { input: 'none', clipboard: 'masked' }).events, 'not_kept');
  assert.deepEqual(
    facts.map(({ what, policy }) => [what, policy]),
    [
      ['input', 'none'],
      ['clipboard', 'masked'],
    ],
  );
});

test('a real session: who logged on, the desktop, what was copied and what the drive was used for', () => {
  const pieces = new Map<number, { name: string; kind: string; bytes: Buffer }>();
  const onContent = (piece: ContentPiece): void => {
    if (piece.type !== 'data') return;
    const known = pieces.get(piece.id) ?? { name: piece.name, kind: piece.kind, bytes: Buffer.alloc(0) };
    pieces.set(piece.id, { ...known, bytes: Buffer.concat([known.bytes, piece.bytes]) });
  };
  const { events, activity } = indexed(captureFrames('xorg-clip-drive'), { onContent });
  assert.ok(ofKind(events, 'logon').length > 0);
  assert.ok(ofKind(events, 'resize').length > 0);
  const [text] = ofKind(events, 'clipboard_text');
  assert.ok(text?.text);
  const copied = [...pieces.values()].find(({ kind }) => kind === 'clipboard_text')!;
  assert.equal(copied.bytes.toString(), text.text);
  assert.equal(text.sha256, createHash('sha256').update(copied.bytes).digest('hex'));
  assert.ok(activity.length > 1 && activity.every((row, i) => i === 0 || row.second > activity[i - 1]!.second));
  const sum = activity.reduce((total, row) => total + row.serverBytes + row.clientBytes, 0);
  assert.equal(
    sum,
    captureFrames('xorg-clip-drive').reduce((total, frame) => total + frame.body.length, 0),
  );
});

test('files of a redirected drive: opened, read and written, with sizes and hashes of their contents', () => {
  const contents = new Map<number, { name: string; hash: ReturnType<typeof createHash>; bytes: number }>();
  const ended: number[] = [];
  const onContent = (piece: ContentPiece): void => {
    if (piece.type === 'end') {
      ended.push(piece.id);
      return;
    }
    const known = contents.get(piece.id) ?? { name: piece.name, hash: createHash('sha256'), bytes: 0 };
    known.hash.update(piece.bytes);
    known.bytes += piece.bytes.length;
    contents.set(piece.id, known);
  };
  const { events } = indexed(captureFrames('xorg-rdesktop-drive'), { onContent });
  assert.deepEqual(
    ofKind(events, 'drive').map(({ name }) => name),
    ['share'],
  );
  const opened = ofKind(events, 'drive_open').filter((event) => event.opened);
  assert.ok(opened.some(({ path }) => path === '\\hello.txt'));
  const moved = [...ofKind(events, 'drive_read'), ...ofKind(events, 'drive_written')];
  assert.ok(moved.some(({ kind, path }) => kind === 'drive_read' && path === '/hello.txt'));
  assert.ok(moved.some(({ kind, path }) => kind === 'drive_written' && path === '/back.txt'));
  const found = [...contents.values()].map(({ name, hash, bytes }) => `${name} ${bytes} ${hash.digest('hex')}`);
  for (const { drive, path, bytes, sha256 } of moved) assert.ok(found.includes(`${drive}:${path} ${bytes} ${sha256}`));
  assert.equal(ended.length, contents.size);
});

test('an index made chunk by chunk, its state saved and restored in between, says what one made in one go says', async () => {
  for (const name of ['xorg-clip-drive', 'xorg-rdesktop-drive', 'xorg-nofastpath', 'shadow-default']) {
    const frames = captureFrames(name);
    const whole = indexed(frames);
    const events: IndexEvent[] = [];
    let state: SessionIndexerState | null = null;
    const step = Math.ceil(frames.length / 7);
    for (let at = 0; at < frames.length; at += step) {
      const indexer = new SessionIndexer();
      if (state !== null) indexer.restore(state);
      for (const frame of frames.slice(at, at + step)) indexer.push(frame);
      events.push(...indexer.take(at / step, at + step >= frames.length).events);
      state = (await decompressState(await compressState(indexer.state()))) as SessionIndexerState;
    }
    events.sort((a, b) => a.timeUs - b.timeUs);
    const byText = (list: readonly IndexEvent[]) => list.map((event) => JSON.stringify(event)).sort();
    assert.deepEqual(byText(events), byText(whole.events), name);
  }
});

test('a second connection of the session is read on its own, whatever the first one broke off in', () => {
  const first = captureFrames('xorg-clip-drive');
  const second = captureFrames('xorg-rdesktop-drive');
  const alone = indexed(second);
  for (const cut of [first.length, 80, 61, 20, 3, 1]) {
    // Cut in the middle of a PDU, as a client whose cable is pulled leaves it.
    const half = { ...first[cut - 1]!, body: first[cut - 1]!.body.slice(0, -1) };
    const offsetUs = Math.ceil(half.timeUs / 1e6) * 1e6 + 90e6;
    const moved = second.map((frame) => ({ ...frame, timeUs: frame.timeUs + offsetUs }));
    const both = indexed([...first.slice(0, cut - 1), half, ...moved]);
    // A desktop of the same size has not been resized.
    const told = (events: readonly IndexEvent[], fromUs: number, byUs: number) =>
      events
        .filter(({ timeUs, kind }) => timeUs >= fromUs && kind !== 'resize')
        .map((event) => ({ ...event, timeUs: event.timeUs + byUs, id: null }));
    assert.deepEqual(told(both.events, offsetUs, 0), told(alone.events, 0, offsetUs), `cut at ${cut}`);
  }
});

test('a state of another version is refused', () => {
  const state = { ...new SessionIndexer().state(), version: 0 };
  assert.throws(() => new SessionIndexer().restore(state), { name: 'DecodeError', code: 'unsupported' });
});

test('segments come back as they were, and bad ones are refused', async () => {
  const segment = indexed(captureFrames('xorg-clip-drive'));
  assert.deepEqual(await decodeIndexSegment(await encodeIndexSegment(segment)), segment);
  const bad = async (text: string) => assert.rejects(decodeIndexSegment(gzipSync(text)), { name: 'DecodeError' });
  const head = { v: 3, chunkIndex: 0, last: false, untilUs: 0, dropped: 0, events: 0 };
  await assert.doesNotReject(decodeIndexSegment(gzipSync(`${JSON.stringify(head)}\n[]`)));
  await bad('nothing');
  await bad('null\n[]');
  await bad(`${JSON.stringify({ ...head, v: 1 })}\n[]`);
  await bad(`${JSON.stringify({ ...head, events: 1 })}\n[]`);
  await bad(`${JSON.stringify({ ...head, more: 1 })}\n[]`);
  await bad(`${JSON.stringify(head)}\n[[1]]`);
  for (const event of [
    null,
    { kind: 'click' },
    { timeUs: 1, kind: 'toString' },
    { timeUs: 1, kind: 'click', button: 'left', x: 1.5, y: 0 },
    { timeUs: 1, kind: 'window', what: 'moved', windowId: 1, title: '' },
    { timeUs: 1, kind: 'monitors', monitors: [{ left: 0, top: 0, width: -1, height: 1, primary: true }] },
    { timeUs: 1, kind: 'click', button: 'left', x: 1, y: 0, more: 1 },
    { timeUs: 1, kind: 'note', note: { type: 'other' } },
    { timeUs: 1, kind: 'drive_read', drive: 'a', path: 'b', offset: 0, bytes: 1, size: 1, sha256: 'zz' },
    { timeUs: 1, kind: 'device', deviceId: 1, type: 'toaster', name: 'a' },
  ])
    await bad(`${JSON.stringify({ ...head, events: 1 })}\n[]\n${JSON.stringify(event)}`);
  await assert.rejects(decodeIndexSegment(new Uint8Array([1, 2, 3])), { name: 'DecodeError' });
});

test('taking inputs out leaves no typed or copied text', () => {
  const secrets = ['typed', 'combination', 'clipboard_text', 'clipboard_data', 'clipboard_files', 'clipboard_file'];
  const all: IndexEvent[] = [
    {
      timeUs: 1,
      kind: 'typed',
      untilUs: 2,
      text: 'secret',
      keys: 6,
      erased: 0,
      entered: true,
      approximate: false,
      atLogon: false,
    },
    { timeUs: 1, kind: 'combination', keys: 'secret' },
    { timeUs: 1, kind: 'clipboard_text', from: 'client', text: 'secret', characters: 6, sha256: 'secret' },
    { timeUs: 1, kind: 'clipboard_data', from: 'client', format: 'HTML', bytes: 6, text: 'secret', sha256: 'secret' },
    { timeUs: 1, kind: 'clipboard_files', from: 'client', count: 1, files: [{ name: 'secret', bytes: 1 }] },
    { timeUs: 1, kind: 'clipboard_file', from: 'client', name: 'secret', bytes: 1, size: 1, sha256: 'secret' },
    { timeUs: 1, kind: 'drive', deviceId: 1, name: 'stays' },
  ];
  for (const event of all) {
    assert.equal(JSON.stringify(withoutInputs(event)).includes('secret'), false);
    assert.equal(secrets.includes(event.kind), JSON.stringify(event).includes('secret'));
  }
});

test('notes stand in the index, and one that can’t be read is an error', () => {
  const note = (body: Uint8Array): Frame => ({ kind: frameKinds.note, flags: 0, channelId: 0, timeUs: 5, body });
  const { events } = indexed([note(encodeNote({ type: 'pause', atUs: 1 })), note(new Uint8Array([1]))]);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['note', 'error'],
  );
});

test('resumable SHA-256 is SHA-256, wherever its state is saved', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (parts) => {
      let hash = new ResumableSha256();
      const expected = createHash('sha256');
      for (const part of parts) {
        hash.update(part);
        expected.update(part);
        const next = new ResumableSha256();
        next.restore(hash.snapshot());
        hash = next;
      }
      assert.equal(hash.digestHex(), expected.digest('hex'));
    }),
  );
});

test('hostile bytes never make it throw, and what it writes can be read', async () => {
  const base = captureFrames('xorg-rdesktop-drive').slice(0, 400);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(4000), fc.integer({ min: 0, max: 255 })), { maxLength: 60 }),
      fc.array(fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 300 })), { maxLength: 20 }),
      async (flips, tail) => {
        const frames = base.map((frame) => ({ ...frame, body: frame.body.slice() }));
        for (const [at, place, value] of flips) {
          const { body } = frames[at]!;
          if (body.length > 0) body[place % body.length] = value;
        }
        for (const [server, body] of tail)
          frames.push({ kind: frameKinds.pdu, flags: server ? 1 : 0, channelId: 0, timeUs: 1e9, body });
        const segment = indexed(frames);
        assert.deepEqual(await decodeIndexSegment(await encodeIndexSegment(segment)), segment);
      },
    ),
    { numRuns: 60 },
  );
});

test('the index of every capture is far below a tenth of what is stored', async (t) => {
  const names = readdirSync(new URL('../../../testkit/captures/', import.meta.url))
    .filter((file) => file.endsWith('.rdpcap.gz'))
    .map((file) => file.replace('.rdpcap.gz', ''));
  let storedAll = 0;
  let indexAll = 0;
  for (const name of names) {
    const frames = captureFrames(name);
    const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
    for (const { kind, flags, channelId, timeUs, body } of frames) writer.append(kind, flags, channelId, timeUs, body);
    const stored = zstdCompressSync(writer.payload({ firstFrameNumber: 0, openedUs: 0 })).length;
    const index = (await encodeIndexSegment(indexed(frames))).length;
    storedAll += stored;
    indexAll += index;
    assert.ok(index < stored / 10, `${name}: ${index} of ${stored}`);
  }
  t.diagnostic(`index ${indexAll} bytes of ${storedAll} stored: ${((100 * indexAll) / storedAll).toFixed(2)} %`);
});
