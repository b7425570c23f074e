/** Heads of the audit chain in the log: rows that were logged can't be rewritten or cut off without that being seen. */
import type { AuditHead, LogEntryProof } from '@lucid-sessions/contract';
import { auditEntry, parseSignedCheckpoint } from '@lucid-sessions/evidence';
import { type PipelineDeps, readable } from './context.ts';

type Deps = Pick<PipelineDeps, 'storage' | 'log' | 'onError'>;

interface LoggedHead extends AuditHead {
  index: number;
}

/** Those that witnesses may not have cosigned yet, and one they have. */
const keptMax = 100;

export class AuditHeads {
  readonly #deps: Deps;
  /** Oldest first. */
  readonly #logged: LoggedHead[] = [];
  #failed = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Logs the head if it changed. Any number of pipelines may: one head is one entry. Never throws. */
  async look(): Promise<void> {
    try {
      if (this.#deps.log.problem?.() == null) await this.#log();
      this.#failed = false;
    } catch (thrown) {
      // Once for a row of failures.
      if (!this.#failed) this.#deps.onError?.('audit head', thrown);
      this.#failed = true;
    }
  }

  async #log(): Promise<void> {
    const { storage, log } = this.#deps;
    const { head } = await storage.auditHead();
    if (head === null || head.rowSha256 === this.#logged.at(-1)?.rowSha256) return;
    const { index } = await log.append(auditEntry(head));
    this.#logged.push({ ...head, index });
    if (this.#logged.length > keptMax) this.#logged.shift();
  }

  /** Of the latest head that witnesses cosigned, as far as this process knows, else of the latest one. */
  async proof(): Promise<{ sequence: number; proof: LogEntryProof } | null> {
    const { log } = this.#deps;
    await this.look();
    const text = await log.checkpoint();
    const size = text === null ? null : readable(() => parseSignedCheckpoint(text).size);
    const head = this.#logged.findLast(({ index }) => size === null || index < size) ?? this.#logged.at(-1);
    if (head === undefined) return null;
    const { index, sequence } = head;
    const { checkpoint, inclusion } = await log.prove([index], null);
    return { sequence, proof: { logIndex: index, checkpoint, inclusion: inclusion[0] ?? [] } };
  }
}
