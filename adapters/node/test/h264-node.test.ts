import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { H264MissingError, SessionDecoder, type WebCodecs, type YuvFrame } from '@lucid-sessions/graphics';
import { readCapture } from '@lucid-sessions/testkit';
import {
  createH264Decoder,
  createWebCodecsH264Decoder,
  findH264Decoder,
  loadWebCodecs,
  ownH264Decoder,
} from '../src/index.ts';

const hasFfmpeg = spawnSync('ffmpeg', ['-version']).status === 0;
const nowhere = { ffmpegPath: 'no-such-program', webCodecs: '@lucid-sessions/no-such-package' };

test('the decoder of this machine is found, or it is said that there is none', async () => {
  assert.equal(await findH264Decoder(nowhere), null);
  assert.equal((await findH264Decoder({ ...nowhere, ffmpegPath: 'true' }))?.name, 'ffmpeg');
  assert.equal(await loadWebCodecs('node:path'), null, 'a package that holds no WebCodecs');
  if (hasFfmpeg) assert.equal((await ownH264Decoder())?.name, 'ffmpeg');
});

test('without one a session is drawn but for its H.264, counted as what it is, with what to install', async () => {
  const path = join(import.meta.dirname, '../../../testkit/captures/shadow-gfx-avc420.rdpcap.gz');
  const decoder = new SessionDecoder({ createH264Decoder: () => createH264Decoder(async () => null) });
  for (const { fromServer, bytes } of readCapture(path).records) await decoder.push({ fromServer, bytes });
  assert.ok((decoder.screen.unsupported.get('gfx.h264.noDecoder') ?? 0) > 0);
  assert.equal(decoder.screen.unsupported.get('gfx.h264.failed'), undefined);
  const failure = decoder.h264Failure;
  assert.ok(failure instanceof H264MissingError);
  assert.match(failure.message, /install ffmpeg .*npm install @napi-rs\/webcodecs/);
  decoder.close();
});

/** WebCodecs as the package behaves: pictures come at the flush, and what was flushed can't be referred to any more. */
function heldBack(): { codecs: WebCodecs; fed: number[][] } {
  const fed: number[][] = [];
  class Chunk {
    readonly timestamp: number;
    readonly data: Uint8Array;
    constructor({ timestamp, data }: { timestamp: number; data: Uint8Array }) {
      this.timestamp = timestamp;
      this.data = data;
    }
  }
  class Decoder {
    state = 'unconfigured';
    readonly #output: (frame: object) => void;
    readonly #waiting: Chunk[] = [];
    readonly #run: number[] = [];
    constructor({ output }: { output: (frame: object) => void }) {
      this.#output = output;
      fed.push(this.#run);
    }
    configure(): void {
      this.state = 'configured';
    }
    decode(chunk: Chunk): void {
      this.#run.push(chunk.data.at(-1)!);
      this.#waiting.push(chunk);
    }
    async flush(): Promise<void> {
      for (const { timestamp, data } of this.#waiting.splice(0)) this.#output(frameOf(timestamp, data.at(-1)!));
      await new Promise((resolve) => setImmediate(resolve));
    }
    close(): void {
      this.state = 'closed';
    }
  }
  const after = (ms: number, run: () => void): (() => void) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  };
  const parts = { VideoDecoder: Decoder, EncodedVideoChunk: Chunk };
  return { codecs: { ...(parts as unknown as WebCodecs), holdsBack: true, after }, fed };
}

const frameOf = (timestamp: number, value: number): object => ({
  timestamp,
  format: 'I420',
  codedWidth: 16,
  codedHeight: 16,
  visibleRect: { width: 16, height: 16 },
  copyTo: async (memory: Uint8Array) => void memory.fill(value),
  close: () => {},
});

const key = (value: number): Uint8Array => Uint8Array.of(0, 0, 1, 0x67, 100, 0, 32, 1, 0, 0, 1, 0x65, value);
const predicted = (value: number): Uint8Array => Uint8Array.of(0, 0, 1, 0x41, value);

test('by WebCodecs each run begins again at the last key picture, and gives its own pictures only', async () => {
  const { codecs, fed } = heldBack();
  const decoder = createWebCodecsH264Decoder(codecs);
  const seen: (number | undefined)[] = [];
  const see = (frame: YuvFrame | null): void => void seen.push(frame?.y[0]);
  see(await decoder.decode(key(10)));
  see(await decoder.decode(predicted(11)));
  const everything = { left: 0, top: 0, width: 16, height: 16 };
  await decoder.decodeRun!(
    [predicted(12), key(20), predicted(21)],
    () => everything,
    (_, frame) => see(frame),
  );
  see(await decoder.decode(predicted(22)));
  assert.deepEqual(seen, [10, 11, 12, 20, 21, 22]);
  assert.deepEqual(fed, [[10], [10, 11], [10, 11, 12, 20, 21], [20, 21, 22]]);
  decoder.close();
  await assert.rejects(decoder.decode(key(1)) as Promise<unknown>, /open a new h\.264 decoder/);
});
