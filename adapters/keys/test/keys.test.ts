import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  checkNote,
  checkRecord,
  formatNoteKey,
  keyIdOf,
  parseNoteKey,
  parsePublicKey,
  readRecord,
  recordBase,
  signNote,
  signRecord,
  spkiOf,
} from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import {
  AgeUnwrapper,
  AgeWrapper,
  KeyDirectory,
  KeyError,
  type KeyInfo,
  LocalSeal,
  LocalUnwrapper,
  LocalWrapper,
  rewrapDek,
  unwrapDek,
  WrapError,
  wrapDek,
} from '../src/index.ts';

const folder = await mkdtemp(join(tmpdir(), 'lucid-keys-'));
after(() => rm(folder, { recursive: true }));
let made = 0;
const fresh = (): string => {
  made += 1;
  return join(folder, `keys-${made}`);
};
const codeOf = (code: string) => (error: unknown) => error instanceof KeyError && error.code === code;

describe('sealed secrets', () => {
  it('open under their name and key alone, whatever is done to them', async () => {
    const path = fresh();
    const seal = new LocalSeal(await (await KeyDirectory.open(path)).secretsKey());
    const secret = new TextEncoder().encode('pässword of the target');
    const sealed = await seal.seal('session-1 target', secret);
    assert.deepEqual(
      await new LocalSeal(await (await KeyDirectory.open(path)).secretsKey()).open('session-1 target', sealed),
      secret,
    );
    assert.notDeepEqual(await seal.seal('session-1 target', secret), sealed);
    assert.equal(Buffer.from(sealed).includes(Buffer.from(secret)), false);
    assert.equal(await seal.open('session-2 target', sealed), null);
    const other = new LocalSeal(await (await KeyDirectory.open(fresh())).secretsKey());
    assert.equal(await other.open('session-1 target', sealed), null);
    for (const length of [0, 11, 12, 27, sealed.length - 1])
      assert.equal(await seal.open('session-1 target', sealed.subarray(0, length)), null);
    for (const at of [0, 12, sealed.length - 1]) {
      const bent = sealed.slice();
      bent[at]! ^= 1;
      assert.equal(await seal.open('session-1 target', bent), null);
    }
  });

  it('have a key of their own, which the list of keys names and never shows', async () => {
    const keys = await KeyDirectory.open(fresh());
    const [secrets, local] = [await keys.secretsKey(), await keys.localKey()];
    assert.notDeepEqual(secrets.bytes, local.bytes);
    const listed = (await keys.list('log.example/a')).find(({ purpose }) => purpose === 'secrets');
    assert.equal(listed?.keyId, secrets.keyId);
    assert.equal(listed?.publicKey, null);
  });
});

