/** What is made of the table of commands: errors of one shape, completion, the manual page, colours. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { skipUnlessPeers } from '@lucid-sessions/testkit';
import type { Command } from 'commander';
import { completionScript } from '../src/cli/completion.ts';
import { errorLine, exitCodeOf } from '../src/cli/failures.ts';
import { manPage } from '../src/cli/man-page.ts';
import { exitCodes, Output } from '../src/cli/output.ts';
import { makeProgram } from '../src/cli/program.ts';
import { openerOf, play } from '../src/commands/play.ts';

function leavesOf(command: Command, path: string[] = []): [string[], Command][] {
  return command.commands.flatMap((each) => {
    const at = [...path, each.name()];
    return each.commands.length === 0 ? [[at, each] as [string[], Command]] : leavesOf(each, at);
  });
}

interface Told {
  code: string;
  message: string;
  reference: string | null;
  exit_code: number;
}

/** What a script reads of a command that fails. */
async function failureOf(args: readonly string[]): Promise<Told> {
  try {
    await makeProgram(true).parseAsync(['node', 'lucid-sessions', '--json', ...args]);
  } catch (error) {
    const line = errorLine(error, exitCodeOf(error));
    assert.equal(line.indexOf('\n'), line.length - 1, 'one line');
    const { error: told, ...more } = JSON.parse(line) as { error: Told };
    assert.deepEqual([Object.keys(told), more], [['code', 'message', 'reference', 'exit_code'], {}]);
    assert.match(told.code, /^\w[\w.]*$/);
    assert.notEqual(told.message, '');
    return told;
  }
  return assert.fail(`${args.join(' ')} did not fail`);
}

/** No token, file or setting of whoever runs this is used. */
function alone(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'lucid-commands-'));
  const before = { ...process.env };
  t.after(() => {
    process.env = before;
    rmSync(folder, { recursive: true, force: true });
  });
  process.env = { PATH: before.PATH, XDG_CONFIG_HOME: folder, LUCID_TOKEN: 'x' };
  return folder;
}

const leaves = leavesOf(makeProgram(true));

test('every command tells an option it does not have in the same shape', async (t) => {
  alone(t);
  for (const [path, command] of leaves) {
    const needed = command.registeredArguments.filter(({ required }) => required).map(() => '1');
    const told = await failureOf([...path, ...needed, '--no-such-option']);
    assert.deepEqual([told.exit_code, told.reference], [exitCodes.usage, null], path.join(' '));
    assert.match(told.message, /no-such-option|required option/, path.join(' '));
  }
});

/** Commands that ask the API, each with what it needs. */
const asking: readonly string[][] = [
  ['sessions', 'list'],
  ['sessions', 'list', '--all'],
  ['sessions', 'list', '--watch'],
  ['sessions', 'show', 'an-id'],
  ['sessions', 'create', 'host', '--name', 'n'],
  ['sessions', 'stop', 'an-id'],
  ['sessions', 'delete', 'an-id', '--confirm', 'n', '--reason', 'r'],
  ['hold', 'list'],
  ['hold', 'set', 'an-id', '--matter', '1', '--reason', 'r'],
  ['viewings', 'list'],
  ['search', 'text', '--reason', 'r'],
  ['events', 'an-id'],
  ['play', 'an-id@1:23'],
  ['audit', 'list', '--who', 'ann', '--what', 'session_deleted'],
  ['health', '--system'],
  ['users', 'list'],
  ['users', 'change', 'ann', '--disable'],
  ['sessions', 'grants', 'list', 'an-id'],
  ['sessions', 'grants', 'take', 'an-id', 'ann'],
  ['targets', 'list'],
  ['targets', 'check', 'host'],
  ['renew'],
  ['whoami'],
];

test('every command that finds no API says so in that shape', async (t) => {
  alone(t);
  for (const args of asking) {
    const told = await failureOf(['--api', 'http://127.0.0.1:1', ...args]);
    assert.deepEqual([told.code, told.exit_code], ['unreachable', exitCodes.unreachable], args.join(' '));
    assert.match(told.message, /^no Session API answers at http:\/\/127\.0\.0\.1:1 /);
  }
});

test('wrong words are told before anything is asked', async (t) => {
  const folder = alone(t);
  const cases: [string[], RegExp][] = [
    [['play', '@1:23'], /names no session: write ID or ID@1:23/],
    [['play', 'an-id@soon'], /"soon" is no time in a recording/],
    [['sessions', 'list', '--all', '--offset', '5'], /--all and --offset exclude each other/],
    [['sessions', 'list', '--outcome', 'lost'], /Allowed choices are whole, recovered, gap/],
    [['sessions', 'list', '--longer', '1.5'], /must be whole seconds/],
    [['sessions', 'list', '--larger', '2 pages'], /must be a size as 1500000, 1500kB or 2GB/],
    [['users', 'change', 'ann', '--scope', 'own', 'team:a'], /must be own, project:NAME/],
    [['users', 'change', 'ann', '--scope', 'own', 'all'], /all alone/],
    [['users', 'change', 'ann', '--scope', 'all', 'own'], /all alone/],
    [['login'], /name the server/],
    [['login', 'http://lucid.example.org', '--user', 'ann'], /not encrypted.+--plain-http/],
    [['login', 'http://127.0.0.1:1', '--user', 'ann'], /no terminal to ask for the password/],
  ];
  for (const [args, says] of cases) {
    const told = await failureOf(args);
    assert.equal(told.exit_code, exitCodes.usage, args.join(' '));
    assert.match(told.message, says);
  }
  assert.match((await failureOf(['logout'])).message, /nobody is signed in there/);
  delete process.env.LUCID_TOKEN;
  const none = await failureOf(['--data-dir', folder, 'whoami']);
  assert.deepEqual([none.code, none.exit_code], ['refused', exitCodes.refused]);
  assert.match(none.message, /sign in with "lucid-sessions login URL"/);
});

