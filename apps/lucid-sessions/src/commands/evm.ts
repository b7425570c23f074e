/** `evm deploy`: puts the anchor contract on a chain. Needed once per chain; a contract may serve many installations. */
import { deployEvmContract } from '@lucid-sessions/anchors';
import { type Environment, EnvironmentError } from '@lucid-sessions/kit';
import type { Output } from '../cli/output.ts';
import { readEvmChain, readEvmSender } from '../server/evm.ts';

export async function deployEvm(environment: Environment, output: Output): Promise<void> {
  const chain = readEvmChain(environment);
  if (chain === null) throw new EnvironmentError('LUCID_EVM_RPC_URL', 'must be the address of a node of the chain');
  const deployed = await deployEvmContract({ ...chain, ...readEvmSender(environment) });
  output.result(
    { chain_id: chain.chainId, ...deployed },
    `deployed on chain ${chain.chainId} by ${deployed.transaction}\nLUCID_EVM_CONTRACT=${deployed.contract}`,
  );
}
