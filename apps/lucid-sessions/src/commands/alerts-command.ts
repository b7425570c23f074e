import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { wholeNumber } from '../cli/values.ts';

export function declareAlerts(program: Command, cli: Cli): void {
  const alerts = program.command('alerts').description('what rules have found in sessions, and the rules');
  const work = () => import('./alerts.ts');
  alerts
    .command('list')
    .description('which rule found something, in which session and when; latest first')
    .option('--session <id>', 'of one session')
    .option('--limit <count>', 'so many at most', wholeNumber, 100)
    .action(async (given) => (await work()).listAlerts(cli.api(), cli.output(), given));
  alerts
    .command('rules')
    .description('the rules; --json gives them as `add` takes them')
    .action(async () => (await work()).listRules(cli.api(), cli.output()));
  alerts
    .command('add')
    .argument('<file>', 'JSON with name, severity, condition, end_session; - reads it from standard input')
    .description('a new rule: it judges what happens from now on')
    .action(async (file: string) => (await work()).addRule(cli.api(), cli.output(), file));
  alerts
    .command('replace')
    .argument('<rule>', 'its id')
    .argument('<file>', 'as for add')
    .action(async (rule: string, file: string) => (await work()).replaceRule(cli.api(), cli.output(), rule, file));
  alerts
    .command('remove')
    .argument('<rule>', 'its id')
    .description('remove a rule; its alerts stay')
    .action(async (rule: string) => (await work()).removeRule(cli.api(), cli.output(), rule));
}
