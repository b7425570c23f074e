import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { AgeUnwrapper, AgeWrapper, KeyDirectory, type KeyError, KeyLock, makeAgeIdentity } from '../src/index.ts';

function fresh(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-lock-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const inUse = (error: KeyError) => error.code === 'in_use';

test('services share the lock, rotation takes it alone', (t) => {
  const directory = fresh(t);
  const [a, b] = [KeyLock.share(directory), KeyLock.share(directory)];
  assert.equal(statSync(join(directory, 'lock.sqlite')).mode & 0o077, 0);
  assert.throws(() => KeyLock.take(directory), inUse);
  a.release();
  assert.throws(() => KeyLock.take(directory), inUse);
  b.release();
  const alone = KeyLock.take(directory);
  assert.throws(() => KeyLock.share(directory), inUse);
  assert.throws(() => KeyLock.take(directory), inUse);
  alone.release();
  KeyLock.share(directory).release();
});

test('a lock ends with the process that held it, however it ended', async (t) => {
  const directory = fresh(t);
  const script = join(directory, 'holder.ts');
  const source = new URL('../src/index.ts', import.meta.url).href;
  writeFileSync(
    script,
    `import { KeyLock } from ${JSON.stringify(source)};
     globalThis.lock = KeyLock.share(process.argv[2]);
     process.send('held');
     setInterval(() => {}, 1000);`,
  );
  const holder = fork(script, [directory]);
  t.after(() => holder.kill('SIGKILL'));
  await once(holder, 'message');
  assert.throws(() => KeyLock.take(directory), inUse);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  KeyLock.take(directory).release();
});

test('a retired identity keeps the time it was retired, and the policy says it', async (t) => {
  const directory = join(fresh(t), 'keys');
  const keys = await KeyDirectory.open(directory);
  await keys.identity();
  await keys.rotateIdentity();
  await keys.rotateIdentity(1_800_000_000_000_000);
  const { identity_keys: exported } = await keys.exportPublic('log.example/a');
  assert.deepEqual(exported.map(({ valid_to_us }) => valid_to_us ?? null).sort(), [1_800_000_000_000_000, null, null]);
  assert.ok(exported.every(({ key }) => /^ed25519:[A-Za-z0-9+/=]{44}$/.test(key)));
});

test('a new age identity opens what is wrapped to its recipient', async () => {
  const { identity, recipient } = await makeAgeIdentity();
  const dek = new Uint8Array(32).fill(7);
  const wrap = await new AgeWrapper(recipient).wrap(dek, 'ab'.repeat(16));
  assert.deepEqual(await new AgeUnwrapper(identity).unwrap(wrap), dek);
});
