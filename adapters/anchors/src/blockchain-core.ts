import { type AnchorReceipt, LucidError } from '@lucid-sessions/contract';
import { sessionIdBytes, toHex } from '@lucid-sessions/evidence';
import type { Anchor, AnchorRequest } from '@lucid-sessions/pipeline';
import { type Answer, type CallerOptions, JsonCaller } from './blockchain-core-http.ts';

export interface BlockchainCoreOptions extends CallerOptions {
  /** µs since 1970. */
  nowUs?(): number;
  /** Somebody anchored another root under one of our ids: raise it where a person looks. */
  onEquivocation?(alarm: { sessionId: string; ours: string; theirs: string }): void;
}

/** The answer to GET /api/v1/anchoring/session/{id}, checked. */
interface Anchoring {
  sessionId: string;
  status: 'pending' | 'processing' | 'confirmed' | 'failed';
  submittedAtUs: number | null;
  confirmedAtUs: number | null;
  blockHeight: number | null;
  transactionId: string | null;
  merkleRoot: string;
}

const BASE = '/api/v1/anchoring';
export const BLOCKCHAIN_CORE_BACKEND = 'blockchain-core';
const statuses = ['pending', 'processing', 'confirmed', 'failed'] as const;

/** The contract wants a UUID: the session's own, or the UUIDv8 its chunks carry. */
export function anchorSessionId(sessionId: string): string {
  const hex = toHex(sessionIdBytes(sessionId));
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

function timeUs(value: unknown): number | null {
  const ms = typeof value === 'string' && value.length <= 64 ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms * 1000;
}

const unusable = (what: string): LucidError =>
  new LucidError('anchoring', `blockchain core gave an answer that can't be used: ${what}`, { status: 502 });
/** Status 500: no use in trying again. */
const refused = (message: string): LucidError => new LucidError('anchoring', message, { status: 500 });

function parseAnchoring(json: unknown): Anchoring {
  const raw = asObject(json);
  const status = statuses.find((known) => known === raw.status);
  if (typeof raw.session_id !== 'string' || status === undefined) throw unusable('no session id or status');
  if (typeof raw.merkle_root !== 'string' || !/^[0-9a-f]{64}$/i.test(raw.merkle_root)) throw unusable('no Merkle root');
  const height = raw.block_height;
  return {
    sessionId: raw.session_id.toLowerCase(),
    status,
    submittedAtUs: timeUs(raw.submitted_at),
    confirmedAtUs: timeUs(raw.confirmed_at),
    blockHeight: Number.isSafeInteger(height) && (height as number) >= 0 ? (height as number) : null,
    transactionId:
      typeof raw.transaction_id === 'string' && raw.transaction_id !== '' ? raw.transaction_id.slice(0, 500) : null,
    merkleRoot: raw.merkle_root.toLowerCase(),
  };
}

/**
 * Anchors session roots with Blockchain Core. The outbox is the pipeline's durable job: this class may be called any
 * number of times for one session, by any process, and anchors once.
 *
 * It asks before it sends, always: who crashed after sending looks like who never sent. An anchoring with our id and
 * another root is an alarm and never overwritten. 202 is not anchored, and `confirmed` counts only when id and root echo
 * back, block and transaction are named, and the service's own verification agrees. The contract carries no Merkle proof,
 * so the last step is the service's word: nothing here checks a chain.
 */
export class BlockchainCoreAnchor implements Anchor {
  readonly backend = BLOCKCHAIN_CORE_BACKEND;
  readonly #caller: JsonCaller;
  readonly #nowUs: () => number;
  readonly #onEquivocation: BlockchainCoreOptions['onEquivocation'];

  constructor(options: BlockchainCoreOptions) {
    this.#caller = new JsonCaller(options);
    this.#nowUs = options.nowUs ?? (() => Date.now() * 1000);
    this.#onEquivocation = options.onEquivocation;
  }

  async submit(request: AnchorRequest): Promise<AnchorReceipt> {
    const path = `${BASE}/session/${anchorSessionId(request.sessionId)}`;
    const known = this.#present(await this.#caller.call('GET', path));
    // One that failed there is sent again: the root is the same, and the service said it did not anchor it.
    if (known !== null && known.status !== 'failed') return this.#judge(request, known);
    if (known !== null) this.#compare(request, known);
    const body = {
      session_id: anchorSessionId(request.sessionId),
      manifest_data: {
        chunk_count: request.chunksCount,
        total_size: request.totalBytes,
        created_at: new Date(Math.floor(request.createdAtUs / 1000)).toISOString(),
      },
      merkle_root: request.merkleRoot,
    };
    // A POST that got no answer may have been heard: ask, and send again only when it was not.
    const heard = async (): Promise<Answer | null> => {
      const answer = await this.#caller.ask('GET', path);
      const anchoring = answer === null ? null : this.#present(answer);
      return anchoring === null || anchoring.status === 'failed' ? null : answer;
    };
    const answer = await this.#caller.call('POST', `${BASE}/session`, body, heard);
    if (answer.status === 200) return this.#judge(request, parseAnchoring(answer.json));
    if (answer.status === 409) return this.#afterConflict(request, path);
    if (answer.status !== 202) throw refused(`blockchain core refused the anchoring with status ${answer.status}`);
    const accepted = asObject(answer.json);
    return {
      backend: BLOCKCHAIN_CORE_BACKEND,
      status: 'pending',
      submittedAtUs: timeUs(accepted.submitted_at) ?? this.#nowUs(),
      confirmedAtUs: null,
      blockHeight: null,
      transactionId: null,
      merkleRoot: request.merkleRoot,
      detail: typeof accepted.anchoring_id === 'string' ? `anchoring ${accepted.anchoring_id.slice(0, 200)}` : null,
    };
  }

  /** Somebody else was faster between our question and our sending. */
  async #afterConflict(request: AnchorRequest, path: string): Promise<AnchorReceipt> {
    const known = this.#present(await this.#caller.call('GET', path));
    if (known === null) throw unusable('a conflict about an anchoring it does not know');
    return this.#judge(request, known);
  }

  /** Also for receipts that were confirmed: a block that is gone, or another one, shows here. */
  async check(request: AnchorRequest, receipt: AnchorReceipt): Promise<AnchorReceipt | null> {
    const path = `${BASE}/session/${anchorSessionId(request.sessionId)}`;
    const known = this.#present(await this.#caller.call('GET', path));
    // A failed one was reported as failed; whoever asks again wants it sent again.
    if (receipt.status === 'failed' && (known === null || known.status === 'failed')) return null;
    if (known === null && receipt.status === 'confirmed')
      return {
        ...receipt,
        status: 'reorged',
        detail: 'blockchain core does not know the confirmed anchoring any more',
      };
    if (known === null) return null;
    const now = await this.#judge(request, known);
    if (receipt.status !== 'confirmed') return now;
    if (now.status !== 'confirmed')
      return { ...now, status: 'reorged', detail: `it was in block ${receipt.blockHeight} and is ${now.status} now` };
    if (now.blockHeight !== receipt.blockHeight || now.transactionId !== receipt.transactionId)
      return { ...now, detail: `it moved from block ${receipt.blockHeight} to block ${now.blockHeight}` };
    return now;
  }

  async health(): Promise<{ status: 'healthy' | 'busy' | 'error'; pendingCount: number | null }> {
    const answer = await this.#caller.ask('GET', `${BASE}/status`);
    const raw = asObject(answer?.json);
    const status = raw.status === 'healthy' || raw.status === 'busy' ? raw.status : 'error';
    return {
      status,
      pendingCount: Number.isSafeInteger(raw.pending_anchorings) ? (raw.pending_anchorings as number) : null,
    };
  }

  #present(answer: Answer): Anchoring | null {
    if (answer.status === 404) return null;
    if (answer.status !== 200) throw refused(`blockchain core answered the question with status ${answer.status}`);
    return parseAnchoring(answer.json);
  }

  #compare(request: AnchorRequest, anchoring: Anchoring): void {
    if (anchoring.sessionId !== anchorSessionId(request.sessionId)) throw unusable('it is about another session');
    if (anchoring.merkleRoot === request.merkleRoot) return;
    this.#onEquivocation?.({ sessionId: request.sessionId, ours: request.merkleRoot, theirs: anchoring.merkleRoot });
    throw refused(
      `equivocation: blockchain core holds root ${anchoring.merkleRoot} under session ${request.sessionId}`,
    );
  }

  async #judge(request: AnchorRequest, anchoring: Anchoring): Promise<AnchorReceipt> {
    this.#compare(request, anchoring);
    const { status } = anchoring;
    const problem = status === 'confirmed' ? await this.#doubt(request, anchoring) : null;
    const receipt: AnchorReceipt = {
      backend: BLOCKCHAIN_CORE_BACKEND,
      status: problem === null ? status : 'processing',
      submittedAtUs: anchoring.submittedAtUs ?? this.#nowUs(),
      confirmedAtUs: anchoring.confirmedAtUs,
      blockHeight: anchoring.blockHeight,
      transactionId: anchoring.transactionId,
      merkleRoot: anchoring.merkleRoot,
      detail: problem ?? (status === 'failed' ? 'blockchain core says the anchoring failed' : null),
    };
    if (receipt.status === 'confirmed') return receipt;
    return { ...receipt, confirmedAtUs: null, blockHeight: null, transactionId: null };
  }

  /** Why a confirmation does not count (yet), or null. */
  async #doubt(request: AnchorRequest, anchoring: Anchoring): Promise<string | null> {
    if (anchoring.confirmedAtUs === null || anchoring.blockHeight === null || anchoring.transactionId === null)
      return 'it says confirmed and names no time, block or transaction';
    const answer = await this.#caller.call('POST', `${BASE}/verify`, {
      session_id: anchorSessionId(request.sessionId),
      merkle_root: request.merkleRoot,
    });
    const raw = asObject(answer.json);
    if (answer.status !== 200 || raw.verified !== true || raw.merkle_proof_valid !== true)
      return 'it says confirmed and its own verification does not agree';
    if (raw.block_height !== anchoring.blockHeight || raw.transaction_id !== anchoring.transactionId)
      return 'confirmation and verification name different blocks';
    return null;
  }
}
