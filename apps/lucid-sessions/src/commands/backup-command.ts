import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareBackup(program: Command, cli: Cli): void {
  program
    .command('backup')
    .description('copy this installation, running or not, into a directory; again: only what is new')
    .argument('<dir>', 'an empty directory, or one with an earlier backup of this installation')
    .option('--without-keys', 'leave keys and secrets out; without them it can not be restored')
    .action(async (dir: string, given: { withoutKeys?: boolean }) =>
      (await import('./backup.ts')).backupCommand(cli.environment(), cli.output(), dir, {
        keys: given.withoutKeys !== true,
      }),
    );
}
