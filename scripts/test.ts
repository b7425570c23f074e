/**
 * `npm test`: all that CI checks. Types, lint and format, then every test in two groups by cost (below). Arguments go to Node's test
 * runner as file patterns (`npm test -- packages/wire/test/*.test.ts` runs those alone, without the rest). `npm run check` is what takes
 * less than a minute: types, lint and format, the rules, and the pure packages' quick tests.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { run as runTests } from 'node:test';
import { spec } from 'node:test/reporters';

const root = join(import.meta.dirname, '..');
const patterns = process.argv.slice(2);
const linesMin = 95;
const fileTimeoutMs = 600_000;
/** Node leaves one core free, and so runs one file at a time on two. */
const filesAtOnce = Math.max(2, availableParallelism());

function succeeds(name: string, command: string, args: string[]): boolean {
  console.log(`\n# ${name}`);
  return spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0;
}

function run(name: string, command: string, args: string[]): void {
  if (!succeeds(name, command, args)) process.exit(1);
}

const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
const testFiles = globSync('{packages,services,adapters,apps}/*/test/**/*.test.ts', { cwd: root })
  .concat(globSync('{desktop,testkit,bench,scripts}/test/**/*.test.ts', { cwd: root }))
  .sort();

/**
 * Tests of one room in one process, whose lines are counted. What compares with thousands of FreeRDP's pictures and streams, or draws
 * whole recordings, reaches no line of its own and takes twice as long where lines are counted: it is not among them.
 */
const isCounted = (path: string): boolean =>
  /^(?:packages|services|adapters)\//.test(path) && !/\/(?:freerdp-|windows-captures|keyframes-of-captures)/.test(path);

/** Whole sessions that take longest, longest first: begun last, one would run alone at the end. */
const slowest = [
  ...['faults-unreachable', 'distributed-chaos', 'crash', 'real-peers', 'start-failures', 'backup', 'package'],
  ...['long-recording', 'distributed', 'cli', 'apart', 'spool-replica', 'backup-crash', 'gateway', 'video', 'keys'],
  ...['modes', 'import-five', 'reconnect-peer'],
];
const rank = (path: string): number => {
  const at = slowest.findIndex((name) => path.endsWith(`apps/lucid-sessions/test/${name}.test.ts`));
  return at === -1 ? slowest.length : at;
};

function runChecks(): void {
  run('types', process.execPath, [bin('tsc'), '--noEmit']);
  run('lint and format', bin('biome'), ['check', '.']);
}

function runCounted(): boolean {
  const coverage = [
    '--experimental-test-coverage',
    '--test-coverage-include=packages/*/src/**',
    '--test-coverage-include=services/*/src/**',
    '--test-coverage-include=adapters/*/src/**',
    // Without the real peers some lines are not reached: the bound holds where all tests run.
    ...(process.env.REQUIRE_PEERS === '1' ? [`--test-coverage-lines=${linesMin}`] : []),
  ];
  const limits = [`--test-concurrency=${filesAtOnce}`, `--test-timeout=${fileTimeoutMs}`];
  const files = testFiles.filter(isCounted);
  return succeeds('rooms, one by one, with coverage', process.execPath, ['--test', ...limits, ...coverage, ...files]);
}

/** In the order given. Each file's process, and each it starts, takes from the others what is compiled already. */
async function runFiles(name: string, files: string[], atOnce: number): Promise<boolean> {
  console.log(`\n# ${name}`);
  const compiled = mkdtempSync(join(tmpdir(), 'lucid-compiled-'));
  process.env.NODE_COMPILE_CACHE = compiled;
  let failed = false;
  const tests = runTests({
    cwd: root,
    files: files.map((path) => join(root, path)),
    concurrency: atOnce,
    timeout: fileTimeoutMs,
  });
  tests.on('test:fail', () => {
    failed = true;
  });
  for await (const text of tests.compose(spec)) process.stdout.write(text as string);
  rmSync(compiled, { recursive: true, force: true });
  return !failed;
}

if (patterns[0] === '--quick') {
  runChecks();
  // What is compared with FreeRDP takes half as long as all else together.
  const quick = /^(?:scripts|packages\/(?:wire|rdp|relay|recording|contract)|services\/kit)\/test\/(?!freerdp-)/;
  const files = testFiles.filter((path) => quick.test(path));
  if (!(await runFiles('rules and pure packages', files, filesAtOnce))) process.exit(1);
} else if (patterns.length > 0) {
  run('tests', process.execPath, ['--test', ...patterns]);
} else {
  runChecks();
  // What fails in one group hides nothing of the other.
  const isCountedGood = runCounted();
  const others = testFiles.filter((path) => !isCounted(path)).sort((a, b) => rank(a) - rank(b));
  // They wait for programs, timers and disks more than they compute.
  const isRestGood = await runFiles('whole sessions, and comparisons with others', others, filesAtOnce + 1);
  if (!isCountedGood || !isRestGood) process.exit(1);
}
