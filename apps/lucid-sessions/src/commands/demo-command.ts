import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';
import { target } from '../cli/values.ts';

export function declareDemo(program: Command, cli: Cli): void {
  program
    .command('demo')
    .description('record, seal, store, log and verify one real RDP session')
    .option('--target <host:port>', 'record a host of yours instead of the built-in desktop', target)
    .option('--export <dir>', 'leave the evidence bundle and its policy file there')
    .option('--keep', 'go on serving afterwards, to look at the session')
    .action(async (given: { target?: string; export?: string; keep?: boolean }) => {
      const { demo } = await import('./demo.ts');
      await demo(given, cli.output(), cli.environment());
    });
}
