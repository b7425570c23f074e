/** A redacted copy: what was taken out of it, as who made it says (docs/redaction.md). */
import { z } from 'zod';
import { sessionIdSchema } from '../models.ts';

const micros = z.int().min(0);
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().min(1).max(65_535);
const place = z.int().min(0).max(65_535);
const kind = z.string().regex(/^[a-z0-9_]{1,50}$/);
const redactionsMax = 200;

export const signRedactionRequest = z.strictObject({
  reason: z
    .string()
    .min(1)
    .max(500)
    .regex(/^(?:[^\p{Cc}]|\n)*\S(?:[^\p{Cc}]|\n)*$/u, 'must be text without control characters'),
  manifest_sha256: hash.describe('Of the manifest it is a copy of.'),
  boxes: z
    .array(z.strictObject({ x: place, y: place, width: size, height: size, from_us: micros, to_us: micros }))
    .max(redactionsMax),
  spans: z.array(z.strictObject({ from_us: micros, to_us: micros })).max(redactionsMax),
  event_kinds: z.array(kind).max(100),
  events_removed: z.array(z.strictObject({ kind, count: z.int().min(1) })).max(100),
  chunks: z.array(z.strictObject({ first: z.int().min(0), last: z.int().min(0) })).max(1000),
  renderer: z.strictObject({
    software: z.string().max(200),
    rules: z.int().min(1),
    h264_decoder: z.string().max(200).nullable(),
    width: z.int().min(2).max(65_536),
    height: z.int().min(2).max(65_536),
    frames_per_second: z.int().min(1).max(60),
    pointer: z.boolean(),
    frames: z.int().min(1),
  }),
  files: z
    .array(z.strictObject({ name: z.string().regex(/^[a-z0-9.-]{1,100}$/), bytes: z.int().min(0), sha256: hash }))
    .max(10),
});
export const signedRedaction = z.strictObject({
  session_id: sessionIdSchema,
  sha256: hash.describe('Of the record; the custody chain names it.'),
  envelope: z.base64(),
});
