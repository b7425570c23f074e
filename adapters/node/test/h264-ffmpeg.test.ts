import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GraphicsPipeline, nalSps, nalType, Screen, splitNals } from '@lucid-sessions/graphics';
import { captureGraphics, capturePicture, psnr } from '@lucid-sessions/testkit/capture-graphics';
import { createFfmpegH264Decoder, FfmpegError } from '../src/index.ts';

const installed = spawnSync('ffmpeg', ['-version']).status === 0;
const needsFfmpeg = { skip: installed ? false : 'ffmpeg is not installed' };
const directory = mkdtempSync(join(tmpdir(), 'h264-ffmpeg-'));
after(() => rmSync(directory, { recursive: true }));

/** A program in ffmpeg's place. */
function program(name: string, script: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Access units of a capture, in the order a pipeline asks for them. */
async function accessUnits(name: string): Promise<Uint8Array[]> {
  const units: Uint8Array[] = [];
  const decode = (unit: Uint8Array) => {
    units.push(unit.slice());
    return null;
  };
  const pipeline = new GraphicsPipeline({
    screen: new Screen(),
    createH264Decoder: () => ({ decode, close: () => undefined }),
  });
  for (const event of captureGraphics(name)) if (event.kind === 'gfx') await pipeline.process(event.data);
  return units;
}

/** xclock's hands, which moved on between the last frame and the screenshot. */
const clock = { left: 690, top: 290, width: 230, height: 230 };

for (const [name, decibels] of [
  ['shadow-gfx-avc420', 60],
  ['shadow-default', 44],
  ['long/shadow-work-avc420', 60],
] as const) {
  test(`${name} ends with the picture the real client showed`, needsFfmpeg, async () => {
    const screen = new Screen();
    const pipeline = new GraphicsPipeline({ screen, createH264Decoder: () => createFfmpegH264Decoder() });
    try {
      for (const event of captureGraphics(name)) if (event.kind === 'gfx') await pipeline.process(event.data);
    } finally {
      pipeline.close();
    }
    assert.deepEqual([...screen.unsupported], []);
    const quality = psnr(screen.pixels, capturePicture(name), [clock]);
    assert.ok(quality > decibels, `${quality} dB`);
  });
}

test('each access unit gives its own picture before the next is sent', needsFfmpeg, async () => {
  const units = await accessUnits('shadow-gfx-avc420');
  const decoder = createFfmpegH264Decoder();
  try {
    for (const unit of units.slice(0, 4)) {
      const frame = await decoder.decode(unit);
      assert.ok(frame);
      assert.deepEqual([frame.width, frame.height, frame.strideY, frame.strideUv], [1024, 768, 1024, 512]);
      assert.deepEqual([frame.y.length, frame.u.length, frame.v.length], [1024 * 768, 512 * 384, 512 * 384]);
    }
  } finally {
    decoder.close();
  }
});

test('parameter sets may come ahead of their picture; delimiters change nothing', needsFfmpeg, async () => {
  const [first] = await accessUnits('shadow-gfx-avc420');
  const startCode = Uint8Array.of(0, 0, 0, 1);
  const parts = splitNals(first!);
  const bytes = (nals: Uint8Array[]) => Buffer.concat(nals.flatMap((nal) => [startCode, nal]));
  const isPicture = (nal: Uint8Array) => nalType(nal) === 5;
  const decoder = createFfmpegH264Decoder();
  try {
    assert.equal(await decoder.decode(bytes(parts.filter((nal) => !isPicture(nal)))), null);
    const frame = await decoder.decode(bytes([Uint8Array.of(9, 0x10), ...parts.filter(isPicture)]));
    assert.equal(frame?.width, 1024);
    // The same parameters again keep the process; another size starts a new one.
    assert.equal((await decoder.decode(first!))?.height, 768);
  } finally {
    decoder.close();
  }
});

test('a new size starts a new stream', needsFfmpeg, async () => {
  const small = spawnSync(
    'ffmpeg',
    [
      '-v',
      'error',
      '-f',
      'lavfi',
      '-i',
      'testsrc=size=100x60:rate=1',
      '-frames:v',
      '1',
      '-pix_fmt',
      'yuv420p',
      '-c:v',
      'libx264',
      '-tune',
      'zerolatency',
      '-f',
      'h264',
      '-',
    ],
    { maxBuffer: 1 << 24 },
  ).stdout;
  const [large] = await accessUnits('shadow-gfx-avc420');
  const decoder = createFfmpegH264Decoder();
  try {
    // 100 × 60 is cropped from whole macroblocks, which is what AVC444 needs.
    const frame = await decoder.decode(small);
    assert.deepEqual([frame?.width, frame?.height], [112, 64]);
    assert.equal((await decoder.decode(large!))?.width, 1024);
    assert.equal((await decoder.decode(small))?.width, 112);
  } finally {
    decoder.close();
  }
});

test('bytes ffmpeg cannot decode are a DecodeError, and the next key picture starts anew', needsFfmpeg, async () => {
  const [first] = await accessUnits('shadow-gfx-avc420');
  const sps = splitNals(first!).find((nal) => nalType(nal) === nalSps)!;
  const decoder = createFfmpegH264Decoder();
  try {
    const nonsense = Buffer.concat([Uint8Array.of(0, 0, 0, 1), sps, Uint8Array.of(0, 0, 0, 1, 0x65, 0xff, 0xff, 0xff)]);
    await assert.rejects(async () => decoder.decode(nonsense), { name: 'DecodeError', code: 'invalid' });
    assert.equal((await decoder.decode(first!))?.width, 1024);
  } finally {
    decoder.close();
  }
});

test('a stream must start with its parameters', async () => {
  const decoder = createFfmpegH264Decoder();
  const slice = Uint8Array.of(0, 0, 0, 1, 0x65, 0x88, 1, 2);
  await assert.rejects(async () => decoder.decode(slice), { name: 'DecodeError', code: 'invalid' });
  decoder.close();
  await assert.rejects(async () => decoder.decode(slice), { name: 'FfmpegError', code: 'closed' });
});

test('what goes wrong with the program is said by its code', async () => {
  const [first] = await accessUnits('shadow-gfx-avc420');
  // The flood's first byte comes alone, so that no piece of it ends where a picture does.
  const cases: [string, string, number, string, RegExp][] = [
    ['missing', join(directory, 'no-such-program'), 5000, 'not_installed', /install ffmpeg/],
    ['ends', program('ends', 'echo no such codec >&2; exit 1'), 5000, 'failed', /no such codec|no word/],
    ['hangs', program('hangs', 'exec sleep 60'), 200, 'timed_out', /200 ms/],
    ['floods', program('floods', 'printf x; sleep 0.2; exec cat /dev/zero'), 5000, 'failed', /more pictures/],
    ['not a program', directory, 5000, 'failed', /can't be started/],
  ];
  for (const [what, ffmpegPath, pictureTimeoutMs, code, message] of cases) {
    const decoder = createFfmpegH264Decoder({ ffmpegPath, pictureTimeoutMs });
    await assert.rejects(
      async () => decoder.decode(first!),
      (error) => error instanceof FfmpegError && error.code === code && message.test(error.message),
      what,
    );
    decoder.close();
  }
});

test('closing ends a picture that is waited for', async () => {
  const [first] = await accessUnits('shadow-gfx-avc420');
  const decoder = createFfmpegH264Decoder({ ffmpegPath: program('silent', 'exec sleep 60') });
  const waiting = decoder.decode(first!);
  decoder.close();
  await assert.rejects(async () => waiting, { name: 'FfmpegError', code: 'closed' });
});
