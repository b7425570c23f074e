/** What is told of a command that failed: a line for what a person can mend, JSON for a script, and the exit code. */
import { LucidError } from '@lucid-sessions/contract/errors';
import { EnvironmentError } from '@lucid-sessions/kit/environment';
import { CommanderError } from 'commander';
import { CliError, exitCodes } from './output.ts';
import { systemText } from './system-text.ts';

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof CliError) return error.exitCode;
  const { name } = error as Error;
  if (error instanceof EnvironmentError || error instanceof RangeError || name === 'ConfigFileError')
    return exitCodes.usage;
  return exitCodes.failed;
}

/** A line for what a person can mend; the stack for what is ours to mend. */
export function explain(error: unknown): string {
  if (error instanceof CommanderError) return '';
  const code = (error as NodeJS.ErrnoException).code;
  const expected =
    ['KeyError', 'SecretFileError', 'LogError', 'ConfigFileError'].includes((error as Error).name) ||
    error instanceof CliError ||
    error instanceof EnvironmentError ||
    error instanceof RangeError ||
    error instanceof LucidError;
  if (expected) return `${(error as Error).message}\n`;
  if (typeof code === 'string') return `${systemText(error as NodeJS.ErrnoException)}\n`;
  return `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`;
}

/** Of what has no code of its own, by exit code. */
const codes: Readonly<Record<number, string>> = {
  [exitCodes.usage]: 'usage',
  [exitCodes.unreachable]: 'unreachable',
  [exitCodes.refused]: 'refused',
  [exitCodes.interrupted]: 'interrupted',
};

/**
 * What `--json` writes on standard error, whichever command failed. `code`: of the API (`LUCID_ERR_…`), the system or the parser, else a
 * word for the exit code; `reference`: the id under which the API’s log has the request, or null.
 */
export function errorLine(error: unknown, exitCode: number): string {
  const { code: own } = error as { code?: unknown };
  const said = error instanceof CommanderError ? error.message.replace(/^error: /, '') : explain(error).trimEnd();
  const message = own === 'commander.help' ? 'no command was named (--help shows them)' : said;
  const code = typeof own === 'string' ? own : (codes[exitCode] ?? 'failed');
  const reference = (error instanceof CliError ? error.reference : undefined) ?? null;
  return `${JSON.stringify({ error: { code, message, reference, exit_code: exitCode } })}\n`;
}
