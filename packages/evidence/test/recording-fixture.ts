import { nodeCrypto } from '@lucid-sessions/node';
import { FrameWriter, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { concatBytes } from '@lucid-sessions/wire';
import {
  type BundleAnchor,
  type BundleInput,
  type BundleProgress,
  bundleEntries,
  bundleNames,
  type ChunkHeader,
  type CustodyBody,
  consistencyRanges,
  cosign,
  type EraseBody,
  ed25519NoteSigner,
  ed25519Signer,
  encodeJson,
  encodeLeaf,
  formatLogProof,
  formatNote,
  formatNoteKey,
  formatPublicKey,
  hashLeaf,
  inclusionRanges,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  type Leaf,
  type LoggedSession,
  leafHash,
  logEntry,
  loggedSession,
  type ManifestBody,
  MerkleTree,
  merkleRoot,
  NO_LEAF_HASH,
  type NoteKey,
  noteAlgorithms,
  type OpenBody,
  type ProgressHead,
  parseCanonicalJson,
  parsePolicy,
  parseSignedCheckpoint,
  progressEntry,
  progressLeafHash,
  progressStatement,
  type RecordKind,
  rangeHashOf,
  readRecord,
  readRecordOf,
  recordBase,
  type Signer,
  sealChunk,
  sealLeaf,
  sessionIdBytes,
  sha256,
  signCheckpoint,
  signRecord,
  TileEdge,
  type TileReader,
  type TrustPolicy,
  toHex,
  utf8,
  type VerifyOptions,
} from '../src/index.ts';

export const seed = (number: number): Uint8Array => new Uint8Array(32).fill(number);
export const T0 = 1_800_000_000_000_000;
const SECOND = 1_000_000;

export const identity = await ed25519Signer(nodeCrypto, seed(1));
export const stranger = await ed25519Signer(nodeCrypto, seed(2));
export const logSigner = await ed25519NoteSigner(nodeCrypto, 'log.example/fixture', seed(3));
const witnessSigner = await ed25519NoteSigner(nodeCrypto, 'witness.example', seed(4));
export const witnessKey: NoteKey = { ...witnessSigner.key, algorithm: noteAlgorithms.cosignatureV1 };
export const dek = seed(9);
export const dekId = seed(8).slice(0, 16);

/** Of a recording that names none. */
const usualSessionId = '0f8fad5b-d9cb-469f-a165-70867728950e';

/** A log in memory, with proofs. */
export class MemoryLog {
  readonly entries: Uint8Array[] = [utf8('something before')];
  readonly leaves: Uint8Array[] = [hashLeaf(utf8('something before'))];

  async checkpoint(timeUs: number): Promise<string> {
    const { note } = parseSignedCheckpoint(
      await signCheckpoint(logSigner, this.leaves.length, merkleRoot(this.leaves)),
    );
    const signature = await cosign(
      { key: witnessKey, sign: witnessSigner.sign },
      note.text,
      Math.floor(timeUs / SECOND),
    );
    return formatNote({ text: note.text, signatures: [...note.signatures, signature] });
  }

  append(kind: RecordKind, record: Uint8Array, session: LoggedSession): number {
    return this.put(logEntry(kind, toHex(sha256(record)), session));
  }

  put(entry: Uint8Array): number {
    this.entries.push(entry);
    this.leaves.push(hashLeaf(entry));
    return this.leaves.length - 1;
  }

  /** Its public files, as they stand. */
  async files(timeUs = T0): Promise<Map<string, Uint8Array>> {
    const entries = this.entries.map((bytes, at) => ({ bytes, leafHash: this.leaves[at]! }));
    const { files } = TileEdge.empty().append(entries);
    return new Map([
      ...files.map(({ path, bytes }) => [path, bytes] as const),
      ['checkpoint', utf8(await this.checkpoint(timeUs))],
    ]);
  }

  proof(index: number, checkpoint: string): string {
    const { size } = parseSignedCheckpoint(checkpoint);
    const hashOf = rangeHashOf(this.leaves.slice(0, size));
    return formatLogProof({ index, hashes: inclusionRanges(index, size).map(hashOf), checkpoint });
  }

  consistency(first: string, second: string): { first: number; second: number; hashes: string[] } {
    return this.consistencyOf(parseSignedCheckpoint(first).size, second);
  }

  consistencyOf(a: number, second: string): { first: number; second: number; hashes: string[] } {
    const b = parseSignedCheckpoint(second).size;
    return {
      first: a,
      second: b,
      hashes: consistencyRanges(a, b)
        .map(rangeHashOf(this.leaves.slice(0, b)))
        .map(toHex),
    };
  }
}

export interface RecordingOptions {
  sessionId?: string;
  chunksCount?: number;
  signer?: Signer;
  /** Chunk at which another processor carried on. */
  resumeAt?: number;
  /** Changes to leaves and headers before they are sealed, and to signed bodies before they are signed. */
  leaf?(leaf: Leaf): Leaf;
  header?(header: ChunkHeader): ChunkHeader;
  payload?(index: number, payload: Uint8Array): Uint8Array;
  open?(body: OpenBody): OpenBody;
  manifest?(body: ManifestBody): ManifestBody;
  /** Salts and keys from a counter instead of random numbers. */
  sealKeyOf?(index: number): Uint8Array;
  closed?: boolean;
  /** Its head is logged when it has so many leaves. */
  progressAt?: readonly number[];
  progressHead?(head: ProgressHead): Partial<ProgressHead>;
  anchors?(root: string): BundleAnchor[];
  range?: { first: number; last: number };
  suite?: 0 | 1;
  /** Erase records that are made and logged behind the manifest. */
  erases?(manifest: ManifestBody): Promise<Uint8Array[]>;
  /** Seconds the witness's clock is ahead. */
  witnessSkewUs?: number;
  /** By how much later than it could have the witness saw the manifest. */
  witnessedLateUs?: number;
}

export interface Recording {
  input: BundleInput;
  log: MemoryLog;
  chunks: Uint8Array[];
  openRecord: Uint8Array;
  manifestRecord: Uint8Array;
  session: LoggedSession;
}

const sealKeys = (index: number): Uint8Array => sha256(utf8(`seal key ${index}`));

function payloadOf(index: number): Uint8Array {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  // The fourth chunk of a session is an idle one.
  const count = index === 3 ? 0 : 3;
  for (let i = 0; i < count; i += 1) writer.append(0, 1, 1003, (index * 10 + i) * SECOND, utf8(`frame ${index}.${i}`));
  return writer.payload({
    firstFrameNumber: index > 3 ? (index - 1) * 3 : index * 3,
    openedUs: T0 + index * 10 * SECOND,
  });
}

/** Records a session the way the services do, with deterministic keys. */
export async function record(options: RecordingOptions = {}): Promise<Recording> {
  const sessionId = options.sessionId ?? usualSessionId;
  const signer = options.signer ?? identity;
  const suite = options.suite ?? 1;
  const count = options.chunksCount ?? 5;
  const keyOf = options.sealKeyOf ?? sealKeys;
  const publicOf = (index: number): Uint8Array => nodeCrypto.ed25519PublicKey(keyOf(index));
  const skew = options.witnessSkewUs ?? 0;
  const log = new MemoryLog();
  const before = await log.checkpoint(T0 - 60 * SECOND + skew);
  const openBody: OpenBody = {
    ...recordBase('open', sessionId),
    opened_us: T0,
    recorder: { id: 'recorder-1', software: 'lucid-sessions 0.1.0', identity_key: formatPublicKey(signer.publicKey) },
    first_seal_key: toHex(publicOf(0)),
    encryption: suite === 1 ? 'AES-256-GCM' : 'none',
    dek_id: suite === 1 ? toHex(dekId) : null,
    policy: {
      persistence: 'strict',
      graphics: 'passthrough',
      compression: 'none',
      chunk_bytes_max: 10 << 20,
      chunk_age_us_max: 30 * SECOND,
    },
    parties: { created_by: 'ada', target: '10.0.0.1:3389', target_user: null },
    checkpoint: before,
    log_entries: 2,
  };
  const openRecord = await signRecord(signer, options.open?.(openBody) ?? openBody);
  const session = loggedSession(readRecordOf('open', openRecord));
  const openIndex = log.append('open', openRecord, session);
  const openCheckpoint = await log.checkpoint(T0 + skew);

  const leaves: Uint8Array[] = [];
  const chunks: Uint8Array[] = [];
  const resumes: Uint8Array[] = [];
  const tree = MerkleTree.empty();
  let previousLeafHash = NO_LEAF_HASH;
  let epoch = 0;
  let totalBytes = 0;
  const progressed: { head: BundleProgress; put(): void; index: number }[] = [];
  const progress = (leavesCount: number): void => {
    const leafHashText = leavesCount === 0 ? null : toHex(previousLeafHash);
    const given = { openSha256: session.openSha256, leavesCount, leafHash: leafHashText };
    const head = { ...given, ...options.progressHead?.(given) };
    const other = hashLeaf(utf8(`another session ${leavesCount}`));
    const hashes = [progressLeafHash(head), other];
    const root = toHex(merkleRoot(hashes));
    const atUs = T0 + leavesCount * 10 * SECOND + SECOND;
    const entry = progressEntry({ statement: progressStatement({ atUs, count: 2, root }), root });
    const made = {
      head: {
        v: 1 as const,
        at_us: atUs,
        count: 2,
        root,
        index: 0,
        leaves_count: head.leavesCount,
        leaf_hash: head.leafHash,
        hashes: [toHex(other)],
      },
      index: 0,
      put: () => {
        made.index = log.put(entry);
      },
    };
    progressed.push(made);
  };
  for (let index = 0; index < count; index += 1) {
    if (options.progressAt?.includes(index) === true) progress(index);
    const resumed = options.resumeAt === index;
    if (resumed) {
      epoch = 1000;
      resumes.push(
        await signRecord(signer, {
          ...recordBase('resume', sessionId),
          open_sha256: readRecord(openRecord).sha256,
          index,
          previous_leaf_hash: toHex(previousLeafHash),
          seal_key: toHex(publicOf(index + epoch)),
          resumed_us: T0 + index * 10 * SECOND,
          epoch: 2,
          reason: 'the processor before was lost',
        }),
      );
    }
    const header: ChunkHeader = {
      suite,
      recovered: resumed,
      gapBefore: false,
      stored: false,
      compression: 'none',
      sessionId: sessionIdBytes(sessionId),
      index,
      openedUs: T0 + index * 10 * SECOND,
      monotonicNs: BigInt(index) * 10_000_000_000n,
      previousLeafHash,
      dekId: suite === 1 ? dekId : new Uint8Array(16),
    };
    const payload = payloadOf(index);
    const compressed = options.payload?.(index, payload) ?? payload;
    const salted = { ...nodeCrypto, randomBytes: () => sha256(utf8(`salt ${index}`)) };
    const file = await sealChunk(salted, { header: options.header?.(header) ?? header, dek, compressed });
    const final = index === count - 1;
    const leaf: Leaf = {
      recovered: resumed,
      gapBefore: false,
      final,
      sessionId: header.sessionId,
      index,
      openedUs: header.openedUs,
      closedUs: header.openedUs + 10 * SECOND,
      compressedBytes: compressed.length,
      fileBytes: file.length,
      fileSha256: sha256(file),
      previousLeafHash,
      nextSealKey: final ? new Uint8Array(32) : publicOf(index + 1 + epoch),
    };
    const leafBytes = encodeLeaf(options.leaf?.(leaf) ?? leaf);
    leaves.push(concatBytes(leafBytes, await sealLeaf(nodeCrypto, keyOf(index + epoch), leafBytes)));
    chunks.push(file);
    totalBytes += file.length;
    previousLeafHash = leafHash(leafBytes);
    tree.append(previousLeafHash);
  }
  for (const { put } of progressed) put();
  const resumeIndices = resumes.map((bytes) => log.append('resume', bytes, session));

  const endedUs = T0 + count * 10 * SECOND;
  const manifestBody: ManifestBody = {
    ...recordBase('manifest', sessionId),
    open_sha256: readRecord(openRecord).sha256,
    resumes_sha256: resumes.map((bytes) => readRecord(bytes).sha256),
    chunks_count: count,
    total_bytes: totalBytes,
    merkle_root: toHex(tree.root()),
    opened_us: T0,
    ended_us: endedUs,
    clock: { offset_us: 0, source: 'ntp' },
    gaps: [],
    pauses: [],
    downgrades: [{ at_us: T0, what: 'graphics pipeline off' }],
    clock_steps: [],
    connections: [{ at_us: T0, client: '10.0.0.9:4000', target: '10.0.0.1:3389' }],
    target_certificates: [],
    persistence: 'strict',
    end: { reason: 'client_disconnected', message: 'the client closed the connection' },
    statistics: {
      frames_count: (count > 3 ? count - 1 : count) * 3,
      relayed_bytes: 1000,
      frames_dropped: 0,
      duration_us: endedUs - T0,
    },
    keys: { identity_key: formatPublicKey(signer.publicKey), dek_id: suite === 1 ? toHex(dekId) : null },
  };
  const manifestRecord = await signRecord(signer, options.manifest?.(manifestBody) ?? manifestBody);
  const manifestIndex = log.append('manifest', manifestRecord, session);
  const custody = await custodyChain(signer, sessionId, 2);
  const erases = await (options.erases?.(manifestBody) ?? []);
  const eraseIndices = erases.map((bytes) => log.append('erase', bytes, session));
  const custodyIndex = log.append('custody', custody.at(-1)!, session);
  log.put(utf8('something after'));
  const last = await log.checkpoint(endedUs + SECOND + skew + (options.witnessedLateUs ?? 0));
  const closed = options.closed !== false;
  const input: BundleInput = {
    sessionId,
    open: openRecord,
    manifest: closed ? manifestRecord : null,
    resumes,
    erases,
    custody,
    leaves: concatBytes(...leaves),
    chunk: (index) => chunks[index] ?? null,
    wraps: suite === 1 ? [{ scheme: 'test', recipient: 'auditor', key_id: toHex(dekId), wrapped: 'AAAA' }] : [],
    logProofs: {
      open: log.proof(openIndex, openCheckpoint),
      manifest: closed ? log.proof(manifestIndex, last) : null,
      resumes: resumeIndices.map((index) => log.proof(index, last)),
      erases: eraseIndices.map((index) => log.proof(index, last)),
      custody: log.proof(custodyIndex, last),
    },
    signExport: (bundleSha256) => signedExport(signer, sessionId, bundleSha256),
    progress: progressed.map(({ head, index }) => ({ head, proof: log.proof(index, last) })),
    consistency: [log.consistency(before, openCheckpoint), log.consistency(openCheckpoint, last)],
    anchors: options.anchors?.(manifestBody.merkle_root) ?? [],
    ...(options.range === undefined ? {} : { range: options.range }),
  };
  return { input, log, chunks, openRecord, manifestRecord, session };
}

/** Of the usual session, signed by the identity key behind its end. */
export const eraseRecord = (merkleRoot: string | null, change: Partial<EraseBody> = {}): Promise<Uint8Array> =>
  signRecord(identity, {
    ...recordBase('erase', usualSessionId),
    at_us: T0 + 99 * SECOND,
    actor: 'retention',
    reason: 'time is over',
    erased: 'keys_and_chunks',
    dek_id: toHex(dekId),
    merkle_root: merkleRoot,
    ...change,
  });

/** The recording was erased by one such record, which is logged. */
export const erasing = (change: Partial<EraseBody> = {}): RecordingOptions => ({
  erases: async ({ merkle_root }) => [await eraseRecord(merkle_root, change)],
});

/** A receipt over the usual session's root. */
export const anchor = (digest: string, change: Partial<BundleAnchor> = {}): BundleAnchor => ({
  v: 1,
  backend: 'blockchain-core',
  subject: 'session_root',
  session_id: usualSessionId,
  digest,
  status: 'confirmed',
  submitted_us: T0 + 60 * SECOND,
  confirmed_us: T0 + 90 * SECOND,
  block_height: 7,
  transaction_id: 'tx',
  detail: null,
  ...change,
});

export async function custodyChain(signer: Signer, sessionId: string, count: number): Promise<Uint8Array[]> {
  const records: Uint8Array[] = [];
  for (let sequence = 0; sequence < count; sequence += 1) {
    const previous = records.at(-1);
    const body: CustodyBody = {
      ...recordBase('custody', sessionId),
      at_us: T0 + 100 * SECOND + sequence,
      action: 'export',
      actor: 'auditor',
      detail: 'for case 7',
      sequence,
      previous_sha256: previous === undefined ? null : toHex(sha256(previous)),
    };
    records.push(await signRecord(signer, body));
  }
  return records;
}

export async function filesOf(input: BundleInput): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for await (const { name, content } of bundleEntries(input)) files.set(name, content.slice());
  return files;
}

