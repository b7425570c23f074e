/**
 * `npm test`: all that CI checks. Types, lint and format, then every test with coverage. Arguments go to Node's test runner as
 * file patterns (`npm test -- packages/wire/test/*.test.ts` runs those alone, without the rest). `npm run check` is what takes
 * less than a minute: types, lint and format, the rules, and the pure packages' quick tests.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const patterns = process.argv.slice(2);
const linesMin = 95;
/** Node leaves one core free, and so runs one file at a time on two; but many tests wait for programs and timers. */
const filesAtOnce = Math.max(2, availableParallelism() - 1);

function run(name: string, command: string, args: string[]): void {
  console.log(`\n# ${name}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
const testFiles = globSync('{packages,services,adapters,apps}/*/test/**/*.test.ts', { cwd: root })
  .concat(globSync('{desktop,testkit,bench,scripts}/test/**/*.test.ts', { cwd: root }))
  .sort();

function runChecks(): void {
  run('types', process.execPath, [bin('tsc'), '--noEmit']);
  run('lint and format', bin('biome'), ['check', '.']);
}

if (patterns[0] === '--quick') {
  runChecks();
  // What is compared with FreeRDP takes half as long as all else together.
  const quick = /^(?:scripts|packages\/(?:wire|rdp|relay|recording|contract)|services\/kit)\/test\/(?!freerdp-)/;
  const files = testFiles.filter((path) => quick.test(path));
  run('rules and pure packages', process.execPath, ['--test', `--test-concurrency=${filesAtOnce}`, ...files]);
} else if (patterns.length > 0) {
  run('tests', process.execPath, ['--test', ...patterns]);
} else {
  runChecks();
  const coverage = [
    '--experimental-test-coverage',
    '--test-coverage-include=packages/*/src/**',
    '--test-coverage-include=services/*/src/**',
    '--test-coverage-include=adapters/*/src/**',
    // Without the real peers some lines are not reached: the bound holds where all tests run.
    ...(process.env.REQUIRE_PEERS === '1' ? [`--test-coverage-lines=${linesMin}`] : []),
  ];
  const limits = [`--test-concurrency=${filesAtOnce}`, '--test-timeout=600000'];
  run('tests', process.execPath, ['--test', ...limits, ...coverage, ...testFiles]);
}
