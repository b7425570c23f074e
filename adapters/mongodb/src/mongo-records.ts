/** Signed records, wrapped keys and the audit log. */
import { createHash } from 'node:crypto';
import {
  type AuditEvent,
  type AuditRow,
  auditEventOf,
  type KeyWrap,
  LucidError,
  type RecordKind,
} from '@lucid-sessions/contract';
import type { AuditEntry, AuditQuery } from '@lucid-sessions/storage';
import { Binary, type Collection, type Filter } from 'mongodb';
import { bytesOf } from './mongo-chunk-rows.ts';
import { guardedMongo, isDuplicate, untilUndisturbed } from './mongo-errors.ts';

export interface RecordDoc {
  session: string;
  /** From 1 on, without gaps: unique with the session, so that of two writers of one place one is refused. */
  sequence: number;
  kind: string;
  sha256: string;
  record: Binary;
}

export interface WrapsDoc {
  _id: string;
  wraps: (Omit<KeyWrap, 'wrapped'> & { wrapped: Binary })[];
}

export interface AuditDoc {
  _id: string;
  timestampUs: number;
  eventType: string;
  userId: string | null;
  resourceId: string | null;
  /** Of the chain its row, else the event. */
  document: string;
  /** Unique where it is; entries from before there was a chain have none. */
  sequence?: number;
}

export class MongoRecords {
  readonly #records: Collection<RecordDoc>;

  constructor(records: Collection<RecordDoc>) {
    this.#records = records;
  }

  /** Reads what is there and takes the next sequence; whoever took it meanwhile makes this read again. */
  async put(session: string, kind: RecordKind, record: Uint8Array, place?: number): Promise<number> {
    const sha256 = createHash('sha256').update(record).digest('hex');
    return guardedMongo(() =>
      untilUndisturbed(async () => {
        const there = await this.#records
          .find({ session })
          .project<Pick<RecordDoc, 'sequence' | 'kind' | 'sha256'>>({ sequence: 1, kind: 1, sha256: 1 })
          .sort({ session: 1, sequence: 1 })
          .toArray();
        const ofKind = there.filter((known) => known.kind === kind);
        const same = ofKind.find((known) => known.sha256 === sha256);
        if (same !== undefined) return same.sequence;
        if (place !== undefined && ofKind.length !== place)
          throw new LucidError('conflict', `another ${kind} record took this place; read them again`);
        const sequence = (there.at(-1)?.sequence ?? 0) + 1;
        return (await this.#insert({ session, sequence, kind, sha256, record: new Binary(record) }))
          ? sequence
          : undefined;
      }),
    );
  }

  async #insert(doc: RecordDoc): Promise<boolean> {
    try {
      await this.#records.insertOne(doc);
      return true;
    } catch (thrown) {
      if (isDuplicate(thrown)) return false;
      throw thrown;
    }
  }

  async get(session: string, kind: RecordKind | null) {
    const docs = await guardedMongo(() =>
      this.#records
        .find({ session, ...(kind === null ? {} : { kind }) })
        .sort({ session: 1, sequence: 1 })
        .toArray(),
    );
    return docs.map((doc) => ({ kind: doc.kind as RecordKind, sequence: doc.sequence, record: bytesOf(doc.record) }));
  }

  async count(session: string): Promise<number> {
    return guardedMongo(() => this.#records.countDocuments({ session }));
  }
}

/** All wraps of a session are one document: replaced as a whole, or gone. */
export class MongoWraps {
  readonly #wraps: Collection<WrapsDoc>;

  constructor(wraps: Collection<WrapsDoc>) {
    this.#wraps = wraps;
  }

  async put(sessionId: string, wraps: readonly KeyWrap[]): Promise<void> {
    await guardedMongo(async () => {
      if (wraps.length === 0) await this.#wraps.deleteOne({ _id: sessionId });
      else
        await this.#replace(
          sessionId,
          wraps.map((wrap) => ({ ...wrap, wrapped: new Binary(wrap.wrapped) })),
        );
    });
  }

