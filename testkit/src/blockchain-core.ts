/**
 * A Blockchain Core of our own: keeps anchorings and blocks, answers the four calls of the contract, and misbehaves when
 * told to. For tests of the anchoring client and for the demo.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CoreAnchoring {
  sessionId: string;
  anchoringId: string;
  merkleRoot: string;
  status: 'pending' | 'processing' | 'confirmed' | 'failed';
  submittedAt: string;
  confirmedAt: string | null;
  blockHeight: number | null;
  transactionId: string | null;
}

export interface CoreBlock {
  height: number;
  previousHash: string;
  hash: string;
  transactions: { transactionId: string; sessionId: string; merkleRoot: string }[];
}

/** How the next answers are spoiled. Each fault is used up by one request, in order. */
export type CoreFault =
  /** Answers late. */
  | { kind: 'slow'; ms: number }
  /** Answers a status without doing anything. */
  | { kind: 'fail'; status: number; retryAfter?: string }
  /** Does what was asked and closes the connection without an answer. */
  | { kind: 'drop_answer' }
  /** Closes the connection without doing anything. */
  | { kind: 'drop_request' }
  /** Does what was asked twice. */
  | { kind: 'duplicate' }
  /** Merges fields into the answer. */
  | { kind: 'lie'; fields: Record<string, unknown> }
  /** Answers bytes that are not JSON, or far too many of them. */
  | { kind: 'garbage'; bytes: number };

