import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { serviceNames } from '../server/environment.ts';

export function declareUp(program: Command, cli: Cli): void {
  program
    .command('up')
    .description('run the services: all five in this process, or some of them')
    .option('--services <names>', `comma-separated: ${serviceNames.join(', ')}`, serviceNames.join(','))
    .action(async (given: { services: string }) => {
      const { parseServices, up } = await import('./up.ts');
      await up(cli.environment(), cli.output(), { services: parseServices(given.services) });
    });
}
