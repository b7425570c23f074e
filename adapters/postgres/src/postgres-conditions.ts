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
  /** One condition for each value. */
  each(condition: string, values: readonly Value[]): this {
    for (const value of values) this.add(condition, value);
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

/** `order` and `reverse` are of `columns`; `key` is the primary key of the table, and of that with the documents. */
export interface PagedTable {
  table: string;
  documents: string;
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
  { table, documents, key, columns, order, reverse }: PagedTable,
  { where, values }: Conditions,
  { limit, offset }: { limit: number; offset: number },
  counting = `COUNT(*) FROM ${table}`,
): Promise<{ documents: string[]; total: number }> {
  const count = `SELECT ${counting} ${where}`;
  const page = (from: string) =>
    `SELECT ${documents}.document, page.* FROM ${documents} JOIN (
       SELECT ${columns} FROM ${table} ${where} ORDER BY ${from} LIMIT $${values.length + 1} OFFSET $${values.length + 2}
     ) AS page ON ${documents}.${key} = page.${key} ORDER BY ${order}`;
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

/** The same where conditions leave few: what they find is found once, then counted and sorted. */
export async function foundPageOf(
  database: PostgresDatabase,
  { table, documents, key, columns, order }: PagedTable,
  { where, values }: Conditions,
  { limit, offset }: { limit: number; offset: number },
): Promise<{ documents: string[]; total: number }> {
  const rows = await database.rows(
    `WITH found AS MATERIALIZED (SELECT ${columns} FROM ${table} ${where}),
       page AS (SELECT * FROM found ORDER BY ${order} LIMIT $${values.length + 1} OFFSET $${values.length + 2})
     SELECT total, ${documents}.document FROM (SELECT COUNT(*) AS total FROM found) AS counted
       LEFT JOIN page ON true LEFT JOIN ${documents} ON ${documents}.${key} = page.${key}
       ORDER BY page.${order.replaceAll(', ', ', page.')}`,
    [...values, limit, offset],
  );
  return { documents: documentsOf(rows), total: Number(rows[0]?.total) };
}

const documentsOf = (rows: readonly Row[]): string[] =>
  rows.flatMap(({ document }) => (document === null ? [] : [String(document)]));
