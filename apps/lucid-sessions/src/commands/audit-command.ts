import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { isoTime, wholeNumber } from '../cli/values.ts';
import type { AuditFilter } from './audit-events.ts';

export function declareAudit(program: Command, cli: Cli): void {
  const audit = program.command('audit').description('the audit log: look into it, take it along, check it');
  audit
    .command('export')
    .description('write the audit log as JSON lines, with all that checking it offline takes; audited')
    .requiredOption('--out <file>', 'a new file')
    .action(async ({ out }: { out: string }) => (await import('./audit.ts')).exportAudit(cli.api(), out, cli.output()));
  audit
    .command('verify')
    .description('whether rows were rewritten, removed, added or cut off: of an exported file, or of this installation')
    .argument('[file]', 'an exported audit log; without it this installation’s database, running or not')
    .option('--policy <file>', 'whom you trust (JSON); needed for a file')
    .option('--log <dir-or-url>', 'the log to compare with (…/log of an installation); without a file its own')
    .action(async (file: string | undefined, given: { policy?: string; log?: string }) => {
      const { verifyAuditFile, verifyOwnAudit } = await import('./audit.ts');
      process.exitCode =
        file === undefined
          ? await verifyOwnAudit(cli.environment(), given, cli.output())
          : await verifyAuditFile(file, given, cli.output());
    });
  const filtered = (name: string, description: string): Command =>
    audit
      .command(name)
      .description(description)
      .option('--since <time>', 'from this moment on, as 2026-11-30 or 2026-11-30T08:00:00Z', isoTime)
      .option('--until <time>', 'up to this moment', isoTime)
      .option('--what, --type <type>', 'events of this type, as session_deleted')
      .option('--who, --user <id>', 'what this user did')
      .option('--session <id>', 'what was done with this session');
  filtered('list', 'show events, the latest first')
    .option('--limit <number>', 'how many at most', wholeNumber, 50)
    .action(async (given: AuditFilter & { limit: number }) => {
      const { listAudit } = await import('./audit-events.ts');
      await listAudit(cli.api(), cli.output(), given);
    });
  filtered(
    'send',
    'send events once more to the syslog server and webhook that this environment names, the oldest first',
  ).action(async (given: AuditFilter) => {
    const { sendAudit } = await import('./audit-events.ts');
    await sendAudit(cli.api(), cli.output(), cli.environment(), given);
  });
}
