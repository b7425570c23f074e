/** Recordings as files to look at: what they show is compared with what the client itself showed. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { createPixelBuffer, paintScreen, Screen } from '@lucid-sessions/graphics';
import { makeAgeIdentity } from '@lucid-sessions/keys';
import { encodePng } from '@lucid-sessions/node';
import { pixelsBytes, traceOf } from '@lucid-sessions/recording';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import * as fc from 'fast-check';
import { PNG } from 'pngjs';
import { ApiClient } from '../src/cli/api-client.ts';
import { Output } from '../src/cli/output.ts';
import { writeNewFile } from '../src/commands/new-file.ts';
import type { PictureResult } from '../src/commands/picture.ts';
import { type GivenForPicture, type GivenForVideo, runPicture, runVideo } from '../src/commands/recording-output.ts';
import { formatRecordingTime, parseRecordingTime } from '../src/commands/recording-time.ts';
import type { VideoResult } from '../src/commands/video.ts';
import { VideoPace } from '../src/commands/video-pace.ts';
import { runCli } from './support/cli.ts';
import { armSession, type Gateway, sessionIn, startGateway } from './support/gateway.ts';
import { coloursCount, comparePngs } from './support/pictures.ts';
import { recordsOf, sessionId, withDesktopSize, writePlainBundle } from './support/plain-bundle.ts';

const program = join(import.meta.dirname, '../bin/lucid-sessions.js');

function skipWithoutFfmpeg(t: TestContext): boolean {
  try {
    execFileSync('ffmpeg', ['-version'], { stdio: 'ignore' });
    return false;
  } catch {
    const message = 'needs ffmpeg: apt install ffmpeg';
    if (process.env.REQUIRE_PEERS === '1') throw new Error(`REQUIRE_PEERS=1, but this test ${message}`);
    t.skip(message);
    return true;
  }
}

const noApi = (): never => assert.fail('a bundle needs no API');

async function inProcess<T>(run: (output: Output) => Promise<void>): Promise<T> {
  let printed = '';
  const stdout = {
    write: (text: string) => {
      printed += text;
    },
  };
  await run(new Output({ stdout, stderr: { write: () => {} } }, true));
  return JSON.parse(printed) as T;
}

const video = (what: string, given: Partial<GivenForVideo> & { out: string }): Promise<VideoResult> =>
  inProcess((output) => runVideo(what, { api: noApi, pointer: false, from: 0, speed: 1, fps: 10, ...given }, output));
const picture = (what: string, given: Partial<GivenForPicture> & { out: string }): Promise<PictureResult> =>
  inProcess((output) =>
    runPicture(what, { api: noApi, pointer: false, at: Number.POSITIVE_INFINITY, ...given }, output),
  );

/** One picture of a video: the `at`-th, 0-based. */
async function frameOf(file: string, at: number, png: string): Promise<string> {
  const pick = `select=eq(n\\,${at}),scale=in_color_matrix=bt709:in_range=tv`;
  await promisify(execFile)('ffmpeg', ['-v', 'error', '-y', '-i', file, '-vf', pick, '-frames:v', '1', png]);
  return png;
}

/** The metadata field `comment`, of the file or of its stream, as ffprobe reads it. */
async function commentOf(file: string): Promise<string> {
  const { stdout } = await promisify(execFile)('ffprobe', ['-v', 'error', '-show_format', '-of', 'json', file]);
  const { tags = {} } = (JSON.parse(stdout) as { format: { tags?: Record<string, string> } }).format;
  return tags.comment ?? tags.COMMENT ?? '';
}

/** What ffprobe's library side says: how many pictures come out. */
async function decodedFrames(file: string): Promise<number> {
  const { stdout } = await promisify(execFile)('ffmpeg', [
    ...['-v', 'error', '-i', file, '-fps_mode', 'passthrough', '-f', 'framecrc', '-'],
  ]);
  return stdout.split('\n').filter((line) => /^0,/.test(line)).length;
}

async function record(t: TestContext, gateway: Gateway): Promise<{ id: string; screenshot: Buffer }> {
  // A clock that stands still: the last picture of the recording is then the client's last picture.
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const size = { width: 801, height: 601 };
  const client = await connectClient({
    port: gateway.rdpPort,
    routingToken,
    userName: 'film',
    screenshots: true,
    size,
  });
  await client.type('for the screen\n', 30);
  client.move(300, 250);
  await client.settled(400);
  const screenshot = client.screenshotPng();
  await client.close();
  await sessionIn(gateway, id, 'completed');
  return { id, screenshot };
}

