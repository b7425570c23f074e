/** Our log and witnesses after C2SP tlog-witness: cosigned soon, one that is down holds nobody up, a rollback is found. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  checkCosignature,
  ed25519NoteSigner,
  formatAddCheckpoint,
  parseCosignatures,
  parseSignedCheckpoint,
  parseTreeSize,
  utf8,
} from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { eventually, LogWitness } from '@lucid-sessions/testkit';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { EmbeddedLog, LogWitnesses } from '../src/index.ts';

const signer = await ed25519NoteSigner(nodeCrypto, 'log.example/witnessed', new Uint8Array(32).fill(3));

async function made(t: TestContext, witnessesCount = 1, everyMs = 5) {
  const directory = await mkdtemp(join(tmpdir(), 'lucid-witness-'));
  const log = await EmbeddedLog.open({ directory, signer });
  const names = Array.from({ length: witnessesCount }, (_, at) => `w${at}.example`);
  const found = await Promise.all(names.map((name, at) => LogWitness.start(name, () => signer.key, 10 + at)));
  const problems: string[] = [];
  const conflicts: string[] = [];
  const witnesses = new LogWitnesses({
    log,
    crypto: nodeCrypto,
    witnesses: found.map(({ key, url }) => ({ key, url })),
    everyMs,
    random: () => 0,
    onProblem: (message) => problems.push(message),
    onConflict: (witness, message) => conflicts.push(`${witness}: ${message}`),
  });
  t.after(async () => {
    await witnesses.dispose();
    for (const witness of found) await witness.stop();
    await log.close().catch(() => {});
    await rm(directory, { recursive: true });
  });
  const append = async (count: number) => {
    for (let i = 0; i < count; i += 1) await log.append(utf8(`entry ${log.size}`));
  };
  const cosigners = async () => {
    if (log.witnessed.size === 0) return 0;
    const { note } = parseSignedCheckpoint(log.witnessed.checkpoint);
    const checks = await Promise.all(found.map(({ key }) => checkCosignature(nodeCrypto, note, key)));
    return checks.filter(({ state }) => state === 'good').length;
  };
  return { directory, log, found, witnesses, problems, conflicts, append, cosigners };
}

test('checkpoints are cosigned as the log grows, with proofs that it only grew', async (t) => {
  const { log, found, witnesses, append, cosigners, problems } = await made(t, 2);
  witnesses.start();
  for (const count of [1, 2, 300]) {
    await append(count);
    await eventually('cosignatures', async () => log.witnessed.size === log.size && (await cosigners()) === 2);
  }
  assert.equal(found[0]!.knownSize, 303);
  const asked = found[0]!.requestsCount;
  await witnesses.round();
  assert.equal(found[0]!.requestsCount, asked, 'nothing new: nobody is asked');
  assert.deepEqual(problems, []);
});

test('a restarted log finds out what the witness knows', async (t) => {
  const { log, found, append, directory, witnesses } = await made(t);
  await append(5);
  await witnesses.round();
  await append(4);
  await log.close();
  const again = await EmbeddedLog.open({ directory, signer });
  t.after(() => again.close());
  const { key, url } = found[0]!;
  const fresh = new LogWitnesses({
    log: again,
    crypto: nodeCrypto,
    witnesses: [{ key, url }],
    everyMs: 5,
    onProblem: assert.fail,
    onConflict: assert.fail,
  });
  await fresh.round();
  assert.equal(again.witnessed.size, 9);
});

test('one that is down, slow of wit or lying holds nobody up, and is asked again', async (t) => {
  const { log, found, witnesses, append, cosigners, problems, conflicts } = await made(t, 2);
  const [good, bad] = found as [LogWitness, LogWitness];
  await append(1);
  bad.nextAnswers.push(
    'drop',
    { status: 500, text: '' },
    { status: 200, text: 'no signature\n' },
    { status: 200, text: '— other.example AAAAAAAA\n' },
    { status: 200, text: 'x'.repeat(100_000) },
    { status: 409, text: 'many' },
  );
  const { length } = bad.nextAnswers;
  for (let i = 0; i < length; i += 1) {
    await witnesses.round();
    assert.equal(await cosigners(), 1);
  }
  assert.equal(problems.length, 1, 'said once');
  await witnesses.round();
  assert.equal(await cosigners(), 2, 'what the other one said before is kept');
  assert.equal(good.requestsCount, 1);
  assert.deepEqual(conflicts, []);
  assert.equal(log.witnessed.size, 1);
});

test('a signature that is not one is not kept', async (t) => {
  const { log, found, witnesses, append } = await made(t);
  await append(1);
  const { key } = found[0]!;
  const line = parseCosignaturesLine(key.name);
  found[0]!.nextAnswers.push({ status: 200, text: line(found[0]!) });
  await assert.rejects(witnesses.round(), /does not check out/);
  assert.equal(log.witnessed.size, 0);
});

/** A well-formed line under the witness's name and key hash with a signature of nothing. */
const parseCosignaturesLine = (name: string) => (witness: LogWitness) => {
  const [, hash = ''] = witness.setting.split(' ')[0]!.split('+');
  return `— ${name} ${Buffer.concat([Buffer.from(hash, 'hex'), Buffer.alloc(72)]).toString('base64')}\n`;
};

test('a log that was rolled back, or another one under its key, is an alarm', async (t) => {
  const { log, found, witnesses, append, conflicts, directory } = await made(t);
  await append(6);
  await witnesses.round();
  const { key, url } = found[0]!;
  const other = async (entries: string[]) => {
    const path = `${directory}-${entries.length}`;
    t.after(() => rm(path, { recursive: true }));
    const fork = await EmbeddedLog.open({ directory: path, signer });
    t.after(() => fork.close());
    for (const entry of entries) await fork.append(utf8(entry));
    const watching = new LogWitnesses({
      log: fork,
      crypto: nodeCrypto,
      witnesses: [{ key, url }],
      everyMs: 5,
      onProblem: assert.fail,
      onConflict: (_, message) => conflicts.push(message),
    });
    await watching.round();
    return fork.witnessed.size;
  };
  assert.equal(await other(['entry 0', 'entry 1']), 0);
  assert.equal(await other(['entry 0', 'x', 'y', 'z', '4', '5', '6']), 0);
  assert.equal(await other(['entry 0', 'x', 'y', 'z', '4', '5']), 0);
  assert.match(conflicts[0] ?? '', /knows a log of 6 entries, ours has 2/);
  assert.match(conflicts[1] ?? '', /does not extend the one it knows/);
  assert.match(conflicts[2] ?? '', /another log of 6 entries/);
  assert.equal(log.witnessed.size, 6);
});

describe('what a witness is sent and answers', () => {
  test('has one form', () => {
    assert.equal(formatAddCheckpoint(0, [], 'note'), 'old 0\n\nnote');
    assert.equal(formatAddCheckpoint(7, [Uint8Array.of(1, 2)], 'note'), 'old 7\nAQI=\n\nnote');
    assert.equal(parseTreeSize('12\n'), 12);
    for (const bad of ['', '12', '012\n', '-1\n', '9'.repeat(17)]) assert.throws(() => parseTreeSize(bad), DecodeError);
  });

  test('any other answer is a DecodeError or no signature of it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          assert.deepEqual(parseCosignatures(text, { ...signer.key, name: 'w' }), []);
        } catch (error) {
          assert.ok(error instanceof DecodeError);
        }
      }),
    );
  });
});
