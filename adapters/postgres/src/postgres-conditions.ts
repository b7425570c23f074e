import type { Row, Session, Value } from './postgres-database.ts';

/** Conditions and their values, for lists whose filters come and go. */
export class Conditions {
  readonly #parts: string[] = [];
  readonly values: Value[] = [];

  /** `condition` has a `?` in the value's place. */
  add(condition: string, value: Value | undefined): this {
    if (value === undefined) return this;
    this.values.push(value);
    this.#parts.push(condition.replace('?', `$${this.values.length}`));
    return this;
  }
  always(condition: string): this {
    this.#parts.push(condition);
    return this;
  }
  get where(): string {
    return this.#parts.length === 0 ? '' : `WHERE ${this.#parts.join(' AND ')}`;
  }
}

/** `order` and `reverse` name the same columns; `key` is the table's primary key. */
export interface PagedTable {
  table: string;
  key: string;
  order: string;
  reverse: string;
}

/**
 * A page and how many rows there are, of one state. The page is sought from the nearer end, in the index alone; only its own
 * rows are read.
 */
export async function pageOf(
  session: Session,
  { table, key, order, reverse }: PagedTable,
  { where, values }: Conditions,
  { limit, offset }: { limit: number; offset: number },
): Promise<{ documents: string[]; total: number }> {
  const [counted] = await session.rows(`SELECT COUNT(*) AS total FROM ${table} ${where}`, values);
  const total = Number(counted?.total);
  const count = Math.min(limit, total - offset);
  if (!(count > 0)) return { documents: [], total };
  const behind = total - offset - count;
  const [from, skip] = behind < offset ? [reverse, behind] : [order, offset];
  const rows: Row[] = await session.rows(
    `SELECT document FROM ${table} JOIN (
       SELECT ${key} FROM ${table} ${where} ORDER BY ${from} LIMIT $${values.length + 1} OFFSET $${values.length + 2}
     ) AS page USING (${key}) ORDER BY ${order}`,
    [...values, count, skip],
  );
  return { documents: rows.map(({ document }) => String(document)), total };
}
