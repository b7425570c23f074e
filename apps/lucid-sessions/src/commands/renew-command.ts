import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareRenew(program: Command, cli: Cli): void {
  program
    .command('renew')
    .description(
      'give recordings whose timestamps are old another one now (LUCID_RENEWAL_DAYS), instead of within the hour',
    )
    .action(async () => (await import('./renew.ts')).renew(cli.api(), cli.output()));
}
