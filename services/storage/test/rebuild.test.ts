/** Sessions made again from their files have the words and figures the pipeline had for them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type CustodyBody,
  formatPublicKey,
  type ManifestBody,
  type OpenBody,
  recordBase,
  signRecord,
} from '@lucid-sessions/evidence';
import { FsChunkStore } from '@lucid-sessions/files';
import { nodeCrypto } from '@lucid-sessions/node';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService, leafHashOf, type RebuildDeps, rebuildSession } from '@lucid-sessions/storage';
import { openSession, sampleChain, sampleChunk } from './suites/index.ts';

const finalFlag = 4;
const nowUs = () => Date.now() * 1000;

interface Told {
  reason: string;
  gaps?: string[];
  final?: boolean;
  persistence?: 'strict' | 'best_effort';
  durationUs?: number;
}

async function signer() {
  const seed = new Uint8Array(32).fill(6);
  const bytes = await nodeCrypto.ed25519PublicKey(seed);
  const publicKey = { algorithm: 'ed25519', bytes } as const;
  return { publicKey, sign: (message: Uint8Array) => nodeCrypto.ed25519Sign(seed, message) };
}

const key = formatPublicKey({ algorithm: 'ed25519', bytes: new Uint8Array(32).fill(9) });

const openBody = (id: string, persistence: 'strict' | 'best_effort'): OpenBody => ({
  ...recordBase('open', id),
  opened_us: 1_000_000,
  recorder: { id: 'r', software: 'test', identity_key: key },
  first_seal_key: '00'.repeat(32),
  encryption: 'AES-256-GCM',
  dek_id: null,
  policy: { persistence, graphics: 'passthrough', compression: 'zstd', chunk_bytes_max: 1, chunk_age_us_max: 1 },
  parties: { created_by: 'ada', target: 'desk.example:3389', target_user: null },
  checkpoint: null,
});

function manifestBody(id: string, { reason, gaps = [], persistence = 'strict', durationUs = 0 }: Told): ManifestBody {
  return {
    ...recordBase('manifest', id),
    open_sha256: '00'.repeat(32),
    resumes_sha256: [],
    chunks_count: 3,
    total_bytes: 15_000,
    merkle_root: '00'.repeat(32),
    opened_us: 1_000_000,
    ended_us: 4_000_000,
    clock: { offset_us: null, source: 'system' },
    gaps: gaps.map((why) => ({ from_us: 1, to_us: 2, reason: why, frames_lost: 0 })),
    pauses: [],
    downgrades: [],
    clock_steps: [],
    connections: [],
    target_certificates: [],
    persistence,
    end: { reason, message: 'm' },
    statistics: { frames_count: 30, relayed_bytes: 1, frames_dropped: 0, duration_us: durationUs },
    keys: { identity_key: key, dek_id: null },
  };
}

/** Three chunks, and the records that lie beside them; the rows are lost. */
async function lostRows(
  t: TestContext,
  told: Told | null,
  more: Partial<RebuildDeps> = {},
  besides: readonly CustodyBody[] = [],
) {
  const path = await mkdtemp(join(tmpdir(), 'lucid-rebuild-'));
  const chunks = new FsChunkStore({ path });
  const storage = createStorageService({ metadata: new SqliteMetadataStore(':memory:'), chunks, nowUs });
  const metadata = new SqliteMetadataStore(':memory:');
  t.after(async () => {
    await metadata.dispose();
    await storage.dispose();
    await rm(path, { recursive: true });
  });
  const id = 's1';
  const { final = true, persistence = 'strict' }: Partial<Told> = told ?? { final: false };
  const epoch = await openSession(storage, id);
  const before = sampleChain(id, 2);
  const last = sampleChunk(id, 2, before[1]!.metadata.leafHash);
  if (final) last.leaf[5] = finalFlag;
  const flags = last.leaf[5]!;
  const sealed = { ...last, metadata: { ...last.metadata, flags, leafHash: leafHashOf(last.leaf) } };
  for (const chunk of [...before, sealed]) await storage.putChunk({ ...chunk, epoch });
  await storage.putWraps({
    sessionId: id,
    wraps: [{ scheme: 'local', recipient: 'r', keyId: 'k', wrapped: new Uint8Array([1]) }],
  });
  const by = await signer();
  for (const body of [openBody(id, persistence), ...(told === null ? [] : [manifestBody(id, told)]), ...besides])
    await storage.putRecord({ sessionId: id, kind: body.kind, record: await signRecord(by, body) });
  const rebuild = async () => (await rebuildSession({ metadata, chunks, nowUs, ...more }, id)).session;
  return { id, metadata, rebuild };
}

