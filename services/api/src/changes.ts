/** What a change changed, for the audit log: the fields that differ, with their old and new values. */
import type { SessionDocument } from '@lucid-sessions/contract';

export type Changes = Record<string, { from: unknown; to: unknown }>;

const whole = ['name', 'description', 'status', 'pipeline_state', 'credentials'] as const;
/** None of them has room for a secret: of credentials a session knows where they come from, and no more. */
const parts = ['rdp_config', 'recording_config', 'storage_config', 'metadata'] as const;

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Of two flat objects with the same fields. */
export function fieldChanges<T extends object>(before: T, after: T): Changes {
  const fields = Object.keys(before) as (keyof T & string)[];
  const differing = fields.filter((field) => !same(before[field], after[field]));
  return Object.fromEntries(differing.map((field) => [field, { from: before[field], to: after[field] }]));
}

/** By field name, fields of a part as `part.field`. A field that is not there is null. */
export function changesOf(before: SessionDocument, after: SessionDocument): Changes {
  const changes: Changes = {};
  const compare = (name: string, from: unknown = null, to: unknown = null): void => {
    if (!same(from, to)) changes[name] = { from, to };
  };
  for (const field of whole) compare(field, before[field], after[field]);
  for (const part of parts) {
    const [from, to] = [before[part], after[part]] as Record<string, unknown>[];
    for (const field of new Set([...Object.keys(from!), ...Object.keys(to!)]))
      compare(`${part}.${field}`, from![field], to![field]);
  }
  return changes;
}
