/**
 * `node bench/src/main.ts verify [--megabytes 2000] [--chunk-megabytes 10] [--runs 3] [--directory DIR]`
 *
 * How fast the offline verifier gets through a bundle, and how much memory it takes: without a key (hashes, seals, records),
 * and with one (every frame decrypted and read). Each run is a process of its own, so that its peak memory is its own.
 * The bundle is in the page cache after it was written: what is measured is the verifier, not the disk.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import {
  type BundleInput,
  bundleEntries,
  type ChunkHeader,
  ed25519Signer,
  encodeLeaf,
  formatPublicKey,
  leafHash,
  MerkleTree,
  NO_LEAF_HASH,
  parsePolicy,
  readRecord,
  recordBase,
  sealChunk,
  sealLeaf,
  sessionIdBytes,
  signRecord,
  toHex,
  utf8,
  verifyBundle,
} from '@lucid-sessions/evidence';
import { openBundle, writeBundleDirectory } from '@lucid-sessions/files';
import { nodeCrypto, nodeDecompressor } from '@lucid-sessions/node';
import { FrameWriter, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { concatBytes } from '@lucid-sessions/wire';

const sessionId = '0f8fad5b-d9cb-469f-a165-70867728950e';
const seed = (number: number): Uint8Array => new Uint8Array(32).fill(number);
const [identity, dek, dekId] = [await ed25519Signer(nodeCrypto, seed(1)), seed(9), seed(8).slice(0, 16)];
const openedUs = 1_800_000_000_000_000;
const secondUs = 1_000_000;
const frameBytes = 512 * 1024;

/** Frames of noise: what compressed and encrypted pictures look like to a hash. */
function payloadOf(index: number, bytes: number, noise: Uint8Array): Uint8Array {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  const count = Math.max(1, Math.floor(bytes / frameBytes));
  for (let i = 0; i < count; i += 1) writer.append(0, 1, 1003, (index * 10 + i) * 1000, noise);
  return writer.payload({ firstFrameNumber: index * count, openedUs: openedUs + index * 10 * secondUs });
}

const sealSeed = (index: number): Uint8Array => nodeCrypto.sha256(utf8(`seal key ${index}`));
const sealKey = (index: number): Uint8Array => nodeCrypto.ed25519PublicKey(sealSeed(index));

interface Sealed {
  leaf: Uint8Array;
  seal: Uint8Array;
  file: Uint8Array;
}

async function sealOne(
  index: number,
  final: boolean,
  previousLeafHash: Uint8Array,
  payload: Uint8Array,
): Promise<Sealed> {
  const header: ChunkHeader = {
    suite: 1,
    recovered: false,
    gapBefore: false,
    stored: true,
    compression: 'none',
    sessionId: sessionIdBytes(sessionId),
    index,
    openedUs: openedUs + index * 10 * secondUs,
    monotonicNs: 0n,
    previousLeafHash,
    dekId,
  };
  const salted = { ...nodeCrypto, randomBytes: () => nodeCrypto.sha256(utf8(`salt ${index}`)) };
  const file = await sealChunk(salted, { header, dek, compressed: payload });
  const leaf = encodeLeaf({
    ...header,
    final,
    closedUs: header.openedUs + 10 * secondUs,
    compressedBytes: payload.length,
    fileBytes: file.length,
    fileSha256: nodeCrypto.sha256(file),
    nextSealKey: final ? new Uint8Array(32) : sealKey(index + 1),
  });
  return { leaf, seal: await sealLeaf(nodeCrypto, sealSeed(index), leaf), file };
}

/** Writes a bundle the verifier finds nothing wrong with. Chunks are sealed twice (salts come from a counter), so that one at a time is in memory. */
async function writeBundle(directory: string, chunksCount: number, chunkBytes: number): Promise<number> {
  const noise = nodeCrypto.randomBytes(frameBytes);
  const sealAgain = (index: number, before: Uint8Array): Promise<Sealed> =>
    sealOne(index, index === chunksCount - 1, before, payloadOf(index, chunkBytes, noise));
  const [leaves, previous]: [Uint8Array[], Uint8Array[]] = [[], [NO_LEAF_HASH]];
  const tree = MerkleTree.empty();
  let totalBytes = 0;
  for (let index = 0; index < chunksCount; index += 1) {
    const { leaf, seal, file } = await sealAgain(index, previous[index]!);
    leaves.push(concatBytes(leaf, seal));
    previous.push(leafHash(leaf));
    tree.append(leafHash(leaf));
    totalBytes += file.length;
  }
  const records = await recordsOf(chunksCount, totalBytes, toHex(tree.root()));
  const chunk = async (index: number) => (await sealAgain(index, previous[index]!)).file;
  await writeBundleDirectory(directory, bundleEntries({ ...records, leaves: concatBytes(...leaves), chunk }));
  return totalBytes;
}

