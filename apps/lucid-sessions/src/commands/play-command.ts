import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declarePlay(program: Command, cli: Cli): void {
  program
    .command('play')
    .description('open the console at a recording’s moment; its address is printed where there is no browser to open')
    .argument('<session-id[@moment]>', 'as ID, ID@83, ID@1:23 or ID@00:01:23.5')
    .option('--print', 'only print the address')
    .action(async (what: string, given: { print?: boolean }) =>
      (await import('./play.ts')).play(cli.api(), cli.output(), what, given, cli.environment()),
    );
}
