/** The EVM anchor against a real node, with a chain that is wound back, and nodes that lie or are gone. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { AnchorReceipt, LucidError } from '@lucid-sessions/contract';
import { type BundleAnchor, EVM_ANCHOR_CODE_HASH, fromHex, readEvmAnchorProof } from '@lucid-sessions/evidence';
import type { AnchorRequest } from '@lucid-sessions/pipeline';
import { EvmNode } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { checkEvmAnchor, deployEvmContract, EvmAnchor, type EvmAnchorOptions } from '../src/index.ts';

const require = createRequire(import.meta.url);

const requestFor = (merkleRoot: string): AnchorRequest => ({
  sessionId: 'evm',
  merkleRoot,
  chunksCount: 1,
  totalBytes: 1,
  createdAtUs: 1,
  checkpoint: null,
});
const root = (digit: string): string => digit.repeat(64);
const bundleAnchor = (receipt: AnchorReceipt): BundleAnchor => ({
  v: 1,
  backend: receipt.backend,
  subject: 'session_root',
  session_id: 'evm',
  digest: receipt.merkleRoot,
  status: receipt.status,
  submitted_us: receipt.submittedAtUs,
  confirmed_us: receipt.confirmedAtUs,
  block_height: receipt.blockHeight,
  transaction_id: receipt.transactionId,
  detail: receipt.detail,
});

let node: EvmNode;
let options: EvmAnchorOptions;
before(async () => {
  node = await EvmNode.start();
  const chain = { rpcUrl: node.url, chainId: node.chainId, finality: 2, retriesMax: 0 };
  const sender = { privateKey: node.privateKey, feePerGasMaxWei: 100_000_000_000n };
  const { contract } = await deployEvmContract({ ...chain, ...sender });
  options = { ...chain, ...sender, contract };
});
after(() => node?.stop());

async function confirmed(anchor: EvmAnchor, request: AnchorRequest): Promise<AnchorReceipt> {
  const receipt = await anchor.submit(request);
  await node.mine(3);
  const now = await anchor.check(request, receipt);
  assert.equal(now?.status, 'confirmed');
  return now;
}

test('the contract that is shipped is what its source compiles to', async () => {
  const solc = require('solc') as { compile(input: string): string };
  const content = readFileSync(new URL('../src/evm/lucid-anchor.sol', import.meta.url), 'utf8');
  const input = {
    language: 'Solidity',
    sources: { 'lucid-anchor.sol': { content } },
    settings: {
      evmVersion: 'paris',
      optimizer: { enabled: true, runs: 1000 },
      metadata: { bytecodeHash: 'none', appendCBOR: false },
      outputSelection: { '*': { '*': ['evm.bytecode.object', 'evm.deployedBytecode.object'] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const { bytecode, deployedBytecode } = output.contracts['lucid-anchor.sol'].LucidAnchor.evm;
  const { anchorContractCode } = await import('../src/evm/contract.ts');
  assert.equal(anchorContractCode, `0x${bytecode.object}`);
  const { keccak256 } = await import('viem');
  assert.equal(keccak256(`0x${deployedBytecode.object}`), `0x${EVM_ANCHOR_CODE_HASH}`);
});

describe('a root on the chain', () => {
  test('is pending until its block is final, and then carries a proof that needs no node', async () => {
    const anchor = new EvmAnchor(options);
    const request = requestFor(root('1'));
    const sent = await anchor.submit(request);
    assert.equal(sent.status, 'pending');
    assert.match(sent.transactionId ?? '', /^0x[0-9a-f]{64}$/);
    assert.equal((await anchor.check(request, sent))?.status, 'pending');
    await node.mine(3);
    const receipt = await anchor.check(request, sent);
    assert.equal(receipt?.status, 'confirmed');
    assert.ok(receipt.detail !== null && receipt.blockHeight !== null);
    const proof = readEvmAnchorProof(receipt.detail, fromHex(root('1'), 32));
    assert.equal(proof.chainId, node.chainId);
    assert.equal(`0x${proof.contract}`, options.contract);
    assert.equal(proof.timeUs, receipt.confirmedAtUs);
    const block = await node.call<{ hash: string }>('eth_getBlockByNumber', [
      `0x${proof.blockNumber.toString(16)}`,
      false,
    ]);
    assert.equal(block.hash, `0x${proof.blockHash}`);
    const verdict = await checkEvmAnchor(options, bundleAnchor(receipt));
    assert.deepEqual(verdict, { state: 'confirmed', timeUs: proof.timeUs });
    await node.mine(2);
    assert.equal((await anchor.check(request, receipt))?.detail, receipt.detail, 'the proof it has is kept');
  });

  test('is sent once, whoever asks again', async () => {
    const anchor = new EvmAnchor(options);
    const count = () => node.call<string>('eth_getTransactionCount', [sender, 'latest']);
    const sender = '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266';
    const request = requestFor(root('2'));
    await anchor.submit(request);
    const before = await count();
    const again = await new EvmAnchor(options).submit(request);
    assert.equal(again.status, 'pending');
    assert.equal(await count(), before);
    await node.mine(3);
    assert.equal((await new EvmAnchor(options).submit(request)).status, 'confirmed');
    assert.equal(await count(), before);
  });

  test('sessions that end together each get theirs', async () => {
    const anchor = new EvmAnchor(options);
    const requests = ['3', '4', '5'].map((digit) => requestFor(root(digit)));
    const receipts = await Promise.all(requests.map((request) => anchor.submit(request)));
    assert.equal(new Set(receipts.map(({ transactionId }) => transactionId)).size, 3);
    await node.mine(3);
    for (const [at, request] of requests.entries())
      assert.equal((await anchor.check(request, receipts[at]!))?.status, 'confirmed');
  });

  test('that a reorganisation takes away is reorged, and can be handed in again', async () => {
    const anchor = new EvmAnchor(options);
    const request = requestFor(root('6'));
    const point = await node.snapshot();
    const receipt = await confirmed(anchor, request);
    await node.windBack(point);
    await node.mine(8);
    const gone = await anchor.check(request, receipt);
    assert.equal(gone?.status, 'reorged');
    const verdict = await checkEvmAnchor(options, bundleAnchor(receipt));
    assert.equal(verdict?.state, 'reorged');
    assert.equal(await anchor.check(request, { ...receipt, status: 'pending' }), null, 'nobody knows of it');
    assert.equal((await confirmed(anchor, request)).status, 'confirmed');
  });
});

test('no change of a proof passes for a proof of the same block', async () => {
  const receipt = await confirmed(new EvmAnchor(options), requestFor(root('7')));
  const detail = receipt.detail!;
  const digest = fromHex(root('7'), 32);
  const { blockHash } = readEvmAnchorProof(detail, digest);
  assert.throws(() => readEvmAnchorProof(detail, fromHex(root('8'), 32)), /not in the trie/);
  const holds = (text: string): boolean => {
    try {
      const proof = readEvmAnchorProof(text, digest);
      return proof.blockHash === blockHash && proof.timeUs !== receipt.confirmedAtUs;
    } catch (error) {
      assert.equal((error as Error).name, 'DecodeError');
      return false;
    }
  };
  fc.assert(
    fc.property(fc.nat(detail.length - 1), fc.constantFrom(...'0123456789abcdef"[]{},:'), (at, letter) => {
      const changed = detail.slice(0, at) + letter + detail.slice(at + 1);
      if (changed === detail) return true;
      return !holds(changed) && !holds(detail.slice(0, at));
    }),
    { numRuns: 2000 },
  );
});

describe('what can go wrong', () => {
  const refusal = (status: number, message: RegExp) => (error: LucidError) => {
    assert.equal(error.status, status);
    assert.match(error.message, message);
    assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /s3cret/);
    return true;
  };
  const submit = (more: Partial<EvmAnchorOptions>, digit = '9') =>
    new EvmAnchor({ ...options, ...more }).submit(requestFor(root(digit)));

  test('a contract that is another, or none', async () => {
    const [other] = await node.call<`0x${string}`[]>('eth_accounts');
    await assert.rejects(submit({ contract: other! }), refusal(502, /no contract/));
    await node.call('anvil_setCode', [other, '0x600160005260206000f3']);
    await assert.rejects(submit({ contract: other! }), refusal(500, /not an anchor contract/));
    await node.call('anvil_setCode', [other, '0x']);
  });

  test('another chain, a price above the bound, a key without money', async () => {
    await assert.rejects(submit({ chainId: 1 }), refusal(502, /serves chain 31337, not 1/));
    await assert.rejects(submit({ feePerGasMaxWei: 1n }), refusal(502, /costs \d+ wei/));
    await assert.rejects(submit({ privateKey: `0x${'5'.repeat(64)}` }), refusal(502, /can't be used now/));
  });

  test('a node that is gone or answers nonsense: tried again later, and its address is in no message', async () => {
    await assert.rejects(submit({ rpcUrl: 'http://127.0.0.1:1/s3cret' }), refusal(502, /can't be used now/));
    const server = createServer((_, response) => response.end('{"s3cret"')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await assert.rejects(
      submit({ rpcUrl: `http://127.0.0.1:${port}/s3cret`, timeoutMs: 1000 }),
      refusal(502, /can't be used now/),
    );
    server.close();
    const receipt = await confirmed(new EvmAnchor(options), requestFor(root('a')));
    assert.equal(await checkEvmAnchor({ ...options, rpcUrl: 'http://127.0.0.1:1' }, bundleAnchor(receipt)), null);
    assert.equal(await checkEvmAnchor({ ...options, chainId: 5 }, bundleAnchor(receipt)), null);
    assert.equal(await checkEvmAnchor(options, { ...bundleAnchor(receipt), detail: 'no proof' }), null);
  });
});
