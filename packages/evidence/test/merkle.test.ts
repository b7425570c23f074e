import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  completeSubtrees,
  consistencyProof,
  consistencyRanges,
  emptyRoot,
  hashLeaf,
  inclusionProof,
  inclusionRanges,
  joinSubtrees,
  MerkleTree,
  merkleRoot,
  rangeHashOf,
  toHex,
  verifyConsistency,
  verifyInclusion,
} from '../src/index.ts';

const leaves = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => hashLeaf(Uint8Array.of(i & 255, i >> 8)));
const H = (...parts: Uint8Array[]): Buffer =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const leaf = (text: string): Buffer => H(Uint8Array.of(0), Buffer.from(text));
const node = (left: Uint8Array, right: Uint8Array): Buffer => H(Uint8Array.of(1), left, right);

describe('merkle tree', () => {
  it('has the heads RFC 9162 section 2.1.1 gives by hand', () => {
    const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map(leaf) as [Buffer, Buffer, Buffer, Buffer, Buffer];
    assert.equal(toHex(emptyRoot()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    const heads = [
      emptyRoot(),
      a,
      node(a, b),
      node(node(a, b), c),
      node(node(a, b), node(c, d)),
      node(node(node(a, b), node(c, d)), e),
    ];
    const data = ['a', 'b', 'c', 'd', 'e'].map((text) => hashLeaf(Buffer.from(text)));
    for (const [size, head] of heads.entries()) assert.equal(toHex(merkleRoot(data.slice(0, size))), toHex(head));
    assert.equal(
      toHex(hashLeaf(new Uint8Array(0))),
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    );
  });

  it('goes on from its serialized form', () => {
    fc.assert(
      fc.property(fc.nat(300), fc.nat(40), (first, more) => {
        const all = leaves(first + more);
        const tree = MerkleTree.empty();
        for (const hash of all.slice(0, first)) tree.append(hash);
        const again = MerkleTree.restore(tree.serialize());
        for (const hash of all.slice(first)) again.append(hash);
        assert.equal(again.size, all.length);
        assert.deepEqual(again.root(), merkleRoot(all));
        assert.ok(again.peaks().length <= 9);
      }),
    );
    assert.throws(() => MerkleTree.restore(new Uint8Array(9)), DecodeError);
    assert.throws(() => MerkleTree.restore(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1)), DecodeError);
  });

  it('proves every leaf of every small tree, and nothing else', () => {
    for (let size = 1; size <= 20; size += 1) {
      const all = leaves(size);
      const root = merkleRoot(all);
      for (let index = 0; index < size; index += 1) {
        const claim = { leafHash: all[index]!, index, size, root, proof: inclusionProof(index, all) };
        assert.ok(verifyInclusion(claim));
        assert.ok(!verifyInclusion({ ...claim, index: index + 1 }));
        assert.ok(!verifyInclusion({ ...claim, leafHash: hashLeaf(Uint8Array.of(99, 99)) }));
        assert.ok(!verifyInclusion({ ...claim, proof: [...claim.proof, root] }));
        if (claim.proof.length > 0) assert.ok(!verifyInclusion({ ...claim, proof: claim.proof.slice(1) }));
      }
    }
  });

  it('proves every prefix of every small tree, and nothing else', () => {
    for (let second = 1; second <= 20; second += 1) {
      const all = leaves(second);
      const secondRoot = merkleRoot(all);
      for (let first = 1; first <= second; first += 1) {
        const claim = {
          first,
          firstRoot: merkleRoot(all.slice(0, first)),
          second,
          secondRoot,
          proof: consistencyProof(first, all),
        };
        assert.ok(verifyConsistency(claim), `${first} to ${second}`);
        assert.ok(!verifyConsistency({ ...claim, firstRoot: hashLeaf(Uint8Array.of(1, 2, 3)) }));
        assert.ok(!verifyConsistency({ ...claim, secondRoot: hashLeaf(Uint8Array.of(1, 2, 3)) }));
        assert.ok(!verifyConsistency({ ...claim, proof: [...claim.proof, secondRoot] }));
        if (claim.proof.length > 0) assert.ok(!verifyConsistency({ ...claim, proof: claim.proof.slice(0, -1) }));
      }
    }
  });

  it('refuses claims that make no sense', () => {
    const root = merkleRoot(leaves(1));
    assert.ok(!verifyInclusion({ leafHash: root, index: 0, size: 0, root, proof: [] }));
    assert.ok(!verifyInclusion({ leafHash: root.slice(1), index: 0, size: 1, root, proof: [] }));
    assert.ok(!verifyInclusion({ leafHash: root, index: 0.5, size: 1, root, proof: [] }));
    assert.ok(!verifyConsistency({ first: 0, firstRoot: emptyRoot(), second: 1, secondRoot: root, proof: [] }));
    assert.ok(!verifyConsistency({ first: 2, firstRoot: root, second: 1, secondRoot: root, proof: [] }));
    assert.ok(!verifyConsistency({ first: 1, firstRoot: root.slice(1), second: 1, secondRoot: root, proof: [] }));
    assert.throws(() => inclusionRanges(1, 1), RangeError);
    assert.throws(() => consistencyRanges(2, 1), RangeError);
    assert.deepEqual(consistencyRanges(0, 5), []);
  });

  it('hashes a range from its complete subtrees', () => {
    const all = leaves(70);
    const hashOf = rangeHashOf(all);
    for (let first = 1; first <= 70; first += 1)
      for (const range of consistencyRanges(first, 70))
        assert.deepEqual(joinSubtrees(completeSubtrees(range).map(hashOf)), hashOf(range));
  });
});

interface InclusionVector {
  leafIdx: number;
  treeSize: number;
  root: string;
  leafHash: string;
  proof: string[] | null;
  desc: string;
  wantErr: boolean;
}
interface ConsistencyVector {
  size1: number;
  size2: number;
  root1: string | null;
  root2: string | null;
  proof: string[] | null;
  desc: string;
  wantErr: boolean;
}

const folder = process.env.VECTORS_DIR;
const vectors = <T>(name: string): T[] => JSON.parse(readFileSync(join(folder ?? '', name), 'utf8')) as T[];
const skip =
  folder !== undefined && existsSync(join(folder, 'merkle-inclusion.json'))
    ? false
    : 'set VECTORS_DIR to a folder with merkle-inclusion.json and merkle-consistency.json of transparency-dev/merkle';
const bytes = (text: string | null): Uint8Array => new Uint8Array(Buffer.from(text ?? '', 'base64'));

describe('public vectors of transparency-dev/merkle', { skip }, () => {
  it('inclusion', () => {
    const list = vectors<InclusionVector>('merkle-inclusion.json');
    assert.ok(list.length > 50);
    for (const v of list)
      assert.equal(
        verifyInclusion({
          leafHash: bytes(v.leafHash),
          index: v.leafIdx,
          size: v.treeSize,
          root: bytes(v.root),
          proof: (v.proof ?? []).map(bytes),
        }),
        !v.wantErr,
        JSON.stringify(v),
      );
  });

  it('consistency', () => {
    const list = vectors<ConsistencyVector>('merkle-consistency.json');
    assert.ok(list.length > 50);
    for (const v of list) {
      assert.equal(
        verifyConsistency({
          first: v.size1,
          firstRoot: bytes(v.root1),
          second: v.size2,
          secondRoot: bytes(v.root2),
          proof: (v.proof ?? []).map(bytes),
        }),
        !v.wantErr,
        JSON.stringify(v),
      );
    }
  });
});
