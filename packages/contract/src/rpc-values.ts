/**
 * Shapes of what services send each other. They are looser than REST's: sender and receiver may be of two versions, so a field nobody
 * knows here is passed over, and rows of older versions are told on as they are. What becomes a path, a key or a length is bounded.
 */
import { z } from 'zod';
import type { SessionDocument } from './models.ts';
import {
  channelRulesSchema,
  chunkIndexMax,
  compressionSchema,
  sessionIdSchema,
  sessionMetadataSchema,
  sessionOutcomes,
  sessionStatuses,
} from './models.ts';
import type {
  AuditEvent,
  ChunkMetadata,
  FinalStatistics,
  KeyWrap,
  RecordingFact,
  RecordingStatistics,
  Route,
} from './ports.ts';
import { endReasons, recordKinds, steeringConsents } from './ports.ts';
import { unreplayable } from './recording-limits.ts';
import { tooMuch } from './shape.ts';

export const sessionId = sessionIdSchema;
export const text = z.string();
/** Whole, from 0. */
export const count = z.int().min(0);
/** µs, ms or a number of bytes nobody rounds. */
export const amount = z.number();
export const hash = z.string().regex(/^[0-9a-f]{2,128}$/, 'must be lower-case hex');
export const chunkIndex = z.int().min(0).max(chunkIndexMax);

export const bytes = (bytesMax: number, what = 'must be bytes') =>
  z
    .custom<Uint8Array>((value) => value instanceof Uint8Array, what)
    .refine((value) => value.length <= bytesMax, { message: `must be at most ${bytesMax} bytes`, params: tooMuch });

export const endReason = z.enum(endReasons);
export const recordKind = z.enum(recordKinds);

const config = z.looseObject({});

/** What every service reads of a session; its configurations are checked where they are made, at the REST door and by the listener's rule. */
const sessionFields = {
  session_id: sessionId,
  name: text,
  description: text.nullable(),
  status: z.enum(sessionStatuses),
  created_at: text,
  started_at: text.nullable(),
  stopped_at: text.nullable(),
  created_by: text.nullable(),
  rdp_config: z.looseObject({ host: text, port: z.int(), use_tls: z.boolean(), ignore_cert: z.boolean() }),
  recording_config: z.looseObject({ compression: compressionSchema }),
  storage_config: z.looseObject({ retention_days: z.int().nullable(), encryption_enabled: z.boolean() }),
  metadata: config,
  statistics: config,
  end_reason: text.nullable(),
  end_message: text.nullable(),
  outcome: z.enum(sessionOutcomes).nullable().optional(),
  merkle_root: text.nullable(),
  version: count,
  pipeline_state: text,
} satisfies { [K in keyof SessionDocument]?: z.ZodType };
export const sessionDocument = z.looseObject(sessionFields) as unknown as z.ZodType<SessionDocument>;

export const sessionMetadata = sessionMetadataSchema;

const statistics = { relayedBytes: amount, framesDropped: amount, errorsCount: amount, durationUs: amount };
export const recordingStatistics: z.ZodType<RecordingStatistics> = z.object({
  ...statistics,
  framesCount: count,
  updatesCount: count,
});
export const finalStatistics: z.ZodType<FinalStatistics> = z.object({
  ...statistics,
  framesCount: count.nullable(),
  updatesCount: count.nullable(),
});

export const recordingFact: z.ZodType<RecordingFact> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('connected'),
    atUs: amount,
    clientAddress: text,
    targetAddress: text,
    tls: text.exactOptional(),
  }),
  z.object({
    kind: z.literal('target_certificate'),
    atUs: amount,
    sha256: hash,
    check: z.enum(['system_roots', 'pinned', 'ignored']),
    valid: z.boolean(),
    problem: text.exactOptional(),
    tls: text.exactOptional(),
  }),
  z.object({
    kind: z.literal('client_logon'),
    atUs: amount,
    user: text,
    workstation: text,
    targetName: text,
    version: z.int(),
  }),
  z.object({ kind: z.literal('approval'), atUs: amount, by: text, reason: text }),
  z.object({ kind: z.literal('consent'), atUs: amount, textSha256: hash, user: text }),
  z.object({
    kind: z.literal('target_logon'),
    atUs: amount,
    user: text,
    method: z.enum(['ntlm', 'kerberos']),
    envelope: z.enum(['raw', 'spnego']),
    credsspVersion: count,
  }),
  z.object({
    kind: z.literal('steering'),
    fromUs: amount,
    toUs: amount.nullable(),
    by: text,
    consent: z.enum(steeringConsents),
    end: text,
  }),
  z.object({ kind: z.literal('downgrade'), atUs: amount, what: text }),
  z.object({ kind: z.literal('policy'), atUs: amount, what: text, count }),
  z.object({ kind: z.literal('pause'), fromUs: amount, toUs: amount.nullable() }),
  z.object({ kind: z.literal('gap'), fromUs: amount, toUs: amount.nullable(), reason: text, framesLost: amount }),
  z.object({ kind: z.literal('clock_step'), atUs: amount, stepUs: amount }),
  z.object({
    kind: z.literal('clock_check'),
    atUs: amount,
    offsetUs: amount.nullable(),
    errorUs: amount.nullable(),
    source: text,
  }),
]);

export const route: z.ZodType<Route> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('token'), token: text }),
  z.object({ kind: z.literal('cookie'), name: text }),
  z.object({ kind: z.literal('browser'), token: text }),
  z.object({ kind: z.literal('credential'), user: text, token: text.exactOptional() }),
  z.object({
    kind: z.literal('listener'),
    target: text,
    ignoreCert: z.boolean().exactOptional(),
    pinnedSha256: hash.exactOptional(),
    legacyTls: z.boolean().exactOptional(),
    leaveIn: z.array(z.enum(unreplayable)).readonly().exactOptional(),
    bulkCompression: z.boolean().exactOptional(),
    channels: channelRulesSchema.exactOptional(),
    retentionDays: z.int().nullable().exactOptional(),
  }),
]);

export const chunkMetadata: z.ZodType<Omit<ChunkMetadata, 'storedAtUs' | 'storagePath'>> = z.object({
  sessionId,
  chunkId: text,
  index: chunkIndex,
  leafHash: hash,
  fileSha256: hash,
  fileBytes: count,
  payloadBytes: count,
  compression: compressionSchema,
  final: z.boolean().exactOptional(),
  openedUs: count,
  closedUs: count,
  framesCount: count.nullable(),
  updatesCount: count.nullable(),
  flags: z.int().min(0).max(0xff),
  keyId: text,
});

const wrapsMax = 100;
const wrapBytesMax = 64 * 1024;
const wrap: z.ZodType<KeyWrap> = z.object({
  scheme: text,
  recipient: text,
  keyId: text,
  wrapped: bytes(wrapBytesMax),
});
export const wraps = z.array(wrap).max(wrapsMax);

/** Names become file names: no dots in front, no separators. */
export const sidecarName = z
  .string()
  .regex(/^(?!.*\.\.)[a-z0-9][a-z0-9._-]{0,99}$/, 'must be 1–100 characters of a–z 0–9 . _ -, a letter or digit first');

export const auditEvent: z.ZodType<AuditEvent> = z.object({
  eventId: text,
  timestampUs: amount,
  eventType: text,
  userId: text.nullable(),
  resourceId: text.nullable(),
  ipAddress: text.nullable(),
  userAgent: text.nullable(),
  success: z.boolean(),
  errorMessage: text.nullable(),
  details: z.record(z.string(), z.unknown()),
});

const pageMax = 1000;
export const page = { limit: z.int().min(1).max(pageMax), offset: count };
