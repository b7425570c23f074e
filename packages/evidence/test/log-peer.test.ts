import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { EmbeddedLog } from '@lucid-sessions/log';
import { nodeCrypto } from '@lucid-sessions/node';
import { ed25519NoteSigner, formatNoteKey, hashLeaf, merkleRoot, toBase64, toHex, utf8 } from '../src/index.ts';

/** Where Debian's golang-golang-x-mod-dev puts its sources; GOPATH mode needs no network. */
const GOCODE = '/usr/share/gocode';
const environment = {
  ...process.env,
  GO111MODULE: 'off',
  GOFLAGS: '',
  GOPATH: [process.env.GOPATH, GOCODE].filter(Boolean).join(delimiter),
};
const hasGo = spawnSync('go', ['version']).status === 0;
const hasPackage = existsSync(join(GOCODE, 'src/golang.org/x/mod/sumdb/tlog'));
const missing = !hasGo
  ? 'go is not installed'
  : hasPackage
    ? false
    : 'golang.org/x/mod is not installed (Debian: golang-golang-x-mod-dev)';
const skip = missing !== false && process.env.REQUIRE_PEERS !== '1' ? missing : false;

interface Answer {
  Checkpoint: string;
  Records: string[] | null;
  Trees: string[] | null;
  Tiles: string;
  Proofs: string[][] | null;
}

/** Two tiles, the second one partial. */
const SIZE = 346;
const entryOf = (number: number): Uint8Array => utf8(`entry ${number}`);
const leaves = Array.from({ length: SIZE }, (_, i) => hashLeaf(entryOf(i)));
const signer = await ed25519NoteSigner(nodeCrypto, 'log.example/peer', new Uint8Array(32).fill(5));
const flip = (base64: string): string => `${base64[0] === 'A' ? 'B' : 'A'}${base64.slice(1)}`;

describe('golang.org/x/mod/sumdb', { skip }, () => {
  let folder = '';
  let log: EmbeddedLog;
  let binary = '';
  before(async () => {
    assert.equal(missing, false, 'REQUIRE_PEERS=1 and a peer is missing');
    folder = await mkdtemp(join(tmpdir(), 'lucid-go-'));
    binary = join(folder, 'logcheck');
    const source = join(import.meta.dirname, 'go/logcheck/main.go');
    const build = spawnSync('go', ['build', '-o', binary, source], { env: environment, encoding: 'utf8' });
    assert.equal(build.status, 0, build.stderr);
    log = await EmbeddedLog.open({ directory: join(folder, 'log'), signer });
    for (let i = 0; i < SIZE; i += 100)
      await Promise.all(leaves.slice(i, i + 100).map((_, at) => log.append(entryOf(i + at))));
  });
  after(async () => {
    await log?.close();
    if (folder !== '') await rm(folder, { recursive: true });
  });

  const ask = (input: object): Answer => {
    const run = spawnSync(binary, { input: JSON.stringify(input), encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    return JSON.parse(run.stdout) as Answer;
  };
  const records = async (indices: number[]) =>
    Promise.all(
      indices.map(async (index) => ({
        Index: index,
        Hash: toBase64(leaves[index]!),
        Proof: (await log.prove([index])).inclusion.flat().map(toBase64),
      })),
    );
  const trees = async (sizes: number[]) =>
    Promise.all(
      sizes.map(async (size) => ({
        Size: size,
        Hash: toBase64(merkleRoot(leaves.slice(0, size))),
        Proof: (await log.prove([], size)).consistency.map(toBase64),
      })),
    );
  const head = () => ({ Vkey: formatNoteKey(signer.key), Checkpoint: log.checkpoint });

  it('accepts our checkpoints, proofs and tiles, and proves the same', async () => {
    const list = await records([0, 1, 127, 255, 256, 300, SIZE - 1]);
    const answer = ask({
      ...head(),
      Records: list,
      Trees: await trees([1, 2, 100, 255, 256, 257, SIZE]),
      Directory: join(folder, 'log'),
    });
    assert.equal(answer.Checkpoint, '');
    assert.deepEqual(answer.Records, Array(7).fill(''));
    assert.deepEqual(answer.Trees, Array(7).fill(''));
    assert.equal(answer.Tiles, toHex(merkleRoot(leaves)));
    assert.deepEqual(
      answer.Proofs,
      list.map(({ Proof }) => Proof),
    );
  });

  it('refuses tampered ones', async () => {
    const checkpoint = log.checkpoint!;
    for (const bad of [
      checkpoint.replace(`\n${SIZE}\n`, `\n${SIZE - 1}\n`),
      checkpoint.replace('log.example/peer\n', 'log.example/other\n'),
      checkpoint.replace(/ (\S+)\n$/, (_, text: string) => ` ${text.slice(0, 20)}${flip(text.slice(20))}\n`),
    ])
      assert.notEqual(ask({ ...head(), Checkpoint: bad }).Checkpoint, '');
    const [record] = await records([300]);
    const [tree] = await trees([200]);
    const answer = ask({
      ...head(),
      Records: [
        { ...record, Index: 299 },
        { ...record, Proof: record!.Proof.map((hash, at) => (at === 2 ? flip(hash) : hash)) },
        { ...record, Proof: record!.Proof.slice(1) },
      ],
      Trees: [
        { ...tree, Size: 199 },
        { ...tree, Hash: flip(tree!.Hash) },
        { ...tree, Proof: tree!.Proof.slice(1) },
      ],
    });
    assert.equal(answer.Checkpoint, '');
    assert.ok(answer.Records!.every((text) => text !== ''));
    assert.ok(answer.Trees!.every((text) => text !== ''));
  });
});
