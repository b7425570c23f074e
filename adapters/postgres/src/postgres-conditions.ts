import type { PostgresDatabase, Row, Value } from './postgres-database.ts';

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

/** `order` and `reverse` are of `columns`; `key` is the table's primary key. */
export interface PagedTable {
  table: string;
  key: string;
  columns: string;
  order: string;
  reverse: string;
}

/** From here on a page is looked for from the nearer end. */
const offsetNear = 1000;

/**
 * A page and how many rows there are (`counting`: the expression and table that say it), of one state. A page is sought in the index
 * alone; only its own rows are read.
 */
export async function pageOf(
  database: PostgresDatabase,
  { table, key, columns, order, reverse }: PagedTable,
  { where, values }: Conditions,
  { limit, offset }: { limit: number; offset: number },
  counting = `COUNT(*) FROM ${table}`,
): Promise<{ documents: string[]; total: number }> {
  const count = `SELECT ${counting} ${where}`;
  const page = (from: string) =>
    `SELECT document, ${columns} FROM ${table} JOIN (
       SELECT ${key} FROM ${table} ${where} ORDER BY ${from} LIMIT $${values.length + 1} OFFSET $${values.length + 2}
     ) AS page USING (${key}) ORDER BY ${order}`;
  if (offset <= offsetNear) {
    const rows = await database.rows(
      `SELECT (${count}) AS total, document FROM (SELECT 1) AS once LEFT JOIN (${page(order)}) AS page ON true ORDER BY ${order}`,
      [...values, limit, offset],
    );
    return { documents: documentsOf(rows), total: Number(rows[0]?.total) };
  }
  return database.transaction(async (session) => {
    const total = Number(Object.values((await session.rows(count, values))[0] ?? {})[0]);
    const rowsLeft = Math.min(limit, total - offset);
    if (!(rowsLeft > 0)) return { documents: [], total };
    const behind = total - offset - rowsLeft;
    const [from, skip] = behind < offset ? [reverse, behind] : [order, offset];
    return { documents: documentsOf(await session.rows(page(from), [...values, rowsLeft, skip])), total };
  }, 'snapshot');
}

const documentsOf = (rows: readonly Row[]): string[] =>
  rows.flatMap(({ document }) => (document === null ? [] : [String(document)]));
