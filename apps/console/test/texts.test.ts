import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { auditEventTypes } from '@lucid-sessions/contract';
import type { VerificationReport } from '@lucid-sessions/evidence';
import type { IndexEvent } from '@lucid-sessions/recording/session-index';
import fc from 'fast-check';
import { query } from '../src/api/client.ts';
import { auditDetails } from '../src/pages/audit.ts';
import { amountOf } from '../src/pages/system.ts';
import { noteText, playerEventOf } from '../src/player/worker/event-text.ts';
import { type CheckedChunks, verdictsOf, verdictsUnknown } from '../src/player/worker/verdicts.ts';
import { auditEventGroups, isOfSession } from '../src/ui/audit-events.ts';
import {
  formatBytes,
  formatClock,
  formatMoment,
  humanise,
  parseMoment,
  shorten,
  spokenDuration,
} from '../src/ui/format.ts';
import { linePoints, readingWords } from '../src/ui/readings.ts';
import { parseRoute, pathOf } from '../src/ui/router.ts';
import { readForm } from '../src/ui/session-form.ts';

describe('texts', () => {
  test('bytes, clocks and words', () => {
    assert.deepEqual([0, 999, 1000, 1234, 99_400, 999_600, 5e12].map(formatBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '1.2 kB',
      '99.4 kB',
      '1.0 MB',
      '5.0 TB',
    ]);
    assert.deepEqual([-1, 7.9, 754, 3723].map(formatClock), ['0:00', '0:07', '12:34', '1:02:03']);
    assert.deepEqual([formatMoment(62.56), formatMoment(1.9996, 3)], ['1:02.5', '0:01.999']);
    assert.deepEqual([0, 61, 7322].map(spokenDuration), [
      '0 seconds',
      '1 minute 1 second',
      '2 hours 2 minutes 2 seconds',
    ]);
    assert.deepEqual([shorten('abc'), shorten('0123456789abcdef0123456789')], ['abc', '0123456789…456789']);
    assert.equal(humanise('free_bytes'), 'Free bytes');
    assert.deepEqual(
      [
        amountOf('size_bytes', 1500),
        amountOf('uptime_seconds', 61),
        amountOf('x', true),
        amountOf('x', 0.5),
        amountOf('by', { a: 1 }),
      ],
      ['1.5 kB', '1:01', 'yes', '0.50', 'a: 1'],
    );
  });

  test('moments of addresses', () => {
    assert.deepEqual(
      ['#t=12.5', 't=1:02', '#a=1&t=1:00:00', '#t=', '#t=1:2:3:4', '#t=1..2', '', '#at=3'].map(parseMoment),
      [12.5, 62, 3600, null, null, null, null, null],
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 8 }), (ms) => {
        assert.equal(parseMoment(`#t=${(ms / 1000).toFixed(3).replace(/\.?0+$/, '') || '0'}`), ms / 1000);
      }),
    );
  });

  test('every note of the gateway is a sentence', () => {
    assert.equal(
      noteText({ type: 'gap', fromUs: 0, toUs: 1, reason: 'the spool was full', framesLost: 3 }),
      'gap: the spool was full, 3 frames lost',
    );
    assert.match(
      noteText({ type: 'target_certificate', sha256: 'ab', check: 'system_roots', valid: false, problem: 'expired' }),
      /not valid \(system roots\): expired/,
    );
    assert.equal(
      noteText({ type: 'client_logon', user: 'lucid-a', workstation: 'PC', targetName: '', version: 6 }),
      'logged on to the gateway as lucid-a from PC (network level authentication)',
    );
    assert.equal(noteText({ type: 'clock_step', atUs: 0, stepUs: -1_500_000 }), 'the clock was set by -1.500 s');
    assert.equal(noteText({ type: 'ended', atUs: 0, reason: 'idle_timeout', message: '' }), 'ended: idle timeout');
  });
});

