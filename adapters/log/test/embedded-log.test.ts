import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  checkCosignature,
  checkNote,
  cosign,
  ed25519NoteSigner,
  fromHex,
  hashLeaf,
  inclusionRanges,
  logEntry,
  merkleRoot,
  type NoteKey,
  noteAlgorithms,
  parseSignedCheckpoint,
  rangeHashOf,
  sessionSubject,
  toHex,
  utf8,
  verifyConsistency,
  verifyInclusion,
} from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { equalBytes } from '@lucid-sessions/wire';
import {
  checkLogFiles,
  EmbeddedLog,
  type LogDisk,
  LogError,
  type LogFiles,
  type LogHead,
  type LogHeadStore,
  logFilesIn,
  readCheckpoint,
  rebuildLogHead,
  tilesOf,
  type Witnessed,
} from '../src/index.ts';

const folder = await mkdtemp(join(tmpdir(), 'lucid-log-'));
after(() => rm(folder, { recursive: true }));
let made = 0;
const fresh = (): string => {
  made += 1;
  return join(folder, `log-${made}`);
};
const signer = await ed25519NoteSigner(nodeCrypto, 'log.example/test', new Uint8Array(32).fill(3));
const entryOf = (number: number): Uint8Array => utf8(`entry ${number}`);
const session = { openSha256: 'ab'.repeat(32), sessionUuid: '11'.repeat(16), logEntries: 2 } as const;
const hashesTo = (size: number): Uint8Array[] => Array.from({ length: size }, (_, i) => hashLeaf(entryOf(i)));
const codeOf = (code: string) => (error: unknown) => error instanceof LogError && error.code === code;

async function checkCheckpoint(text: string | null, size: number): Promise<void> {
  assert.ok(text !== null);
  const checkpoint = parseSignedCheckpoint(text);
  assert.equal(await checkNote(nodeCrypto, checkpoint.note, signer.key), 'good');
  assert.equal(checkpoint.size, size);
  assert.deepEqual(checkpoint.root, merkleRoot(hashesTo(size)));
}

describe('a copy of a log', () => {
  const grown = async (size: number): Promise<string> => {
    const directory = fresh();
    const log = await EmbeddedLog.open({ directory, signer });
    await Promise.all(Array.from({ length: size }, (_, at) => log.append(entryOf(at))));
    await log.close();
    return directory;
  };

  it('has its head made again from the public files, and goes on from there', async () => {
    for (const size of [1, 255, 256, 257, 600]) {
      const directory = await grown(size);
      await rm(join(directory, 'head.sqlite'));
      assert.equal(await rebuildLogHead(directory), size);
      const log = await EmbeddedLog.open({ directory, signer });
      assert.equal(await log.find(entryOf(size - 1)), size - 1);
      assert.equal(await log.append(entryOf(0)), 0, 'what is logged keeps its place');
      assert.equal(await log.append(entryOf(size)), size);
      await checkCheckpoint(log.checkpoint, size + 1);
      await log.close();
    }
    assert.equal(await rebuildLogHead(fresh()), 0, 'an empty log has none');
  });

  it('lists every file of a tree, and is refused when one of them is missing, another or of another log', async () => {
    const directory = await grown(600);
    const files = logFilesIn(directory);
    const checkpoint = await readCheckpoint(files);
    assert.ok(checkpoint !== null);
    await checkLogFiles(files, checkpoint);
    const listed = [...tilesOf(600)].map(({ path }) => path);
    for (const path of listed) {
      assert.notEqual(await files(path), null, path);
      const without: LogFiles = async (name) => (name === path ? null : files(name));
      await assert.rejects(checkLogFiles(without, checkpoint), path);
      if (!path.includes('entries')) continue;
      const altered: LogFiles = async (name) => {
        const bytes = await files(name);
        return name === path && bytes !== null ? bytes.with(5, (bytes[5] ?? 0) ^ 1) : bytes;
      };
      await assert.rejects(checkLogFiles(altered, checkpoint), path);
    }
    const earlier = await readCheckpoint(logFilesIn(await grown(300)));
    await checkLogFiles(files, checkpoint, earlier);
    await assert.rejects(
      checkLogFiles(logFilesIn(await grown(300)), earlier ?? checkpoint, checkpoint),
      codeOf('corrupt'),
    );
    const other = { ...checkpoint, size: 300, root: merkleRoot(hashesTo(299)) };
    await assert.rejects(checkLogFiles(files, checkpoint, other), codeOf('corrupt'));
  });

  it('keeps what witnesses said', async () => {
    const directory = await grown(2);
    const log = await EmbeddedLog.open({ directory, signer });
    const witness = await ed25519NoteSigner(nodeCrypto, 'w.example', new Uint8Array(32).fill(5));
    const key = { ...witness.key, algorithm: noteAlgorithms.cosignatureV1 };
    const { note } = parseSignedCheckpoint(log.checkpoint ?? '');
    const signature = await cosign({ ...witness, key }, note.text, 1_800_000_000);
    assert.ok(await log.attachCosignatures(nodeCrypto, log.checkpoint ?? '', [{ witness: key, signature }]));
    await log.append(entryOf(2));
    await log.close();
    await rm(join(directory, 'head.sqlite'));
    await rebuildLogHead(directory);
    const again = await EmbeddedLog.open({ directory, signer });
    assert.equal(again.witnessed.size, 2);
    assert.match(again.witnessed.checkpoint, /— w\.example /);
    await again.close();
  });
});