const BODY_BYTES_MAX = 64 * 1024;
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function readBody(request: IncomingMessage): Promise<Record<string, unknown> | null> {
  let text = '';
  for await (const part of request) {
    text += part;
    if (text.length > BODY_BYTES_MAX) return null;
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Ends early when the client goes, so that no timer outlives a test. */
function waitOrClosed(response: ServerResponse, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    response.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

export class FakeBlockchainCore {
  readonly anchorings = new Map<string, CoreAnchoring>();
  readonly blocks: CoreBlock[] = [];
  /** Faults for requests to come. */
  readonly faults: CoreFault[] = [];
  /** `METHOD path` of every request seen. */
  readonly requests: string[] = [];
  /** POSTs that were carried out, duplicates included. */
  submissionsCount = 0;
  readonly #server: Server;
  readonly #nowMs: () => number;

  private constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  static async start(options: { port?: number; nowMs?: () => number } = {}): Promise<FakeBlockchainCore> {
    const core = new FakeBlockchainCore(options.nowMs ?? Date.now);
    await new Promise<void>((resolve) => core.#server.listen(options.port ?? 0, '127.0.0.1', resolve));
    return core;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Puts everything that waits into a new block. */
  mine(): CoreBlock {
    const waiting = [...this.anchorings.values()].filter(
      ({ status }) => status === 'pending' || status === 'processing',
    );
    const height = this.blocks.length + 1;
    const previousHash = this.blocks.at(-1)?.hash ?? '0'.repeat(64);
    const transactions = waiting.map(({ sessionId, merkleRoot }) => ({
      transactionId: sha256(`${height} ${sessionId} ${merkleRoot}`),
      sessionId,
      merkleRoot,
    }));
    const hash = sha256(`${previousHash}${JSON.stringify(transactions)}`);
    const block = { height, previousHash, hash, transactions };
    this.blocks.push(block);
    for (const { transactionId, sessionId } of transactions)
      Object.assign(this.anchorings.get(sessionId) as CoreAnchoring, {
        status: 'confirmed',
        confirmedAt: new Date(this.#nowMs()).toISOString(),
        blockHeight: height,
        transactionId,
      });
    return block;
  }

  /** Drops the last blocks. Their anchorings wait again, or are forgotten altogether. */
  reorganise(depth: number, forget = false): void {
    for (const { transactions } of this.blocks.splice(-depth))
      for (const { sessionId } of transactions) {
        const anchoring = this.anchorings.get(sessionId);
        if (anchoring === undefined) continue;
        if (forget) this.anchorings.delete(sessionId);
        else Object.assign(anchoring, { status: 'pending', confirmedAt: null, blockHeight: null, transactionId: null });
      }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    this.requests.push(`${request.method} ${path}`);
    const body = request.method === 'POST' ? await readBody(request) : null;
    const fault = this.faults.shift();
    if (fault?.kind === 'drop_request') {
      response.destroy();
      return;
    }
    if (fault?.kind === 'fail') {
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
      response.writeHead(fault.status).end();
      return;
    }
    if (fault?.kind === 'garbage') {
      response.writeHead(200).end('x'.repeat(fault.bytes));
      return;
    }
    const [status, json] = this.#answer(request.method ?? '', path, body);
    if (fault?.kind === 'duplicate') this.#answer(request.method ?? '', path, body);
    if (fault?.kind === 'slow') await waitOrClosed(response, fault.ms);
    if (fault?.kind === 'drop_answer') {
      response.destroy();
      return;
    }
    const told = fault?.kind === 'lie' ? { ...json, ...fault.fields } : json;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(told));
  }

  #answer(method: string, path: string, body: Record<string, unknown> | null): [number, object] {
    const sessionId = /^\/api\/v1\/anchoring\/session\/([0-9a-f-]{36})$/.exec(path)?.[1];
    if (method === 'POST' && path === '/api/v1/anchoring/session') return this.#submit(body);
    if (method === 'POST' && path === '/api/v1/anchoring/verify') return this.#verify(body);
    if (method === 'GET' && path === '/api/v1/anchoring/status') return this.#status();
    if (method === 'GET' && sessionId !== undefined) return this.#get(sessionId);
    return [404, { error: 'not found' }];
  }

  #submit(body: Record<string, unknown> | null): [number, object] {
    const { session_id: sessionId, merkle_root: merkleRoot, manifest_data: data } = body ?? {};
    const valid =
      typeof sessionId === 'string' &&
      /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(sessionId) &&
      typeof merkleRoot === 'string' &&
      /^[0-9a-f]{64}$/.test(merkleRoot) &&
      typeof data === 'object' &&
      data !== null &&
      ['chunk_count', 'total_size', 'created_at'].every((name) => Object.hasOwn(data, name));
    if (!valid) return [400, { error: 'invalid request' }];
    this.submissionsCount += 1;
    const submittedAt = new Date(this.#nowMs()).toISOString();
    const anchoring: CoreAnchoring = {
      sessionId,
      anchoringId: randomUUID(),
      merkleRoot,
      status: 'pending',
      submittedAt,
      confirmedAt: null,
      blockHeight: null,
      transactionId: null,
    };
    this.anchorings.set(sessionId, anchoring);
    return [
      202,
      {
        anchoring_id: anchoring.anchoringId,
        status: anchoring.status,
        submitted_at: submittedAt,
        estimated_confirmation_time: submittedAt,
      },
    ];
  }

  #get(sessionId: string): [number, object] {
    const anchoring = this.anchorings.get(sessionId);
    if (anchoring === undefined) return [404, { error: 'not found' }];
    return [
      200,
      {
        session_id: anchoring.sessionId,
        anchoring_id: anchoring.anchoringId,
        status: anchoring.status,
        submitted_at: anchoring.submittedAt,
        confirmed_at: anchoring.confirmedAt,
        block_height: anchoring.blockHeight,
        transaction_id: anchoring.transactionId,
        merkle_root: anchoring.merkleRoot,
      },
    ];
  }

  #verify(body: Record<string, unknown> | null): [number, object] {
    const found = this.blocks
      .flatMap(({ height, transactions }) => transactions.map((transaction) => ({ height, ...transaction })))
      .find(({ sessionId, merkleRoot }) => sessionId === body?.session_id && merkleRoot === body?.merkle_root);
    const anchoring = found === undefined ? undefined : this.anchorings.get(found.sessionId);
    return [
      200,
      {
        verified: found !== undefined,
        block_height: found?.height ?? null,
        transaction_id: found?.transactionId ?? null,
        confirmation_time: anchoring?.confirmedAt ?? null,
        merkle_proof_valid: found !== undefined,
      },
    ];
  }

  #status(): [number, object] {
    const count = (wanted: CoreAnchoring['status']): number =>
      [...this.anchorings.values()].filter(({ status }) => status === wanted).length;
    return [
      200,
      {
        status: 'healthy',
        pending_anchorings: count('pending'),
        processing_anchorings: count('processing'),
        completed_today: count('confirmed'),
        average_confirmation_time: 0,
      },
    ];
  }
}
