import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareConfig(program: Command, cli: Cli): void {
  program
    .command('config')
    .description('what is configured')
    .command('print')
    .description('every variable that is set and read, secrets masked, and those that nothing reads')
    .action(async () => {
      const { printConfig } = await import('./doctor.ts');
      printConfig(cli.environment(), process.env, cli.output());
    });
}
