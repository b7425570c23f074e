/** What the command line loads before a command does its work. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const app = join(import.meta.dirname, '..');
/** Prints the URL of every module that is loaded, on standard error. */
const tracer = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  const seen = [];
  registerHooks({ load(url, context, next) { seen.push(url); return next(url, context); } });
  process.on('exit', () => process.stderr.write(seen.join('\\n')));
`)}`;

async function runTraced(argument: string): Promise<{ text: string; modules: string[] }> {
  const args = ['--import', tracer, join(app, 'src/main.ts'), argument];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
  return { text: stdout, modules: stderr.split('\n').filter((url) => !url.startsWith('node:')) };
}

test('--version and --help load the declarations, the REST client and commander, no schemas, no service, no adapter, no other library', async () => {
  for (const argument of ['--version', '--help']) {
    const { text, modules } = await runTraced(argument);
    assert.match(text, argument === '--help' ? /^Usage: lucid-sessions/ : /^\d+\.\d+\.\d+\n$/);
    assert.ok(modules.some((url) => url.endsWith('/commands/video-command.ts')));
    const allowed =
      /\/apps\/lucid-sessions\/src\/|\/node_modules\/commander\/|\/services\/kit\/src\/(?:environment|variables|secret-file|service-proof)\.ts$|\/packages\/contract\/src\/(?:errors|found-by|recording-limits|scope-words|service-callers|session-list|sizes|rest\/rest-client|rest\/operations)\.ts$/;
    assert.deepEqual(
      modules.filter((url) => !allowed.test(url)),
      [],
    );
  }
});

test('every command that is declared is offered, and stands in a file of its own', async () => {
  const { text } = await runTraced('--help');
  const offered = [...text.split('Commands:\n')[1]!.matchAll(/^ {2}([a-z][\w-]*)/gm)].map(([, name]) => name);
  const declared = globSync('*-command.ts', { cwd: join(app, 'src/commands') }).map((name) =>
    name.replace('-command.ts', ''),
  );
  assert.deepEqual(offered.filter((name) => name !== 'help').sort(), declared.sort());
});
