/** Chunks and the pipeline that made them. */
import { type ChunkMetadata, chunkIndexOf, type SessionDocument } from '@lucid-sessions/contract';
import { inclusionProof, leafHash, merkleRoot } from '@lucid-sessions/evidence';
import { type Call, FileAnswer, type Handlers, loadSession } from './call.ts';
import { digestOf, originOf } from './origin.ts';
import { chunkDetailView, chunkNotFound, chunkView, paginationOf, pipelineView, sessionNotFound } from './views.ts';

const leafBytes = 160;
const sealedLeafBytes = 224;

type ChunkCall = Pick<Call, 'api' | 'sessionId' | 'chunkId'>;

async function loadChunk(call: ChunkCall): Promise<{ session: SessionDocument; chunk: ChunkMetadata }> {
  const session = await loadSession(call);
  const index = chunkIndexOf(call.sessionId, call.chunkId);
  if (index === null) throw chunkNotFound(call.chunkId);
  const { chunk } = await call.api.deps.storage.getChunk({ sessionId: call.sessionId, index });
  if (chunk === null) throw chunkNotFound(call.chunkId);
  return { session, chunk };
}

const toUs = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time) * 1000);

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

async function proofOf(call: Call<'chunkProof'>) {
  const { index, chunkId } = (await loadChunk(call)).chunk;
  const { sessionId } = call;
  const session = await loadSession(call);
  const { leaves } = await call.api.deps.storage.readLeaves({ sessionId });
  const count = Math.floor(leaves.length / sealedLeafBytes);
  if (index >= count) throw chunkNotFound(chunkId);
  const hashes = Array.from({ length: count }, (_, at) =>
    leafHash(leaves.subarray(at * sealedLeafBytes, at * sealedLeafBytes + leafBytes)),
  );
  const sealed = leaves.subarray(index * sealedLeafBytes, (index + 1) * sealedLeafBytes);
  const root = hex(merkleRoot(hashes));
  return {
    chunk_id: chunkId,
    session_id: sessionId,
    sequence_number: index + 1,
    leaf: hex(sealed.subarray(0, leafBytes)),
    seal: hex(sealed.subarray(leafBytes)),
    leaf_hash: hex(hashes[index]!),
    leaf_index: index,
    tree_size: count,
    merkle_root: root,
    inclusion: inclusionProof(index, hashes).map(hex),
    closed: session.merkle_root === root,
  };
}

async function control({ api, sessionId, told }: Pick<Call, 'api' | 'sessionId' | 'told'>, action: 'pause' | 'resume') {
  const { pipeline } = api.deps;
  const before = (await pipeline.status({ sessionId })).status;
  const { status } = await pipeline.control({ sessionId, action });
  const [from, to] = [before?.pipelineStatus ?? null, status.pipelineStatus];
  told.changes = from === to ? {} : { pipeline_status: { from, to } };
  return pipelineView(status);
}

type ChunkOperations =
  | 'listChunks'
  | 'getChunk'
  | 'downloadChunk'
  | 'chunkProof'
  | 'getPipeline'
  | 'pausePipeline'
  | 'resumePipeline';

export const chunkHandlers: Handlers<ChunkOperations> = {
  async listChunks(call) {
    const { api, sessionId, query } = call;
    await loadSession(call);
    // What storage has is stored; the states before that belong to chunks on their way.
    if (query.status !== undefined && query.status !== 'stored')
      return { chunks: [], pagination: paginationOf(0, query) };
    const fromUs = toUs(query.start_time);
    const untilUs = toUs(query.end_time);
    const { chunks, total } = await api.deps.storage.listChunks({
      sessionId,
      limit: query.limit,
      offset: query.offset,
      ...(fromUs === undefined ? {} : { fromUs }),
      ...(untilUs === undefined ? {} : { toUs: untilUs }),
    });
    return { chunks: chunks.map(chunkView), pagination: paginationOf(total, query) };
  },

  getChunk: async (call) => chunkDetailView((await loadChunk(call)).chunk),

  async downloadChunk(call) {
    const { session, chunk } = await loadChunk(call);
    const { index, fileSha256 } = chunk;
    const { file } = await call.api.deps.storage.readChunk({ sessionId: call.sessionId, index });
    if (file === null) throw chunkNotFound(call.chunkId);
    return new FileAnswer(file, `${call.chunkId}.lsc`, {
      'repr-digest': digestOf(Buffer.from(fileSha256, 'hex')),
      ...originOf(session),
    });
  },

  chunkProof: proofOf,

  async getPipeline({ api, sessionId }) {
    const { status } = await api.deps.pipeline.status({ sessionId });
    if (status === null) throw sessionNotFound(sessionId);
    return pipelineView(status);
  },
  pausePipeline: (call) => control(call, 'pause'),
  resumePipeline: (call) => control(call, 'resume'),
};
