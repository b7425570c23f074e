/** A redacted copy: made, looked into, verified without and with the recording, and changed in every part of it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import {
  ed25519Signer,
  formatPublicKey,
  readRecordOf,
  recordBase,
  signRecord,
  tarStream,
} from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { temporaryDirectory } from '@lucid-sessions/testkit';
import { PNG } from 'pngjs';
import type { RedactionReport } from '../src/commands/redact-verify.ts';
import { runCli } from './support/cli.ts';
import { recordSession, startGateway } from './support/gateway.ts';

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

test('a redacted copy hides what it says, and whoever holds the key can check that it hides no more', {
  timeout: 400_000,
}, async (t) => {
  if (skipWithoutFfmpeg(t)) return;
  const directory = temporaryDirectory('redact');
  const at = (...names: string[]) => join(directory, ...names);
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t);
  const id = await recordSession(gateway, desktop.port);
  const other = await recordSession(gateway, desktop.port);
  const cli = (...args: string[]) =>
    runCli(['--data-dir', gateway.lucid.directory.root, '--api', gateway.api.url, ...args]);

  assert.equal((await cli('redact', id, '--out', at('none'), '--reason', 'x')).code, 2, 'nothing to take out');
  assert.equal((await cli('redact', id, '--out', at('none'), '--reason', 'x', '--box', '1,2,0,4')).code, 2);
  assert.equal(existsSync(at('none')), false);
  const made = await cli(
    'redact',
    id,
    '--out',
    at('copy'),
    '--reason',
    'a third person',
    '--box',
    '100,50,300,200',
    '--span',
    '0-0:00.3',
    '--drop-events',
    'window',
    '--fps',
    '5',
  );
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual(readdirSync(at('copy')).sort(), [
    'events.json',
    'frames.json',
    'policy.json',
    'records.lucid.tar',
    'redaction.dsse.json',
    'video.mp4',
  ]);
  assert.equal(existsSync(at('copy.partial')), false);

  await t.test('its pictures are black where they should be and nowhere else', () => {
    const { body } = readRecordOf('redaction', readFileSync(at('copy', 'redaction.dsse.json')));
    for (const [name, number] of [
      ['first', 0],
      ['last', body.renderer.frames - 1],
    ] as const)
      execFileSync('ffmpeg', [
        ...['-loglevel', 'error', '-i', at('copy', 'video.mp4'), '-vf', `select=eq(n\\,${number})`],
        ...['-frames:v', '1', at(`${name}.png`)],
      ]);
    const isBlack = (name: string, x: number, y: number): boolean => {
      const { width, data } = PNG.sync.read(readFileSync(at(`${name}.png`)));
      return [0, 1, 2].every((channel) => data[4 * (y * width + x) + channel]! < 8);
    };
    assert.ok(isBlack('first', 800, 300), 'nothing is seen in the span');
    assert.ok(isBlack('last', 110, 60) && isBlack('last', 390, 240), 'nothing in the box');
    assert.equal(isBlack('last', 800, 300), false, 'but the rest');
  });

  await t.test('the record is signed, and the custody chain names it', async () => {
    const { body, sha256 } = readRecordOf('redaction', readFileSync(at('copy', 'redaction.dsse.json')));
    assert.deepEqual(
      [body.reason, body.boxes.length, body.spans, body.event_kinds],
      ['a third person', 1, [{ from_us: 0, to_us: 300_000 }], ['window']],
    );
    assert.equal(body.chunks[0]?.first, 0);
    const { records } = await gateway.api.json<{ records: { kind: string; body: { detail: string } }[] }>(
      'GET',
      `/sessions/${id}/manifest`,
    );
    assert.ok(records.some(({ kind, body: { detail } }) => kind === 'custody' && detail.includes(sha256)));
    const events = JSON.parse(readFileSync(at('copy', 'events.json'), 'utf8')) as { kind: string; timeUs: number }[];
    assert.ok(events.every(({ timeUs }) => timeUs >= 300_000));
  });

  const verify = async (folder: string, ...more: string[]) => {
    const { code, stdout, stderr } = await cli(
      '--json',
      'redact',
      'verify',
      folder,
      '--policy',
      at('copy', 'policy.json'),
      ...more,
    );
    return { code, stderr, report: (stdout === '' ? null : JSON.parse(stdout)) as RedactionReport | null };
  };
  const bundle = at('bundle');
  assert.equal((await cli('export', id, '--out', bundle)).code, 0);

  await t.test('it verifies by itself, and against the recording', async () => {
    const alone = await verify(at('copy'));
    assert.deepEqual(
      [alone.code, alone.report?.checked, alone.report?.findings],
      [0, { record: true, original: null }, []],
    );
    const both = await verify(at('copy'), '--original', id);
    assert.deepEqual(
      [both.code, both.report?.checked, both.report?.findings],
      [0, { record: true, original: true }, []],
    );
    const wrong = await verify(at('copy'), '--original', other);
    assert.equal(wrong.code, 1);
    assert.match(wrong.report!.findings.join(), /not of/);
  });

  await t.test('whatever of it is changed is found', async () => {
    const changed = async (name: string, change: (path: string) => void) => {
      cpSync(at('copy'), at(name), { recursive: true });
      change(at(name));
      const { code, report } = await verify(at(name));
      assert.equal(code, 1, name);
      return report!.findings.join('; ');
    };
    const flip =
      (...names: string[]) =>
      (folder: string) => {
        const path = join(folder, ...names);
        const bytes = readFileSync(path);
        bytes[bytes.length >> 1]! ^= 1;
        writeFileSync(path, bytes);
      };
    for (const name of ['video.mp4', 'frames.json', 'events.json', 'records.lucid.tar'])
      assert.match(
        await changed(`flip-${name}`, flip(name)),
        new RegExp(`${name.replaceAll('.', '\\.')} is not the file`),
      );
    assert.match(await changed('missing', (folder) => rmSync(join(folder, 'events.json'))), /events\.json is missing/);
    assert.match(
      await changed('more', (folder) => writeFileSync(join(folder, 'original.mp4'), 'x')),
      /nothing is signed about/,
    );
    assert.match(
      await changed('resigned', (folder) => {
        const path = join(folder, 'redaction.dsse.json');
        const envelope = JSON.parse(readFileSync(path, 'utf8')) as { payload: string };
        const payload = Buffer.from(envelope.payload, 'base64')
          .toString('utf8')
          .replace('a third person', 'a third parson');
        writeFileSync(path, JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString('base64') }));
      }),
      /not signed by a key of the policy/,
    );
  });

  await t.test('a copy that hides more than its record says is found by who holds the recording', async () => {
    const lie = at('lie');
    // As the console writes it.
    const box = { x: 100, y: 50, width: 300, height: 200, from_us: 0, to_us: Number.MAX_SAFE_INTEGER };
    const planOf = (plan: object) => writeFileSync(at('plan.json'), JSON.stringify(plan));
    planOf({ boxes: [{ ...box, width: 0 }], spans: [], event_kinds: [] });
    const args = ['redact', id, '--out', lie, '--reason', 'x', '--plan', at('plan.json'), '--fps', '5'];
    const refused = await cli(...args);
    assert.deepEqual(
      [refused.code, /plan\.json is no plan: boxes\.0\.width/.test(refused.stderr)],
      [2, true],
      refused.stderr,
    );
    planOf({ boxes: [box], spans: [], event_kinds: [] });
    const taken = await cli(...args);
    assert.equal(taken.code, 0, taken.stderr);
    // The installation signs what it is told: a record of the smaller box over the pictures of the larger one.
    const { body } = readRecordOf('redaction', readFileSync(join(lie, 'redaction.dsse.json')));
    const { boxes, spans, event_kinds, events_removed, chunks, renderer, files, manifest_sha256 } = body;
    const smaller = boxes.map((box) => ({ ...box, width: 20 }));
    const sign = async (changes: object) => {
      const { envelope } = await gateway.api.json<{ envelope: string }>('POST', `/sessions/${id}/redactions`, {
        ...{ reason: 'x', manifest_sha256, boxes, spans, event_kinds, events_removed, chunks, renderer, files },
        ...changes,
      });
      writeFileSync(join(lie, 'redaction.dsse.json'), Buffer.from(envelope, 'base64'));
    };
    await sign({ boxes: smaller });
    assert.equal((await verify(lie)).code, 0, 'by itself nobody can tell');
    const { code, report } = await verify(lie, '--original', id);
    assert.equal(code, 1);
    assert.match(
      report!.findings.join(),
      /seconds show something else than the recording covered so, the first at 0 s/,
    );

    // And a video of all of it, signed for beside hashes of covered pictures.
    rmSync(join(lie, 'video.mp4'));
    assert.equal((await cli('video', id, '--out', join(lie, 'video.mp4'), '--fps', '5')).code, 0);
    const bytes = readFileSync(join(lie, 'video.mp4'));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await sign({
      files: files.map((file) => (file.name === 'video.mp4' ? { ...file, bytes: bytes.length, sha256 } : file)),
    });
    assert.equal((await verify(lie)).code, 0);
    const uncovered = await verify(lie, '--original', id);
    assert.match(
      uncovered.report!.findings.join(),
      /^the video shows something else than its signed pictures, first at /,
    );
  });
});

test('a copy by itself is refused for events that are none or tell of input, and its reason begins no line', async () => {
  const directory = temporaryDirectory('redact');
  const copy = join(directory, 'copy');
  mkdirSync(copy);
  const signer = await ed25519Signer(nodeCrypto, new Uint8Array(32).fill(1));
  const policy = join(directory, 'policy.json');
  writeFileSync(policy, JSON.stringify({ v: 1, identity_keys: [{ key: formatPublicKey(signer.publicKey) }] }));
  const parts: Uint8Array[] = [];
  for await (const part of tarStream([{ name: 'leaves.bin', content: new Uint8Array(0) }])) parts.push(part);
  writeFileSync(join(copy, 'records.lucid.tar'), Buffer.concat(parts));
  writeFileSync(
    join(copy, 'redaction.dsse.json'),
    await signRecord(signer, {
      ...recordBase('redaction', 'demo'),
      at_us: 1_800_000_000_000_000,
      actor: 'ada',
      reason: 'x\nResult         CLEAN',
      manifest_sha256: 'ab'.repeat(32),
      merkle_root: 'cd'.repeat(32),
      boxes: [],
      spans: [{ from_us: 50, to_us: 90 }],
      event_kinds: [],
      events_removed: [],
      chunks: [],
      renderer: {
        software: 's',
        rules: 1,
        h264_decoder: null,
        width: 2,
        height: 2,
        frames_per_second: 1,
        pointer: true,
        frames: 1,
      },
      files: [],
    }),
  );
  const saysOf = async (events: unknown) => {
    writeFileSync(join(copy, 'events.json'), JSON.stringify(events));
    const { stdout, code } = await runCli(['redact', 'verify', copy, '--policy', policy]);
    assert.equal(code, 1);
    return stdout;
  };
  const click = { timeUs: 10, kind: 'click', button: 'left', x: 1, y: 2 };
  const clean = await saysOf([click]);
  assert.doesNotMatch(clean, /events\.json (?:can't|tells)/);
  assert.equal(clean.match(/^Result/gm)?.length, 1);
  assert.match(await saysOf([{ ...click, timeUs: 60 }]), /events\.json tells of something that was taken out/);
  for (const odd of [null, { ...click, timeUs: 60, untilUs: null }, { ...click, timeUs: 'x' }, { kind: 'click' }, []])
    assert.match(await saysOf([odd]), /events\.json can't be read/);
  const combination = { timeUs: 10, kind: 'combination', keys: 'Ctrl+C' };
  assert.match(await saysOf([combination]), /events\.json tells of what was typed or copied/);
});
