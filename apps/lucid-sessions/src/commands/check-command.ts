import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareCheck(program: Command, cli: Cli): void {
  program
    .command('check')
    .description('whether everything that belongs to this installation, or to a backup, is there and sound')
    .argument('[dir]', 'a backup; without it this installation, running or not')
    .option('--quick', 'sizes of chunk files only, no hashes')
    .option('--repair', 'make rows again for sessions whose chunks have none; needs stopped services')
    .action(async (dir: string | undefined, given: { quick?: boolean; repair?: boolean }) =>
      (await import('./backup.ts')).checkCommand(cli.environment(), cli.output(), dir, given),
    );
}
