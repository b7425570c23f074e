/**
 * Appending a chunk. Durable steps in order, and what a crash between them means:
 *
 * 1. chunk file (temp → fsync → rename → fsync directory). Crash after: a file no leaf names. No receipt was given, so the
 *    spool still holds the data; the next put of this index replaces the file.
 * 2. leaf and seal in leaves.bin, fsynced. Crash after: `recover` makes the row again from the leaf; the next put of the
 *    same chunk is answered as stored and completes the row.
 * 3. row and head, one transaction. Crash after: the answer is lost, the same put again is answered as stored.
 *
 * Step 1 of several chunks of a session may run at once; 2 and 3 run in order.
 */
import { createHash } from 'node:crypto';
import { type ChunkMetadata, LucidError, type SessionDocument, type StoragePort } from '@lucid-sessions/contract';
import { KeyedQueue } from '@lucid-sessions/kit';
import { concatBytes } from '@lucid-sessions/wire';
import { Histogram } from './histogram.ts';
import { decodeLeafFields, type LeafFields, noLeafHash, sealBytes, sessionUuidOf } from './leaf.ts';
import type { SpaceWatch } from './space-watch.ts';
import type { ChainHead, ChunkStore, MetadataStore, RetainOptions } from './stores.ts';

type PutRequest = Parameters<StoragePort['putChunk']>[0];
type PutAnswer = Awaited<ReturnType<StoragePort['putChunk']>>;

export interface PutChunkDeps {
  metadata: MetadataStore;
  chunks: ChunkStore;
  nowUs: () => number;
  verifyOnPut: boolean;
  space: Pick<SpaceWatch, 'checkChunk'>;
}

export const isImported = ({ imported }: SessionDocument): boolean => imported !== undefined && imported !== null;

/** Chunks of one session whose files may be written at once. */
export const chunksInFlightMax = 64;
const bytesPerGb = 1_000_000_000;
const dayUs = 86_400_000_000;

/** What is stored of a session is kept for its retention from `fromUs` on; nothing to promise where somebody decides later. */
export function retainedFrom(
  { storage_config: { retention_days: days } }: SessionDocument,
  fromUs: number,
): RetainOptions {
  return days === null ? {} : { retainUntilUs: fromUs + days * dayUs };
}

export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  // WebCrypto hashes off this thread but refuses shared memory.
  if (bytes.buffer instanceof SharedArrayBuffer) return createHash('sha256').update(bytes).digest('hex');
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)).toString('hex');
}

/** What the caller says, its leaf and its file must agree before anything is written. */
function checkPut(request: PutRequest): LeafFields {
  const { metadata, seal, file } = request;
  const leaf = decodeLeafFields(request.leaf);
  if (seal.length !== sealBytes) throw new LucidError('invalidRequest', `a seal has ${sealBytes} bytes`);
  const agreed =
    leaf.sessionUuid === sessionUuidOf(metadata.sessionId) &&
    leaf.index === metadata.index &&
    leaf.leafHash === metadata.leafHash &&
    leaf.fileSha256 === metadata.fileSha256 &&
    leaf.fileBytes === file.length &&
    metadata.fileBytes === file.length;
  if (!agreed) throw new LucidError('invalidRequest', 'metadata, leaf and file do not describe the same chunk');
  return leaf;
}

/** `imported`: its times are those of a file, and say nothing of how long it took to be stored. */
type Written =
  | { attempted: false }
  | { attempted: true; written: boolean; version?: string; imported: boolean; retain: RetainOptions };

interface Lane {
  /** Bytes of files put but not yet in the chain. */
  pendingBytes: number;
}

export interface ChunkPutter {
  put(request: PutRequest): Promise<PutAnswer>;
  lanes: KeyedQueue<Lane>;
  histogram: Histogram;
  /** Why the latest chunk could not be stored, null after one that could. */
  problem(): string | null;
}

