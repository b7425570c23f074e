import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareConfig(program: Command, cli: Cli): void {
  const config = program.command('config').description('what is configured');
  config
    .command('print')
    .description(
      'every variable that is set and read, where it comes from, secrets masked; and those that nothing reads',
    )
    .action(async () => {
      const { printConfig } = await import('./doctor.ts');
      printConfig(cli.environment(), cli.given(), cli.configFile.file, cli.output());
    });
  config
    .command('schema')
    .description('print the JSON Schema of the configuration file, for editors that check YAML')
    .action(async () => {
      const { configSchema } = await import('../server/config-file.ts');
      const schema = configSchema();
      cli.output().result(schema, JSON.stringify(schema, null, 2));
    });
}