  /** Of two who put the first ones at once one is told that they are there: then they are replaced. */
  async #replace(sessionId: string, wraps: WrapsDoc['wraps']): Promise<void> {
    const replace = () => this.#wraps.replaceOne({ _id: sessionId }, { wraps }, { upsert: true });
    await replace().catch((thrown: unknown) => (isDuplicate(thrown) ? replace() : Promise.reject(thrown)));
  }

  async get(sessionId: string): Promise<KeyWrap[]> {
    const doc = await guardedMongo(() => this.#wraps.findOne({ _id: sessionId }));
    return (doc?.wraps ?? []).map(({ scheme, recipient, keyId, wrapped }) => ({
      scheme,
      recipient,
      keyId,
      wrapped: bytesOf(wrapped),
    }));
  }
}

export class MongoAudit {
  readonly #audit: Collection<AuditDoc>;

  constructor(audit: Collection<AuditDoc>) {
    this.#audit = audit;
  }

  /** One after the other: what a crash cuts off is the end of them. */
  async put(entries: readonly AuditEntry[]): Promise<boolean> {
    if (entries.length === 0) return true;
    const docs = entries.map(({ event, row }): AuditDoc => {
      const { eventId, timestampUs, eventType, userId, resourceId } = event;
      const found = { _id: eventId, timestampUs, eventType, userId, resourceId };
      return row === null
        ? { ...found, document: JSON.stringify(event) }
        : { ...found, document: row.text, sequence: row.sequence };
    });
    return guardedMongo(async () => {
      try {
        await this.#audit.insertMany(docs, { ordered: true });
        return true;
      } catch (thrown) {
        if (isDuplicate(thrown)) return false;
        throw thrown;
      }
    });
  }

  async known(eventIds: readonly string[]): Promise<string[]> {
    return guardedMongo(async () => {
      const docs = await this.#audit
        .find({ _id: { $in: [...eventIds] } })
        .project<Pick<AuditDoc, '_id'>>({ _id: 1 })
        .toArray();
      return docs.map(({ _id }) => _id);
    });
  }

  async head(): Promise<Pick<AuditRow, 'sequence' | 'text'> | null> {
    const [doc] = await guardedMongo(() =>
      this.#audit
        .find({ sequence: { $gte: 0 } })
        .sort({ sequence: -1 })
        .limit(1)
        .toArray(),
    );
    return doc?.sequence === undefined ? null : { sequence: doc.sequence, text: doc.document };
  }

  async rows({ from, limit }: { from: number; limit: number }): Promise<AuditRow[]> {
    const docs = await guardedMongo(() =>
      this.#audit
        .find({ sequence: { $gte: from } })
        .sort({ sequence: 1 })
        .limit(limit)
        .toArray(),
    );
    return docs.map(({ _id, timestampUs, eventType, userId, resourceId, document, sequence = 0 }) => ({
      sequence,
      text: document,
      eventId: _id,
      timestampUs,
      eventType,
      userId,
      resourceId,
    }));
  }

  async countUnchained(): Promise<number> {
    return guardedMongo(() => this.#audit.countDocuments({ sequence: { $exists: false } }));
  }

  async list(query: AuditQuery): Promise<{ events: AuditEvent[]; total: number }> {
    const { eventType, userId, resourceId, fromUs, toUs, limit, offset } = query;
    const times = { ...(fromUs === undefined ? {} : { $gte: fromUs }), ...(toUs === undefined ? {} : { $lte: toUs }) };
    const filter: Filter<AuditDoc> = {
      ...(eventType === undefined ? {} : { eventType }),
      ...(userId === undefined ? {} : { userId }),
      ...(resourceId === undefined ? {} : { resourceId }),
      ...(fromUs === undefined && toUs === undefined ? {} : { timestampUs: times }),
    };
    return guardedMongo(async () => {
      const [docs, total] = await Promise.all([
        // To MongoDB a limit of 0 is none.
        limit === 0
          ? []
          : this.#audit.find(filter).sort({ timestampUs: -1, _id: 1 }).skip(offset).limit(limit).toArray(),
        this.#audit.countDocuments(filter),
      ]);
      return { events: docs.map(({ document }) => auditEventOf(document)), total };
    });
  }
}
