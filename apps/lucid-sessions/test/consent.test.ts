/** Questions before something is destroyed: at a terminal they are asked, elsewhere flags answer them. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { askAtTerminal, consentTo, missingConsent, type Terminal } from '../src/cli/consent.ts';
import { CliError, Output } from '../src/cli/output.ts';
import { giveToken } from '../src/commands/token.ts';

/** A terminal at which somebody types `lines`, each when a question has come. */
function terminal(...lines: string[]): { streams: Terminal; shown: () => string } {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const stderr = Object.assign(new PassThrough(), { isTTY: true });
  let shown = '';
  stderr.on('data', (part: Buffer) => {
    shown += part.toString();
    if (!/[:?] $/.test(shown)) return;
    const line = lines.shift();
    if (line === undefined) stdin.end();
    else stdin.write(`${line}\n`);
  });
  return { streams: { stdin, stderr } as unknown as Terminal, shown: () => shown };
}

const question = {
  warning: 'This deletes "Morning \u001b[2Jshift".',
  names: ['Morning shift'],
  missing: missingConsent('deleting s1', 'NAME'),
};
const refused = (exitCode: number, message: RegExp) => (error: unknown) =>
  error instanceof CliError && error.exitCode === exitCode && message.test(error.message);

test('at a terminal the name and the reason are asked for', async () => {
  const { streams, shown } = terminal('Morning shift', 'a typo');
  const consent = await consentTo({}, { ...question, ask: askAtTerminal(streams) });
  assert.deepEqual(consent, { confirm: 'Morning shift', reason: 'a typo' });
  assert.match(shown(), /Type its name to confirm: /);
  assert.equal(shown().includes('\u001b[2J'), false, 'a name is no order for the terminal');
});

test('only what was not given is asked for', async () => {
  const { streams, shown } = terminal('because');
  const ask = askAtTerminal(streams);
  assert.deepEqual(await consentTo({ confirm: 'Morning shift' }, { ...question, ask }), {
    confirm: 'Morning shift',
    reason: 'because',
  });
  assert.doesNotMatch(shown(), /Type its name/);
});

test('another name, no reason, or going away: nothing happens', async () => {
  for (const [lines, exitCode, message] of [
    [['morning shift'], 2, /is not its name/],
    [[''], 2, /is not its name/],
    [['Morning shift', '   '], 2, /a reason is needed/],
    [[], 130, /nothing was changed/],
  ] as const) {
    const { streams } = terminal(...lines);
    await assert.rejects(
      consentTo({}, { ...question, ask: askAtTerminal(streams) }),
      refused(exitCode, message),
      String(lines),
    );
  }
});

test('without a terminal the flags are named', async () => {
  assert.equal(askAtTerminal({ stdin: new PassThrough(), stderr: new PassThrough() } as unknown as Terminal), null);
  for (const given of [{}, { confirm: 'Morning shift' }, { reason: 'x' }])
    await assert.rejects(consentTo(given, { ...question, ask: null }), refused(2, /--confirm NAME and --reason TEXT/));
});

test('what other people named reaches a terminal without control characters', () => {
  let written = '';
  const stdout = {
    write(text: string) {
      written += text;
    },
  };
  const output = new Output({ stdout, stderr: stdout }, false);
  output.result(null, 'a\u001b]0;title\u0007b\tc\nd\u009b2J');
  assert.equal(written, 'a\ufffd]0;title\ufffdb\tc\nd\ufffd2J\n');
});

test('a token is shown to who reads it, and goes into a file for everybody else', async () => {
  const secret = 's'.repeat(40);
  const claims = { userId: 'eve', roles: ['auditor'], lifetimeS: 60 };
  const files: [string, string][] = [];
  const writeFile = async (path: string, text: string): Promise<void> => void files.push([path, text]);
  for (const isTTY of [true, false]) {
    let written = '';
    const stdout = {
      isTTY,
      write(text: string) {
        written += text;
      },
    };
    const output = new Output({ stdout, stderr: stdout }, false);
    const given = giveToken(secret, claims, output, writeFile);
    if (isTTY) await given;
    else await assert.rejects(given, refused(2, /name a file with --out/));
    assert.equal(written.split('.').length, isTTY ? 3 : 1);
    await giveToken(secret, { ...claims, out: 'there' }, output, writeFile);
    assert.equal(written.includes(files.at(-1)![1].trim()), false);
  }
  assert.equal(files.length, 2);
});