test('bash, zsh and fish complete commands, options and values', { timeout: 120_000 }, (t) => {
  if (skipUnlessPeers(t, 'shells')) return;
  const folder = mkdtempSync(join(tmpdir(), 'lucid-shells-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const scriptOf = (shell: 'bash' | 'zsh' | 'fish'): string => {
    const path = join(folder, shell);
    writeFileSync(path, completionScript(makeProgram(true), shell));
    return path;
  };
  const [bash, zsh, fish] = [scriptOf('bash'), scriptOf('zsh'), scriptOf('fish')];
  const words = (given: readonly string[]) => given.map((word) => `'${word}'`).join(' ');
  const run = (shell: string, ...args: string[]) =>
    execFileSync(shell, args, { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: folder } });
  const ways: Record<string, (given: string[]) => string> = {
    bash: (given) =>
      run(
        'bash',
        '-c',
        `source ${bash}; COMP_WORDS=(${words(given)}); COMP_CWORD=${given.length - 1}; _lucid_sessions; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ),
    // What the shell would choose from, as compadd hears it.
    zsh: (given) =>
      run(
        'zsh',
        '-fc',
        `compdef() {}; _files() {}; compadd() { shift; print -l -- "$@"; }; source ${zsh}; words=(${words(given)}); CURRENT=${given.length}; _lucid_sessions`,
      )
        .split('\n')
        .filter((word) => word.startsWith(given.at(-1)!))
        .join('\n'),
    fish: (given) => run('fish', '-c', `source ${fish}; complete -C "${given.join(' ')}"`).replaceAll(/\t.*/g, ''),
  };
  for (const [shell, completed] of Object.entries(ways)) {
    const of = (...given: string[]) =>
      completed(['lucid-sessions', ...given])
        .trim()
        .split('\n')
        .sort();
    assert.deepEqual(of('ver'), ['verify', 'version'], shell);
    assert.deepEqual(of('--json', 'sessions', 'pi'), ['pipeline'], shell);
    assert.deepEqual(of('sessions', 'pipeline', 'some-id', '--re'), ['--resume'], shell);
    assert.deepEqual(of('audit', 'list', '--w'), ['--what', '--who'], shell);
    assert.deepEqual(of('completion', '--shell', 'f'), ['fish'], shell);
  }
});

test('the manual page names every command and option, and its readers have nothing to say against it', (t) => {
  const page = manPage(makeProgram(true), '1.2.3', '2026-11-30');
  const plain = page.replaceAll('\\-', '-');
  for (const [path, command] of leaves) {
    assert.ok(plain.includes(`.SS "${path.join(' ')}`), path.join(' '));
    for (const { long } of command.options) assert.ok(plain.includes(long!), `${path.join(' ')} ${long}`);
  }
  if (skipUnlessPeers(t, 'manual')) return;
  const read = (command: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, args, { input: page, encoding: 'utf8' });
    return { status, said: stdout + stderr };
  };
  assert.deepEqual(read('mandoc', '-T', 'lint', '-W', 'warning'), { status: 0, said: '' });
  assert.deepEqual(read('groff', '-man', '-Tutf8', '-ww', '-z'), { status: 0, said: '' });
});

/** An output whose text stays here. */
function kept(isTTY: boolean, json = false): { output: Output; text(): string } {
  const parts: string[] = [];
  const stdout = { isTTY, write: (part: string) => parts.push(part) };
  return { output: new Output({ stdout, stderr: stdout }, json), text: () => parts.join('') };
}

test('colours are for a terminal, and for nobody who sets NO_COLOR', (t) => {
  alone(t);
  const shown = (isTTY: boolean, json = false): string => {
    const { output, text } = kept(isTTY, json);
    output.result({ a: 1 }, 'wrong  keys  wrong key\u001b[2J  a wrong one', { wrong: 'red' });
    return text();
  };
  const red = '\u001b[31mwrong\u001b[39m';
  assert.equal(shown(true), `${red}  keys  ${red} key\ufffd[2J  a wrong one\n`);
  assert.equal(shown(false), 'wrong  keys  wrong key\ufffd[2J  a wrong one\n');
  assert.equal(shown(true, true), '{\n  "a": 1\n}\n');
  process.env.NO_COLOR = '1';
  assert.equal(shown(true), 'wrong  keys  wrong key\ufffd[2J  a wrong one\n');
});

test('play knows the address of the moment, and what opens it where somebody looks', async () => {
  const session = { session_id: 'an-id', recording_url: 'https://lucid.example.org/sessions/an-id' };
  const api = { url: 'https://lucid.example.org', rest: { getSession: async () => session } };
  const { output, text } = kept(true);
  await play(api as never, output, 'an-id@1:23.5', { print: true }, {});
  assert.equal(text(), 'https://lucid.example.org/sessions/an-id#t=83.5\n');
  assert.equal(openerOf('linux', {}), null);
  assert.deepEqual(openerOf('linux', { WAYLAND_DISPLAY: 'wayland-0' }), ['xdg-open']);
  assert.deepEqual(openerOf('darwin', {}), ['open']);
});