it('a log that is held takes nothing new and still answers for what it has', async () => {
  const log = await EmbeddedLog.open({ directory: fresh(), signer });
  await log.append(entryOf(0));
  log.hold('waits for a witness');
  assert.equal(log.held, 'waits for a witness');
  assert.equal(await log.append(entryOf(0)), 0);
  await assert.rejects(log.append(entryOf(1)), codeOf('held'));
  assert.equal(log.size, 1);
  log.release();
  assert.equal(await log.append(entryOf(1)), 1);
  await log.close();
});

describe('embedded log', () => {
  it('proves every entry and every earlier tree, across tile borders and restarts', async () => {
    const directory = fresh();
    const sizes = [1, 2, 255, 256, 257, 700];
    let size = 0;
    for (const next of sizes) {
      const log = await EmbeddedLog.open({ directory, signer });
      assert.equal(log.size, size);
      const indices = await Promise.all(Array.from({ length: next - size }, (_, i) => log.append(entryOf(size + i))));
      assert.deepEqual(
        indices,
        Array.from({ length: next - size }, (_, i) => size + i),
      );
      size = next;
      await checkCheckpoint(log.checkpoint, size);
      assert.equal(await readFile(join(directory, 'checkpoint'), 'utf8'), log.checkpoint);
      const root = merkleRoot(hashesTo(size));
      for (const index of [0, 1, 254, 255, 256, 511, 512, size - 1].filter((i) => i < size)) {
        const { inclusion, checkpoint } = await log.prove([index]);
        assert.equal(checkpoint, log.checkpoint);
        const proof = inclusion[0]!;
        assert.ok(verifyInclusion({ leafHash: hashLeaf(entryOf(index)), index, size, root, proof }));
        assert.deepEqual(proof, inclusionRanges(index, size).map(rangeHashOf(hashesTo(size))));
        assert.deepEqual(await log.entry(index), entryOf(index));
      }
      for (const first of [1, ...sizes, 100, 512].filter((n) => n <= size)) {
        const { size: second, consistency: proof } = await log.prove([], first);
        const firstRoot = merkleRoot(hashesTo(first));
        assert.ok(verifyConsistency({ first, firstRoot, second, secondRoot: root, proof }));
      }
      await log.close();
    }
  });

  it('keeps the index of an entry it has', async () => {
    const log = await EmbeddedLog.open({ directory: fresh(), signer });
    assert.equal(log.checkpoint, null);
    assert.equal(await log.find(entryOf(0)), null);
    assert.deepEqual(
      await Promise.all([log.append(entryOf(0)), log.append(entryOf(0)), log.append(entryOf(1))]),
      [0, 0, 1],
    );
    assert.equal(await log.append(entryOf(1)), 1);
    assert.equal(await log.find(entryOf(1)), 1);
    assert.equal(log.size, 2);
    await log.close();
  });

  it('has one writer', async () => {
    const directory = fresh();
    const log = await EmbeddedLog.open({ directory, signer });
    await assert.rejects(EmbeddedLog.open({ directory, signer }), codeOf('locked'));
    await log.close();
    await (await EmbeddedLog.open({ directory, signer })).close();
  });

  it('refuses what it can not do', async () => {
    const directory = fresh();
    const log = await EmbeddedLog.open({ directory, signer });
    assert.throws(() => log.append(new Uint8Array(70_000)), codeOf('entry_too_large'));
    await log.append(logEntry('open', 'ab'.repeat(32), session));
    await assert.rejects(log.prove([1]), codeOf('unknown_entry'));
    await assert.rejects(log.entry(1), codeOf('unknown_entry'));
    await assert.rejects(log.prove([], 0), codeOf('unknown_entry'));
    await log.append(entryOf(1));
    await log.close();
    assert.throws(() => log.append(entryOf(2)), codeOf('closed'));
    await writeFile(join(directory, 'tile/0/000.p/1'), new Uint8Array(32));
    await assert.rejects(EmbeddedLog.open({ directory, signer }), codeOf('corrupt'));
  });

  it('keeps cosignatures of witnesses, and proves under what they saw as long as that covers the entry', async () => {
    const directory = fresh();
    const log = await EmbeddedLog.open({ directory, signer });
    const signerOf = async (name: string, seed: number) => {
      const { key, sign } = await ed25519NoteSigner(nodeCrypto, name, new Uint8Array(32).fill(seed));
      return { key: { ...key, algorithm: noteAlgorithms.cosignatureV1 } as NoteKey, sign };
    };
    const [one, two] = [await signerOf('one.example', 4), await signerOf('two.example', 5)];
    const signed = async (text: string, ...by: (typeof one)[]) =>
      Promise.all(by.map(async (w) => ({ witness: w.key, signature: await cosign(w, text, 1_700_000_000) })));
    await log.append(entryOf(0));
    await log.append(entryOf(1));
    const first = log.checkpoint!;
    const { note } = parseSignedCheckpoint(first);
    const cosignature = await signed(note.text, one);
    assert.equal(await log.attachCosignatures(nodeCrypto, first, cosignature), true);
    assert.equal(await readFile(join(directory, 'checkpoint'), 'utf8'), log.witnessed.checkpoint);
    assert.equal(await log.attachCosignatures(nodeCrypto, first, cosignature), false, 'nothing new');
    assert.equal(await log.attachCosignatures(nodeCrypto, first, await signed(note.text, one, two)), true);
    const [{ signature, witness }] = cosignature as [(typeof cosignature)[0]];
    const bad = { witness, signature: { ...signature, signature: signature.signature.map((byte) => byte ^ 1) } };
    await assert.rejects(log.attachCosignatures(nodeCrypto, first, [bad]), codeOf('bad_cosignature'));

    await log.append(entryOf(2));
    const covered = await log.prove([0, 1], 1);
    assert.equal(covered.checkpoint, log.witnessed.checkpoint);
    const seen = parseSignedCheckpoint(covered.checkpoint);
    assert.deepEqual(await checkCosignature(nodeCrypto, seen.note, two.key), {
      state: 'good',
      timeSeconds: 1_700_000_000,
    });
    assert.equal(await checkNote(nodeCrypto, seen.note, signer.key), 'good');
    const [, proof = []] = covered.inclusion;
    assert.ok(verifyInclusion({ leafHash: hashLeaf(entryOf(1)), index: 1, size: 2, root: seen.root, proof }));
    assert.equal((await log.prove([1, 2])).checkpoint, log.checkpoint, 'one that nobody cosigned yet');
    const late = log.checkpoint!;
    await log.append(entryOf(3));
    const lateText = parseSignedCheckpoint(late).note.text;
    assert.equal(await log.attachCosignatures(nodeCrypto, late, await signed(lateText, one)), true, 'it has moved on');
    assert.equal(await log.attachCosignatures(nodeCrypto, first, await signed(note.text, one, two)), false, 'older');
    await checkCheckpoint(await readFile(join(directory, 'checkpoint'), 'utf8'), 4);
    await log.close();
    const again = await EmbeddedLog.open({ directory, signer });
    assert.equal(again.witnessed.size, 3);
    await checkCheckpoint(again.checkpoint, 4);
    await again.close();
  });
});

