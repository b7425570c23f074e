import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';

export function declareViewings(program: Command, cli: Cli): void {
  const viewings = program
    .command('viewings')
    .description('ask to see a recording that is shown on request only; agree, refuse, give a share of its key');
  const work = () => import('./viewings.ts');
  viewings
    .command('list')
    .description('who asks, and to whom it is granted now')
    .argument('[session-id]')
    .action(async (id: string | undefined) => (await work()).listViewings(cli.api(), cli.output(), id));
  viewings
    .command('ask')
    .argument('<session-id>')
    .requiredOption('--reason <text>', 'why; it is signed into the custody chain')
    .option('--once', 'for one playback, export, live view or extraction')
    .option('--minutes <count>', 'how long, from when it is granted', wholeNumber)
    .action(async (id: string, given: { reason: string; once?: boolean; minutes?: number }) =>
      (await work()).askViewing(cli.api(), cli.output(), id, given),
    );
  for (const decision of ['approve', 'refuse'] as const)
    viewings
      .command(decision)
      .description(
        decision === 'approve'
          ? 'agree, as a second person'
          : 'refuse, or take back what was granted, as a second person',
      )
      .argument('<session-id>')
      .argument('[viewing-id]', 'which one, where several wait')
      .requiredOption('--reason <text>', 'why; it is signed into the custody chain')
      .action(async (id: string, viewing: string | undefined, given: { reason: string }) =>
        (await work()).decideViewing(cli.api(), cli.output(), id, viewing, { decision, ...given }),
      );
  viewings
    .command('give')
    .description(
      'give your share of the key: opened here with your identity, and sealed to the installation on its way',
    )
    .argument('<session-id>')
    .argument('[viewing-id]', 'which one, where several wait')
    .requiredOption('--identity <file>', 'your age identity; it stays on this machine')
    .action(async (id: string, viewing: string | undefined, given: { identity: string }) =>
      (await work()).giveShare(cli.api(), cli.output(), id, viewing, given),
    );
}
