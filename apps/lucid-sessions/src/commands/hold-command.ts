import { type Command, InvalidArgumentError } from 'commander';
import type { Cli } from '../cli/cli.ts';

function date(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new InvalidArgumentError('must be a date, 2026-03-01, or a time, 2026-03-01T08:00:00Z');
  return ms;
}

export function declareHold(program: Command, cli: Cli): void {
  const hold = program.command('hold').description('legal holds: what has one is neither deleted nor shredded');
  const work = () => import('./hold.ts');
  hold
    .command('set')
    .description('set a hold on a session, or on all that options name')
    .argument('[session-id]')
    .requiredOption('--matter <number>', 'of the matter, as those who handle it call it')
    .requiredOption('--reason <text>', 'why; both go into the audit log and the signed chain of custody')
    .option('--user <name>', 'every session this user created, was for or logged on in')
    .option('--from <date>', 'every session that went on at this time or later', date)
    .option('--to <date>', 'every session that began before this time', date)
    .option('--yes', 'set them; without it the sessions are listed')
    .action(async (id: string | undefined, given) => (await work()).setHolds(cli.api(), cli.output(), id, given));
  hold
    .command('clear')
    .description('clear a hold; others on the same session stay')
    .argument('<session-id>')
    .argument('<hold-id>', 'as hold list shows it')
    .requiredOption('--reason <text>', 'why')
    .action(async (id: string, holdId: string, given: { reason: string }) =>
      (await work()).clearHold(cli.api(), cli.output(), id, holdId, given.reason),
    );
  hold
    .command('list')
    .description('list the holds in force')
    .argument('[session-id]', 'of this session alone')
    .action(async (id: string | undefined) => (await work()).listHolds(cli.api(), cli.output(), id));
}