const readPng = (path: string): PNG => PNG.sync.read(readFileSync(path));

test('a session recorded through the gateway becomes MP4, WebM and PNG that show what the client showed', {
  timeout: 300_000,
}, async (t) => {
  if (skipWithoutFfmpeg(t)) return;
  const directory = temporaryDirectory('video');
  const auditor = await makeAgeIdentity();
  const gateway = await startGateway(t, { LUCID_RECIPIENTS: auditor.recipient, LUCID_CHUNK_AGE_MS: '300' });
  const { id, screenshot } = await record(t, gateway);
  const shown = join(directory, 'shown.png');
  writeFileSync(shown, screenshot);
  const reach = ['--api', gateway.api.url, '--token-file', gateway.lucid.directory.adminToken];

  const end = join(directory, 'end.png');
  await t.test('the picture at the end is the client’s, pixel for pixel', async () => {
    const taken = await runCli([...reach, '--json', 'picture', id, '--at', 'end', '--no-pointer', '--out', end]);
    assert.equal(taken.code, 0, taken.stderr);
    const result = JSON.parse(taken.stdout) as PictureResult;
    assert.deepEqual(
      { id: result.session_id, width: result.width, height: result.height, unsupported: result.unsupported },
      { id, width: 801, height: 601, unsupported: {} },
    );
    assert.equal(result.bytes, statSync(end).size);
    assert.equal(statSync(end).mode & 0o077, 0);
    assert.equal(comparePngs(end, shown, []).differentCount, 0);
    const { merkle_root: root } = await gateway.api.json<{ merkle_root: string }>('GET', `/sessions/${id}`);
    assert.match(root, /^[0-9a-f]{64}$/);
    const pixels = createHash('sha256')
      .update(pixelsBytes(readPng(end)))
      .digest('hex');
    const moment = Math.round(result.seconds * 1e6);
    assert.deepEqual(JSON.parse(traceOf(readFileSync(end)) ?? ''), {
      ...{ v: 1, session_id: id, merkle_root: root, from_us: moment, to_us: moment },
      pixels_sha256: pixels,
    });
    assert.deepEqual([result.merkle_root, result.pixels_sha256], [root, pixels]);
  });

  await t.test('the pointer is drawn where the client had it, and nowhere else', async () => {
    const out = join(directory, 'pointer.png');
    assert.equal((await runCli([...reach, 'picture', id, '--at', 'end', '--out', out])).code, 0);
    assert.ok(comparePngs(out, shown, []).differentCount > 50);
    const arrow = { left: 300, top: 250, width: 12, height: 18 };
    assert.equal(comparePngs(out, shown, [arrow]).differentCount, 0);
  });

  for (const format of ['mp4', 'webm'])
    await t.test(`${format}: its last picture is the client’s but for the encoder’s loss`, async () => {
      const out = join(directory, `session.${format}`);
      const made = await runCli([...reach, '--json', 'video', id, '--no-pointer', '--out', out]);
      assert.equal(made.code, 0, made.stderr);
      const result = JSON.parse(made.stdout) as VideoResult;
      assert.deepEqual([result.width, result.height, result.unsupported], [802, 602, {}]);
      assert.equal(result.bytes, statSync(out).size);
      assert.equal(result.seconds, result.frames / 15);
      assert.equal(await decodedFrames(out), result.frames);
      const comment = JSON.parse(await commentOf(out)) as Record<string, unknown>;
      assert.deepEqual([comment.session_id, comment.merkle_root], [id, result.merkle_root]);
      const frame = readPng(await frameOf(out, result.frames - 1, join(directory, `${format}.png`)));
      // The padding that makes sides even stands right and below.
      const cut = new PNG({ width: 801, height: 601 });
      PNG.bitblt(frame, cut, 0, 0, 801, 601, 0, 0);
      writeFileSync(join(directory, 'cut.png'), PNG.sync.write(cut));
      const { psnrDb } = comparePngs(join(directory, 'cut.png'), shown, []);
      assert.ok(psnrDb > 30, `${psnrDb} dB`);
    });

  await t.test('an evidence bundle gives the same picture to whoever holds an identity', async () => {
    const bundle = join(directory, 'bundle.tar');
    assert.equal((await runCli([...reach, 'export', id, '--out', bundle])).code, 0);
    const identity = join(directory, 'auditor.txt');
    writeFileSync(identity, `# auditor\n${auditor.identity}\n`);
    const out = join(directory, 'from-bundle.png');
    await picture(bundle, { out, identity });
    assert.equal(comparePngs(out, shown, []).differentCount, 0);

    const elsewhere = join(directory, 'elsewhere.png');
    await assert.rejects(picture(bundle, { out: elsewhere }), /encrypted: name an age identity/);
    writeFileSync(identity, `${(await makeAgeIdentity()).identity}\n`);
    await assert.rejects(picture(bundle, { out: elsewhere, identity }), /opens none of the bundle's 2 wrapped keys/);
    assert.equal(existsSync(elsewhere), false);
  });

  await t.test('nothing is overwritten', async () => {
    const again = await runCli([...reach, 'picture', id, '--at', '0:01', '--out', end]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /is there already/);
    assert.equal(comparePngs(end, shown, []).differentCount, 0);
  });

  await t.test('a session nobody knows', async () => {
    const unknown = await runCli([...reach, 'video', 'no-such-session', '--out', join(directory, 'none.mp4')]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no such session/);
  });
});

test('parts, speed and idle time decide how long a video is', { timeout: 300_000 }, async (t) => {
  if (skipWithoutFfmpeg(t)) return;
  const directory = temporaryDirectory('video');
  const records = recordsOf('xorg-default');
  const bundle = await writePlainBundle(join(directory, 'bundle'), records);
  const lastMs = records.at(-1)!.timeMs;
  const make = (name: string, given: Partial<GivenForVideo>) =>
    video(bundle, { out: join(directory, `${name}.mp4`), ...given });

  const whole = await make('whole', {});
  assert.equal(whole.frames, Math.ceil(lastMs / 100) + 1);
  assert.equal(whole.session_id, sessionId);
  assert.equal((await make('fast', { speed: 4 })).frames, Math.ceil(lastMs / 400) + 1);
  assert.equal((await make('part', { from: 6_000_000, to: 7_000_000 })).frames, 11);
  const busy = await make('busy', { skipIdle: true });
  const gapsMs = records.slice(1).map(({ timeMs }, i) => timeMs - records[i]!.timeMs);
  const skippedMs = gapsMs.filter((ms) => ms > 2000).reduce((sum, ms) => sum + ms - 300, 0);
  assert.equal(busy.frames, Math.ceil((lastMs - skippedMs) / 100) + 1);

  await t.test('a part begins with what stood on the screen then', async () => {
    const at = join(directory, 'at.png');
    await picture(bundle, { out: at, at: 6_000_000 });
    assert.ok(coloursCount(at, 10) === 10, 'there is something to compare');
    const first = await frameOf(join(directory, 'part.mp4'), 0, join(directory, 'first.png'));
    const { psnrDb } = comparePngs(first, at, []);
    assert.ok(psnrDb > 30, `${psnrDb} dB`);
  });

  await t.test('what lies behind the end', async () => {
    await assert.rejects(make('late', { from: 60_000_000 }), /the recording ends at 00:00:0\d\.\d{3}, before --from/);
    const out = join(directory, 'late.png');
    await assert.rejects(picture(bundle, { out, at: 60_000_000 }), /ends at .*, before --at/);
    await assert.rejects(picture(bundle, { out, at: 0 }), /no desktop is shown at that time/);
    await assert.rejects(make('none', { to: 1 }), /no desktop is shown in this part/);
    assert.deepEqual(
      readdirSync(directory).filter((name) => /late|none|partial/.test(name)),
      [],
    );
  });
});

test('a desktop that changes its size stays whole in the middle of the largest', { timeout: 180_000 }, async (t) => {
  if (skipWithoutFfmpeg(t)) return;
  const directory = temporaryDirectory('video');
  const records = withDesktopSize(recordsOf('xorg-default'), 801, 901);
  const bundle = await writePlainBundle(join(directory, 'bundle'), records);
  const out = join(directory, 'resized.mp4');
  const { width, height, frames } = await video(bundle, { out });
  assert.deepEqual([width, height], [1024, 902]);

  const before = join(directory, 'before.png');
  await picture(bundle, { out: before, at: 6_000_000 });
  const frame = readPng(await frameOf(out, 60, join(directory, 'frame.png')));
  const middle = new PNG({ width: 1024, height: 768 });
  PNG.bitblt(frame, middle, 0, 67, 1024, 768, 0, 0);
  writeFileSync(join(directory, 'middle.png'), PNG.sync.write(middle));
  const { psnrDb } = comparePngs(join(directory, 'middle.png'), before, []);
  assert.ok(psnrDb > 30, `${psnrDb} dB`);

  const last = readPng(await frameOf(out, frames - 1, join(directory, 'last.png')));
  assert.ok(
    last.data.every((value, i) => i % 4 === 3 || value < 8),
    'a desktop begins black',
  );
  const end = await picture(bundle, { out: join(directory, 'end.png') });
  assert.deepEqual([end.width, end.height], [801, 901]);
});

test('h.264 sessions are drawn by ffmpeg', { timeout: 180_000 }, async (t) => {
  if (skipWithoutFfmpeg(t)) return;
  const directory = temporaryDirectory('video');
  const bundle = await writePlainBundle(join(directory, 'bundle'), recordsOf('shadow-gfx-avc420'));
  const end = join(directory, 'end.png');
  const taken = await picture(bundle, { out: end, pointer: true });
  assert.deepEqual(taken.unsupported, {});
  const made = await video(bundle, { out: join(directory, 'session.mp4'), pointer: true, from: 5_000_000 });
  assert.deepEqual(made.unsupported, {});
  const last = await frameOf(join(directory, 'session.mp4'), made.frames - 1, join(directory, 'last.png'));
  const { psnrDb } = comparePngs(last, end, []);
  assert.ok(psnrDb > 30, `${psnrDb} dB`);
});

test('without ffmpeg videos are refused with what to install, and pictures still come', async () => {
  const directory = temporaryDirectory('video');
  const bundle = await writePlainBundle(join(directory, 'bundle'), recordsOf('xorg-default'));
  const none = { PATH: directory };
  const made = await runCli(['video', bundle, '--out', join(directory, 'out.mp4')], none);
  assert.equal(made.code, 1);
  assert.match(made.stderr, /ffmpeg is not installed: install it/);
  const taken = await runCli(['picture', bundle, '--at', 'end', '--out', join(directory, 'out.png')], none);
  assert.equal(taken.code, 0, taken.stderr);
  assert.match(taken.stdout, /out\.png: 1024x768, as of 00:00:08/);

  const coded = await writePlainBundle(join(directory, 'coded'), recordsOf('shadow-gfx-avc420'));
  const undrawn = await runCli(['picture', coded, '--at', 'end', '--out', join(directory, 'coded.png')], none);
  assert.equal(undrawn.code, 1);
  assert.match(undrawn.stderr, /h\.264 can't be drawn: .*ffmpeg/);
  assert.deepEqual(readdirSync(directory).sort(), ['bundle', 'coded', 'out.png']);
});

test('an ffmpeg that lacks the encoder, or fails, is told apart', async () => {
  const directory = temporaryDirectory('video');
  const bundle = await writePlainBundle(join(directory, 'bundle'), recordsOf('xorg-default'));
  const out = join(directory, 'out.mp4');
  const ffmpeg = join(directory, 'ffmpeg');
  const pretend = (script: string) => {
    writeFileSync(ffmpeg, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return runCli(['video', bundle, '--out', out], { PATH: directory });
  };
  const lacking = await pretend('echo " V....D mpeg4  MPEG-4"');
  assert.match(lacking.stderr, /can't write mp4: it lacks libx264/);
  const failing = await pretend(
    'case "$2" in -encoders) echo " V....D libx264  H.264";; *) echo "disk on fire" >&2; exit 3;; esac',
  );
  assert.equal(failing.code, 1);
  assert.match(failing.stderr, /ffmpeg failed: disk on fire/);
  assert.deepEqual(readdirSync(directory).sort(), ['bundle', 'ffmpeg']);
});

test('Ctrl-C leaves no file behind', { timeout: 180_000 }, async (t) => {
  if (skipWithoutFfmpeg(t)) return;
  const directory = temporaryDirectory('video');
  // Hours of pictures: it is certainly not done when the signal comes.
  const bundle = await writePlainBundle(join(directory, 'bundle'), recordsOf('xorg-default'), { slowDown: 3600 });
  const child = spawn(process.execPath, [program, 'video', bundle, '--out', join(directory, 'out.mp4')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (part: Buffer) => {
    const drawing = /drawing/.test(said);
    said += part.toString();
    if (drawing || !/drawing/.test(said)) return;
    assert.equal(readdirSync(directory).filter((name) => name.endsWith('.partial')).length, 1);
    child.kill('SIGINT');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 130, said);
  assert.match(said, /stopped: nothing was written/);
  assert.deepEqual(readdirSync(directory), ['bundle']);
});

test('bundles that can not be shown say why', async () => {
  const directory = temporaryDirectory('video');
  const records = recordsOf('web-shadow');
  const out = join(directory, 'out.png');
  const bundle = (name: string, more = {}) => writePlainBundle(join(directory, name), records, more);

  const part = await bundle('part', { chunks: 3, firstChunk: 1 });
  await assert.rejects(picture(part, { out }), /a part without the beginning/);
  const holed = await bundle('holed', { chunks: 3 });
  rmSync(join(holed, 'chunks/00000001.lsc'));
  await assert.rejects(picture(holed, { out }), /holds no chunks\/00000001\.lsc/);
  const swapped = await bundle('swapped');
  writeFileSync(join(swapped, 'chunks/00000001.lsc'), readFileSync(join(swapped, 'chunks/00000000.lsc')));
  await assert.rejects(picture(swapped, { out }), /chunk 2 can't be read \(it belongs elsewhere/);
  const cut = await bundle('cut');
  const chunk = readFileSync(join(cut, 'chunks/00000000.lsc'));
  writeFileSync(join(cut, 'chunks/00000000.lsc'), chunk.subarray(0, chunk.length - 5));
  await assert.rejects(picture(cut, { out }), /chunk 1 can't be read/);
  const junk = join(directory, 'junk.tar');
  writeFileSync(junk, 'no bundle');
  await assert.rejects(picture(junk, { out }), /is no evidence bundle/);
  await assert.rejects(picture(join(directory, 'nowhere'), { out }), /there is no .*nowhere/);
  assert.equal(existsSync(out), false);
});

test('a server that asks for a pause gets it', async () => {
  const directory = temporaryDirectory('video');
  const bundle = await writePlainBundle(join(directory, 'bundle'), recordsOf('web-shadow'), { chunks: 1 });
  const asked: string[] = [];
  const answer = (path: string): Response => {
    asked.push(path);
    if (path.endsWith('/chunks?limit=1')) return Response.json({ pagination: { total: 1 } });
    if (path === '/sessions/some-session') return Response.json({ imported: null });
    if (asked.length === 3)
      return Response.json(
        { error: { code: 'LUCID_ERR_5001', message: 'too many requests' } },
        { status: 429, headers: { 'retry-after': '1' } },
      );
    return new Response(readFileSync(join(bundle, 'chunks/00000000.lsc')));
  };
  const api = () =>
    new ApiClient({ url: 'http://api.test', token: '', fetch: async (url) => answer(String(url).slice(22)) });
  const taken = await picture('some-session', { api, out: join(directory, 'out.png') });
  assert.deepEqual([taken.width, taken.height], [1024, 768]);
  const download = '/sessions/some-session/chunks/some-session.000001/download';
  const before = ['/sessions/some-session/chunks?limit=1', '/sessions/some-session'];
  assert.deepEqual(asked, [...before, download, download]);
});

test('every moment of a recording has its picture, at every speed', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 1, maxLength: 50 }),
      fc.integer({ min: 0, max: 3_000_000 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 16 }),
      (gapsUs, fromUs, framesPerSecond, speed) => {
        const pace = new VideoPace({ fromUs, framesPerSecond, speed, skipIdle: false });
        let timeUs = 0;
        let shown = 0;
        for (const gapUs of gapsUs) {
          timeUs += gapUs;
          shown += pace.before(timeUs);
          const position = Math.max(0, timeUs - fromUs) / speed / (1_000_000 / framesPerSecond);
          // Pictures 0 … shown - 1 lie before this moment and picture `shown` does not.
          assert.ok(shown - 1 < position + 1e-6 && shown > position - 1e-6);
        }
        const endUs = Math.max(timeUs, fromUs);
        assert.ok(pace.end(endUs) >= 1, 'the end is always shown');
      },
    ),
  );
});

test('idle time shrinks to a moment and nothing else does', () => {
  const pace = new VideoPace({ fromUs: 0, framesPerSecond: 10, speed: 1, skipIdle: true });
  assert.equal(pace.before(2_000_000), 20);
  assert.equal(pace.before(3_602_000_000), 3);
  assert.equal(pace.before(3_603_000_000), 10);
});

test('PNG files hold the colours they were given', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      fc.infiniteStream(fc.integer({ min: 0, max: 0xffffff })),
      async (width, height, colours) => {
        const pixels = createPixelBuffer(width, height);
        for (let i = 0; i < pixels.words.length; i += 1) pixels.words[i] = 0xff000000 + colours.next().value;
        const png = PNG.sync.read(Buffer.from(await encodePng(pixels)));
        assert.deepEqual([png.width, png.height], [width, height]);
        assert.deepEqual(new Uint8Array(png.data), new Uint8Array(pixels.data));
      },
    ),
    { numRuns: 50 },
  );
});

