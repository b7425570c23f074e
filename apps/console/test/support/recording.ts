/** Turns a capture of a real session into a sealed recording, by the code the services use. Tests only. */
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import {
  bundleEntries,
  chunkSuites,
  ed25519Signer,
  encodeLeaf,
  formatPublicKey,
  leafHash,
  merkleRoot,
  NO_LEAF_HASH,
  recordBase,
  type SessionKeys,
  sealChunk,
  sealLeaf,
  sessionIdBytes,
  sessionKeys,
  signRecord,
  tarStream,
  toHex,
  webCrypto,
} from '@lucid-sessions/evidence';
import {
  MCS_GLOBAL_CHANNEL_ID,
  type Monitor,
  mcsPdu,
  monitorLayout,
  PduType,
  PduType2,
  shareDataPdu,
  tpkt,
  wrapShareControl,
  x224Data,
} from '@lucid-sessions/rdp';
import {
  encodeNote,
  FrameWriter,
  frameFlags,
  frameKinds,
  type GatewayNote,
  PAYLOAD_HEADER_BYTES,
} from '@lucid-sessions/recording';
import { captureFrames, readCapture } from '@lucid-sessions/testkit';
import { type Crypto, concatBytes, encode } from '@lucid-sessions/wire';

export const capturesDirectory = join(import.meta.dirname, '../../../../testkit/captures');

export interface SealedChunk {
  chunkId: string;
  openedUs: number;
  closedUs: number;
  framesCount: number;
  file: Uint8Array;
  fileSha256: string;
  leaf: Uint8Array;
  seal: Uint8Array;
  leafHash: string;
}

export interface SealedRecording {
  sessionId: string;
  keys: SessionKeys;
  startedUs: number;
  endedUs: number;
  firstSealKey: Uint8Array;
  chunks: SealedChunk[];
  merkleRoot: string;
  /** Signed records, as envelopes. */
  open: Uint8Array;
  manifest: Uint8Array;
  frames: TimedFrame[];
  /** `ed25519:…` of who signed them. */
  identityKey: string;
  signExport(bundleSha256: string): Promise<Uint8Array>;
}

export interface TimedFrame {
  kind: 0 | 1;
  flags: number;
  timeUs: number;
  body: Uint8Array;
}

const crypto: Crypto = webCrypto(webcrypto as unknown as Parameters<typeof webCrypto>[0]);

function note(timeUs: number, content: GatewayNote): TimedFrame {
  return { kind: frameKinds.note, flags: 0, timeUs, body: encodeNote(content) };
}

export interface SealOptions {
  sessionId: string;
  startedUs: number;
  chunkUsMax?: number;
}

/** Seals a capture as a recording of chunks of `chunkUsMax`. */
export async function sealCapture(name: string, options: SealOptions): Promise<SealedRecording> {
  const capture = readCapture(join(capturesDirectory, `${name}.rdpcap.gz`));
  const pdus = captureFrames(capture);
  const { startedUs } = options;
  const lastUs = pdus.at(-1)?.timeUs ?? 0;
  const frames = [
    note(0, {
      type: 'connected',
      atUs: startedUs,
      clientAddress: '192.0.2.10:51234',
      targetAddress: 'srv-01.example.net:3389',
    }),
    ...pdus,
    note(lastUs, {
      type: 'ended',
      atUs: startedUs + lastUs,
      reason: 'client_disconnected',
      message: 'the client disconnected',
    }),
  ];
  return sealFrames(frames, options);
}