/** A machine whose power can fail before or after any write or commit. */
class Machine {
  readonly files = new Map<string, Uint8Array>();
  readonly leaves = new Map<string, number>();
  readonly checkpoints: string[] = [];
  head: LogHead = { size: 0, root: merkleRoot([]), checkpoint: '', staged: [] };
  witnessed: Witnessed = { size: 0, checkpoint: '' };
  stepsLeft = Number.POSITIVE_INFINITY;

  #step(): void {
    if (this.stepsLeft <= 0) throw new Error('power failed');
    this.stepsLeft -= 1;
  }

  disk(): LogDisk {
    return {
      read: async (path) => this.files.get(path) ?? null,
      write: async (path, bytes) => {
        this.#step();
        this.files.set(path, bytes.slice());
        if (path === 'checkpoint') this.checkpoints.push(Buffer.from(bytes).toString());
        this.#step();
      },
      removeTree: async (path) => {
        for (const name of [...this.files.keys()].filter((file) => file.startsWith(`${path}/`))) {
          this.#step();
          this.files.delete(name);
        }
      },
    };
  }

  heads(): LogHeadStore {
    return {
      load: () => this.head,
      swap: (expected, next, leafHashes) => {
        this.#step();
        const same = equalBytes(expected.root, this.head.root) && expected.checkpoint === this.head.checkpoint;
        if (!same) return false;
        this.head = next;
        for (const [at, hash] of leafHashes.entries())
          this.leaves.set(Buffer.from(hash).toString('hex'), expected.size + at);
        this.#step();
        return true;
      },
      indexOf: (hash) => this.leaves.get(Buffer.from(hash).toString('hex')) ?? null,
      loadWitnessed: () => this.witnessed,
      putWitnessed: (witnessed) => {
        this.witnessed = witnessed;
      },
      close: () => {},
    };
  }

  open(): Promise<EmbeddedLog> {
    return EmbeddedLog.open({ directory: '', signer, disk: this.disk(), heads: this.heads() });
  }
}

