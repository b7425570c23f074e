/** The open lists of docs/format.md name what this house writes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BLOCKCHAIN_CORE_BACKEND } from '@lucid-sessions/anchors';
import { endReasons } from '@lucid-sessions/contract';
import {
  anchorBackends,
  EVM_BACKEND,
  manifestEndReasons,
  RENEWAL_BACKEND,
  TIMESTAMP_BACKEND,
  wrapSchemes,
} from '@lucid-sessions/evidence';
import { AGE_SCHEME, LOCAL_SCHEME, SHARE_SCHEME, VAULT_TRANSIT_SCHEME } from '@lucid-sessions/keys';

describe('the registries of docs/format.md', () => {
  it('have every reason for which a recording ends', () => assert.deepEqual(manifestEndReasons, endReasons));
  it('have every scheme of a wrap', () =>
    assert.deepEqual(wrapSchemes, [AGE_SCHEME, LOCAL_SCHEME, SHARE_SCHEME, VAULT_TRANSIT_SCHEME]));
  it('have every backend of a receipt', () =>
    assert.deepEqual(anchorBackends, [BLOCKCHAIN_CORE_BACKEND, EVM_BACKEND, TIMESTAMP_BACKEND, RENEWAL_BACKEND]));
});