export async function signedExport(signer: Signer, sessionId: string, bundleSha256: string): Promise<Uint8Array> {
  return signRecord(signer, {
    ...recordBase('export', sessionId),
    at_us: T0 + 101 * SECOND,
    actor: 'auditor',
    bundle_sha256: bundleSha256,
  });
}

/** What a forger would do last: make `bundle.json` fit. */
export function fitDescription(files: Map<string, Uint8Array>): void {
  const description = parseCanonicalJson(files.get(bundleNames.bundle)!, 1 << 20) as Record<string, unknown>;
  description.files = [...files]
    .filter(([name]) => !/^(?:chunks\/|leaves|bundle|export)/.test(name))
    .map(([name, content]) => ({ name, sha256: toHex(sha256(content)) }));
  const leaves = files.get(bundleNames.leaves) ?? new Uint8Array(0);
  const count = Math.floor(leaves.length / LEAF_RECORD_BYTES);
  const at = (count - 1) * LEAF_RECORD_BYTES;
  const last = count === 0 ? null : toHex(leafHash(leaves.subarray(at, at + LEAF_BYTES)));
  description.leaves = { count, last_hash: last };
  files.set(bundleNames.bundle, encodeJson(description));
}

/** And one who has the identity key signs that these are the files. */
export async function fitAndSign(files: Map<string, Uint8Array>, signer: Signer = identity): Promise<void> {
  fitDescription(files);
  const bundle = files.get(bundleNames.bundle)!;
  const { session_id: sessionId } = parseCanonicalJson(bundle, 1 << 20) as { session_id: string };
  files.set(bundleNames.export, await signedExport(signer, sessionId, toHex(sha256(bundle))));
}

export const policyJson = {
  v: 1,
  identity_keys: [{ key: formatPublicKey(identity.publicKey), name: 'recorder-1' }],
  log_keys: [formatNoteKey(logSigner.key)],
  witnesses: [formatNoteKey(witnessKey)],
  witnesses_required: 1,
};
const policyTexts = new WeakMap<TrustPolicy, object>();
export function policyOf(change: object = {}): TrustPolicy {
  const json = { ...policyJson, ...change };
  const policy = parsePolicy(encodeJson(json));
  policyTexts.set(policy, json);
  return policy;
}
/** The policy file `policyOf` read. */
export const policyTextOf = (policy: TrustPolicy): object | undefined => policyTexts.get(policy);
export const options: VerifyOptions = { crypto: nodeCrypto, policy: policyOf() };

const logs = new WeakMap<TileReader, ReadonlyMap<string, Uint8Array>>();
/** A log in memory, to compare with. */
export function logOf(files: ReadonlyMap<string, Uint8Array>): TileReader {
  const read: TileReader = (path) => files.get(path) ?? null;
  logs.set(read, files);
  return read;
}
export const logFilesOf = (log: TileReader): ReadonlyMap<string, Uint8Array> | undefined => logs.get(log);
