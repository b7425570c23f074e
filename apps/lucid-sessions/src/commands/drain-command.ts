import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';

export function declareDrain(program: Command, cli: Cli): void {
  program
    .command('drain')
    .description(
      'let the recorder of this machine take no new sessions, and wait until those it has are over and stored',
    )
    .option('--wait <seconds>', 'how long at most; then the exit code is 1', wholeNumber, 3600)
    .action(async (given: { wait: number }) => {
      const { drain } = await import('./drain.ts');
      await drain(cli.environment(), cli.output(), given.wait * 1000);
    });
}
