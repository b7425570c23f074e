import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareScrub(program: Command, cli: Cli): void {
  program
    .command('scrub')
    .description(
      'read stored chunks and compare them with their leaves, running or not; with a second store, both sides',
    )
    .argument('[session]', 'one session; without it all of them')
    .option('--repair', 'put back what is missing or spoiled from the other side')
    .action(async (session: string | undefined, given: { repair?: boolean }) =>
      (await import('./scrub.ts')).scrubCommand(cli.environment(), cli.output(), session, given.repair ?? false),
    );
}
