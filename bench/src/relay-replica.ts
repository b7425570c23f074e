/** The recorder that keeps a copy of the relay bench's spool, a process of its own with a disk of its own. */
import { rmSync } from 'node:fs';
import type { PipelinePort, ProcessorPort } from '@lucid-sessions/contract';
import { readRecorderEnv, startRecorderServer } from '@lucid-sessions/recorder';

const [dataDir = '', keys = ''] = process.argv.slice(2);
const config = readRecorderEnv({
  LUCID_SERVICE_SECRET: 'x'.repeat(32),
  LUCID_DATA_DIR: dataDir,
  LUCID_KEYS_PATH: keys,
  LUCID_RECORDER_ID: 'replica',
  SESSION_RECORDER_PORT: '0',
  RDP_LISTEN_HOST: '127.0.0.1',
  RDP_LISTEN_PORT: '0',
});
const pipeline = { recorderHere: async () => {}, takeOverSpool: async () => ({ granted: false }) };
const server = await startRecorderServer(config, {
  pipeline: pipeline as unknown as PipelinePort,
  processor: {} as ProcessorPort,
});
process.send?.({ url: server.address });
process.on('disconnect', async () => {
  await server.dispose();
  rmSync(dataDir, { recursive: true, force: true });
  process.exit();
});
