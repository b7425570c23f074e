import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { CliError } from '../cli/output.ts';
import { writeTextFile } from '../cli/text-file.ts';
import { dataDirectory } from '../server/environment.ts';

export function declareToken(program: Command, cli: Cli): void {
  program
    .command('token')
    .description('make an access token, signed with this installation’s secret')
    .requiredOption('--user <id>', 'whom it stands for')
    .option('--role <names...>', 'what it may do', ['session_viewer'])
    .option('--lifetime <time>', '90s, 30m, 8h, 30d', '8h')
    .option('--out <file>', 'write it there (mode 0600); needed where standard output is no terminal')
    .action(async (given: { user: string; role: string[]; lifetime: string; out?: string }) => {
      const { giveToken, parseLifetime } = await import('./token.ts');
      const { signingSecret } = await import('../server/admin-token.ts');
      const secret = signingSecret(dataDirectory(cli.environment()), cli.environment());
      if (secret === null) throw new CliError('tokens of this installation come from its identity provider');
      const lifetimeS = parseLifetime(given.lifetime);
      const claims = { userId: given.user, roles: given.role, lifetimeS };
      const out = given.out === undefined ? {} : { out: given.out };
      await giveToken(secret, { ...claims, ...out }, cli.output(), writeTextFile);
    });
}
