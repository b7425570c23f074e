/**
 * The audit log as one chain of its installation: each row names the one before. Entries that come together are stored together.
 * Where several processes write, the store gives each place in the chain to one of them, and who was late makes its rows again
 * behind the others': no lease is needed, and none can be lost.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type AuditEvent, type AuditHead, chainedEventOf, LucidError } from '@lucid-sessions/contract';
import { AUDIT_CHAIN_BEGAN, auditRowHash, makeAuditRow } from '@lucid-sessions/evidence';
import type { AuditEntry, MetadataStore } from './stores.ts';

type Store = Pick<MetadataStore, 'putAudit' | 'knownAudit' | 'auditHead' | 'listAuditRows' | 'countUnchained'>;

interface Waiting {
  event: AuditEvent;
  resolve(): void;
  reject(error: unknown): void;
}

const batchMax = 100;
const waitingMax = 10_000;
const triesMax = 100;
const pauseMsMax = 200;

export class AuditChain {
  readonly #store: Store;
  readonly #nowUs: () => number;
  #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;
  #chain: string | null = null;

  constructor(store: Store, nowUs: () => number) {
    this.#store = store;
    this.#nowUs = nowUs;
  }

  /** Durable when it resolves. The same event id again changes nothing. */
  append(event: AuditEvent): Promise<void> {
    if (this.#waiting.length >= waitingMax)
      return Promise.reject(new LucidError('unavailable', 'too many audit entries wait to be stored; try again'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event: { ...event, timestampUs: Math.round(event.timestampUs) }, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, batchMax);
      try {
        await this.#put(batch.map(({ event }) => event));
        for (const { resolve } of batch) resolve();
      } catch (thrown) {
        for (const { reject } of batch) reject(thrown);
      }
    }
    this.#running = null;
  }

  async #put(events: readonly AuditEvent[]): Promise<void> {
    for (let tries = 0; tries < triesMax; tries += 1) {
      if (tries > 0) await delay(Math.random() * Math.min(pauseMsMax, 2 ** tries));
      const known = new Set(await this.#store.knownAudit(events.map(({ eventId }) => eventId)));
      const fresh = events.filter(({ eventId }) => !known.has(eventId) && known.add(eventId));
      if (fresh.length === 0) return;
      if (await this.#store.putAudit(await this.#rowsOf(fresh))) return;
    }
    throw new LucidError('unavailable', 'others write to the audit log all the time; try again');
  }

  async #rowsOf(events: readonly AuditEvent[]): Promise<AuditEntry[]> {
    const head = await this.#store.auditHead();
    // As it lies there, also where somebody spoiled it: the chain goes on, and the verifier says what is wrong with it.
    let previous = head === null ? null : { sequence: head.sequence, sha256: auditRowHash(head.text) };
    const begin = previous === null ? [await this.#beginning()] : [];
    return [...begin, ...events].map((event) => {
      const row = makeAuditRow(previous, chainedEventOf(event));
      previous = row;
      return { event, row: { sequence: row.sequence, text: row.text } };
    });
  }

  /** The first row says what is not covered: entries of programs that made no chain. */
  async #beginning(): Promise<AuditEvent> {
    return {
      eventId: `${AUDIT_CHAIN_BEGAN}:${randomUUID()}`,
      timestampUs: this.#nowUs(),
      eventType: AUDIT_CHAIN_BEGAN,
      userId: null,
      resourceId: null,
      ipAddress: null,
      userAgent: null,
      success: true,
      errorMessage: null,
      details: { uncovered_rows: await this.#store.countUnchained() },
    };
  }

  async head(): Promise<AuditHead | null> {
    const head = await this.#store.auditHead();
    if (head === null) return null;
    if (this.#chain === null) {
      const [first] = await this.#store.listAuditRows({ from: 0, limit: 1 });
      this.#chain = first === undefined ? null : auditRowHash(first.text);
    }
    return this.#chain === null
      ? null
      : { sequence: head.sequence, rowSha256: auditRowHash(head.text), chain: this.#chain };
  }

  async idle(): Promise<void> {
    await this.#running;
  }
}
