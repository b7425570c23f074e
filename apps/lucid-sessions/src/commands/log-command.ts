import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareLog(program: Command, cli: Cli): void {
  program
    .command('log')
    .description('read a whole transparency log')
    .command('monitor')
    .description('check every entry against the signed checkpoint, and look for second records of one session')
    .argument('<dir-or-url>', 'the log’s directory, or …/log of an installation')
    .requiredOption('--policy <file>', 'whose log it is: log_keys, and known_checkpoints to compare with (JSON)')
    .action(async (where: string, { policy }: { policy: string }) => {
      const { monitorLog } = await import('./log-monitor.ts');
      process.exitCode = await monitorLog(where, policy, cli.output());
    });
}
