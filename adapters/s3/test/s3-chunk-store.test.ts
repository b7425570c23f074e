import { after, before, describe, type TestContext, test } from 'node:test';
import { chunkStoreSuite } from '@lucid-sessions/storage/suites';
import { peersMissing, s3Server } from '@lucid-sessions/testkit';
import { newPlace, storeIn, useCredentials } from './buckets.ts';

const server = await s3Server({ skip: () => {} } as unknown as TestContext);

if (server === null)
  test('a chunk store in a bucket', (t) =>
    t.skip(`needs ${peersMissing('seaweedfs').join(', ')}: run .ci/install-peers`));
else
  describe('a chunk store in a bucket', () => {
    before(() => useCredentials(server));
    after(() => server.stop());
    for (const kind of ['plain', 'versioned'] as const)
      chunkStoreSuite(`a ${kind} bucket`, async () => {
        const place = await newPlace(server.endpoint, kind);
        return { store: storeIn(place), reopen: async () => storeIn(place), dispose: async () => {} };
      });
  });