export async function sealFrames(frames: TimedFrame[], options: SealOptions): Promise<SealedRecording> {
  const { sessionId, startedUs, chunkUsMax = 2_000_000 } = options;
  const dek = randomBytes(32);
  const dekId = randomBytes(16);
  let seed: Uint8Array = randomBytes(32);
  const firstSealKey = await crypto.ed25519PublicKey(seed);
  const chunks: SealedChunk[] = [];
  let previousLeafHash: Uint8Array = NO_LEAF_HASH;
  let frameNumber = 0;
  const groups = group(frames, chunkUsMax);
  for (const [index, part] of groups.entries()) {
    const openedUs = startedUs + index * chunkUsMax;
    const lastUs = startedUs + (part.at(-1)?.timeUs ?? index * chunkUsMax);
    const closedUs = index + 1 < groups.length ? openedUs + chunkUsMax : Math.max(openedUs, lastUs);
    const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
    for (const { kind, flags, timeUs, body } of part) writer.append(kind, flags, 0, timeUs, body);
    const compressed = zstdCompressSync(writer.payload({ firstFrameNumber: frameNumber, openedUs }));
    frameNumber += part.length;
    const header = {
      suite: chunkSuites.aes256GcmHkdfSha256,
      recovered: false,
      gapBefore: false,
      stored: false,
      compression: 'zstd',
      sessionId: sessionIdBytes(sessionId),
      index,
      openedUs,
      monotonicNs: BigInt(index * chunkUsMax) * 1000n,
      previousLeafHash,
      dekId,
    } as const;
    const file = await sealChunk(crypto, { header, dek, compressed });
    const final = index + 1 === groups.length;
    const nextSeed = randomBytes(32);
    const fileSha256 = createHash('sha256').update(file).digest();
    const leaf = encodeLeaf({
      recovered: false,
      gapBefore: false,
      final,
      sessionId: header.sessionId,
      index,
      openedUs,
      closedUs,
      compressedBytes: compressed.length,
      fileBytes: file.length,
      fileSha256,
      previousLeafHash,
      nextSealKey: final ? new Uint8Array(32) : await crypto.ed25519PublicKey(nextSeed),
    });
    const hash = leafHash(leaf);
    chunks.push({
      chunkId: `${sessionId}-${index + 1}`,
      openedUs,
      closedUs,
      framesCount: part.length,
      file,
      fileSha256: toHex(fileSha256),
      leaf,
      seal: await sealLeaf(crypto, seed, leaf),
      leafHash: toHex(hash),
    });
    seed = nextSeed;
    previousLeafHash = hash;
  }
  const endedUs = chunks.at(-1)!.closedUs;
  const root = toHex(merkleRoot(chunks.map((chunk) => leafHash(chunk.leaf))));
  return {
    ...(await signRecords({
      sessionId,
      startedUs,
      endedUs,
      firstSealKey,
      dekId,
      chunks,
      root,
      framesCount: frameNumber,
    })),
    sessionId,
    keys: await sessionKeys(crypto, dek, dekId),
    startedUs,
    endedUs,
    firstSealKey,
    chunks,
    merkleRoot: root,
    frames,
  };
}

/** A Monitor Layout PDU of the server. */
export function monitorsFrame(timeUs: number, monitors: readonly Monitor[]): TimedFrame {
  const list = monitors.map(({ left, top, width, height, primary }) => ({
    left: left >>> 0,
    top: top >>> 0,
    right: (left + width - 1) >>> 0,
    bottom: (top + height - 1) >>> 0,
    flags: primary ? 1 : 0,
  }));
  const data = encode(monitorLayout, { monitors: list });
  const sizes = { uncompressedLength: data.length, compressedLength: 0, compressedType: 0 };
  const header = { shareId: 1, pad1: 0, streamId: 1, pduType2: PduType2.monitorLayout, ...sizes };
  const share = wrapShareControl(PduType.data, 1002, shareDataPdu, { ...header, data });
  const payload = encode(mcsPdu, {
    kind: 'sendDataIndication',
    initiator: 1002,
    channelId: MCS_GLOBAL_CHANNEL_ID,
    priority: 0x70,
    data: share,
  });
  const body = encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload }) });
  return { kind: frameKinds.pdu, flags: frameFlags.serverToClient, timeUs, body };
}

