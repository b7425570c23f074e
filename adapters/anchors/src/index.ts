export {
  anchorSessionId,
  BLOCKCHAIN_CORE_BACKEND,
  BlockchainCoreAnchor,
  type BlockchainCoreOptions,
} from './blockchain-core.ts';
export { checkEvmAnchor, deployEvmContract, EvmAnchor, type EvmAnchorOptions } from './evm/evm-anchor.ts';
export type { EvmChainOptions, EvmFinality } from './evm/evm-chain.ts';
export { TimestampAnchor, type TimestampAnchorOptions } from './timestamp-anchor.ts';
