/** Proofs of the anchor contract: one of a real node, and ones made here to break in every way. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import { keccak_256 } from '@noble/hashes/sha3.js';
import fc from 'fast-check';
import { decodeRlp, type RlpItem } from '../src/anchor/rlp.ts';
import {
  type BundleAnchor,
  EVM_ANCHOR_CODE_HASH,
  encodeJson,
  fromHex,
  memoryBundle,
  readEvmAnchorProof,
  toHex,
  verifyBundle,
} from '../src/index.ts';
import { filesOf, options, policyOf, record, T0 } from './recording-fixture.ts';

const vector = JSON.parse(readFileSync(new URL('./vectors/evm-anchor.json', import.meta.url), 'utf8'));

function rlp(item: RlpItem): Uint8Array {
  const isBytes = item instanceof Uint8Array;
  const content = isBytes ? item : Buffer.concat(item.map(rlp));
  if (isBytes && content.length === 1 && content[0]! < 0x80) return content;
  const base = isBytes ? 0x80 : 0xc0;
  if (content.length < 56) return Buffer.concat([Buffer.of(base + content.length), content]);
  return Buffer.concat([Buffer.of(base + 56, content.length), content]);
}

/** A trie of one key: its root is a leaf. */
function trieOf(key: Uint8Array, value: Uint8Array): { root: Uint8Array; nodes: string[] } {
  const leaf = rlp([Buffer.concat([Buffer.of(0x20), keccak_256(key)]), value]);
  return { root: keccak_256(leaf), nodes: [toHex(leaf)] };
}

interface Parts {
  seconds: number;
  blockSeconds: number;
  codeHash: string;
  change?: (proof: Record<string, unknown>) => void;
}

const integer = (value: number): Uint8Array => fromHex(value.toString(16).padStart(8, '0'), 4);

function proofFor(digest: string, parts: Partial<Parts> = {}): string {
  const { seconds = T0 / 1e6 + 90, blockSeconds = T0 / 1e6 + 100, codeHash = EVM_ANCHOR_CODE_HASH } = parts;
  const place = new Uint8Array(64);
  place.set(fromHex(digest, 32));
  const storage = trieOf(keccak_256(place), rlp(integer(seconds)));
  const contract = new Uint8Array(20).fill(0xcc);
  const none = new Uint8Array(0);
  const account = trieOf(contract, rlp([Uint8Array.of(1), none, storage.root, fromHex(codeHash, 32)]));
  const fields = Array.from({ length: 15 }, (): RlpItem => none);
  fields[3] = account.root;
  fields[8] = Uint8Array.of(99);
  fields[11] = integer(blockSeconds);
  const proof: Record<string, unknown> = {
    v: 1,
    chain_id: 5,
    contract: toHex(contract),
    header: toHex(rlp(fields)),
    account_proof: account.nodes,
    storage_proof: storage.nodes,
  };
  parts.change?.(proof);
  return new TextDecoder().decode(encodeJson(proof as never));
}

describe('a proof of the anchor contract', () => {
  it('of a real node shows chain, contract, block and time', () => {
    assert.deepEqual(readEvmAnchorProof(vector.detail, fromHex(vector.digest, 32)), {
      chainId: vector.chain_id,
      contract: vector.contract,
      blockHash: vector.block_hash,
      blockNumber: vector.block_number,
      timeUs: vector.time_us,
    });
  });

  const digest = 'ab'.repeat(32);
  const refusals: [string, Partial<Parts>, RegExp][] = [
    ['other code', { codeHash: '00'.repeat(32) }, /not an anchor contract/],
    ['a time behind its block', { seconds: 2_000_000_000, blockSeconds: 1_900_000_000 }, /time lies behind/],
    ['no nodes', { change: (proof) => Object.assign(proof, { account_proof: [] }) }, /has 0 nodes/],
    ['a node of something else', { change: (proof) => Object.assign(proof, { storage_proof: ['c0'] }) }, /hash/],
    [
      'a node too many',
      { change: (proof) => (proof.storage_proof as string[]).push('c0') },
      /its end is not the end of the path/,
    ],
    ['a header that is a string', { change: (proof) => Object.assign(proof, { header: '80' }) }, /not a list/],
    ['a field that is not known', { change: (proof) => Object.assign(proof, { more: 1 }) }, /more/],
  ];
  for (const [name, parts, message] of refusals)
    it(`with ${name} is refused`, () => {
      assert.ok(readEvmAnchorProof(proofFor(digest), fromHex(digest, 32)));
      assert.throws(
        () => readEvmAnchorProof(proofFor(digest, parts), fromHex(digest, 32)),
        (error: Error) => error instanceof DecodeError && message.test(error.message),
      );
    });
});