for (const [what, told, status, outcome, seconds] of [
  ['whole', { reason: 'client_disconnected', durationUs: 2_500_000 }, 'completed', 'whole', 2.5],
  ['paused and reconnected', { reason: 'stopped', gaps: ['paused', 'connection_lost'] }, 'completed', 'whole', 2.9],
  ['its recorder died', { reason: 'recorder_crashed', durationUs: 2_900_001 }, 'completed', 'recovered', 2.9],
  ['by an early version, which knew no length', { reason: 'recorder_crashed' }, 'completed', 'recovered', 2.9],
  [
    'its recorder died in best effort',
    { reason: 'recorder_crashed', persistence: 'best_effort' },
    'completed',
    'gap',
    2.9,
  ],
  ['its recorder never came back', { reason: 'recorder_crashed', final: false }, 'failed', 'gap', 2.9],
  ['frames are missing', { reason: 'client_disconnected', gaps: ['disk full'] }, 'completed', 'gap', 2.9],
  ['it could not be stored', { reason: 'recording_not_persisted' }, 'failed', 'gap', 2.9],
  ['a peer broke the protocol', { reason: 'protocol_violation', durationUs: 1 }, 'failed', 'whole', 0],
] as const satisfies [string, Told, string, string, number][])
  test(`made again: ${what}`, async (t) => {
    const { id, metadata, rebuild } = await lostRows(t, told);
    const session = await rebuild();
    assert.deepEqual(
      [session.status, session.outcome, session.statistics.duration_seconds, session.statistics.frame_count],
      [status, outcome, seconds, 30],
    );
    assert.deepEqual(await metadata.getSession(id), session);
  });

for (const [what, opens, frames] of [
  ['and no key opens its chunks: its frames are not known', () => false, null],
  ['and one of its chunks can not be opened', (index: number) => index !== 1, null],
  ['and its chunks are opened: what is in them', () => true, 15],
] as const)
  test(`made again: no manifest, ${what}`, async (t) => {
    let asked = 0;
    const openChunk: RebuildDeps['openChunk'] = async (file, wraps) => {
      assert.equal(wraps.length, 1);
      asked += 1;
      const index = file.length - 5000;
      const content = { payloadBytes: 100, compression: 'gzip', keyId: 'k', framesCount: 4 + index } as const;
      return opens(index) ? content : null;
    };
    const { id, metadata, rebuild } = await lostRows(t, null, { openChunk });
    const session = await rebuild();
    const { chunks_count, frame_count, average_fps, size_bytes, duration_seconds } = session.statistics;
    assert.deepEqual(
      [session.status, chunks_count, frame_count, average_fps, size_bytes, duration_seconds],
      ['recording', 3, frames, null, 15_003, 2.9],
    );
    assert.deepEqual(await metadata.getSession(id), session);
    const known = await metadata.getChunk(id, 2);
    if (opens(2))
      assert.deepEqual(
        [known?.metadata.framesCount, known?.metadata.compression, known?.metadata.keyId],
        [6, 'gzip', 'k'],
      );
    await rebuild();
    assert.deepEqual(await metadata.getSession(id), session, 'again it changes nothing');
    if (frames !== null) assert.equal(asked, 3, 'what is counted is not opened again');
  });

test('made again: a legal hold that was not cleared is on it', async (t) => {
  const custody = (action: 'hold' | 'release', hold_id: string, sequence: number) => ({
    ...recordBase('custody', 's1'),
    ...{ at_us: 1_800_000_000_000_000, action, actor: 'lea', detail: 'd', sequence, previous_sha256: null },
    extra: { id: `${action}:${hold_id}`, hold: { hold_id, reference: 'M-17', reason: 'suit' } },
  });
  const [kept, cleared] = [randomUUID(), randomUUID()];
  const said = [custody('hold', cleared, 0), custody('hold', kept, 1), custody('release', cleared, 2)];
  const { rebuild } = await lostRows(t, { reason: 'stopped' }, {}, said);
  const hold = { hold_id: kept, reference: 'M-17', reason: 'suit', set_by: 'lea', set_at: '2027-01-15T08:00:00.000Z' };
  assert.deepEqual((await rebuild()).holds, [hold]);
});
