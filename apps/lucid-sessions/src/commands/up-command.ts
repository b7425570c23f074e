import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { readServices, servicesHelp } from '../cli/services.ts';

export function declareUp(program: Command, cli: Cli): void {
  program
    .command('up')
    .description('run the services: all five in this process, or some of them')
    .option('--services <names>', servicesHelp)
    .action(async (given: { services?: string }) => {
      const services = readServices(cli.environment(), given.services);
      const { up } = await import('./up.ts');
      await up(cli.environment(), cli.output(), { services });
    });
}
