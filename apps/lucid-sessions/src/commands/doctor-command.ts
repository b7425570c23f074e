import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { readServices, servicesHelp } from '../cli/services.ts';

export function declareDoctor(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description(
      'check settings, directories, ports, keys, certificates and databases of this machine, and say what to do',
    )
    .option('--services <names>', servicesHelp)
    .action(async (given: { services?: string }) => {
      const { doctor } = await import('./doctor.ts');
      const environment = cli.environmentAlone();
      const services = readServices(environment, given.services);
      process.exitCode = await doctor(environment, cli.output(), services, cli.configFile);
    });
}
