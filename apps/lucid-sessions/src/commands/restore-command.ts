import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareRestore(program: Command, cli: Cli): void {
  program
    .command('restore')
    .description('put a backup into an empty data directory')
    .argument('<dir>', 'where the backup is')
    .option('--log <dir>', 'a later copy of the transparency log (checkpoint and tile/) to go on from')
    .action(async (dir: string, given: { log?: string }) =>
      (await import('./backup.ts')).restoreCommand(cli.environment(), cli.output(), dir, given),
    );
}