test('events of the index are lines, with and without the texts that not everyone may see', () => {
  const line = (event: object) => {
    const { kind, text } = playerEventOf({ timeUs: 1, ...event } as IndexEvent);
    return `${kind}: ${text}`;
  };
  const typed = { kind: 'typed', untilUs: 2, keys: 3, erased: 0, entered: true, approximate: false, atLogon: false };
  const file = { drive: 'share', path: '/a.txt', offset: 0, bytes: 2048, size: 2048, sha256: null };
  assert.deepEqual(
    [
      { ...typed, text: 'ls' },
      { ...typed, text: null },
      { kind: 'combination', keys: 'Ctrl+C' },
      { kind: 'combination', keys: null },
      { kind: 'click', button: 'left', x: 1, y: 2 },
      { kind: 'click', button: 'right', x: null, y: null },
      { kind: 'clipboard_text', from: 'client', text: null, characters: 1, sha256: null },
      { kind: 'clipboard_text', from: 'server', text: 'abc', characters: 3, sha256: null },
      { kind: 'clipboard_files', from: 'client', count: 2, files: null },
      { kind: 'clipboard_file', from: 'client', name: 'b.txt', bytes: 10, size: 20, sha256: null },
      { kind: 'clipboard_file', from: 'client', name: null, bytes: null, size: null, sha256: null },
      { kind: 'clipboard_data', from: 'server', format: 'HTML Format', bytes: 10, text: '<b>', sha256: null },
      { kind: 'clipboard_data', from: 'server', format: 'CF_DIB', bytes: 10, text: null, sha256: null },
      { kind: 'drive', deviceId: 1, name: 'share' },
      { kind: 'device', deviceId: 2, type: 'printer', name: 'PRN1' },
      { kind: 'device_removed', deviceId: 2, name: 'PRN1' },
      { kind: 'drive_open', drive: 'share', path: '/a.txt', opened: false, forWriting: true },
      { kind: 'drive_read', ...file },
      { kind: 'drive_written', ...file },
      { kind: 'drive_deleted', drive: 'share', path: '/a.txt' },
      { kind: 'drive_renamed', drive: 'share', path: '/a.txt', newPath: '/b.txt' },
      { kind: 'print_job', printer: 'PRN1', bytes: 2048, sha256: null },
      { kind: 'logon', from: 'server', userName: 'alice', domain: 'CORP' },
      { kind: 'resize', width: 800, height: 600 },
      {
        kind: 'monitors',
        monitors: [
          { left: 0, top: 0, width: 800, height: 600, primary: true },
          { left: 800, top: 0, width: 640, height: 480, primary: false },
        ],
      },
      { kind: 'window', what: 'opened', windowId: 7, title: 'Payroll' },
      { kind: 'window', what: 'renamed', windowId: 7, title: 'Payroll *' },
      { kind: 'click', button: 'touch', x: 5, y: 6 },
      { kind: 'not_kept', what: 'input', policy: 'masked' },
      { kind: 'error', code: 'x', message: 'a chunk is missing' },
      { kind: 'disconnect', from: 'client', reason: 3 },
    ].map(line),
    [
      'keys: ls⏎',
      'keys: 3 keys',
      'keys: Ctrl+C',
      'keys: a combination of keys',
      'pointer: left button at 1, 2',
      'pointer: right button',
      'clipboard: client copied 1 character',
      'clipboard: server copied “abc”',
      'clipboard: client offers 2 files',
      `clipboard: client handed over b.txt (${formatBytes(10)} of ${formatBytes(20)})`,
      'clipboard: client handed over a file (how much is not known)',
      `clipboard: server copied HTML Format (${formatBytes(10)}) “<b>”`,
      `clipboard: server copied CF_DIB (${formatBytes(10)})`,
      'drive: drive share of the client',
      'drive: printer PRN1 of the client',
      'drive: PRN1 of the client was taken away',
      'drive: share/a.txt could not be opened for writing',
      `drive: share/a.txt read (${formatBytes(2048)})`,
      `drive: share/a.txt written (${formatBytes(2048)})`,
      'drive: share/a.txt deleted',
      'drive: share/a.txt renamed to /b.txt',
      `drive: printed on PRN1 (${formatBytes(2048)})`,
      'note: logged on as CORP\\alice',
      'screen: 800 × 600',
      'screen: 2 monitors: 800 × 600 at 0, 0 (primary), 640 × 480 at 800, 0',
      'screen: window opened: “Payroll”',
      'screen: window is now “Payroll *”',
      'pointer: touched at 5, 6',
      'note: input was not kept: masked',
      'note: a chunk is missing',
      'note: client disconnected',
    ],
  );
});

