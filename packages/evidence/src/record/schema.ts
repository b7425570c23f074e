import { DecodeError } from '@lucid-sessions/wire';
import type { Json } from './json.ts';

/** A schema of JSON Schema 2020-12. */
export interface JsonSchema {
  [keyword: string]: Json | JsonSchema | JsonSchema[] | { [name: string]: JsonSchema };
}

/**
 * Checks a JSON value and says where it is wrong. A few combinators instead of a library: this package stands alone. `json` says
 * the same for others (`docs/schemas`), but that it counts characters where `parse` counts UTF-16 code units.
 */
export interface Schema<T> {
  readonly json: JsonSchema;
  parse(value: Json | undefined, path: string): T;
}
export type Infer<S> = S extends Schema<infer T> ? T : never;

const fail = (path: string, message: string): never => {
  throw new DecodeError('invalid', `${path} ${message}`);
};

export const string = (lengthMax = 4096, pattern?: RegExp): Schema<string> => ({
  json: { type: 'string', maxLength: lengthMax, ...(pattern === undefined ? {} : { pattern: pattern.source }) },
  parse(value, path) {
    if (typeof value !== 'string' || value.length > lengthMax)
      return fail(path, `must be text of at most ${lengthMax}`);
    if (pattern !== undefined && !pattern.test(value)) return fail(path, `must match ${pattern.source}`);
    return value;
  },
});

export const hex = (bytesLength: number): Schema<string> =>
  string(2 * bytesLength, new RegExp(`^[0-9a-f]{${2 * bytesLength}}$`));

export const integer = (min = 0, max: number = Number.MAX_SAFE_INTEGER): Schema<number> => ({
  json: { type: 'integer', minimum: min, maximum: max },
  parse: (value, path) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? (value as number)
      : fail(path, `must be a whole number from ${min} to ${max}`),
});

export const boolean: Schema<boolean> = {
  json: { type: 'boolean' },
  parse: (value, path) => (typeof value === 'boolean' ? value : fail(path, 'must be true or false')),
};

export const literal = <const T extends string | number>(...choices: T[]): Schema<T> => ({
  json: choices.length === 1 ? { const: choices[0] as T } : { enum: choices },
  parse: (value, path) =>
    choices.includes(value as T) ? (value as T) : fail(path, `must be one of ${choices.join(', ')}`),
});

export const nullable = <T>(schema: Schema<T>): Schema<T | null> => ({
  json: { anyOf: [schema.json, { type: 'null' }] },
  parse: (value, path) => (value === null ? null : schema.parse(value, path)),
});

export const array = <T>(schema: Schema<T>, lengthMax: number): Schema<T[]> => ({
  json: { type: 'array', items: schema.json, maxItems: lengthMax },
  parse(value, path) {
    if (!Array.isArray(value) || value.length > lengthMax) return fail(path, `must be a list of at most ${lengthMax}`);
    return value.map((item, at) => schema.parse(item, `${path}[${at}]`));
  },
});

/** Free JSON, already bounded by the reader. */
export const anyJson: Schema<Json> = {
  json: {},
  parse: (value, path) => (value === undefined ? fail(path, 'is missing') : value),
};

/** Any object, its fields free. */
export const anyObject: Schema<{ [key: string]: Json }> = {
  json: { type: 'object' },
  parse: (value, path) =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? value : fail(path, 'must be an object'),
};

type Shape = Record<string, Schema<unknown>>;
type Parsed<R extends Shape, O extends Shape> = { [K in keyof R]: Infer<R[K]> } & { [K in keyof O]?: Infer<O[K]> };

/** An object with exactly these fields; those of `optional` may be absent. */
export const object = <R extends Shape, O extends Shape = Record<never, never>>(
  required: R,
  optional?: O,
): Schema<Parsed<R, O>> => ({
  json: {
    type: 'object',
    properties: Object.fromEntries(Object.entries({ ...required, ...optional }).map(([key, { json }]) => [key, json])),
    required: Object.keys(required),
    additionalProperties: false,
  },
  parse(value, path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(path, 'must be an object');
    const known: Shape = { ...optional, ...required };
    const extra = Object.keys(value).find((key) => !Object.hasOwn(known, key));
    if (extra !== undefined) return fail(path, `has the unknown field ${JSON.stringify(extra.slice(0, 100))}`);
    const result: Record<string, unknown> = {};
    for (const [key, schema] of Object.entries(known)) {
      const item = Object.hasOwn(value, key) ? value[key] : undefined;
      if (item === undefined && !Object.hasOwn(required, key)) continue;
      result[key] = schema.parse(item, `${path}.${key}`);
    }
    return result as Parsed<R, O>;
  },
});
