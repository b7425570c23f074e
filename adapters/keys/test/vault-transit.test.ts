import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, beforeEach, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { FakeVault } from '@lucid-sessions/testkit';
import { unwrapDek, VaultTransit, type VaultTransitOptions, WrapError, type WrapErrorCode } from '../src/index.ts';

const firstToken = 'hvs.first-token';
const vault = new FakeVault({ token: firstToken, keys: ['transit/lucid', 'transit/other', 'team/engine/lucid'] });
const url = await vault.start();
after(() => vault.stop());

const dek = new Uint8Array(randomBytes(32));
const keyId = 'ab'.repeat(16);
const transitOf = (change: Partial<VaultTransitOptions> = {}) =>
  new VaultTransit({ url, mount: 'transit', key: 'lucid', readToken: () => firstToken, ...change });

/** Fails as it should, and nothing of the error, however it is printed, holds what is secret. */
async function refuses(work: Promise<unknown>, code: WrapErrorCode, message: RegExp): Promise<void> {
  const error = await work.then(
    () => assert.fail('it worked'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof WrapError, inspect(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  const shown = `${inspect(error, { depth: 10, showHidden: true })} ${error.stack}`;
  for (const secret of [firstToken, 'evil', Buffer.from(dek).toString('base64'), Buffer.from(dek).toString('hex')])
    assert.equal(shown.includes(secret), false, shown);
}

beforeEach(() => {
  vault.requests.length = 0;
  vault.mood = { kind: 'well' };
  vault.moodRequests = Number.POSITIVE_INFINITY;
  vault.token = firstToken;
});

describe('vault transit', () => {
  it('wraps and unwraps by two calls of the documented API', async () => {
    const transit = transitOf({ mount: 'team/engine', namespace: 'ns1/team' });
    const wrap = await transit.wrap(dek, keyId);
    assert.deepEqual([wrap.scheme, wrap.recipient, wrap.keyId], ['vault-transit', 'team/engine/lucid', keyId]);
    assert.match(Buffer.from(wrap.wrapped).toString(), /^vault:v1:/);
    assert.deepEqual(await transit.unwrap(wrap), dek);
    const associated = Buffer.from(`lucid-sessions/v1/dek-wrap\0${keyId}`).toString('base64');
    assert.deepEqual(
      vault.requests.map(({ path, token, namespace, body }) => [path, token, namespace, body.associated_data]),
      ['encrypt', 'decrypt'].map((verb) => [`/v1/team/engine/${verb}/lucid`, firstToken, 'ns1/team', associated]),
    );
  });

  it('leaves wraps of others alone, without asking', async () => {
    const wrap = await transitOf({ key: 'other' }).wrap(dek, keyId);
    vault.requests.length = 0;
    assert.equal(await transitOf().unwrap(wrap), null);
    assert.equal(await transitOf({ key: 'other' }).unwrap({ ...wrap, scheme: 'age' }), null);
    assert.equal(vault.requests.length, 0);
  });

  it('does not open a wrap that was moved beside another session, or damaged', async () => {
    const transit = transitOf();
    const wrap = await transit.wrap(dek, keyId);
    const damagedOf = (wrapped: Uint8Array) =>
      refuses(transit.unwrap({ ...wrap, wrapped }), 'damaged', /does not open/);
    await refuses(transit.unwrap({ ...wrap, keyId: 'cd'.repeat(16) }), 'damaged', /cdcdcd.* does not open/);
    const flipped = wrap.wrapped.slice();
    flipped[20] = flipped[20] === 65 ? 66 : 65;
    await damagedOf(flipped);
    const asked = vault.requests.length;
    for (const text of ['', 'vault:v1:', 'vault:v1:AAAA', 'vault:v0:x', `vault:v1:${'A'.repeat(10_000)}`])
      await damagedOf(Buffer.from(text));
    assert.equal(vault.requests.length, asked, 'what is no ciphertext is not sent');
    vault.mood = { kind: 'lying', data: { plaintext: Buffer.from(dek.subarray(0, 31)).toString('base64') } };
    await damagedOf(wrap.wrapped);
  });

  it('reads the token anew each time', async () => {
    let token = firstToken;
    const transit = transitOf({ readToken: () => token });
    const wrap = await transit.wrap(dek, keyId);
    vault.token = 'hvs.second-token';
    await refuses(transit.unwrap(wrap), 'unavailable', /refused the token.*transit\/lucid/);
    token = 'hvs.second-token';
    assert.deepEqual(await transit.unwrap(wrap), dek);
  });

  it('says when there is no token that could be sent', async () => {
    for (const token of ['', `${firstToken}\nevil: header`, 'é', 'x'.repeat(10_000)])
      await refuses(transitOf({ readToken: () => token }).wrap(dek, keyId), 'unavailable', /printable characters/);
    const readToken = (): string => {
      throw new Error('run chmod 600');
    };
    await refuses(transitOf({ readToken }).wrap(dek, keyId), 'unavailable', /no token for Vault: run chmod 600/);
    assert.equal(vault.requests.length, 0);
  });

  it('tries three times when that may help, and once when it can not', async () => {
    for (const [status, tries] of [
      [503, 3],
      [429, 3],
      [403, 1],
      [404, 1],
      [400, 1],
    ] as const) {
      vault.requests.length = 0;
      vault.mood = { kind: 'failing', status };
      await refuses(transitOf().wrap(dek, keyId), 'unavailable', new RegExp(`${status}`));
      assert.equal(vault.requests.length, tries, `${status}`);
    }
    vault.mood = { kind: 'failing', status: 503 };
    vault.moodRequests = 2;
    const wrap = await transitOf().wrap(dek, keyId);
    assert.deepEqual(await transitOf().unwrap(wrap), dek);
  });

  it('does not call a recording damaged because Vault lost its key', async () => {
    const wrap = await transitOf().wrap(dek, keyId);
    const renamed = { ...wrap, recipient: 'transit/gone' };
    await refuses(transitOf({ key: 'gone' }).unwrap(renamed), 'unavailable', /no such key/);
  });

  it('believes no answer that is late, huge, elsewhere or nonsense', async () => {
    const wrap = await transitOf().wrap(dek, keyId);
    vault.mood = { kind: 'silent' };
    await refuses(transitOf({ timeoutMs: 50 }).wrap(dek, keyId), 'unavailable', /did not answer within 50 ms/);
    vault.mood = { kind: 'huge' };
    await refuses(transitOf().wrap(dek, keyId), 'unavailable', /too large/);
    for (const text of ['', 'null', '[]', '{"data":null}', `{"evil": "${firstToken}`]) {
      vault.mood = { kind: 'babbling', text };
      await refuses(transitOf().wrap(dek, keyId), 'unavailable', /without ciphertext/);
      await refuses(transitOf().unwrap(wrap), 'unavailable', /without plaintext/);
    }
    const plaintext = Buffer.from(dek).toString('base64');
    for (const ciphertext of [plaintext, `vault:v1:${plaintext}`, 7]) {
      vault.mood = { kind: 'lying', data: { ciphertext } };
      await refuses(transitOf().wrap(dek, keyId), 'unavailable', /no ciphertext|without ciphertext/);
    }
    const moved: typeof fetch = async (input, init) => {
      assert.equal(init?.redirect, 'error');
      throw new TypeError(`fetch failed: ${String(input)}`, { cause: new Error(firstToken) });
    };
    await refuses(transitOf({ fetch: moved }).wrap(dek, keyId), 'unavailable', /can not be reached; /);
  });

  it('is not needed while another wrap opens, and is asked when another is damaged', async () => {
    const transit = transitOf();
    const wrap = await transit.wrap(dek, keyId);
    const other = { ...wrap, scheme: 'other' };
    const opens = { unwrap: async ({ scheme }: { scheme: string }) => (scheme === 'other' ? dek : null) };
    const fails = {
      unwrap: async ({ scheme }: { scheme: string }) => {
        if (scheme === 'other') throw new WrapError('damaged', 'the other wrap');
        return null;
      },
    };
    assert.deepEqual(await unwrapDek([other, wrap], [fails, transit]), dek);
    const down = new FakeVault({ token: firstToken, keys: [] });
    const closed = await down.start();
    await down.stop();
    const away = transitOf({ url: closed });
    await refuses(unwrapDek([wrap], [away]), 'unavailable', /ECONNREFUSED/);
    assert.deepEqual(await unwrapDek([wrap, other], [away, opens]), dek);
    await refuses(unwrapDek([other, wrap], [fails, away]), 'damaged', /the other wrap/);
  });
});