test('a pointer is mixed with what lies below it and ends where the desktop ends', () => {
  const shape = createPixelBuffer(2, 2, 0);
  // Half-transparent white, opaque red, clear.
  shape.words.set([0x80ffffff, 0xff0000ff, 0, 0xff0000ff]);
  const screen = new Screen(2, 2);
  screen.pointer = { x: 1, y: 1, visible: true, shape: { pixels: shape, hotspotX: 1, hotspotY: 1 } };
  const picture = createPixelBuffer(4, 4);
  const rows = () =>
    [0, 1, 2, 3].map((y) => [...picture.words.subarray(y * 4, y * 4 + 4)].map((word) => word.toString(16)));
  const black = 'ff000000';
  const none = [black, black, black, black];
  paintScreen(picture, screen, true);
  assert.deepEqual(rows(), [none, [black, 'ff808080', 'ff0000ff', black], [black, black, 'ff0000ff', black], none]);
  screen.pointer.x = 2;
  screen.pointer.y = 0;
  paintScreen(picture, screen, true);
  assert.deepEqual(rows(), [none, none, none, none]);
  screen.pointer.y = 1;
  paintScreen(picture, screen, true);
  assert.deepEqual(rows(), [none, [black, black, 'ff808080', black], none, none]);
  screen.pointer.visible = false;
  paintScreen(picture, screen, true);
  assert.deepEqual(rows(), [none, none, none, none]);
});

