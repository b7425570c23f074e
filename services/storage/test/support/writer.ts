/** A storage process that puts chunks as fast as it can and says which are stored, until it is killed. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { FsChunkStore } from '@lucid-sessions/files';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService } from '@lucid-sessions/storage';
import { sampleChunk, sampleSession } from '../suites/index.ts';

const [path = ''] = process.argv.slice(2);
const sessionId = 's1';
const storage = createStorageService({
  metadata: new SqliteMetadataStore(join(path, 'metadata.db')),
  chunks: new FsChunkStore({ path: join(path, 'chunks'), temporaryAgeMs: -1 }),
  nowUs: () => Date.now() * 1000,
});
await storage.start();
await storage.createSession({ session: sampleSession(sessionId), routeTokenSha256: null });
const { epoch } = await storage.acquireLease({ sessionId, owner: 'writer', ttlMs: 60_000 });
const { total } = await storage.listChunks({ sessionId, limit: 1, offset: 0 });
const last = total === 0 ? null : (await storage.getChunk({ sessionId, index: total - 1 })).chunk;
let previous = last?.leafHash ?? null;
for (let index = total; index < 100_000; ) {
  const batch = Array.from({ length: 4 }, () => {
    const chunk = sampleChunk(sessionId, index, previous, new Uint8Array(100_000 + index).fill(index % 251));
    previous = chunk.metadata.leafHash;
    index += 1;
    return chunk;
  });
  const answers = await Promise.all(batch.map((chunk) => storage.putChunk({ ...chunk, epoch })));
  // One write per batch, and synchronous: what the parent reads was stored before.
  writeSync(1, answers.map((answer, at) => `${batch[at]!.metadata.index} ${answer.appended}\n`).join(''));
}
