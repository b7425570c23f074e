/** The EVM anchor's settings, from the environment. */
import type { EvmAnchorOptions, EvmChainOptions, EvmFinality } from '@lucid-sessions/anchors';
import {
  type Environment,
  EnvironmentError,
  readConfiguredSecret,
  readInteger,
  readText,
  readUrl,
} from '@lucid-sessions/kit';

const feeGwei = { min: 1, max: 1_000_000, fallback: 100 };
const depthMax = 100_000;

/** How to ask the node; null when no chain is configured. */
export function readEvmChain(environment: Environment): EvmChainOptions | null {
  if (!environment.LUCID_EVM_RPC_URL) return null;
  return {
    rpcUrl: readUrl(environment, 'LUCID_EVM_RPC_URL', ''),
    chainId: readInteger(environment, 'LUCID_EVM_CHAIN_ID', { min: 1, max: 999_999_999_999_999, fallback: 1 }),
    finality: readFinality(environment),
  };
}

function readFinality(environment: Environment): EvmFinality {
  const text = readText(environment, 'LUCID_EVM_FINALITY', 'finalized');
  if (text === 'finalized' || text === 'safe') return text;
  const depth = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (!(depth >= 1 && depth <= depthMax))
    throw new EnvironmentError('LUCID_EVM_FINALITY', `must be finalized, safe, or blocks from 1 to ${depthMax}`);
  return depth;
}

/** Who pays, and how much at most. */
export function readEvmSender(environment: Environment): Pick<EvmAnchorOptions, 'privateKey' | 'feePerGasMaxWei'> {
  const path = readText(environment, 'LUCID_EVM_KEY_FILE', '');
  if (path === '') throw new EnvironmentError('LUCID_EVM_KEY_FILE', 'must name a 0600 file with the private key');
  const key = readConfiguredSecret('LUCID_EVM_KEY_FILE', path).replace(/^0x/, '');
  if (!/^[0-9a-fA-F]{64}$/.test(key))
    throw new EnvironmentError('LUCID_EVM_KEY_FILE', 'must name a file with a private key of 64 hex digits');
  const gwei = readInteger(environment, 'LUCID_EVM_MAX_FEE_GWEI', feeGwei);
  return { privateKey: `0x${key}`, feePerGasMaxWei: BigInt(gwei) * 1_000_000_000n };
}

/** Null when no chain is configured. */
export function readEvmAnchor(environment: Environment): EvmAnchorOptions | null {
  const chain = readEvmChain(environment);
  if (chain === null) return null;
  const contract = readText(environment, 'LUCID_EVM_CONTRACT', '');
  if (!/^0x[0-9a-fA-F]{40}$/.test(contract))
    throw new EnvironmentError('LUCID_EVM_CONTRACT', 'must be the address of the anchor contract (0x and 40 digits)');
  return { ...chain, ...readEvmSender(environment), contract: contract.toLowerCase() as `0x${string}` };
}