describe('RLP', () => {
  const item: fc.Arbitrary<RlpItem> = fc.letrec<{ item: RlpItem }>((tie) => ({
    item: fc.oneof({ maxDepth: 3 }, fc.uint8Array({ maxLength: 40 }), fc.array(tie('item'), { maxLength: 3 })),
  })).item;

  it('reads what it wrote', () => {
    const plain = (value: RlpItem): unknown => (value instanceof Uint8Array ? toHex(value) : value.map(plain));
    fc.assert(
      fc.property(item, (value) => {
        const bytes = rlp(value);
        fc.pre(bytes.length < 200);
        assert.deepEqual(plain(decodeRlp(bytes)), plain(value));
        for (let cut = 0; cut < bytes.length; cut += 1)
          assert.throws(() => decodeRlp(bytes.subarray(0, cut)), DecodeError);
      }),
    );
  });

  it('refuses any other bytes with a DecodeError, and every value has one form', () => {
    for (const text of ['8105', 'b800', 'b90010', 'c1', '80ff', 'f800', 'c0'.padEnd(4, '0')])
      assert.throws(() => decodeRlp(fromHex(text, text.length / 2)), DecodeError);
    assert.throws(() => decodeRlp(rlp([[[[[]]]]])), /nested deeper/);
    assert.throws(() => decodeRlp(rlp(Array.from({ length: 65 }, () => new Uint8Array(0)))), /more than 64/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          const value = decodeRlp(bytes);
          if (bytes.length < 200) assert.equal(toHex(rlp(value)), toHex(bytes));
        } catch (error) {
          assert.ok(error instanceof DecodeError);
        }
      }),
    );
  });
});

describe('a receipt of an EVM chain in a bundle', () => {
  const receiptFor = (digest: string, detail: string | null): BundleAnchor => ({
    v: 1,
    backend: 'evm',
    subject: 'session_root',
    session_id: 'session',
    digest,
    status: 'confirmed',
    submitted_us: T0 + 60_000_000,
    confirmed_us: T0 + 90_000_000,
    block_height: 98,
    transaction_id: null,
    detail,
  });
  const verify = async (parts: Partial<Parts> | null, how: Parameters<typeof verifyBundle>[1]) => {
    const { input } = await record({
      anchors: (root) => [{ ...receiptFor(root, parts === null ? null : proofFor(root, parts)) }],
    });
    const anchors = input.anchors.map((anchor) => ({ ...anchor, session_id: input.sessionId }));
    return verifyBundle(memoryBundle(await filesOf({ ...input, anchors })), how);
  };
  const proof = readEvmAnchorProof(proofFor('00'.repeat(32)), fromHex('00'.repeat(32), 32));

  it('counts when the policy knows the block, with no node asked', async () => {
    let blockHash = '';
    await verify(
      {},
      {
        ...options,
        checkAnchor: ({ detail, digest }) => {
          ({ blockHash } = readEvmAnchorProof(detail ?? '', fromHex(digest, 32)));
          return null;
        },
      },
    );
    const policy = policyOf({ anchors_required: 1, evm_blocks: [{ chain_id: proof.chainId, block_hash: blockHash }] });
    const report = await verify({}, { ...options, policy });
    assert.deepEqual(report.findings, []);
    assert.equal(report.facts.anchors_confirmed, 1);
    const other = policyOf({ evm_blocks: [{ chain_id: 6, block_hash: blockHash }] });
    assert.equal((await verify({}, { ...options, policy: other })).facts.anchors_confirmed, 0);
  });

  it('is a claim without, and the caller’s check decides', async () => {
    const claim = await verify({}, options);
    assert.deepEqual(claim.findings, []);
    assert.equal(claim.facts.anchors_confirmed, 0);
    const asked = await verify({}, { ...options, checkAnchor: () => ({ state: 'reorged', message: 'gone' }) });
    assert.deepEqual(
      asked.findings.map(({ code }) => code),
      ['ANCHOR_REORGED'],
    );
    const bare = await verify(null, {
      ...options,
      checkAnchor: () => ({ state: 'confirmed', timeUs: T0 + 90_000_000 }),
    });
    assert.equal(bare.facts.anchors_confirmed, 1);
  });

  it('with a proof that does not hold is invalid, whatever the caller’s check says', async () => {
    const report = await verify(
      { codeHash: '11'.repeat(32) },
      { ...options, checkAnchor: () => ({ state: 'confirmed', timeUs: T0 }) },
    );
    assert.deepEqual(
      report.findings.map(({ code }) => code),
      ['ANCHOR_INVALID'],
    );
  });
});
