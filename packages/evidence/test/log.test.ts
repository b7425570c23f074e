import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  checkCosignature,
  checkNote,
  completeSubtrees,
  consistencyRanges,
  cosign,
  decodeEntries,
  ed25519NoteSigner,
  encodeEntries,
  entriesPath,
  formatCheckpoint,
  formatLogProof,
  formatNote,
  formatNoteKey,
  hashLeaf,
  inclusionRanges,
  merkleRoot,
  type NoteKey,
  narrowing,
  noteAlgorithms,
  parseCheckpoint,
  parseLogProof,
  parseNote,
  parseNoteKey,
  parseSignedCheckpoint,
  rangeHashOf,
  signCheckpoint,
  signNote,
  TileEdge,
  tilePath,
  tileRangeHash,
  tileWidth,
  utf8,
} from '../src/index.ts';

const signer = await ed25519NoteSigner(nodeCrypto, 'PeterNeumann', new Uint8Array(32).fill(1));
const root = hashLeaf(utf8('x'));

describe('signed notes', () => {
  it("read the example of Go's note package", async () => {
    const key = parseNoteKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    const text =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const note = parseNote(
      `${text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`,
    );
    assert.equal(note.text, text);
    assert.equal(await checkNote(nodeCrypto, note, key), 'good');
    assert.equal(await checkNote(nodeCrypto, { ...note, text: `${text}more\n` }, key), 'bad');
    assert.equal(await checkNote(nodeCrypto, note, signer.key), 'absent');
    assert.equal(formatNoteKey(key), 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
  });

  it('come back as written', async () => {
    const note = {
      text: 'a\n\nb\n',
      signatures: [await signNote(signer, 'a\n\nb\n'), await signNote(signer, 'other\n')],
    };
    assert.deepEqual(parseNote(formatNote(note)), note);
    assert.equal(await checkNote(nodeCrypto, note, signer.key), 'bad');
    assert.deepEqual(parseNoteKey(formatNoteKey(signer.key)), signer.key);
  });

  it('are refused when malformed', async () => {
    const good = formatNote({ text: 'a\n', signatures: [await signNote(signer, 'a\n')] });
    parseNote(good);
    for (const bad of [
      '',
      'a\n',
      'a\n\n',
      good.slice(0, -1),
      good.replace('— ', '- '),
      good.replace('a', 'a\u0001'),
      good.replace('— PeterNeumann', '— Peter+Neumann'),
      'a\n\n— name AAAA\n',
      'a\n\n— name !\n',
      `a\n\n${'— name AAAAAAAA\n'.repeat(101)}`,
      'x'.repeat(1_000_001),
    ])
      assert.throws(() => parseNote(bad), DecodeError, JSON.stringify(bad.slice(0, 60)));
    assert.throws(() => parseNote(Uint8Array.of(0xff)), DecodeError);
    await assert.rejects(signNote(signer, 'no newline'), DecodeError);
  });

  it('refuse keys that are not well formed', async () => {
    const good = formatNoteKey(signer.key);
    for (const bad of [
      '',
      'a+b',
      good.replace('+', '+0'),
      good.slice(0, -4),
      `X${good}`,
      'a b+00000000+AQ==',
      'n+00000000+Ag==',
    ])
      assert.throws(() => parseNoteKey(bad), DecodeError, bad);
    await assert.rejects(ed25519NoteSigner(nodeCrypto, 'with space', new Uint8Array(32)), DecodeError);
  });
});

describe('checkpoints', () => {
  it('come back as written', async () => {
    const text = await signCheckpoint(signer, 12, root);
    const { note, ...checkpoint } = parseSignedCheckpoint(text);
    assert.deepEqual(checkpoint, { origin: 'PeterNeumann', size: 12, root, extensions: [] });
    assert.equal(await checkNote(nodeCrypto, note, signer.key), 'good');
    const more = { ...checkpoint, extensions: ['one', 'two'] };
    assert.deepEqual(parseCheckpoint(formatCheckpoint(more)), more);
  });

  it('are refused when malformed', () => {
    const good = formatCheckpoint({ origin: 'o', size: 12, root, extensions: [] });
    for (const bad of [
      good.slice(0, -1),
      good.replace('12', '012'),
      good.replace('12', '-1'),
      good.replace('12', '9007199254740992'),
      good.replace('o\n', '\n'),
      'o\n1\n',
      'o\n1\nAAAA\n',
      `${good}\n`,
      `${good}${'x\n'.repeat(17)}`,
    ])
      assert.throws(() => parseCheckpoint(bad), DecodeError, bad);
  });
});

describe('cosignatures', () => {
  const text = formatCheckpoint({ origin: 'o', size: 12, root, extensions: [] });
  const key: NoteKey = { ...signer.key, algorithm: noteAlgorithms.cosignatureV1 };
  const witness = { key, sign: signer.sign };

  it('tell when a witness saw the checkpoint', async () => {
    const signatures = [await cosign(witness, text, 900), await cosign(witness, text, 800)];
    const note = parseNote(formatNote({ text, signatures }));
    assert.deepEqual(await checkCosignature(nodeCrypto, note, key), { state: 'good', timeSeconds: 800 });
    assert.deepEqual(await checkCosignature(nodeCrypto, { ...note, text: `${text}x\n` }, key), { state: 'bad' });
    assert.deepEqual(await checkCosignature(nodeCrypto, note, signer.key), { state: 'absent' });
  });

  it('are refused with another time, length or an absurd time', async () => {
    const good = await cosign(witness, text, 900);
    const change = (at: number, value: number) => good.signature.map((byte, i) => (i === at ? value : byte));
    for (const signature of [change(7, 1), change(0, 1), good.signature.slice(1)])
      assert.deepEqual(await checkCosignature(nodeCrypto, { text, signatures: [{ ...good, signature }] }, key), {
        state: 'bad',
      });
  });
});

describe('log proofs', () => {
  const proof = { index: 7, hashes: [root, hashLeaf(utf8('y'))], checkpoint: 'o\n12\n…\n\n— o AAAAAAAA\n' };

  it('come back as written', () => {
    assert.deepEqual(parseLogProof(formatLogProof(proof)), proof);
    assert.deepEqual(parseLogProof(utf8(formatLogProof({ ...proof, hashes: [] }))), { ...proof, hashes: [] });
    assert.deepEqual(parseLogProof(formatLogProof(proof).replace('\nindex', '\nextra AAAA\nindex')), proof);
  });

  it('are refused when malformed', () => {
    const good = formatLogProof(proof);
    for (const bad of [
      '',
      good.replace('@v1', '@v2'),
      good.replace('index 7', 'index 07'),
      good.replace('index 7\n', ''),
      good.replace('index 7', 'index 9007199254740992'),
      good.replace('\nindex', '\nextra !\nindex'),
      good.replace('7\n', '7\nAAAA\n'),
      formatLogProof({ ...proof, hashes: Array<Uint8Array>(65).fill(root) }),
      'x'.repeat(1_100_000),
    ])
      assert.throws(() => parseLogProof(bad), DecodeError, bad.slice(0, 60));
  });
});

describe('tiles', () => {
  it('have the paths of C2SP tlog-tiles', () => {
    assert.equal(tilePath(0, 0, 256), 'tile/0/000');
    assert.equal(tilePath(1, 1234067, 256), 'tile/1/x001/x234/067');
    assert.equal(tilePath(0, 273, 112), 'tile/0/273.p/112');
    assert.equal(entriesPath(1000, 1), 'tile/entries/x001/000.p/1');
    assert.equal(tileWidth(0, 273, 70_000), 112);
    assert.equal(tileWidth(1, 1, 70_000), 17);
    assert.equal(tileWidth(2, 0, 70_000), 1);
    assert.equal(tileWidth(0, 274, 70_000), 0);
  });

  it('hold entries with a length before each', () => {
    const entries = [utf8('ab'), new Uint8Array(0), utf8('c')];
    assert.deepEqual(decodeEntries(encodeEntries(entries)), entries);
    assert.deepEqual(encodeEntries(entries), Uint8Array.of(0, 2, 97, 98, 0, 0, 0, 1, 99));
    assert.throws(() => decodeEntries(Uint8Array.of(0, 2, 1)), DecodeError);
    assert.throws(() => decodeEntries(new Uint8Array(514)), DecodeError);
  });

  it('give every hash of the tree, however it was appended', async () => {
    // 65,536 + a bit, so that a level 2 tile comes up. Hash work is kept down by making leaves from their number.
    const size = 65_536 + 300;
    const all = Array.from({ length: size }, (_, i) => ({ bytes: Uint8Array.of(i), leafHash: leafOf(i) }));
    const files = new Map<string, Uint8Array>();
    let edge = TileEdge.empty();
    for (const end of [1, 200, 256, 300, 1000, 65_530, 65_537, size]) {
      const next = edge.append(all.slice(edge.size, end));
      for (const { path, bytes } of next.files) files.set(path, bytes);
      edge = next.edge;
      assert.deepEqual((await TileEdge.restore(end, (path) => files.get(path) ?? null)).root, edge.root);
    }
    const hashes = all.map(({ leafHash }) => leafHash);
    assert.deepEqual(edge.root, merkleRoot(hashes));
    const read = tileRangeHash(size, (path) => files.get(path) ?? null);
    const expected = rangeHashOf(hashes);
    for (const range of [
      ...inclusionRanges(65_535, size),
      ...inclusionRanges(65_600, size),
      ...consistencyRanges(1000, size),
    ])
      assert.deepEqual(await read(range), expected(range), JSON.stringify(range));
    assert.ok(files.has('tile/2/000.p/1'));
    await assert.rejects(
      TileEdge.restore(size, () => null),
      DecodeError,
    );
    await assert.rejects(
      TileEdge.restore(1, (path) => (path.includes('entries') ? new Uint8Array(0) : new Uint8Array(32))),
      DecodeError,
    );
    await assert.rejects(tileRangeHash(size, () => null)({ start: 0, end: 1 }), DecodeError);
    await assert.rejects(tileRangeHash(size, () => new Uint8Array(1))({ start: 0, end: 1 }), DecodeError);
  });

  it('are found in the full tile when the partial one is gone', async () => {
    const hashes = new Uint8Array(256 * 32).map((_, i) => i);
    const entries = Array.from({ length: 256 }, (_, i) => Uint8Array.of(i));
    const read = narrowing((path) =>
      path === 'tile/0/000' ? hashes : path === 'tile/entries/000' ? encodeEntries(entries) : null,
    );
    assert.deepEqual(await read('tile/0/000.p/3'), hashes.slice(0, 96));
    assert.deepEqual(decodeEntries((await read('tile/entries/000.p/3'))!), entries.slice(0, 3));
    assert.deepEqual(await read('tile/0/000'), hashes);
    assert.equal(await read('tile/0/001.p/3'), null);
    assert.equal(await read('tile/0/001'), null);
  });

  it('split any range into complete subtrees', () => {
    fc.assert(
      fc.property(fc.nat(5000), (end) => {
        const parts = completeSubtrees({ start: 0, end });
        const starts = parts.map(({ start }) => start);
        assert.deepEqual([...starts, end], [0, ...parts.map((part) => part.end)].slice(0, parts.length + 1));
        for (const part of parts) assert.equal(part.start % (part.end - part.start), 0);
      }),
    );
  });
});

function leafOf(number: number): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}
