import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareWhoami(program: Command, cli: Cli): void {
  program
    .command('whoami')
    .description('as whom commands ask, which server, and what they may do there')
    .action(async () => (await import('./login.ts')).whoAmI(cli.api(), cli.output()));
}
