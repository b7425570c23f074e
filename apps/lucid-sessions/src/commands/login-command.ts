import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';

export function declareLogin(program: Command, cli: Cli): void {
  program
    .command('login')
    .description(
      'sign in to a server: commands that name no other ask it from then on. By user and password, which makes an API token of one’s own, or by a token that --token-file names (- for what is piped in)',
    )
    .argument('[url]', 'the server, as https://lucid.example.org (--api, LUCID_API_URL)')
    .option('--user <name>', 'asked for where it is not given')
    .option('--password-file <file>', 'a file of mode 600, or - for what is piped in; asked for without it')
    .option('--code <code>', 'of the authenticator app, or a recovery code; asked for where it is needed')
    .option('--days <count>', 'how long the token is good', wholeNumber, 30)
    .option('--plain-http', 'send it unencrypted over the network, to a server without TLS')
    .action(async (url: string | undefined, given) => {
      const { logIn } = await import('./login.ts');
      await logIn(cli, url, given);
    });
}