/** Opens the log again after a failure, writes on with other entries, and holds every checkpoint ever shown against it. */
async function checkAfterFailure(machine: Machine, answered: Map<number, Uint8Array>, size: number): Promise<void> {
  const log = await machine.open();
  for (let i = log.size; i < size; i += 1) assert.equal(await log.append(utf8(`other ${i}`)), i);
  const entries = await Promise.all(Array.from({ length: size }, (_, i) => log.entry(i)));
  const hashes = entries.map(hashLeaf);
  for (const [index, entry] of answered) assert.deepEqual(entries[index], entry);
  for (const text of [...machine.checkpoints, log.checkpoint!]) {
    const { note, root, size: shown } = parseSignedCheckpoint(text);
    assert.equal(await checkNote(nodeCrypto, note, signer.key), 'good');
    assert.deepEqual(root, merkleRoot(hashes.slice(0, shown)), `the checkpoint of ${shown} entries is of another tree`);
  }
  for (const index of [0, 249, 251, 255, 256, size - 1]) {
    const [proof = []] = (await log.prove([index])).inclusion;
    assert.ok(verifyInclusion({ leafHash: hashes[index]!, index, size, root: merkleRoot(hashes), proof }));
  }
}

describe('a log whose machine fails', () => {
  it('loses no answered entry and never forks, whichever step fails', async () => {
    const start = 250;
    let steps = 0;
    for (let failed = true; failed; steps += 1) {
      const machine = new Machine();
      const before = await machine.open();
      await Promise.all(Array.from({ length: start }, (_, i) => before.append(entryOf(i))));
      machine.stepsLeft = steps;
      const answered = new Map<number, Uint8Array>();
      failed = false;
      try {
        // Batches that fill a tile on the way, so that partial tiles are removed too.
        for (const batch of [[250, 251], [252, 253, 254, 255, 256], [257]]) {
          await Promise.all(batch.map((i) => before.append(entryOf(i))));
          for (const i of batch) answered.set(i, entryOf(i));
        }
      } catch {
        failed = true;
        await assert.rejects(
          before.append(entryOf(999)),
          /power failed/,
          'a log does not go on while its machine fails',
        );
      }
      machine.stepsLeft = Number.POSITIVE_INFINITY;
      await checkAfterFailure(machine, answered, 260);
    }
    assert.ok(steps > 20, `${steps} steps were tried`);
  });

  it('goes on by itself when a full disk has room again, whichever step failed', async () => {
    let steps = 0;
    for (let failed = true; failed; steps += 1) {
      const machine = new Machine();
      const log = await machine.open();
      await Promise.all(Array.from({ length: 254 }, (_, i) => log.append(entryOf(i))));
      machine.stepsLeft = steps;
      const batch = [254, 255, 256].map((i) => entryOf(i));
      failed = await Promise.all(batch.map((entry) => log.append(entry))).then(
        () => false,
        () => true,
      );
      if (failed) await assert.rejects(log.append(entryOf(999)), /power failed/);
      machine.stepsLeft = Number.POSITIVE_INFINITY;
      const indexes = await Promise.all(batch.map((entry) => log.append(entry)));
      await checkAfterFailure(machine, new Map(indexes.map((index, at) => [index, batch[at]!])), 260);
    }
    assert.ok(steps > 5, `${steps} steps were tried`);
  });

  it('writes the files of a batch beside each other, and the checkpoint once all are durable', async () => {
    const machine = new Machine();
    const written: string[] = [];
    const begun = new Set<string>();
    const all = Promise.withResolvers<void>();
    const disk = machine.disk();
    const write: LogDisk['write'] = async (path, bytes) => {
      if (path === 'checkpoint') assert.deepEqual(written.toSorted(), [...begun].sort());
      else {
        begun.add(path);
        // One that waited for the other would wait for ever.
        if (begun.size === 2) all.resolve();
        await all.promise;
        // The one that began first ends last.
        if (begun.values().next().value === path) await new Promise(setImmediate);
      }
      await disk.write(path, bytes);
      written.push(path);
    };
    const heads = machine.heads();
    const log = await EmbeddedLog.open({ directory: '', signer, disk: { ...disk, write }, heads });
    assert.equal(await log.append(entryOf(0)), 0);
    assert.deepEqual(written, ['tile/entries/000.p/1', 'tile/0/000.p/1', 'checkpoint']);
  });

  it('shows nothing of a batch of which one file failed, whichever, and goes on', async () => {
    for (const failing of ['tile/0/000.p/2', 'tile/entries/000.p/2']) {
      const machine = new Machine();
      let full = true;
      const disk = machine.disk();
      const write: LogDisk['write'] = (path, bytes) =>
        full && path === failing ? Promise.reject(new Error('disk full')) : disk.write(path, bytes);
      const heads = machine.heads();
      const log = await EmbeddedLog.open({ directory: '', signer, disk: { ...disk, write }, heads });
      assert.equal(await log.append(entryOf(0)), 0);
      await assert.rejects(log.append(entryOf(1)), /disk full/);
      assert.equal(log.size, 1);
      assert.equal(machine.checkpoints.length, 1);
      full = false;
      assert.equal(await log.append(entryOf(1)), 1);
      await checkAfterFailure(machine, new Map([[1, entryOf(1)]]), 260);
    }
  });

  it('can fail again while it recovers', async () => {
    for (let steps = 0; ; steps += 1) {
      const machine = new Machine();
      const before = await machine.open();
      await Promise.all(Array.from({ length: 250 }, (_, i) => before.append(entryOf(i))));
      // Fails right behind the commit: everything is left to the recovery.
      machine.stepsLeft = 2;
      await assert.rejects(Promise.all([250, 251, 252, 253, 254, 255, 256].map((i) => before.append(entryOf(i)))));
      machine.stepsLeft = steps;
      const recovered = await machine.open().then(
        () => true,
        () => false,
      );
      machine.stepsLeft = Number.POSITIVE_INFINITY;
      await checkAfterFailure(machine, new Map(), 260);
      if (recovered) break;
    }
  });

  it('notices another writer', async () => {
    const machine = new Machine();
    const log = await machine.open();
    const other = await machine.open();
    await log.append(entryOf(0));
    await assert.rejects(other.append(entryOf(1)), codeOf('corrupt'));
  });
});