describe('key directory', () => {
  it('makes each key once, for its owner only', async () => {
    const path = fresh();
    const first = await KeyDirectory.open(path);
    const [identity, log, local] = [
      await first.identity(),
      await first.logSigner('log.example/a'),
      await first.localKey(),
    ];
    const again = await KeyDirectory.open(path);
    assert.deepEqual((await again.identity()).publicKey, identity.publicKey);
    assert.deepEqual((await again.logSigner('log.example/a')).key, log.key);
    assert.deepEqual(await again.localKey(), local);
    assert.equal((await stat(path)).mode & 0o777, 0o700);
    assert.deepEqual((await readdir(path)).sort(), [
      'identity.created',
      'identity.pem',
      'local.created',
      'local.key',
      'log.created',
      'log.pem',
    ]);
    for (const name of await readdir(path)) assert.equal((await stat(join(path, name))).mode & 0o777, 0o600);
  });

  it('signs what the verifier checks', async () => {
    const keys = await KeyDirectory.open(fresh());
    const signer = await keys.identity();
    const body = {
      ...recordBase('erase', 's'),
      at_us: 1,
      actor: 'a',
      reason: 'r',
      erased: 'keys',
      dek_id: null,
      merkle_root: null,
    } as const;
    const record = readRecord(await signRecord(signer, body));
    assert.equal((await checkRecord(nodeCrypto, record, [signer.publicKey])).finding, null);
    const note = await keys.logSigner('log.example/a');
    const signatures = [await signNote(note, 'text\n')];
    assert.equal(await checkNote(nodeCrypto, { text: 'text\n', signatures }, note.key), 'good');
    assert.equal(
      createPublicKey({ key: Buffer.from(spkiOf(signer.publicKey)), format: 'der', type: 'spki' }).type,
      'public',
    );
  });

  it('refuses keys that others may read, and files that hold no key', async () => {
    const path = fresh();
    const keys = await KeyDirectory.open(path);
    await keys.identity();
    await chmod(join(path, 'identity.pem'), 0o640);
    await assert.rejects(keys.identity(), codeOf('too_open'));
    await chmod(path, 0o755);
    await assert.rejects(KeyDirectory.open(path), codeOf('too_open'));
    await writeFile(join(path, 'log.pem'), 'nothing', { mode: 0o600 });
    await assert.rejects(keys.logSigner('x'), codeOf('malformed'));
    for (const text of ['nothing', 'lucid-local-key-1:AAAA']) {
      await writeFile(join(path, 'local.key'), text, { mode: 0o600 });
      await assert.rejects(keys.localKey(), codeOf('malformed'));
    }
  });

  it('knows when keys were made, whatever became of their files, and says where it does not', async () => {
    const path = fresh();
    const before = Date.now();
    const keys = await KeyDirectory.open(path);
    await keys.makeAll('log.example');
    const after = Date.now();
    const old = new Date('2001-01-01T00:00:00Z');
    for (const name of await readdir(path)) await utimes(join(path, name), old, old);
    const ages = async (): Promise<string[]> =>
      (await keys.list('log.example')).map(({ purpose, retired, createdAt, createdFrom }) => {
        const inTime = createdAt.getTime() >= before && createdAt.getTime() <= after;
        return `${purpose}${retired ? ' retired' : ''} ${createdFrom} ${inTime ? 'then' : createdAt.getTime() > after ? 'later' : 'before'}`;
      });
    const all = ['identity', 'log', 'local', 'secrets', 'accounts'];
    assert.deepEqual(
      await ages(),
      all.map((purpose) => `${purpose} recorded then`),
    );
    await new Promise((resolve) => setTimeout(resolve, 2));
    await keys.rotateIdentity(1);
    await keys.rotateLocalKey();
    assert.deepEqual(await ages(), [
      'identity recorded later',
      'log recorded then',
      'local recorded later',
      'secrets recorded then',
      'accounts recorded then',
      'identity retired recorded then',
      'local retired recorded then',
    ]);
    // One that was put in another's place, and one of a program that wrote nothing down.
    await copyFile(join(path, 'identity.created'), join(path, 'log.created'));
    await rm(join(path, 'secrets.created'));
    assert.deepEqual((await ages()).slice(1, 4), ['log file before', 'local recorded later', 'secrets file before']);
  });

  it('lists, rotates and exports', async () => {
    const path = fresh();
    const keys = await KeyDirectory.open(path);
    assert.deepEqual(await keys.list('log.example/a'), []);
    await keys.logSigner('log.example/a');
    const { before, after: now } = await keys.rotateIdentity();
    const local = await keys.rotateLocalKey();
    const list = await keys.list('log.example/a');
    assert.deepEqual(
      list.map(({ purpose, keyId, retired }) => [purpose, purpose === 'log' ? '' : keyId, retired]),
      [
        ['identity', keyIdOf(now), false],
        ['log', '', false],
        ['local', local.after, false],
        ['identity', keyIdOf(before), true],
        ['local', local.before, true],
      ],
    );
    const exported = await keys.exportPublic('log.example/a');
    assert.deepEqual(
      exported.identity_keys.map(({ key }) => keyIdOf(parsePublicKey(key))),
      [keyIdOf(now), keyIdOf(before)],
    );
    assert.equal(formatNoteKey(parseNoteKey(exported.log_keys[0]!)), exported.log_keys[0]);
    assert.doesNotMatch(JSON.stringify(exported), /PRIVATE|local/);
    const retired = await readdir(join(path, 'retired'));
    assert.ok(!(await readFile(join(path, 'retired', retired[0]!), 'utf8')).includes('PRIVATE'));
  });

  it('reads a directory that was given as it is mounted, and makes nothing there', async () => {
    const made = fresh();
    const keys = await KeyDirectory.open(made);
    await keys.makeAll('log.example/a');
    const [identity, local] = [await keys.rotateIdentity(5), await keys.rotateLocalKey()];
    const mounted = fresh();
    await mkdir(mounted);
    const names = [
      ...(await readdir(made)),
      ...(await readdir(join(made, 'retired'))).map((name) => join('retired', name)),
    ];
    const files = names.filter((name) => /\.(?:pub|key)$/.test(name) && name !== 'secrets.key');
    for (const name of files) {
      await copyFile(join(made, name), join(mounted, basename(name)));
      await chmod(join(mounted, basename(name)), 0o440);
    }
    await chmod(mounted, 0o755);
    const given = await KeyDirectory.open(mounted, { given: true });
    const rows = ({ purpose, publicKey, keyId, retired, retiredUs }: KeyInfo) => [
      purpose,
      publicKey,
      keyId,
      retired,
      retiredUs,
    ];
    const all = (await keys.list('log.example/a')).filter(({ purpose }) => purpose !== 'secrets');
    assert.deepEqual((await given.list('log.example/a')).map(rows), all.map(rows));
    assert.deepEqual(await given.exportPublic('log.example/a'), await keys.exportPublic('log.example/a'));
    assert.equal(
      keyIdOf(parsePublicKey((await readFile(join(mounted, 'identity.pub'), 'utf8')).trim())),
      keyIdOf(identity.after),
    );
    assert.deepEqual(
      (await given.localKeys()).map(({ keyId }) => keyId),
      [local.after, local.before],
    );
    const missing = [() => given.identity(), () => given.logSigner('log.example/a'), () => given.secretsKey()];
    for (const ask of missing) await assert.rejects(ask, codeOf('missing'));
    assert.deepEqual((await readdir(mounted)).sort(), files.map((name) => basename(name)).sort());
    for (const mode of [0o444, 0o460]) {
      await chmod(join(mounted, 'local.key'), mode);
      await assert.rejects(given.localKey(), codeOf('too_open'));
    }
  });

  it('opens old wraps after rotation until the old key is dropped', async () => {
    const keys = await KeyDirectory.open(fresh());
    const dek = nodeCrypto.randomBytes(32);
    const wraps = await wrapDek(dek, 'k', [new LocalWrapper(await keys.localKey())]);
    const { before } = await keys.rotateLocalKey();
    assert.deepEqual(await unwrapDek(wraps, [new LocalUnwrapper(await keys.localKeys())]), dek);
    await keys.dropLocalKey(before);
    assert.equal(await unwrapDek(wraps, [new LocalUnwrapper(await keys.localKeys())]), null);
    await assert.rejects(keys.dropLocalKey(before), codeOf('missing'));
  });
});

