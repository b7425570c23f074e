import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareAudit(program: Command, cli: Cli): void {
  const audit = program.command('audit').description('the audit log: take it along, and check it');
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
}
