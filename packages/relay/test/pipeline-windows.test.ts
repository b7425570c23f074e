/** Sessions of mstsc with Windows, whose servers compress over one history: the client gets every command of theirs, and ours between. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StreamInspector } from '@lucid-sessions/rdp';
import { ZgfxDecompressor } from '@lucid-sessions/rdp/bulk';
import { bannerPicture } from '@lucid-sessions/screens';
import { readCapture } from '@lucid-sessions/testkit';
import { RecordingTap } from '@lucid-sessions/testkit/recording-tap';
import { Relay } from '../src/index.ts';

const folder = process.env.WINDOWS_CAPTURES ?? '';
const skip = folder === '' ? 'set WINDOWS_CAPTURES to the folder of recorded Windows sessions' : false;

/** Messages of the graphics pipeline as its client reads them. */
class Reader {
  readonly messages: Buffer[] = [];
  readonly #inspector = new StreamInspector();
  readonly #history = new ZgfxDecompressor();

  push(from: 'client' | 'server', bytes: Uint8Array): void {
    for (const event of this.#inspector.push(from, new Uint8Array(bytes)))
      if (event.kind === 'dynamicMessage' && event.sender === 'server' && event.channelName?.endsWith('::Graphics'))
        this.messages.push(Buffer.from(this.#history.decompress(event.message!)));
  }
}

test('captures of Windows draw the same under a message', { skip }, () => {
  let shown = 0;
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.rdpcap.gz'))) {
    const relay = new Relay(
      { requestedProtocols: 11, selectedProtocol: 8, graphics: 'passthrough', paintsPipeline: true },
      new RecordingTap(),
    );
    const [sent, got] = [new Reader(), new Reader()];
    let isShown = false;
    for (const [at, { fromServer, beforeTls, bytes }] of readCapture(join(folder, name)).records.entries()) {
      if (beforeTls) continue;
      const from = fromServer ? 'server' : 'client';
      sent.push(from, bytes);
      const { forward, toClient } = relay.step(from, Buffer.from(bytes), at);
      for (const view of forward) got.push(from, view);
      for (const view of toClient) got.push('server', view);
      const canvas = relay.pipelineCanvas;
      if (canvas === null || isShown) continue;
      isShown = true;
      shown += 1;
      for (const view of relay.overlay(bannerPicture(canvas, 'ann:', 'hello'), at)) got.push('server', view);
    }
    assert.equal(isShown, sent.messages.length > 0, name);
    const left = [...sent.messages];
    for (const message of got.messages) if (left[0]?.equals(message) === true) left.shift();
    assert.deepEqual([left.length, got.messages.length > sent.messages.length], [0, isShown], name);
  }
  assert.ok(shown > 0);
});