async function recordsOf(
  chunksCount: number,
  totalBytes: number,
  merkleRoot: string,
): Promise<Omit<BundleInput, 'leaves' | 'chunk'>> {
  const key = formatPublicKey(identity.publicKey);
  const open = await signRecord(identity, {
    ...recordBase('open', sessionId),
    opened_us: openedUs,
    recorder: { id: 'bench', software: 'bench', identity_key: key },
    first_seal_key: toHex(sealKey(0)),
    encryption: 'AES-256-GCM',
    dek_id: toHex(dekId),
    policy: {
      persistence: 'strict',
      graphics: 'passthrough',
      compression: 'none',
      chunk_bytes_max: 64 << 20,
      chunk_age_us_max: 30 * secondUs,
    },
    parties: { created_by: null, target: 'bench:3389', target_user: null },
    checkpoint: null,
  });
  const endedUs = openedUs + chunksCount * 10 * secondUs;
  const manifest = await signRecord(identity, {
    ...recordBase('manifest', sessionId),
    open_sha256: readRecord(open).sha256,
    resumes_sha256: [],
    chunks_count: chunksCount,
    total_bytes: totalBytes,
    merkle_root: merkleRoot,
    opened_us: openedUs,
    ended_us: endedUs,
    clock: { offset_us: null, source: 'none' },
    gaps: [],
    pauses: [],
    downgrades: [],
    clock_steps: [],
    connections: [],
    target_certificates: [],
    persistence: 'strict',
    end: { reason: 'stopped', message: '' },
    statistics: { frames_count: null, relayed_bytes: 0, frames_dropped: 0, duration_us: endedUs - openedUs },
    keys: { identity_key: key, dek_id: toHex(dekId) },
  });
  const logProofs = { open: null, manifest: null, resumes: [], erases: [], custody: null };
  const none = { resumes: [], erases: [], custody: [], wraps: [], consistency: [], anchors: [] };
  const signExport = (bundle_sha256: string): Promise<Uint8Array> =>
    signRecord(identity, { ...recordBase('export', sessionId), at_us: endedUs, actor: 'bench', bundle_sha256 });
  return { ...none, sessionId, open, manifest, logProofs, signExport };
}

/** One verification, in a process of its own. */
async function verifyOnce(directory: string, withKey: boolean): Promise<void> {
  const policyJson = { v: 1, identity_keys: [{ key: formatPublicKey(identity.publicKey) }] };
  const bundle = await openBundle(directory);
  const started = performance.now();
  const report = await verifyBundle(bundle.source, {
    crypto: nodeCrypto,
    policy: parsePolicy(utf8(JSON.stringify(policyJson))),
    decompressor: nodeDecompressor,
    ...(withKey ? { dek } : {}),
  });
  const seconds = (performance.now() - started) / 1000;
  await bundle.close();
  if (!report.clean) throw new Error(`the bundle is not clean: ${report.findings[0]?.message}`);
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6;
  process.stdout.write(
    JSON.stringify({ bytes: report.facts.total_bytes, seconds, cpuSeconds, peakBytes: maxRSS * 1024 }),
  );
}

interface Measured {
  bytes: number;
  seconds: number;
  cpuSeconds: number;
  peakBytes: number;
}

const print = (row: Record<string, string | number>): void => void process.stdout.write(`${JSON.stringify(row)}\n`);
const megabytes = (bytes: number): number => Math.round(bytes / 1e6);

async function measure(directory: string, kind: string, runs: number): Promise<void> {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  for (let run = 1; run <= runs; run += 1) {
    const args = [main, 'verify', '--directory', directory, '--child', kind];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { bytes, seconds, cpuSeconds, peakBytes } = JSON.parse(stdout) as Measured;
    print({
      verify: kind === 'key' ? 'with the key, frames read' : 'without a key',
      run,
      megabytes_per_second: megabytes(bytes / seconds),
      megabytes_per_cpu_second: megabytes(bytes / cpuSeconds),
      peak_megabytes: megabytes(peakBytes),
    });
  }
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      megabytes: { type: 'string', default: '2000' },
      'chunk-megabytes': { type: 'string', default: '10' },
      runs: { type: 'string', default: '3' },
      directory: { type: 'string' },
      child: { type: 'string' },
    },
  });
  const { child, directory = await mkdtemp(join(tmpdir(), 'lucid-verify-')) } = values;
  if (child !== undefined) return verifyOnce(directory, child === 'key');
  const chunkBytes = Number(values['chunk-megabytes']) * 1e6;
  const chunksCount = Math.max(1, Math.ceil((Number(values.megabytes) * 1e6) / chunkBytes));
  const bundle = join(directory, 'bundle');
  try {
    const bytes = await writeBundle(bundle, chunksCount, chunkBytes);
    print({ bundle_megabytes: megabytes(bytes), chunks: chunksCount, cores: availableParallelism() });
    await measure(bundle, 'none', Number(values.runs));
    await measure(bundle, 'key', Number(values.runs));
  } finally {
    await rm(bundle, { recursive: true, force: true });
    if (values.directory === undefined) await rm(directory, { recursive: true, force: true });
  }
}
