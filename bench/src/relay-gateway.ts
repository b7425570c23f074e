/** The recorder of the relay bench, a process of its own: real relay and spool, chunks are taken and thrown away. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ChunkReceipt, type PipelinePort, recordingConfigSchema } from '@lucid-sessions/contract';
import { createRecorder, readRecorderEnv } from '@lucid-sessions/recorder';

const [targetPort = ''] = process.argv.slice(2);
const dataDir = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'lucid-relay-bench-'));
const config = readRecorderEnv({
  LUCID_SERVICE_SECRET: 'x'.repeat(32),
  LUCID_DATA_DIR: dataDir,
  RDP_LISTEN_HOST: '127.0.0.1',
  RDP_LISTEN_PORT: '0',
  MAX_CONCURRENT_SESSIONS: '200',
});
let sessions = 0;
const pipeline = {
  find: async () => {
    sessions += 1;
    return {
      found: true,
      ticket: {
        sessionId: `bench-${sessions}`,
        reconnects: false,
        reconnectSeconds: 0,
        target: { host: '127.0.0.1', port: Number(targetPort), useTls: true, ignoreCert: true },
        recording: recordingConfigSchema.parse({}),
        graphics: 'passthrough',
        persistence: 'strict',
      },
    };
  },
  admit: async () => ({ admitted: true }),
  attempted: async () => {},
  report: async (report: { kind: string; reason?: string; message?: string }) => {
    if (report.kind === 'ended' && report.reason !== 'client_disconnected')
      process.stderr.write(`session ended: ${report.reason}: ${report.message}\n`);
  },
} as unknown as PipelinePort;
const receipt: ChunkReceipt = {
  chunkId: '',
  index: 0,
  leafHash: '',
  fileSha256: '',
  fileBytes: 0,
  payloadBytes: 0,
  compression: 'none',
  storedAtUs: 0,
};
let sealedBytes = 0;
const recorder = await createRecorder(config, {
  pipeline,
  processor: {
    seal: async ({ payload }) => {
      sealedBytes += payload.length;
      return receipt;
    },
  },
  onProblem: (message) => process.stderr.write(`${message}\n`),
});
process.send?.({ port: recorder.addresses[0]?.port });
process.on('message', async (question) => {
  if (question === 'statistics') process.send?.({ ...(await recorder.spool.statistics()), sealedBytes });
});
process.on('disconnect', async () => {
  await recorder.dispose(0);
  rmSync(dataDir, { recursive: true, force: true });
  process.exit();
});
