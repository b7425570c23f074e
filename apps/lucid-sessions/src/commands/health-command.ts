import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { readServices, servicesHelp } from '../cli/services.ts';

export function declareHealth(program: Command, cli: Cli): void {
  program
    .command('health')
    .description('whether the services of this machine may be given work: for managers of containers and services')
    .option('--services <names>', servicesHelp)
    .option('--live', 'only whether they answer')
    .option('--system', 'what the API says of the whole installation, wherever its services run')
    .action(async (given: { services?: string; live?: true; system?: true }) => {
      if (given.system === true) return (await import('./health.ts')).systemHealth(cli.openApi(), cli.output());
      const services = readServices(cli.environment(), given.services);
      const { health } = await import('./health.ts');
      await health(cli.environment(), cli.output(), services, given.live === true ? '/livez' : '/readyz');
    });
}