describe('addresses', () => {
  test('every page has its path, and no other path has a page', () => {
    for (const route of [
      { page: 'sessions' },
      { page: 'session', sessionId: 'a_B-9' },
      { page: 'create' },
      { page: 'live' },
      { page: 'system' },
      { page: 'audit' },
    ] as const)
      assert.deepEqual(parseRoute(pathOf(route)), route);
    for (const path of ['/sessions/a b', '/sessions/a/b', '/other', `/sessions/${'x'.repeat(101)}`, '/live/x'])
      assert.deepEqual(parseRoute(path), { page: 'notFound' });
    assert.deepEqual(parseRoute('/'), { page: 'sessions' });
  });

  test('queries leave out what is not set and escape the rest', () => {
    assert.equal(query({ a: 'x y&z', b: undefined, c: '', d: 0 }), '?a=x+y%26z&d=0');
    assert.equal(query({}), '');
  });
});

test('the form gives the request, without what was left empty', () => {
  const data = new FormData();
  for (const [name, value] of Object.entries({
    name: ' Patch night ',
    host: 'srv',
    port: '3390',
    tags: 'a, b,,',
    username: '',
    retention_days: '7',
    persistence: 'strict',
    graphics: 'classic',
    clipboard: 'out',
    clipboard_files: '',
    no_drives: 'on',
    pinned_sha256: `${'AB:'.repeat(31)}CD`,
    consent: 'own',
    consent_text: ' You are recorded. ',
    approval: 'no',
  }))
    data.set(name, value);
  assert.deepEqual(JSON.parse(JSON.stringify(readForm(data))), {
    name: 'Patch night',
    rdp_config: {
      host: 'srv',
      port: 3390,
      ignore_cert: false,
      pinned_sha256: `${'ab'.repeat(31)}cd`,
      channels: { clipboard: 'out', drives: false },
    },
    recording_config: {
      persistence: 'strict',
      graphics: 'classic',
      consent_text: 'You are recorded.',
      approval: false,
    },
    storage_config: { retention_days: 7 },
    metadata: { tags: ['a', 'b'] },
  });
});

test('who logs on to the target, as the form says it; a password with its blanks', () => {
  const read = (fields: Record<string, string>): unknown => {
    const data = new FormData();
    for (const [name, value] of Object.entries({ target_password: ' p w ', target_vault: 'secret/rdp/a', ...fields }))
      data.set(name, value);
    return readForm(data).target_credentials;
  };
  assert.equal(read({ credentials: '' }), undefined);
  assert.deepEqual(read({ credentials: 'client' }), { provider: 'client' });
  assert.deepEqual(read({ credentials: 'injected' }), { password: ' p w ', keep: 'session' });
  const vault = { provider: 'vault', mount: 'secret', path: 'rdp/a' };
  assert.deepEqual(read({ credentials: 'vault', target_once: 'on' }), { ...vault, engine: 'kv', keep: 'once' });
  assert.deepEqual(read({ credentials: 'vault', target_dynamic: 'on' }), {
    ...vault,
    engine: 'dynamic',
    keep: 'session',
  });
});

