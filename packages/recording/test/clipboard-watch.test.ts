import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ClipboardType, clipboardMessage, fileContentsRequest, longFormatNames } from '@lucid-sessions/rdp';
import { encode, Writer } from '@lucid-sessions/wire';
import { ClipboardWatch } from '../src/session-index/clipboard-watch.ts';
import type { ContentPiece } from '../src/session-index/contents.ts';
import type { Happening, KeepPolicy, Side } from '../src/session-index/events.ts';

const message = (msgType: number, data: Uint8Array): Uint8Array =>
  encode(clipboardMessage, { msgType, msgFlags: 1, dataLen: data.length, data });
const u32 = (value: number): Uint8Array => new Writer(4).u32le(value).bytes();

/** A list of one file, [MS-RDPECLIP] 2.2.5.2.3. */
function listOf(name: string, bytes: number): Uint8Array {
  const list = new Uint8Array(4 + 592);
  const view = new DataView(list.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 0x40, true);
  view.setUint32(4 + 68, bytes, true);
  for (let i = 0; i < name.length; i += 1) view.setUint16(4 + 72 + 2 * i, name.charCodeAt(i), true);
  return list;
}

function copyFile(policy: KeepPolicy, parts: readonly [number, string][], fileBytes: number) {
  const events: Happening[] = [];
  const pieces: ContentPiece[] = [];
  let id = 0;
  const make = () =>
    new ClipboardWatch(
      policy,
      (_timeUs, happening) => void events.push(happening),
      () => ++id,
      (piece) => void pieces.push(piece),
    );
  let watch = make();
  const push = (sender: Side, msgType: number, data: Uint8Array): void => {
    const next = make();
    next.restore(watch.snapshot());
    watch = next;
    watch.push(1, sender, message(msgType, data));
  };
  push(
    'client',
    ClipboardType.formatList,
    encode(longFormatNames, [{ formatId: 0xc0ff, formatName: 'FileGroupDescriptorW' }]),
  );
  push('server', ClipboardType.formatDataRequest, u32(0xc0ff));
  push('client', ClipboardType.formatDataResponse, listOf('plan.txt', fileBytes));
  parts.forEach(([offset, text], streamId) => {
    const request = { streamId, lindex: 0, dwFlags: 2, nPositionLow: offset, nPositionHigh: 0, cbRequested: 100 };
    push('server', ClipboardType.fileContentsRequest, encode(fileContentsRequest, request));
    push('client', ClipboardType.fileContentsResponse, Buffer.concat([u32(streamId), Buffer.from(text)]));
  });
  watch.end();
  return { events, pieces };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('a copied file has its name, size and hash, whatever pieces it came in', () => {
  for (const parts of [
    [[0, 'hello world']],
    [
      [0, 'hello '],
      [6, 'world'],
    ],
    [
      [0, 'hello '],
      [0, 'hello '],
      [6, 'world'],
    ],
  ] as [number, string][][]) {
    const { events, pieces } = copyFile('full', parts, 11);
    assert.deepEqual(events[0], {
      kind: 'clipboard_files',
      from: 'client',
      count: 1,
      files: [{ name: 'plan.txt', bytes: 11 }],
    });
    const whole = { bytes: 11, size: 11, sha256: sha256('hello world') };
    const file = { kind: 'clipboard_file', from: 'client', name: 'plan.txt', ...whole };
    assert.deepEqual(events.slice(1), [file]);
    assert.equal(pieces.at(-1)!.type, 'end');
  }
});

test('a file with a hole has no hash', () => {
  const { events } = copyFile(
    'full',
    [
      [0, 'hello '],
      [8, 'rld'],
    ],
    20,
  );
  assert.deepEqual(events[1], {
    kind: 'clipboard_file',
    from: 'client',
    name: 'plan.txt',
    bytes: 9,
    size: 20,
    sha256: null,
  });
});

test('masked: that files were copied; none: nothing', () => {
  const masked = copyFile('masked', [[0, 'hello world']], 11);
  assert.deepEqual(masked.events, [{ kind: 'clipboard_files', from: 'client', count: 1, files: null }]);
  assert.deepEqual(masked.pieces, []);
  assert.deepEqual(copyFile('none', [[0, 'hello world']], 11).events, []);
});
