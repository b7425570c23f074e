/** Where the program begins. */
import { errorLine, exitCodeOf, explain } from './cli/failures.ts';
import { exitCodes } from './cli/output.ts';
import { makeProgram } from './cli/program.ts';

// A report of a crash holds the environment, and that holds secrets.
if (process.report !== undefined) process.report.excludeEnv = true;

// What is made by other hands too (SQLite, ffmpeg) is for this user alone.
process.umask(0o077);

const isJson = process.argv.includes('--json');

const endWaitMs = 3000;

try {
  await makeProgram(isJson).parseAsync();
} catch (error) {
  const exitCode = exitCodeOf(error);
  process.exitCode = exitCode;
  process.stderr.write(isJson && exitCode !== exitCodes.ok ? errorLine(error, exitCode) : explain(error));
  // Whatever was left open: a command that failed ends.
  setTimeout(() => process.exit(), endWaitMs).unref();
}
