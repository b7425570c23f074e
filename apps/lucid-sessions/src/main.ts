/**
 * The command line: `lucid-sessions <command>`. Every command declares its options in a file of its own and loads its work when it is
 * called: listing sessions must not wait for a server's code. Here they are put together; failures become a line and an exit code.
 */
import { LucidError } from '@lucid-sessions/contract/errors';
import { EnvironmentError } from '@lucid-sessions/kit/environment';
import { Command, CommanderError } from 'commander';
import { Cli } from './cli/cli.ts';
import { CliError, exitCodes } from './cli/output.ts';
import { systemText } from './cli/system-text.ts';
import { declareAudit } from './commands/audit-command.ts';
import { declareBackup } from './commands/backup-command.ts';
import { declareCheck } from './commands/check-command.ts';
import { declareCompletion } from './commands/completion-command.ts';
import { declareConfig } from './commands/config-command.ts';
import { declareCourt } from './commands/court-command.ts';
import { declareDemo } from './commands/demo-command.ts';
import { declareDoctor } from './commands/doctor-command.ts';
import { declareDrain } from './commands/drain-command.ts';
import { declareEvm } from './commands/evm-command.ts';
import { declareExport } from './commands/export-command.ts';
import { declareExtract } from './commands/extract-command.ts';
import { declareHealth } from './commands/health-command.ts';
import { declareHold } from './commands/hold-command.ts';
import { declareImport } from './commands/import-command.ts';
import { declareKeys } from './commands/keys-command.ts';
import { declareLog } from './commands/log-command.ts';
import { declareMigrate } from './commands/migrate-command.ts';
import { declarePicture } from './commands/picture-command.ts';
import { declareRedact } from './commands/redact-command.ts';
import { declareRestore } from './commands/restore-command.ts';
import { declareScrub } from './commands/scrub-command.ts';
import { declareSearch } from './commands/search-command.ts';
import { declareSessions } from './commands/sessions-command.ts';
import { declareToken } from './commands/token-command.ts';
import { declareUp } from './commands/up-command.ts';
import { declareUsers } from './commands/users-command.ts';
import { declareVerify } from './commands/verify-command.ts';
import { declareVersion } from './commands/version-command.ts';
import { declareVideo } from './commands/video-command.ts';
import { declareViewings } from './commands/viewings-command.ts';
import { software } from './server/software.ts';

// A report of a crash holds the environment, and that holds secrets.
if (process.report !== undefined) process.report.excludeEnv = true;

const isJson = process.argv.includes('--json');

const program = new Command('lucid-sessions')
  .description('RDP session recorder whose recordings hold up as evidence')
  .version(software.version)
  .option('--json', 'print the result as JSON')
  .option('--data-dir <dir>', 'where keys, secrets and recordings are kept (LUCID_DATA_DIR, ./data)')
  .option('--api <url>', 'the Session API (LUCID_API_URL, http://127.0.0.1:8087)')
  .option('--token-file <file>', 'file with an access token (LUCID_TOKEN, the data directory’s own)')
  // A script reads one line of JSON instead, whatever was wrong.
  .configureOutput({ writeErr: (text) => void (isJson || process.stderr.write(text)) })
  .showHelpAfterError('(--help shows how)')
  .exitOverride()
  .addHelpText(
    'after',
    `
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no API answers · 4 not permitted · 130 stopped by Ctrl-C
            with --json a failure is one line of JSON on standard error: {"error":{"message","exit_code","code"?}}
            backup, restore, check, scrub: 1 also when something is missing or damaged
            verify: 0 only for a clean bundle, 10 and above one per kind of finding (docs/format.md)`,
  );

// What is made by other hands too (SQLite, ffmpeg) is for this user alone.
process.umask(0o077);

// In the order of the help.
const commands = [
  declareUp,
  declareHealth,
  declareVersion,
  declareDoctor,
  declareConfig,
  declareDrain,
  declareDemo,
  declareUsers,
  declareToken,
  declareSessions,
  declareHold,
  declareViewings,
  declareSearch,
  declareRedact,
  declareBackup,
  declareRestore,
  declareCheck,
  declareMigrate,
  declareScrub,
  declareKeys,
  declareImport,
  declareExport,
  declareCourt,
  declareExtract,
  declareVerify,
  declareLog,
  declareAudit,
  declareEvm,
  declareVideo,
  declarePicture,
  declareCompletion,
];
const cli = new Cli(program);
for (const declare of commands) declare(program, cli);

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof EnvironmentError || error instanceof RangeError) return exitCodes.usage;
  return exitCodes.failed;
}

/** A line for what a person can mend; the stack for what is ours to mend. */
function explain(error: unknown): string {
  if (error instanceof CommanderError) return '';
  const code = (error as NodeJS.ErrnoException).code;
  const expected =
    ['KeyError', 'SecretFileError', 'LogError'].includes((error as Error).name) ||
    error instanceof CliError ||
    error instanceof EnvironmentError ||
    error instanceof RangeError ||
    error instanceof LucidError;
  if (expected) return `${(error as Error).message}\n`;
  if (typeof code === 'string') return `${systemText(error as NodeJS.ErrnoException)}\n`;
  return `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`;
}

/** What `--json` writes on standard error. `code`: the name of the error, where the API, the system or the parser has one. */
function errorLine(error: unknown, exitCode: number): string {
  const { code } = error as { code?: unknown };
  const said = error instanceof CommanderError ? error.message.replace(/^error: /, '') : explain(error).trimEnd();
  const message = code === 'commander.help' ? 'no command was named (--help shows them)' : said;
  return `${JSON.stringify({ error: { message, exit_code: exitCode, ...(typeof code === 'string' ? { code } : {}) } })}\n`;
}

const endWaitMs = 3000;

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  process.stderr.write(
    isJson && process.exitCode !== exitCodes.ok ? errorLine(error, process.exitCode) : explain(error),
  );
  // Whatever was left open: a command that failed ends.
  setTimeout(() => process.exit(), endWaitMs).unref();
}
