import {
  type BundleSource,
  bundleNames,
  decodeLeaf,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  openTar,
  parsePolicy,
  type SessionKeys,
  type TrustPolicy,
  trustNobody,
  type VerificationReport,
  verifyBundle,
} from '@lucid-sessions/evidence';
import { portableDecompressor } from '@lucid-sessions/recording';
import { type Crypto, equalBytes } from '@lucid-sessions/wire';
import { type ApiClient, ApiError } from '../../api/client.ts';
import type { Verdict } from '../protocol.ts';
import type { ChunkStore } from './chunk-store.ts';
import type { ChunkTable } from './chunk-table.ts';
import { type CheckedChunks, importedText, verdictsOf, verdictsUnknown } from './verdicts.ts';

/** Records, leaves and proofs of a session are small; a longer answer is not what was asked for. */
const recordsBytesMax = 256 << 20;

/**
 * Checks a session's evidence in the browser, by the verifier the command line uses. Records, leaves, seals and log proofs are
 * checked at once; chunk files as playback loads them, or all of them when asked to.
 */
export class EvidenceCheck {
  readonly #api: ApiClient;
  readonly #params: { session_id: string };
  readonly #crypto: Crypto;
  readonly #table: ChunkTable;
  readonly #chunks: ChunkStore;
  readonly #keys: SessionKeys;
  #policy: TrustPolicy | null = null;
  #records: BundleSource | null = null;
  /** SHA-256 of each chunk file, as its leaf says. */
  #expected: Uint8Array[] = [];
  readonly #checked = new Set<number>();
  readonly #altered = new Set<number>();
  #report: VerificationReport | null = null;
  #readAll = false;

  constructor(
    api: ApiClient,
    sessionId: string,
    crypto: Crypto,
    table: ChunkTable,
    chunks: ChunkStore,
    keys: SessionKeys,
  ) {
    this.#api = api;
    this.#params = { session_id: sessionId };
    this.#crypto = crypto;
    this.#table = table;
    this.#chunks = chunks;
    this.#keys = keys;
  }

  /** Everything but the chunk files. */
  async checkRecords(): Promise<Verdict[]> {
    try {
      const [records, policy] = await Promise.all([this.#fetchRecords(), this.#fetchPolicy()]);
      this.#records = records;
      this.#policy = policy;
      this.#expected = await readLeafHashes(records);
      this.#report = await verifyBundle(records, { crypto: this.#crypto, policy: policy ?? trustNobody });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return verdictsUnknown(reasonOf(error));
    }
    return this.verdicts();
  }

  /** Compares a chunk file that passes by with its leaf. True when that changes the verdicts. */
  async noteFile(index: number, file: Uint8Array): Promise<boolean> {
    const expected = this.#expected[index];
    if (expected === undefined || this.#checked.has(index) || this.#altered.has(index)) return false;
    const same = equalBytes(await this.#crypto.sha256(file), expected);
    (same ? this.#checked : this.#altered).add(index);
    return true;
  }

  /** Fetches and checks every chunk file, its frames included. */
  async checkEveryChunk(progress: (done: number) => void): Promise<Verdict[]> {
    const records = this.#records;
    if (records === null) return this.checkRecords();
    this.#report = await verifyBundle(this.#withChunks(records), {
      crypto: this.#crypto,
      policy: this.#policy ?? trustNobody,
      decompressor: portableDecompressor,
      dek: this.#keys,
      progress,
    });
    this.#readAll = true;
    return this.verdicts();
  }

  /** What its pictures are to be shown with when it was imported; null: recorded, or not known yet. */
  get imported(): string | null {
    return this.#report === null ? null : importedText(this.#report);
  }

  /** There is a record that says what can be seen. */
  get isExamined(): boolean {
    return this.#report !== null && this.#report.verdicts.replay !== 'unexamined';
  }

  /** How far the server walked through the recording; `isKnown`: it has signed what that came to, and no other walk is under way. */
  async replayProgress(): Promise<{ isKnown: boolean; text: string | null }> {
    const answer = await this.#api.rest.getReplay({ params: this.#params });
    const { examined_at: at, walking, walked_chunks: walked, chunks } = answer;
    // Its record is signed a moment behind its end.
    const waits = walking || (at === null && chunks > 0 && walked === chunks);
    return { isKnown: at !== null && !walking, text: waits ? `Examining: ${walked} of ${chunks} chunks…` : null };
  }

  /** Has the server walk through it. */
  async examine(): Promise<void> {
    await this.#api.rest.examineReplay({ params: this.#params });
  }

  /** Reads the replay record that was made meanwhile. */
  async refreshReplay(): Promise<Verdict[]> {
    const known = this.#report;
    if (known === null) return this.checkRecords();
    const records = await this.#fetchRecords();
    const { verdicts, facts } = await verifyBundle(records, {
      crypto: this.#crypto,
      policy: this.#policy ?? trustNobody,
    });
    this.#records = records;
    this.#report = {
      ...known,
      verdicts: { ...known.verdicts, replay: verdicts.replay },
      facts: { ...known.facts, replay: facts.replay },
    };
    return this.verdicts();
  }

  verdicts(): Verdict[] {
    if (this.#report === null) return verdictsUnknown('Not checked yet.');
    const chunks: CheckedChunks = {
      all: this.#readAll,
      count: this.#expected.length,
      checked: this.#checked.size,
      altered: [...this.#altered],
    };
    return verdictsOf(this.#report, chunks, this.#policy !== null);
  }

  async #fetchRecords(): Promise<BundleSource> {
    const response = await this.#api.rest.exportRecords({ params: this.#params });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.length > recordsBytesMax) throw new Error('the evidence bundle is larger than a browser should hold');
    return openTar({ length: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) });
  }

  /** Whom this installation says to trust; null where it doesn't say. */
  async #fetchPolicy(): Promise<TrustPolicy | null> {
    try {
      const policy = await this.#api.rest.getPolicy();
      return parsePolicy(new TextEncoder().encode(JSON.stringify(policy)));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return null;
      throw error;
    }
  }

  /** The records with chunk files that are fetched when they are read, one at a time. */
  #withChunks(records: BundleSource): BundleSource {
    const entries = new Map(this.#table.entries.map((entry) => [bundleNames.chunk(entry.index), entry]));
    return {
      list: async () => [
        ...(await records.list()),
        ...[...entries].map(([name, entry]) => ({ name, bytes: entry.fileBytes })),
      ],
      read: async (name, offset, length) => {
        const entry = entries.get(name);
        if (!entry) return records.read(name, offset, length);
        return (await this.#chunks.file(entry)).subarray(offset, offset + length);
      },
    };
  }
}

async function readLeafHashes(records: BundleSource): Promise<Uint8Array[]> {
  const file = (await records.list()).find(({ name }) => name === bundleNames.leaves);
  if (!file) return [];
  const bytes = await records.read(file.name, 0, file.bytes);
  const count = Math.floor(bytes.length / LEAF_RECORD_BYTES);
  return Array.from({ length: count }, (_, i) => {
    const at = i * LEAF_RECORD_BYTES;
    return decodeLeaf(bytes.subarray(at, at + LEAF_BYTES)).fileSha256;
  });
}

function reasonOf(error: ApiError): string {
  if (error.status === 403) return 'Your roles do not let you read the evidence of this session.';
  if (error.status === 404) return 'There is no evidence yet: it is made while the session is recorded.';
  return error.message;
}