describe('verdicts', () => {
  const clean: VerificationReport = {
    v: 1,
    clean: true,
    exit_code: 0,
    session_id: 's',
    verdicts: {
      integrity: 'intact',
      completeness: 'whole',
      origin: 'trusted',
      time: 'logged',
      readability: 'readable',
      replay: 'drawn',
    },
    findings: [],
    findings_count: 0,
    states: [],
    facts: {
      opened_us: 0,
      ended_us: 1,
      end_reason: null,
      chunks_in_manifest: 2,
      leaves_count: 2,
      chunks_checked: 2,
      chunks_read: 2,
      frames_read: 1234,
      chunks_recovered: 0,
      total_bytes: 0,
      merkle_root: null,
      pauses_count: 0,
      build: null,
      clock: null,
      downgrades: [],
      policy: [],
      steering: [],
      part: null,
      imported: null,
      not_before_us: null,
      not_after_us: 1_700_000_000_000_000,
      witnesses_count: 2,
      anchors_count: 1,
      anchors_confirmed: 1,
      log: { size: null, records_since: 0, known: 0, not_compared: 0 },
      progress: null,
      custody_count: 0,
      replay: {
        examined_us: 1_700_000_000_000_000,
        software: 'lucid-sessions 0.1.0',
        remade: false,
        until_us: 9_000_000,
        pictures: 12,
        lit: true,
        not_drawn: [],
        share_permille: 0,
        ended: null,
      },
    },
  };
  const allChecked: CheckedChunks = { all: true, count: 2, checked: 2, altered: [] };
  const words = (report: VerificationReport, chunks = allChecked, hasPolicy = true): string[] =>
    verdictsOf(report, chunks, hasPolicy).map(({ word, tone }) => `${word} (${tone})`);
  const withVerdicts = (
    verdicts: Partial<VerificationReport['verdicts']>,
    codes: string[] = [],
  ): VerificationReport => ({
    ...clean,
    verdicts: { ...clean.verdicts, ...verdicts },
    findings: codes.map((code) => ({
      code,
      message: `about ${code}`,
      file: null,
      index: null,
    })) as VerificationReport['findings'],
  });

  test('say what a clean recording is', () => {
    assert.deepEqual(words(clean), [
      'unaltered (good)',
      'whole (good)',
      'trusted recorder (good)',
      'logged (good)',
      'readable (good)',
      'everything can be seen (good)',
    ]);
  });

  test('say only so much as was looked at', () => {
    const chunks = { all: false, count: 2, checked: 1, altered: [] };
    const report = withVerdicts({ completeness: 'incomplete', readability: 'not_checked' }, ['CHUNK_MISSING']);
    assert.deepEqual(words(report, chunks), [
      'unaltered so far (good)',
      'whole (good)',
      'trusted recorder (good)',
      'logged (good)',
      'readable so far (good)',
      'everything can be seen (good)',
    ]);
    assert.equal(words(report, { ...chunks, checked: 0 })[4], 'not checked (unknown)');
    assert.equal(words(report, { ...chunks, altered: [1] })[0], 'altered (bad)');
    const open = { ...report, facts: { ...report.facts, chunks_in_manifest: null } };
    assert.equal(words(open, chunks)[1], 'not closed (warn)');
    assert.equal(words(withVerdicts({ completeness: 'incomplete' }, ['TRUNCATED']), chunks)[1], 'incomplete (bad)');
    assert.equal(
      words(withVerdicts({ completeness: 'incomplete' }, ['CHUNK_MISSING', 'GAP']), chunks)[1],
      'gaps (warn)',
    );
  });

  test('are bad where the verifier says so, with its reason', () => {
    const report = withVerdicts(
      {
        integrity: 'broken',
        completeness: 'incomplete',
        origin: 'forged',
        time: 'contradicted',
        readability: 'unreadable',
        replay: 'nothing',
      },
      ['SIG_BAD', 'CHUNK_MISSING', 'TIME_ORDER', 'AUTH'],
    );
    const verdicts = verdictsOf(report, allChecked, true);
    assert.ok(verdicts.every(({ tone }) => tone === 'bad'));
    assert.deepEqual(
      verdicts.map(({ detail }) => detail),
      [
        'About SIG_BAD.',
        'About CHUNK_MISSING.',
        'About SIG_BAD.',
        'About TIME_ORDER.',
        'About AUTH.',
        'It shows black from beginning to end. Examined 2023-11-14 22:13 UTC.',
      ],
    );
  });

  test('never show green what can not be seen, or was not examined', () => {
    const hole = { kind: 'gfx.codec.av1', count: 2, first_us: 1e6, last_us: 2e6, located: 2, share_permille: 500 };
    const of = (replay: 'parts' | 'unexamined', facts: Partial<typeof clean.facts.replay & object> | null) => {
      const report = withVerdicts({ replay });
      const known = facts && { ...clean.facts.replay!, ...facts };
      return verdictsOf({ ...report, facts: { ...report.facts, replay: known } }, allChecked, true).at(-1)!;
    };
    const parts = of('parts', { not_drawn: [hole] });
    assert.deepEqual([parts.tone, parts.word], ['warn', 'not all can be seen']);
    assert.match(
      parts.detail,
      /^Not drawn: gfx\.codec\.av1 × 2 from 0:01\.0 to 0:02\.0, on up to 50 % of the screen\./,
    );
    const never = of('unexamined', null);
    assert.deepEqual(
      [never.tone, never.word, never.detail],
      ['unknown', 'not examined', 'Nobody has walked through the recording.'],
    );
    const h264 = of('unexamined', { ended: { reason: 'h264', chunk: 0, at_us: 5e5 } });
    assert.match(h264.detail, /^From 0:00\.5 on it was not examined: there was no decoder for H\.264\./);
  });

  test('tell an unknown recorder from one this installation does not trust', () => {
    const report = withVerdicts({ origin: 'untrusted' }, ['KEY_UNTRUSTED']);
    assert.equal(words(report)[2], 'not trusted (bad)');
    assert.equal(words(report, allChecked, false)[2], 'not known (unknown)');
  });

  test('cover every answer the verifier can give', () => {
    for (const completeness of ['part', 'gaps', 'unclosed'] as const)
      assert.ok(words(withVerdicts({ completeness }))[1]);
    for (const time of ['anchored', 'witnessed', 'recorder_only'] as const) assert.ok(words(withVerdicts({ time }))[3]);
    assert.equal(words(withVerdicts({ readability: 'shredded' }))[4], 'destroyed (warn)');
    assert.ok(verdictsUnknown('why').every(({ tone }) => tone === 'unknown'));
    const notes = {
      ...clean,
      states: ['RECOVERED' as const],
      facts: { ...clean.facts, pauses_count: 2, downgrades: ['x'] },
    };
    assert.match(verdictsOf(notes, allChecked, true)[1]!.detail, /2 pauses, 1 downgrade, partly recovered/);
  });
});

