/** A machine on which the LZ4 addon can't be loaded: a platform without one, an installation without optional packages. */
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { test } from 'node:test';
import { inHouse, openRequest, openSession, sessionOf } from './support/house.ts';

registerHooks({
  resolve(specifier, context, next) {
    if (specifier === 'lz4-napi') throw new Error('Cannot find native binding\nRequire stack: …');
    return next(specifier, context);
  },
});

test('a session that asks for it is refused with a reason before anything is recorded; others begin', () =>
  inHouse(async (house) => {
    const processor = house.processor();
    const session = sessionOf('squeezed', { compression: 'lz4' });
    await house.storage.createSession({ session, routeTokenSha256: null });
    await assert.rejects(processor.open(openRequest(session)), {
      code: 'LUCID_ERR_3008',
      message: /^the LZ4 codec \(npm package lz4-napi\) can't be loaded on this machine: Cannot find native binding$/,
    });
    assert.deepEqual((await house.storage.getRecords({ sessionId: 'squeezed' })).records, []);
    await openSession(house, processor, 'plain');
    await openSession(house, processor, 'kept-as-it-is', { compression: 'lz4', compressionEnabled: false });
  }));