describe('key wraps', () => {
  const dek = nodeCrypto.randomBytes(32);
  const local = { keyId: 'aa', bytes: nodeCrypto.randomBytes(32) };

  it('open for their recipient only', async () => {
    const identity = await generateX25519Identity();
    const stranger = await generateX25519Identity();
    const wraps = await wrapDek(dek, 'k1', [
      new AgeWrapper(await identityToRecipient(identity)),
      new LocalWrapper(local),
    ]);
    assert.deepEqual(
      wraps.map(({ scheme }) => scheme),
      ['age', 'local'],
    );
    assert.deepEqual(await unwrapDek(wraps.slice(0, 1), [new AgeUnwrapper(identity)]), dek);
    assert.deepEqual(await unwrapDek(wraps, [new AgeUnwrapper(stranger), new LocalUnwrapper([local])]), dek);
    assert.equal(await unwrapDek(wraps, [new AgeUnwrapper(stranger), new LocalUnwrapper([])]), null);
    assert.equal(await unwrapDek([], [new LocalUnwrapper([local])]), null);
  });

  it('do not open when damaged or moved to another key', async () => {
    const identity = await generateX25519Identity();
    const unwrappers = [new AgeUnwrapper(identity), new LocalUnwrapper([local])];
    const wrappers = [new AgeWrapper(await identityToRecipient(identity)), new LocalWrapper(local)];
    for (const wrap of await wrapDek(dek, 'k1', wrappers)) {
      await assert.rejects(unwrapDek([{ ...wrap, keyId: 'k2' }], unwrappers), WrapError);
      const wrapped = wrap.wrapped.slice();
      wrapped[wrapped.length - 1]! ^= 1;
      await assert.rejects(unwrapDek([{ ...wrap, wrapped }], unwrappers), WrapError);
      await assert.rejects(unwrapDek([{ ...wrap, wrapped: wrapped.slice(0, 5) }], unwrappers), WrapError);
    }
  });

  it('are made again for other recipients', async () => {
    const identity = await generateX25519Identity();
    const wraps = await wrapDek(dek, 'k1', [new LocalWrapper(local)]);
    const again = await rewrapDek(
      wraps,
      [new LocalUnwrapper([local])],
      [new AgeWrapper(await identityToRecipient(identity))],
    );
    assert.equal(again[0]?.keyId, 'k1');
    assert.deepEqual(await unwrapDek(again, [new AgeUnwrapper(identity)]), dek);
    await assert.rejects(rewrapDek(wraps, [], []), WrapError);
    await assert.rejects(rewrapDek([], [new LocalUnwrapper([local])], []), WrapError);
  });

  it('refuse a recipient or identity that is none, at once', () => {
    assert.throws(() => new AgeWrapper('age1nonsense'));
    assert.throws(() => new AgeUnwrapper('nonsense'));
  });
});
