import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareLogout(program: Command, cli: Cli): void {
  program
    .command('logout')
    .description('forget a server’s token; one that login made is revoked there')
    .argument('[url]', 'the server; without it the one signed in to last')
    .action(async (url: string | undefined) => {
      const { logOut } = await import('./login.ts');
      await logOut(cli, url);
    });
}
