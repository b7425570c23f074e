/** Small schemas the REST contract is built from. */
import { z } from 'zod';
import { retentionDaysMax } from '../recording-limits.ts';

export const timestamp = z.iso.datetime().describe('RFC 3339 in UTC');
export const hexHash = z.string().regex(/^[0-9a-f]{64}$/);
export const count = z.int().min(0);
export const ratio = z.number().min(0).max(1);

/** A whole number in a query: digits only, so that `1e2`, ` 5` or an empty value are refused. */
export const queryInteger = (min: number, max: number, fallback: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .default(fallback);

export const optionalQueryInteger = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .optional();

/** Days in a query; null where it says `none`. */
export const optionalRetentionDays = z
  .string()
  .regex(/^(?:\d{1,15}|none)$/, 'must be days or none')
  .transform((text) => (text === 'none' ? null : Number(text)))
  .pipe(z.int().min(1).max(retentionDaysMax).nullable())
  .optional();

export const queryTime = z.iso.datetime({ offset: true }).optional().describe('RFC 3339');

/** Why something is destroyed: one line of text, for the audit log and the signed records. */
export const reasonText = z
  .string()
  .trim()
  .min(1)
  .max(500)
  .regex(/^[^\p{Cc}]*$/u, 'must be one line of text');

export const pagination = z.strictObject({
  total: count,
  limit: z.int().min(1),
  offset: count,
  has_next: z.boolean(),
  has_previous: z.boolean(),
});

/**
 * The fields of an object schema for a change: all optional, and without their defaults, so that what a caller leaves out
 * stays as it is.
 */
export function patchOf<S extends z.ZodObject>(schema: S): z.ZodType<Partial<z.output<S>>> {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, field] of Object.entries(schema.shape as Record<string, z.ZodType>)) {
    const bare = field instanceof z.ZodDefault ? (field.unwrap() as z.ZodType) : field;
    shape[name] = bare instanceof z.ZodOptional ? bare : bare.optional();
  }
  return z.strictObject(shape) as unknown as z.ZodType<Partial<z.output<S>>>;
}

/** A switch in a query: `true` or `false`, and nothing else. */
export const querySwitch = (fallback: boolean) =>
  z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .pipe(z.boolean())
    .default(fallback);

export const logonWanted = querySwitch(false).describe(
  'With `inputs`: also what was typed before the host said who logged on, which may be a password. Has an audit event of its own.',
);

export const inputsWanted = querySwitch(false).describe(
  'With what was typed and copied: needs `recordings:inputs`, and is audited each time.',
);
