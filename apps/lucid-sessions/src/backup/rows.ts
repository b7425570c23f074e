/** Reads a database of metadata that nobody writes, or that others write beside: rows only, nothing is migrated or changed. */
import { DatabaseSync } from 'node:sqlite';
import type { KeyWrap, SessionDocument } from '@lucid-sessions/contract';

export interface StoredRecord {
  sequence: number;
  kind: string;
  record: Uint8Array;
}

export class MetadataRows {
  readonly #database: DatabaseSync;

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { readOnly: true, timeout: 30_000 });
  }

  /** What the file itself says of its health; empty when it is sound. */
  problems(): string[] {
    const found = this.#database.prepare('PRAGMA integrity_check(20)').all();
    return found.map((row) => String(Object.values(row)[0])).filter((text) => text !== 'ok');
  }

  *sessionIds(): Generator<string> {
    for (let after = ''; ; ) {
      const page = this.#database
        .prepare('SELECT session_id FROM sessions WHERE session_id > ? ORDER BY session_id LIMIT 500')
        .all(after);
      for (const row of page) yield String(row.session_id);
      if (page.length === 0) return;
      after = String(page.at(-1)?.session_id);
    }
  }

  /** Chains whose session has no row. */
  *strayChains(): Generator<string> {
    const rows = this.#database
      .prepare('SELECT session_id FROM chains WHERE session_id NOT IN (SELECT session_id FROM sessions)')
      .all();
    for (const row of rows) yield String(row.session_id);
  }

  session(sessionId: string): SessionDocument | null {
    const row = this.#database.prepare('SELECT document FROM sessions WHERE session_id = ?').get(sessionId);
    return row === undefined ? null : (JSON.parse(String(row.document)) as SessionDocument);
  }

  chunksCount(sessionId: string): number {
    const row = this.#database.prepare('SELECT count FROM chains WHERE session_id = ?').get(sessionId);
    return Number(row?.count ?? 0);
  }

  /** Leaf and seal of a chunk's row. */
  sealedLeaf(sessionId: string, index: number): Uint8Array | null {
    const row = this.#database
      .prepare('SELECT sealed_leaf FROM chunks WHERE session_id = ? AND chunk_index = ?')
      .get(sessionId, index);
    return row?.sealed_leaf instanceof Uint8Array ? row.sealed_leaf : null;
  }

  wraps(sessionId: string): KeyWrap[] {
    return this.#database
      .prepare('SELECT * FROM wraps WHERE session_id = ? ORDER BY position')
      .all(sessionId)
      .map((row) => ({
        scheme: String(row.scheme),
        recipient: String(row.recipient),
        keyId: String(row.key_id),
        wrapped: row.wrapped as Uint8Array,
      }));
  }

  records(sessionId: string): StoredRecord[] {
    return this.#database
      .prepare('SELECT sequence, kind, record FROM records WHERE session_id = ? ORDER BY sequence')
      .all(sessionId)
      .map((row) => ({
        sequence: Number(row.sequence),
        kind: String(row.kind),
        record: row.record as Uint8Array,
      }));
  }

  close(): void {
    this.#database.close();
  }
}
