/** Sources that tell hash and header of a chunk file without giving its bytes lead to the same report. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { portableDecompressor } from '@lucid-sessions/recording';
import fc from 'fast-check';
import { type BundleSource, memoryBundle, verifyBundle } from '../src/index.ts';
import { dek, filesOf, options, record } from './recording-fixture.ts';

type Files = ReadonlyMap<string, Uint8Array>;

function digesting(files: Files, asked: string[]): BundleSource {
  return {
    ...memoryBundle(files),
    async digest(name, headBytes) {
      asked.push(name);
      const bytes = files.get(name)!;
      return { sha256: nodeCrypto.sha256(bytes), head: bytes.slice(0, headBytes) };
    },
  };
}

const sealed = await filesOf((await record({ chunksCount: 9, resumeAt: 2 })).input);
const plain = await filesOf((await record({ suite: 0 })).input);
const chunks = [...sealed.keys()].filter((name) => name.startsWith('chunks/'));
const how = { ...options, decompressor: portableDecompressor };

test('a clean bundle is clean, and only what has to be read is read', async () => {
  const asked: string[] = [];
  assert.equal((await verifyBundle(digesting(sealed, asked), how)).clean, true);
  assert.deepEqual(asked, chunks);
  asked.length = 0;
  const read = await verifyBundle(digesting(sealed, asked), { ...how, dek });
  assert.deepEqual([read.verdicts.readability, asked], ['readable', []]);
  const open = await verifyBundle(digesting(plain, asked), how);
  assert.deepEqual([open.verdicts.readability, asked], ['readable', []]);
});

test('whatever is changed, moved or missing: the same findings in the same order', async () => {
  const change = fc.record({
    name: fc.constantFrom(...chunks, 'leaves.bin'),
    at: fc.nat(400),
    kind: fc.constantFrom('flip', 'cut', 'remove', 'swap', 'grow'),
    other: fc.constantFrom(...chunks),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const files = new Map(sealed);
      for (const { name, at, kind, other } of changes) {
        const bytes = files.get(name);
        const second = files.get(other);
        if (bytes === undefined || second === undefined) continue;
        if (kind === 'flip') files.set(name, bytes.with(at % bytes.length, bytes[at % bytes.length]! ^ 1));
        if (kind === 'cut') files.set(name, bytes.slice(0, Math.max(1, bytes.length - 1 - at)));
        if (kind === 'grow') files.set(name, Buffer.concat([bytes, new Uint8Array(at + 1)]));
        if (kind === 'remove' && name !== 'leaves.bin') files.delete(name);
        if (kind === 'swap' && name !== 'leaves.bin') files.set(name, second).set(other, bytes);
      }
      const whole = await verifyBundle(memoryBundle(files), how);
      assert.deepEqual(await verifyBundle(digesting(files, []), how), whole);
    }),
    { numRuns: 150 },
  );
});
