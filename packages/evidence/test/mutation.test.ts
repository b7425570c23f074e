import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { portableDecompressor } from '@lucid-sessions/recording';
import { bundleNames, LEAF_RECORD_BYTES, memoryBundle, verifyBundle } from '../src/index.ts';
import { anchor, dek, erasing, filesOf, fitDescription, options, record } from './recording-fixture.ts';

/** Set MUTATIONS=20000 or more for the long form, MUTATION_SEED for another run. */
const count = Number(process.env.MUTATIONS ?? 250);
const seed = Number(process.env.MUTATION_SEED ?? 1);

/** Mulberry32: small, repeatable, good enough to pick places. */
function randomFrom(state: number): (below: number) => number {
  let at = state;
  return (below) => {
    at = (at + 0x6d2b79f5) | 0;
    let t = Math.imul(at ^ (at >>> 15), 1 | at);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Files = Map<string, Uint8Array>;
type Random = (below: number) => number;

const pick = (random: Random, files: Files): string => [...files.keys()][random(files.size)] as string;

const edit = (files: Files, name: string, change: (bytes: Uint8Array) => Uint8Array): void =>
  void files.set(name, change(files.get(name)!.slice()));

/** What can happen to a bundle. Each leaves it different from what it was, or answers false. */
const mutations: Record<string, (random: Random, files: Files, others: Files) => boolean> = {
  'flips a bit': (random, files) => {
    const name = pick(random, files);
    if (files.get(name)!.length === 0) return false;
    edit(files, name, (bytes) => {
      const at = random(bytes.length);
      return bytes.with(at, bytes[at]! ^ (1 << random(8)));
    });
    return true;
  },
  'sets a byte': (random, files) => {
    const name = pick(random, files);
    const before = files.get(name)!;
    const [at, value] = [random(before.length), random(256)];
    if (before[at] === value || before.length === 0) return false;
    edit(files, name, (bytes) => bytes.with(at, value));
    return true;
  },
  'cuts the end': (random, files) => {
    const name = pick(random, files);
    edit(files, name, (bytes) => bytes.slice(0, random(bytes.length)));
    return true;
  },
  'cuts a piece out': (random, files) => {
    const name = pick(random, files);
    edit(files, name, (bytes) => {
      const at = random(bytes.length);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(300))]);
    });
    return true;
  },
  'puts bytes in': (random, files) => {
    const name = pick(random, files);
    edit(files, name, (bytes) => {
      const at = random(bytes.length + 1);
      const more = new Uint8Array(1 + random(300)).map(() => random(256));
      return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
    });
    return true;
  },
  'removes a file': (random, files) => files.delete(pick(random, files)),
  'swaps two files': (random, files) => {
    const [a, b] = [pick(random, files), pick(random, files)];
    const [x, y] = [files.get(a)!, files.get(b)!];
    if (Buffer.from(x).equals(y)) return false;
    files.set(a, y).set(b, x);
    return true;
  },
  'takes a file of another recording': (random, files, others) => {
    const name = pick(random, others);
    const other = others.get(name)!;
    if (files.has(name) && Buffer.from(files.get(name)!).equals(other)) return false;
    files.set(name, other);
    return true;
  },
  'swaps two leaves': (random, files) => {
    const leaves = files.get(bundleNames.leaves)!;
    const [a, b] = [random(leaves.length / LEAF_RECORD_BYTES), random(leaves.length / LEAF_RECORD_BYTES)];
    if (a === b) return false;
    edit(files, bundleNames.leaves, (bytes) => {
      bytes.set(leaves.subarray(a * LEAF_RECORD_BYTES, (a + 1) * LEAF_RECORD_BYTES), b * LEAF_RECORD_BYTES);
      bytes.set(leaves.subarray(b * LEAF_RECORD_BYTES, (b + 1) * LEAF_RECORD_BYTES), a * LEAF_RECORD_BYTES);
      return bytes;
    });
    return true;
  },
};

const recorded = await record({
  progressAt: [2, 4],
  resumeAt: 2,
  anchors: (root) => [anchor(root)],
});
const good = await filesOf(recorded.input);
const shredded = await filesOf({ ...(await record(erasing())).input, wraps: [], chunk: () => null });
const others = await filesOf((await record({ sessionId: 'another', chunksCount: 7 })).input);
const part = await filesOf((await record({ range: { first: 1, last: 3 } })).input);
const how = { ...options, decompressor: portableDecompressor, dek };
const kinds = Object.entries(mutations);

function changedNames(before: Files, after: Files): string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => {
    const [a, b] = [before.get(name), after.get(name)];
    return a === undefined || b === undefined || !Buffer.from(a).equals(b);
  });
}

describe('mutated bundles', () => {
  for (const [what, whole] of [
    ['whole', good],
    ['part', part],
    ['destroyed', shredded],
  ] as const)
    it(`of a ${what} recording: ${count} are all found, and none breaks the verifier`, async () => {
      assert.ok((await verifyBundle(memoryBundle(whole), how)).clean);
      const random = randomFrom(seed);
      for (let i = 0; i < count; ) {
        const files: Files = new Map(whole);
        const [name, mutate] = kinds[random(kinds.length)]!;
        if (!mutate(random, files, others) || changedNames(whole, files).length === 0) continue;
        i += 1;
        // Half of the forgers also fit the description to their work, whatever they changed.
        if (random(2) === 0 && files.has(bundleNames.bundle)) {
          try {
            fitDescription(files);
          } catch {
            // bundle.json itself was mutated beyond reading.
          }
        }
        // Fitted, bundle.json may be what it was.
        if (changedNames(whole, files).length === 0) continue;
        const report = await verifyBundle(memoryBundle(files), how);
        assert.ok(
          !report.clean,
          `mutation ${i} (${name} in ${changedNames(whole, files)}) with seed ${seed} was not noticed`,
        );
      }
    });
});