test('an audit entry says why something failed, and what changed from what to what', () => {
  const changes = { name: { from: 'A', to: 'B' }, 'storage_config.retention_days': { from: null, to: 30 } };
  assert.equal(
    auditDetails({ error_message: 'not permitted', details: { reason: 'a typo', changes } }),
    'not permitted, reason: a typo, name: A → B, storage_config.retention_days: none → 30',
  );
  assert.equal(auditDetails({ error_message: null, details: {} }), '');
});

test('every event of the audit log stands once among those it is filtered by', () => {
  assert.deepEqual(Object.values(auditEventGroups).flat().sort(), [...auditEventTypes].sort());
  assert.deepEqual(['session_created', 'target_created', 'of a later version'].map(isOfSession), [true, false, false]);
});

test('readings are a line over the whole width, and the same in words', () => {
  const of = (...values: number[]) => values.map((value, at) => ({ at: at * 10_000, value }));
  assert.equal(linePoints(of(1, 3, 2)), '0.0,46.0 120.0,2.0 240.0,24.0');
  assert.equal(linePoints(of(7, 7)), '0.0,24.0 240.0,24.0');
  assert.equal(readingWords(of(1), String), 'One reading so far');
  assert.equal(readingWords(of(1, 3, 2), String), 'From 1 to 3 in 3 readings, 20 seconds');
  assert.equal(readingWords(of(7, 7), String), 'Always 7 in 2 readings, 10 seconds');
});
