import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareMigrate(program: Command, cli: Cli): void {
  program
    .command('migrate')
    .description('move what this stopped installation stores to other stores, and verify it there; again: what is left')
    .requiredOption('--to <file>', 'NAME=VALUE lines: the environment of the installation it becomes')
    .action(async (given: { to: string }) =>
      (await import('./migrate.ts')).migrateCommand(cli.environment(), cli.output(), given.to),
    );
}
