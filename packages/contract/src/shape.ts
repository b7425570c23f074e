/** What a door says of a value that is not what it takes. */
import type { z } from 'zod';
import { LucidError } from './errors.ts';

const issuesMax = 20;
const messageCharactersMax = 300;

/** As `params` of a schema's own refinement: it is not wrong, it is too much. */
export const tooMuch = { tooMuch: true } as const;

interface Issue {
  path: PropertyKey[];
  message: string;
  code?: string;
  params?: Record<string, unknown>;
  errors?: Issue[][];
}

/** Of a value that fits no member of a union: what the member says that came furthest, or that fits none. */
function innermost(issue: Issue): Issue {
  if (issue.code !== 'invalid_union' || issue.errors === undefined) return issue;
  const depthOf = (issues: Issue[]): number => Math.max(...issues.map(({ path }) => path.length));
  const [best] = issue.errors.filter((issues) => issues.length > 0).sort((a, b) => depthOf(b) - depthOf(a));
  const inner = best?.[0];
  return inner === undefined ? issue : innermost({ ...inner, path: [...issue.path, ...inner.path] });
}

/** The value as the schema gives it. What is wrong is told by field; never what it held. */
export function parseShape<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const found = (result.error.issues as Issue[]).slice(0, issuesMax).map(innermost);
  const issues = found.map(({ path, message }) => ({ field: [where, ...path].map(String).join('.'), message }));
  const first = issues[0];
  throw new LucidError(
    found.every(({ params }) => params?.tooMuch === true) ? 'tooLarge' : 'invalidRequest',
    `${first?.field}: ${first?.message}`.slice(0, messageCharactersMax),
    { details: { issues } },
  );
}

/** As `parseShape`, of what strangers send: text that no database takes, U+0000 and half a surrogate pair, is refused in every field. */
export function parseRequest<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const parsed = parseShape(schema, value, where);
  const field = unstorable(parsed, where);
  if (field === null) return parsed;
  const message = 'must be text without U+0000 and halves of surrogate pairs';
  throw new LucidError('invalidRequest', `${field}: ${message}`.slice(0, messageCharactersMax), {
    details: { issues: [{ field, message }] },
  });
}

export const isStorable = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

/** The first field that holds such text. Depth and length are the schema's. */
function unstorable(value: unknown, field: string): string | null {
  if (typeof value === 'string') return isStorable(value) ? null : field;
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, inner] of Object.entries(value)) {
    // A name of the sender's own is not repeated.
    const found = isStorable(name) ? unstorable(inner, `${field}.${name}`) : field;
    if (found !== null) return found;
  }
  return null;
}
