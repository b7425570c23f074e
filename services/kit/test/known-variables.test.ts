import assert from 'node:assert/strict';
import { test } from 'node:test';
import { knownVariables, unknownVariables, variableWarnings } from '@lucid-sessions/kit';
import fc from 'fast-check';

const nearestOf = (name: string) => unknownVariables({ [name]: 'value' }).map(({ nearest }) => nearest);

test('misspelt variables are told with what is meant; those of others, and those that are set to nothing, are not', () => {
  for (const [name, meant] of [
    ['LUCID_DATA_DIRECTORY', 'LUCID_DATA_DIR'],
    ['LUCID_JWT_SECRT', 'LUCID_JWT_SECRET'],
    ['LUCID_RATE_LIMIT_REED', 'LUCID_RATE_LIMIT_READ'],
    ['lucid_log_level', 'LUCID_LOG_LEVEL'],
    ['CHUNK_STORE_PATH', 'CHUNK_STORAGE_PATH'],
    ['CHUNK_STORAGE_PAHT', 'CHUNK_STORAGE_PATH'],
    ['MAX_CONCURENT_SESSIONS', 'MAX_CONCURRENT_SESSIONS'],
    ['REDIS_URI', 'REDIS_URL'],
    ['RDP_LISTNERS', 'RDP_LISTENERS'],
  ] as const)
    assert.deepEqual(nearestOf(name), [meant], name);
  assert.deepEqual(nearestOf('LUCID_COLOUR_OF_THE_SKY'), [null]);
  const others = {
    PATH: '/bin',
    SESSION_MANAGER: 'local/x',
    XDG_SESSION_ID: '1',
    DATABASE_URL: 'x',
    LUCID_TEST_S3: 'x',
  };
  assert.deepEqual(unknownVariables({ ...others, LUCID_NOTHING: '', LUCID_NOTHING_EITHER: undefined }), []);
});

test('what Kubernetes and Docker set for a service is nobody’s mistake', () => {
  const links = {
    LUCID_SESSIONS_API_SERVICE_HOST: '10.0.0.1',
    LUCID_SESSIONS_API_SERVICE_PORT_HTTPS: '443',
    LUCID_SESSIONS_API_PORT: 'tcp://10.0.0.1:443',
    LUCID_SESSIONS_API_PORT_443_TCP_ADDR: '10.0.0.1',
  };
  assert.deepEqual(unknownVariables(links), []);
});

test('known variables are never told, and no value ever is', () => {
  assert.deepEqual(unknownVariables(Object.fromEntries([...knownVariables].map((name) => [name, 'x']))), []);
  const value = 'correct-horse-battery';
  const names = fc.stringMatching(/^(?:LUCID|CHUNK|RDP)_[A-Z_]{1,30}$/);
  fc.assert(
    fc.property(fc.uniqueArray(names, { maxLength: 60 }), (all) => {
      const lines = variableWarnings(Object.fromEntries(all.map((name) => [name, value])));
      assert.ok(lines.length <= 21 && !lines.join().includes(value));
    }),
  );
  const many = Object.fromEntries([...Array(25).keys()].map((n) => [`LUCID_NO_SUCH_THING_${n}`, value]));
  assert.equal(variableWarnings(many).at(-1), 'nothing reads 5 more variables');
});