test('a file that appears meanwhile is left alone', async () => {
  const directory = temporaryDirectory('video');
  const path = join(directory, 'out.png');
  const late = writeNewFile(path, async (partial) => {
    writeFileSync(partial, 'mine');
    writeFileSync(path, 'theirs');
  });
  await assert.rejects(late, /is there already/);
  assert.equal(readFileSync(path, 'utf8'), 'theirs');
  const gone = writeNewFile(join(directory, 'gone.png'), async (partial) => rmSync(partial));
  await assert.rejects(gone, { code: 'ENOENT' });
  assert.deepEqual(readdirSync(directory), ['out.png']);
});

test('moments are read as they are written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 3_600_000_000 }), (ms) => {
      assert.equal(parseRecordingTime(formatRecordingTime(ms * 1000)), ms * 1000);
    }),
  );
  assert.equal(parseRecordingTime('83'), 83_000_000);
  assert.equal(parseRecordingTime('1:23.5'), 83_500_000);
  for (const wrong of ['', '1:60', '1:60:00', '-1', '1.', ':30', '1:2:3:4'])
    assert.throws(() => parseRecordingTime(wrong), RangeError);
});

test('wrong usage is said before anything is read', async () => {
  const bundle = await writePlainBundle(join(temporaryDirectory('video'), 'bundle'), recordsOf('web-shadow'));
  const wrong: [RegExp, ...string[]][] = [
    [/end it in \.mp4 or \.webm/, 'video', bundle, '--out', 'x.avi'],
    [/end it in \.png/, 'picture', bundle, '--at', '0:01', '--out', 'x.jpg'],
    [/--out/, 'video', bundle],
    [/--at/, 'picture', bundle, '--out', 'x.png'],
    [/must be from 1 to 16/, 'video', bundle, '--out', 'x.mp4', '--speed', '17'],
    [/must be from 1 to 16/, 'video', bundle, '--out', 'x.mp4', '--speed', 'fast'],
    [/--fps must be from 1 to 60/, 'video', bundle, '--out', 'x.mp4', '--fps', '61'],
    [/is no time in a recording/, 'video', bundle, '--out', 'x.mp4', '--from', '1:99'],
    [/--to must be later than --from/, 'video', bundle, '--out', 'x.mp4', '--from', '5', '--to', '5'],
    [/is no time in a recording/, 'picture', bundle, '--at', 'noon', '--out', 'x.png'],
  ];
  const results = await Promise.all(wrong.map(([, ...args]) => runCli(args)));
  for (const [index, { code, stderr }] of results.entries()) {
    assert.equal(code, 2, stderr);
    assert.match(stderr, wrong[index]![0]);
  }
});
