/** The recorder of the relay bench, a process of its own: real relay and spool, chunks are taken and thrown away. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ChunkReceipt, type PipelinePort, recordingConfigSchema } from '@lucid-sessions/contract';
import { createRecorder, loadSpoolKey, makeIdentity, readRecorderEnv } from '@lucid-sessions/recorder';

const [targetPort = '', copied = ''] = process.argv.slice(2);
const dataDir = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'lucid-relay-bench-'));
const keys = join(dataDir, 'keys');

/** Where a copy of the spool is kept; null: none is. */
async function startReplica(): Promise<string | null> {
  if (copied !== 'replica') return null;
  mkdirSync(keys, { mode: 0o700 });
  await makeIdentity(keys);
  loadSpoolKey(join(keys, 'spool.key'));
  const child = fork(join(import.meta.dirname, 'relay-replica.ts'), [`${dataDir}-replica`, keys]);
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  return url;
}

const replica = await startReplica();
const config = readRecorderEnv({
  ...(replica === null
    ? {}
    : {
        LUCID_SPOOL_REPLICA: replica,
        LUCID_KEYS_PATH: keys,
        LUCID_SPOOL_REPLICA_HOLD_MS: process.env.LUCID_SPOOL_REPLICA_HOLD_MS,
      }),
  LUCID_SERVICE_SECRET: 'x'.repeat(32),
  LUCID_DATA_DIR: dataDir,
  RDP_LISTEN_HOST: '127.0.0.1',
  RDP_LISTEN_PORT: '0',
  MAX_CONCURRENT_SESSIONS: '200',
});
let sessions = 0;
const tickets = new Map<string, object>();
const pipeline = {
  find: async ({ connectionId }: { connectionId: string }) => {
    sessions += 1;
    const ticket = {
      sessionId: `bench-${sessions}`,
      reconnects: false,
      reconnectSeconds: 0,
      target: { host: '127.0.0.1', port: Number(targetPort), useTls: true, ignoreCert: true },
      credentials: 'none',
      recording: recordingConfigSchema.parse({}),
      graphics: 'passthrough',
      persistence: 'strict',
    };
    tickets.set(connectionId, ticket);
    return { found: true, ticket };
  },
  admit: async ({ connectionId }: { connectionId: string }) => ({ admitted: true, ticket: tickets.get(connectionId) }),
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
/** How far the copy was behind, ms, each tenth of a second since it was asked last. */
let behindMs: number[] = [];
if (replica !== null)
  setInterval(
    () => void recorder.port.health().then(({ details }) => behindMs.push(Number(details.replicaBehindMs))),
    100,
  );
process.send?.({ port: recorder.addresses[0]?.port });
process.on('message', async (question) => {
  if (question !== 'statistics') return;
  process.send?.({ ...(await recorder.spool.statistics()), sealedBytes, behindMs });
  behindMs = [];
});
process.on('disconnect', async () => {
  await recorder.dispose(0);
  rmSync(dataDir, { recursive: true, force: true });
  process.exit();
});
