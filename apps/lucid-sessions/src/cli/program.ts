/**
 * The command line: `lucid-sessions <command>`. Every command declares its options in a file of its own and loads its work when it is
 * called: listing sessions must not wait for a server's code. Completion scripts and the man page are made of the same table.
 */
import { Command } from 'commander';
import { declareAlerts } from '../commands/alerts-command.ts';
import { declareAudit } from '../commands/audit-command.ts';
import { declareBackup } from '../commands/backup-command.ts';
import { declareCheck } from '../commands/check-command.ts';
import { declareCompletion } from '../commands/completion-command.ts';
import { declareConfig } from '../commands/config-command.ts';
import { declareCourt } from '../commands/court-command.ts';
import { declareDemo } from '../commands/demo-command.ts';
import { declareDoctor } from '../commands/doctor-command.ts';
import { declareDrain } from '../commands/drain-command.ts';
import { declareEvents } from '../commands/events-command.ts';
import { declareEvm } from '../commands/evm-command.ts';
import { declareExport } from '../commands/export-command.ts';
import { declareExtract } from '../commands/extract-command.ts';
import { declareHealth } from '../commands/health-command.ts';
import { declareHold } from '../commands/hold-command.ts';
import { declareImport } from '../commands/import-command.ts';
import { declareKeys } from '../commands/keys-command.ts';
import { declareLog } from '../commands/log-command.ts';
import { declareLogin } from '../commands/login-command.ts';
import { declareLogout } from '../commands/logout-command.ts';
import { declareMigrate } from '../commands/migrate-command.ts';
import { declarePicture } from '../commands/picture-command.ts';
import { declarePlay } from '../commands/play-command.ts';
import { declareRedact } from '../commands/redact-command.ts';
import { declareRenew } from '../commands/renew-command.ts';
import { declareRestore } from '../commands/restore-command.ts';
import { declareScrub } from '../commands/scrub-command.ts';
import { declareSearch } from '../commands/search-command.ts';
import { declareSessions } from '../commands/sessions-command.ts';
import { declareTargets } from '../commands/targets-command.ts';
import { declareToken } from '../commands/token-command.ts';
import { declareUp } from '../commands/up-command.ts';
import { declareUsers } from '../commands/users-command.ts';
import { declareVerify } from '../commands/verify-command.ts';
import { declareVersion } from '../commands/version-command.ts';
import { declareVideo } from '../commands/video-command.ts';
import { declareViewings } from '../commands/viewings-command.ts';
import { declareWhoami } from '../commands/whoami-command.ts';
import { software } from '../server/software.ts';
import { Cli } from './cli.ts';

// In the order of the help.
const commands = [
  declareUp,
  declareHealth,
  declareVersion,
  declareDoctor,
  declareConfig,
  declareDrain,
  declareDemo,
  declareLogin,
  declareLogout,
  declareWhoami,
  declareUsers,
  declareToken,
  declareTargets,
  declareSessions,
  declareHold,
  declareViewings,
  declareSearch,
  declareEvents,
  declarePlay,
  declareAlerts,
  declareRedact,
  declareBackup,
  declareRestore,
  declareCheck,
  declareMigrate,
  declareScrub,
  declareRenew,
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

const afterHelp = `
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no API answers · 4 not permitted · 130 stopped by Ctrl-C
            with --json a failure is one line of JSON on standard error:
            {"error":{"code","message","reference","exit_code"}}; reference: the API’s request id, or null
            backup, restore, check, scrub: 1 also when something is missing or damaged
            verify: 0 only for a clean bundle, 10 and above one per kind of finding (docs/format.md)`;

/** `isJson`: whoever called reads one line of JSON instead of words, whatever was wrong. */
export function makeProgram(isJson: boolean): Command {
  const program = new Command('lucid-sessions')
    .description('RDP session recorder whose recordings hold up as evidence')
    .version(software.version)
    .option('--json', 'print the result as JSON')
    .option('--data-dir <dir>', 'where keys, secrets and recordings are kept (LUCID_DATA_DIR, ./data)')
    .option('--config <file>', 'settings beside the environment, which goes before them: YAML (LUCID_CONFIG)')
    .option('--api <url>', 'the Session API (LUCID_API_URL, that of login, http://127.0.0.1:8087)')
    .option('--token-file <file>', 'file with an access token (LUCID_TOKEN, that of login, the data directory’s own)')
    .configureOutput({ writeErr: (text) => void (isJson || process.stderr.write(text)) })
    .showHelpAfterError('(--help shows how)')
    .exitOverride()
    .addHelpText('after', afterHelp);
  const cli = new Cli(program);
  program.hook('preAction', () => cli.readConfig());
  for (const declare of commands) declare(program, cli);
  return program;
}
