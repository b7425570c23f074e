import { type Command, Option } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { scopePart } from '../cli/values.ts';

export function declareUsers(program: Command, cli: Cli): void {
  const users = program.command('users').description('accounts of people who sign in here');
  const work = () => import('./users.ts');
  const link = (command: Command): Command =>
    command.option('--out <file>', 'write the link there (mode 0600); needed where standard output is no terminal');
  const role = (): Option =>
    new Option('--role <names...>', 'admin, session_manager, session_operator, session_viewer, auditor');
  const scope = (): Option =>
    new Option(
      '--scope <parts...>',
      'which sessions are seen: own, project:NAME, label:NAME, target:ID, any of them; all: not limited',
    ).argParser(scopePart);
  link(users.command('setup'))
    .description('a link for the first account, an administrator’s; good for a day, and once')
    .action(async (given) => (await work()).setUp(cli.api(), cli.output(), given));
  users.command('list').action(async () => (await work()).listUsers(cli.api(), cli.output()));
  link(users.command('add'))
    .argument('<name>')
    .addOption(role().default(['session_viewer']))
    .addOption(scope())
    .option('--display-name <text>', 'what people call them', '')
    .description('a new account, and a link with which its person chooses a password')
    .action(async (name: string, given) => (await work()).addUser(cli.api(), cli.output(), name, given));
  link(users.command('link'))
    .argument('<name>')
    .option('--sign-in', 'signs them in at once, instead of asking for a new password')
    .description('a link that lets somebody into their account again')
    .action(async (name: string, given) => (await work()).linkUser(cli.api(), cli.output(), name, given));
  users
    .command('change')
    .argument('<name>')
    .addOption(role())
    .addOption(scope())
    .option('--display-name <text>')
    .option('--disable', 'nobody gets in by it, and nothing of it is lost')
    .option('--enable')
    .addOption(
      new Option('--reset <what>', 'take it away').choices(['second_factor', 'passkeys', 'password', 'provider']),
    )
    .action(async (name: string, given) => (await work()).changeUser(cli.api(), cli.output(), name, given));
  users
    .command('sign-out')
    .argument('<name>')
    .description('sign every browser of an account out')
    .action(async (name: string) => (await work()).signOutUser(cli.api(), cli.output(), name));
  users
    .command('remove')
    .argument('<name>')
    .action(async (name: string) => (await work()).removeUser(cli.api(), cli.output(), name));
}
