import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareVersion(program: Command, cli: Cli): void {
  program
    .command('version')
    .description('which build this is, as records name it')
    .option('--verify', 'compare the files of the installed package with the list it was published with')
    .action(async (given: { verify?: boolean }) =>
      (await import('./version.ts')).showVersion(cli.output(), given.verify ?? false),
    );
}
