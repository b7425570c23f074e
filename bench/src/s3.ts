/**
 * `node bench/src/main.ts s3 [--rounds 3] [--puts 24] [--at-once 4] [--sessions 100] [--chunks 3] [--every 10] [--kib 256]`
 *
 * Chunks into an S3 server of this machine (SeaweedFS of `.ci/install-seaweedfs`, or the one LUCID_TEST_S3 names): puts of 10 MiB
 * through our store against those of the SDK's client alone, in turn, as a ratio; then how long a chunk takes to be durable (file,
 * leaf, row) with many sessions that have one every so many seconds.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { S3ChunkStore } from '@lucid-sessions/s3';
import { SqliteThread } from '@lucid-sessions/sqlite';
import { createStorageService } from '@lucid-sessions/storage';
import { openSession, sampleChunk } from '@lucid-sessions/storage/suites';
import { SeaweedFs } from '@lucid-sessions/testkit';

const chunkBytes = 10 * 1024 * 1024;
const nowUs = (): number => Date.now() * 1000;

type Put = (number: number, bytes: Uint8Array) => Promise<unknown>;

/** Bytes a second. */
async function putAll(put: Put, count: number, atOnce: number, bytes: Uint8Array): Promise<number> {
  const startedMs = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let number = next++; number < count; number = next++) await put(number, bytes);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return (count * bytes.length) / ((performance.now() - startedMs) / 1000);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
const quantile = (values: readonly number[], part: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0;
const say = (line: string) => process.stdout.write(`${line}\n`);
const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '3' },
      puts: { type: 'string', default: '24' },
      'at-once': { type: 'string', default: '4' },
      sessions: { type: 'string', default: '100' },
      chunks: { type: 'string', default: '3' },
      every: { type: 'string', default: '10' },
      kib: { type: 'string', default: '256' },
    },
  });
  const whole = (name: keyof typeof values): number => Number(values[name]);
  const named = process.env.LUCID_TEST_S3;
  const own = named === undefined ? await SeaweedFs.start() : null;
  const url = new URL(named ?? own!.endpoint);
  const credentials = {
    accessKeyId: own?.accessKeyId ?? url.username,
    secretAccessKey: own?.secretAccessKey ?? url.password,
  };
  process.env.AWS_ACCESS_KEY_ID = credentials.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = credentials.secretAccessKey;
  const bucket = `bench-${randomBytes(6).toString('hex')}`;
  const place = { endpoint: url.origin, region: 'us-east-1' };
  const client = new S3Client({ ...place, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const store = new S3ChunkStore({ ...place, bucket, prefix: 'store/', isPathStyle: true });
  const home = await mkdtemp(join(tmpdir(), 'lucid-bench-s3-'));
  const sqlite = new SqliteThread();
  const storage = createStorageService({
    metadata: await sqlite.metadata(join(home, 'metadata.db')),
    chunks: store,
    nowUs,
  });
  try {
    const bytes = randomBytes(chunkBytes);
    const rates: Record<'bare' | 'store', number[]> = { bare: [], store: [] };
    for (let round = 0; round <= whole('rounds'); round++) {
      const bare: Put = (number) =>
        client.send(
          new PutObjectCommand({ Bucket: bucket, Key: `bare/${round}/${number}`, Body: bytes, IfNoneMatch: '*' }),
        );
      const through: Put = (number) => store.putFile(`round${round}`, number, bytes);
      // The first round warms both up. Which goes first changes.
      const order = round % 2 === 0 ? (['bare', 'store'] as const) : (['store', 'bare'] as const);
      for (const name of order) {
        const rate = await putAll(name === 'bare' ? bare : through, whole('puts'), whole('at-once'), bytes);
        if (round > 0) rates[name].push(rate);
      }
    }
    const [bare, ours] = [median(rates.bare), median(rates.store)];
    say(
      `puts of 10 MiB, ${values['at-once']} at once: SDK alone ${mebibytes(bare)} MiB/s, store ${mebibytes(ours)} MiB/s`,
    );
    say(`ratio ${(ours / bare).toFixed(2)} (median of ${values.rounds} rounds; wanted: 0.8)`);

    await storage.start();
    const latencies: number[] = [];
    const everyMs = whole('every') * 1000;
    const session = async (number: number): Promise<void> => {
      const sessionId = `bench${number}`;
      const epoch = await openSession(storage, sessionId);
      await storage.acquireLease({ sessionId, owner: 'processor-1', ttlMs: 3_600_000 });
      let previous: string | null = null;
      await delay(Math.random() * everyMs);
      for (let index = 0; index < whole('chunks'); index++) {
        const chunk = sampleChunk(sessionId, index, previous, randomBytes(whole('kib') * 1024));
        const startedMs = performance.now();
        const { appended } = await storage.putChunk({ ...chunk, epoch });
        if (!appended) throw new Error('a chunk was refused');
        latencies.push(performance.now() - startedMs);
        previous = chunk.metadata.leafHash;
        await delay(Math.max(0, everyMs - (performance.now() - startedMs)));
      }
    };
    await Promise.all(Array.from({ length: whole('sessions') }, (_, number) => session(number)));
    const at = (part: number) => quantile(latencies, part).toFixed(0);
    say(
      `${values.sessions} sessions, a chunk of ${values.kib} KiB each ${values.every} s: durable in ${at(0.5)} ms (p50), ${at(0.95)} (p95), ${at(0.99)} (p99), ${latencies.length} chunks`,
    );
  } finally {
    await storage.dispose();
    client.destroy();
    await own?.stop();
    await rm(home, { recursive: true, force: true });
  }
}