describe('a log whose process is killed', () => {
  const program = `
    import { EmbeddedLog } from '../src/index.ts';
    import { nodeCrypto } from '@lucid-sessions/node';
    import { ed25519NoteSigner, utf8 } from '@lucid-sessions/evidence';
    const signer = await ed25519NoteSigner(nodeCrypto, 'log.example/test', new Uint8Array(32).fill(3));
    const log = await EmbeddedLog.open({ directory: process.argv[1], signer });
    for (let i = log.size; ; i += 1) { await log.append(utf8('entry ' + i)); console.log(i); }
  `;

  it('has every entry it answered for', async () => {
    const directory = fresh();
    let answered = -1;
    for (const lines of [3, 17, 5]) {
      const child = spawn(process.execPath, ['-e', program, directory], {
        cwd: import.meta.dirname,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const goal = answered + lines;
      let text = '';
      child.stdout.on('data', (part) => {
        text += part;
        answered = Math.max(answered, ...text.split('\n').slice(0, -1).map(Number));
        if (answered >= goal) child.kill('SIGKILL');
      });
      await once(child, 'close');
      const log = await EmbeddedLog.open({ directory, signer });
      assert.ok(log.size > answered, `${log.size} entries, ${answered} answered last`);
      await checkCheckpoint(log.checkpoint, log.size);
      await log.close();
    }
  });

  it('has its head made again beside what the killed process left of the old one', async () => {
    const directory = fresh();
    const child = spawn(process.execPath, ['-e', program, directory], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    const checkpoint = await readCheckpoint(logFilesIn(directory));
    const size = await rebuildLogHead(directory);
    assert.equal(size, checkpoint?.size);
    const log = await EmbeddedLog.open({ directory, signer });
    assert.equal(log.size, size);
    assert.equal(await log.find(utf8(`entry ${size - 1}`)), size - 1);
    assert.equal(await log.find(utf8(`entry ${size}`)), null, 'of the old head');
    await log.close();
  });
});

describe('log entries', () => {
  it('say the kind and the hash of a record and what it is about, nothing else', () => {
    const hash = 'cd'.repeat(32);
    assert.deepEqual(logEntry('manifest', hash, session), fromHex(`4c53523202000000${hash}${session.openSha256}`, 72));
    assert.deepEqual(
      logEntry('open', hash, session),
      fromHex(`4c53523201000000${hash}${toHex(sessionSubject(session.sessionUuid))}`, 72),
    );
    assert.deepEqual(logEntry('manifest', hash, { ...session, logEntries: 1 }), fromHex(`4c53523102000000${hash}`, 40));
  });
});
