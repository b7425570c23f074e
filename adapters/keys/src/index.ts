export {
  KeyDirectory,
  type KeyDirectoryOptions,
  KeyError,
  type KeyErrorCode,
  type KeyInfo,
  type LocalKey,
  missingKey,
} from './key-files.ts';
export { KeyLock } from './key-lock.ts';
export { MemoryKeyShares, openShares } from './key-shares.ts';
export {
  AGE_SCHEME,
  AgeUnwrapper,
  AgeWrapper,
  type KeyUnwrapper,
  type KeyWrapper,
  LOCAL_SCHEME,
  LocalUnwrapper,
  LocalWrapper,
  makeAgeIdentity,
  rewrapDek,
  unwrapDek,
  WrapError,
  type WrapErrorCode,
  wrapDek,
} from './key-wrappers.ts';
export { LocalSeal } from './secret-seal.ts';
export {
  checkShare,
  combineShares,
  formatShare,
  type KeyShare,
  parseShare,
  SHARE_SCHEME,
  type SharedWrap,
  ShareError,
  ShareWrapper,
  sharedWrapOf,
} from './shared-key.ts';
export { VaultCredentials, type VaultCredentialsOptions, type VaultLogin } from './vault-credentials.ts';
export type { VaultServer } from './vault-http.ts';
export { VAULT_TRANSIT_SCHEME, VaultTransit, type VaultTransitOptions } from './vault-transit.ts';
