import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readProcessorEnv } from '@lucid-sessions/processor';

const secret = { LUCID_SERVICE_SECRET: 'a secret of at least 32 characters' };

test('every setting but the shared secret has a default', () => {
  const { recorderId, ...config } = readProcessorEnv(secret);
  assert.ok(recorderId.length > 0);
  assert.deepEqual(config, {
    host: '127.0.0.1',
    port: 8085,
    serviceSecret: secret.LUCID_SERVICE_SECRET,
    dataDir: './data',
    chunkBytesMax: 10 * 1024 * 1024,
    compressionLevel: 6,
    workersMax: 10,
    sessionsMax: 100,
    recipients: [],
    keyHolders: null,
    leaseTtlMs: 10_000,
  });
});

test('settings are read', () => {
  const recipient = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';
  const config = readProcessorEnv({
    ...secret,
    CHUNK_SIZE_MB: '2',
    COMPRESSION_LEVEL: '19',
    CHUNK_PROCESSING_WORKERS: '3',
    LUCID_RECORDER_ID: 'gateway-7',
    LUCID_RECIPIENTS: ` ${recipient} , ${recipient},`,
  });
  assert.equal(config.chunkBytesMax, 2 * 1024 * 1024);
  assert.equal(config.compressionLevel, 19);
  assert.equal(config.workersMax, 3);
  assert.equal(config.recorderId, 'gateway-7');
  assert.deepEqual(config.recipients, [recipient, recipient]);
});

for (const [variable, value] of [
  ['LUCID_SERVICE_SECRET', 'short'],
  ['ENCRYPTION_ALGORITHM', 'AES-128-CBC'],
  ['CHUNK_SIZE_MB', '65'],
  ['COMPRESSION_LEVEL', '0'],
  ['CHUNK_PROCESSING_WORKERS', 'many'],
  ['LUCID_RECIPIENTS', 'age1short,bob'],
] as const)
  test(`a wrong ${variable} is named`, () => {
    assert.throws(() => readProcessorEnv({ ...secret, [variable]: value }), { variable });
  });
