import type { Command } from 'commander';
import type { Cli } from '../cli/cli.ts';

export function declareEvm(program: Command, cli: Cli): void {
  program
    .command('evm')
    .description('the anchor contract on an EVM chain')
    .command('deploy')
    .description('put the contract on the chain of LUCID_EVM_RPC_URL, paid by the key in LUCID_EVM_KEY_FILE')
    .action(async () => {
      const { deployEvm } = await import('./evm.ts');
      await deployEvm(cli.environment(), cli.output());
    });
}