export function chunkPutter(deps: PutChunkDeps): ChunkPutter {
  const { metadata: rows, chunks } = deps;
  const lanes = new KeyedQueue<Lane>(chunksInFlightMax, () => ({ pendingBytes: 0 }));
  const histogram = new Histogram();

  async function ownsLease(request: PutRequest): Promise<boolean> {
    return (await rows.getLease(request.metadata.sessionId))?.epoch === request.epoch;
  }

  /** Step 1, unless it is plain already that the chain will not take the chunk. */
  async function writeFile(request: PutRequest, lane: Lane): Promise<Written> {
    const { sessionId, index, fileSha256 } = request.metadata;
    const [head, session, isOwner] = await Promise.all([
      rows.getHead(sessionId),
      rows.getSession(sessionId),
      ownsLease(request),
    ]);
    if (session === null) throw new LucidError('sessionNotFound', 'no such session; create it before its chunks');
    const inReach = index >= head.count && index < head.count + chunksInFlightMax;
    if (!inReach || !isOwner) return { attempted: false };
    const bytesMax = session.storage_config.max_size_gb * bytesPerGb;
    if (head.storedBytes + lane.pendingBytes > bytesMax)
      throw new LucidError('storage', `the session's ${session.storage_config.max_size_gb} GB (max_size_gb) are used`, {
        status: 507,
        details: { max_size_gb: session.storage_config.max_size_gb },
      });
    await deps.space.checkChunk(request.file.length);
    if (deps.verifyOnPut && (await sha256Hex(request.file)) !== fileSha256)
      throw new LucidError('invalidRequest', 'the file is not the one its leaf names: send it again');
    const retain = retainedFrom(session, deps.nowUs());
    const { written, version } = await chunks.putFile(sessionId, index, request.file, retain);
    const seen = version === undefined ? {} : { version };
    return { attempted: true, written, ...seen, imported: isImported(session), retain };
  }

  const refusal = (head: ChainHead): PutAnswer => ({
    appended: false,
    storedAtUs: 0,
    storagePath: '',
    head: { count: head.count, leafHash: head.leafHash },
  });

  const answer = (chunk: ChunkMetadata, head: ChainHead): PutAnswer => ({
    appended: true,
    storedAtUs: chunk.storedAtUs,
    storagePath: chunk.storagePath,
    head: { count: head.count, leafHash: head.leafHash },
  });

  async function alreadyStored(request: PutRequest, head: ChainHead): Promise<PutAnswer> {
    const row = await rows.getChunk(request.metadata.sessionId, request.metadata.index);
    if (row?.metadata.leafHash !== request.metadata.leafHash) return refusal(head);
    if (row.rebuilt) {
      const { storedAtUs, storagePath } = row.metadata;
      await rows.completeChunk({
        ...row,
        metadata: { ...request.metadata, storedAtUs, storagePath },
        rebuilt: false,
      });
    }
    return answer(row.metadata, head);
  }

  /**
   * The chunk's file in place of one of an earlier try: no leaf names that, or the head would be further. It was looked at before
   * the lease is: whoever has taken the lease since has put another version there, which stays. Null: the lease is gone.
   */
  async function settleFile(request: PutRequest, file: Written): Promise<RetainOptions | null> {
    const { sessionId, index } = request.metadata;
    if (file.attempted && file.written) return file.retain;
    let seen = file;
    if (!seen.attempted) {
      seen = await writeFile(request, { pendingBytes: 0 });
      if (!seen.attempted) return null;
      if (!(await ownsLease(request))) {
        if (seen.written) await chunks.removeFile(sessionId, index, seen.version);
        return null;
      }
    }
    const { version, retain, written } = seen;
    if (!written)
      await chunks.putFile(sessionId, index, request.file, {
        ...retain,
        replace: true,
        ...(version === undefined ? {} : { version }),
      });
    return retain;
  }

  /** Steps 2 and 3. */
  async function commit(request: PutRequest, leaf: LeafFields, file: Written): Promise<PutAnswer> {
    const { sessionId, index } = request.metadata;
    const [head, isOwner] = await Promise.all([rows.getHead(sessionId), ownsLease(request)]);
    if (index < head.count) return alreadyStored(request, head);
    const extendsChain = index === head.count && (head.leafHash ?? noLeafHash) === leaf.previousLeafHash;
    if (!extendsChain || !isOwner) {
      if (file.attempted && file.written) await chunks.removeFile(sessionId, index, file.version);
      return refusal(head);
    }
    const retain = await settleFile(request, file);
    if (retain === null) return refusal(head);
    const sealedLeaf = concatBytes(request.leaf, request.seal);
    await chunks.putLeaf(sessionId, index, sealedLeaf, retain);
    const metadata: ChunkMetadata = {
      ...request.metadata,
      storedAtUs: deps.nowUs(),
      storagePath: chunks.storagePath(sessionId, index),
    };
    if (!(await rows.appendChunk({ metadata, sealedLeaf, rebuilt: false }, head, request.epoch))) {
      // Another process was faster, and this one's leaf may lie in place of its.
      const row = await rows.getChunk(sessionId, index);
      if (row !== null) await chunks.putLeaf(sessionId, index, row.sealedLeaf, retain);
      return refusal(await rows.getHead(sessionId));
    }
    if (!(file.attempted && file.imported)) histogram.observe((metadata.storedAtUs - metadata.closedUs) / 1_000_000);
    return answer(metadata, { ...head, count: index + 1, leafHash: leaf.leafHash });
  }

  let problem: string | null = null;

  async function put(request: PutRequest): Promise<PutAnswer> {
    const leaf = checkPut(request);
    try {
      const answer = await putChecked(request, leaf);
      problem = null;
      return answer;
    } catch (thrown) {
      // A refusal is the caller's matter; what the disk or the database does not take is the operator's.
      if (!(thrown instanceof LucidError)) problem = 'the metadata database does not take rows';
      else if (thrown.status >= 500) problem = thrown.message;
      throw thrown;
    }
  }

  function putChecked(request: PutRequest, leaf: LeafFields): Promise<PutAnswer> {
    let file: Promise<Written> | undefined;
    return lanes.run(
      request.metadata.sessionId,
      async (lane) => {
        try {
          return await commit(request, leaf, await file!);
        } finally {
          lane.pendingBytes -= request.file.length;
        }
      },
      (lane) => {
        lane.pendingBytes += request.file.length;
        file = writeFile(request, lane);
        // Its failure is this call's; it is looked at when the turn comes.
        file.catch(() => {});
      },
    );
  }

  return { put, lanes, histogram, problem: () => problem };
}