function group(frames: TimedFrame[], chunkUsMax: number): TimedFrame[][] {
  const groups: TimedFrame[][] = [];
  for (const frame of frames) {
    const index = Math.floor(frame.timeUs / chunkUsMax);
    while (groups.length <= index) groups.push([]);
    groups[index]!.push(frame);
  }
  return groups;
}

async function signRecords(facts: {
  sessionId: string;
  startedUs: number;
  endedUs: number;
  firstSealKey: Uint8Array;
  dekId: Uint8Array;
  chunks: SealedChunk[];
  root: string;
  framesCount: number;
}): Promise<Pick<SealedRecording, 'open' | 'manifest' | 'identityKey' | 'signExport'>> {
  const signer = await ed25519Signer(crypto, randomBytes(32));
  const identityKey = formatPublicKey(signer.publicKey);
  const dekId = toHex(facts.dekId);
  const open = await signRecord(signer, {
    ...recordBase('open', facts.sessionId),
    opened_us: facts.startedUs,
    recorder: { id: 'recorder-1', software: 'lucid-sessions test', identity_key: identityKey },
    first_seal_key: toHex(facts.firstSealKey),
    encryption: 'AES-256-GCM',
    dek_id: dekId,
    policy: {
      persistence: 'strict',
      graphics: 'passthrough',
      compression: 'zstd',
      chunk_bytes_max: 10 << 20,
      chunk_age_us_max: 30_000_000,
    },
    parties: { created_by: 'alice', target: 'srv-01.example.net:3389', target_user: 'jdoe' },
    checkpoint: null,
  });
  const manifest = await signRecord(signer, {
    ...recordBase('manifest', facts.sessionId),
    open_sha256: createHash('sha256').update(open).digest('hex'),
    resumes_sha256: [],
    chunks_count: facts.chunks.length,
    total_bytes: facts.chunks.reduce((sum, chunk) => sum + chunk.file.length, 0),
    merkle_root: facts.root,
    opened_us: facts.startedUs,
    ended_us: facts.endedUs,
    clock: { offset_us: null, source: 'system' },
    gaps: [],
    pauses: [],
    downgrades: [],
    clock_steps: [],
    connections: [{ at_us: facts.startedUs, client: '192.0.2.10:51234', target: 'srv-01.example.net:3389' }],
    target_certificates: [],
    persistence: 'strict',
    end: { reason: 'client_disconnected', message: 'the client disconnected' },
    statistics: {
      frames_count: facts.framesCount,
      relayed_bytes: 0,
      frames_dropped: 0,
      duration_us: facts.endedUs - facts.startedUs,
    },
    keys: { identity_key: identityKey, dek_id: dekId },
  });
  const signExport = (bundle_sha256: string): Promise<Uint8Array> =>
    signRecord(signer, { ...recordBase('export', facts.sessionId), at_us: facts.endedUs, actor: 'ada', bundle_sha256 });
  return { open, manifest, identityKey, signExport };
}

/** The session's evidence bundle as a tar file; without its chunks, as a player asks for it, unless they are given. */
export async function evidenceTar(
  recording: SealedRecording,
  chunk: (index: number) => Uint8Array | null = () => null,
): Promise<Uint8Array> {
  const entries = bundleEntries({
    sessionId: recording.sessionId,
    open: recording.open,
    manifest: recording.manifest,
    resumes: [],
    erases: [],
    custody: [],
    leaves: concatBytes(...recording.chunks.flatMap(({ leaf, seal }) => [leaf, seal])),
    chunk,
    wraps: [],
    logProofs: { open: null, manifest: null, resumes: [], erases: [], custody: null },
    signExport: recording.signExport,
    consistency: [],
    anchors: [],
  });
  const parts: Uint8Array[] = [];
  for await (const part of tarStream(entries)) parts.push(part);
  return concatBytes(...parts);
}
