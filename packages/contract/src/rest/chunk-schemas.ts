/** Answers about chunks, the pipeline and the evidence of a session. */
import { z } from 'zod';
import { compressionSchema, replayStates, sessionIdSchema } from '../models.ts';
import {
  count,
  hexHash,
  inputsWanted,
  optionalQueryInteger,
  pagination,
  queryInteger,
  queryTime,
  ratio,
  reasonText,
  timestamp,
} from './fields.ts';

export const chunkStatuses = [
  'recorded',
  'processing',
  'compressed',
  'encrypted',
  'stored',
  'failed',
  'deleted',
] as const;

export const chunkSchema = z.strictObject({
  chunk_id: z.string(),
  session_id: sessionIdSchema,
  sequence_number: z.int().min(1),
  timestamp,
  status: z.enum(chunkStatuses),
  size_bytes: count,
  duration_seconds: z.number().min(0),
  frame_count: count.nullable().describe('null: not known; its row was made again from its file.'),
  merkle_hash: hexHash.describe('Hash of the leaf in the tree of the session (RFC 9162).'),
  storage_path: z.string(),
  compression_ratio: ratio,
  quality_score: z
    .number()
    .min(0)
    .max(100)
    .describe('100; 50 less when frames are missing before it, 10 less when it was recovered after a crash.'),
  encryption_key_id: z.string(),
  file_sha256: hexHash,
});

export const chunkDetail = chunkSchema.extend({
  processing_info: z.strictObject({
    compression_ratio: ratio,
    compression: compressionSchema,
    encryption_enabled: z.boolean(),
    quality_score: z.number().min(0).max(100),
    recorded_bytes: count,
    stored_at: timestamp,
    recovered: z.boolean(),
    gap_before: z.boolean(),
    final: z.boolean(),
  }),
});

export const listChunksQuery = z.strictObject({
  limit: queryInteger(1, 1000, 100),
  offset: queryInteger(0, 1_000_000_000, 0),
  status: z.enum(chunkStatuses).optional(),
  start_time: queryTime,
  end_time: queryTime,
});

export const chunkList = z.strictObject({ chunks: z.array(chunkSchema), pagination });

const pipelineStage = z.strictObject({
  stage_name: z.string(),
  status: z.enum(['inactive', 'active', 'paused', 'error', 'completed']),
  items_processed: count,
  errors_count: count,
  processing_time_ms: z.number().min(0),
  throughput_per_second: z.number().min(0),
  retry_count: count,
  max_retries: count,
  last_error: z.string().nullable(),
});

export const pipelineAnswer = z
  .strictObject({
    session_id: sessionIdSchema,
    pipeline_status: z.enum(['inactive', 'active', 'paused', 'error', 'stopped']),
    state: z.string(),
    stages: z.array(pipelineStage),
    overall_metrics: z.strictObject({
      items_processed: count,
      errors_count: count,
      processing_time_ms: z.number().min(0),
      throughput_per_second: z.number().min(0),
    }),
  })
  .describe(
    'compression, encryption and storage happen in one pass over a chunk: each of the three stages shows the time of the whole pass.',
  );

const recordView = z.strictObject({
  kind: z.enum(['open', 'manifest', 'resume', 'custody', 'erase', 'replay']),
  sequence: z.int().min(1),
  sha256: hexHash.describe('Of the signed envelope: what the log and other records name it by.'),
  body: z.record(z.string(), z.unknown()),
  envelope: z.string().describe('The DSSE envelope as it was signed, base64.'),
});

export const manifestAnswer = z.strictObject({
  session_id: sessionIdSchema,
  merkle_root: hexHash.nullable(),
  manifest: recordView,
  records: z.array(recordView).describe('All signed records of the session in their order.'),
});

const logProof = z.strictObject({ log_index: count, checkpoint: z.string(), inclusion: z.array(hexHash) });

export const chunkProofAnswer = z.strictObject({
  chunk_id: z.string(),
  session_id: sessionIdSchema,
  sequence_number: z.int().min(1),
  leaf: z.string().describe('160 bytes, hex.'),
  seal: z.string().describe('Ed25519 signature, 64 bytes, hex.'),
  leaf_hash: hexHash,
  leaf_index: count,
  tree_size: z.int().min(1),
  merkle_root: hexHash,
  inclusion: z.array(hexHash).describe('RFC 9162 inclusion proof, leaf to root.'),
  closed: z.boolean().describe('The root is the one of the signed manifest; before that the tree still grows.'),
});

export const anchorAnswer = z.strictObject({
  session_id: sessionIdSchema,
  merkle_root: hexHash.nullable(),
  log: logProof.nullable(),
  log_public_key: z.string(),
  receipts: z.array(
    z.strictObject({
      backend: z.string(),
      status: z.enum(['pending', 'processing', 'confirmed', 'failed', 'reorged']),
      submitted_at: timestamp,
      confirmed_at: timestamp.nullable(),
      block_height: z.int().nullable(),
      transaction_id: z.string().nullable(),
      merkle_root: hexHash,
      detail: z.string().nullable(),
    }),
  ),
  anchoring: z
    .array(
      z.strictObject({
        backend: z.string(),
        state: z.enum(['none', 'pending', 'confirmed', 'failed', 'reorged']),
        next_check_at: timestamp.nullable(),
        detail: z.string().nullable(),
      }),
    )
    .describe(
      'One for every outside anchor that is configured, also while nothing was sent; empty where there is none.',
    ),
});

export const eraseRequest = z.strictObject({
  confirm: z
    .string()
    .max(255)
    .describe('The id of the session once more, or its name: what is erased can not be brought back.'),
  reason: reasonText.describe('Why; it is signed into the erase record.'),
});

export const erasedAnswer = z.strictObject({
  session_id: sessionIdSchema,
  erased: z.literal('keys'),
  erased_at: timestamp,
  record_sha256: hexHash.describe('Of the signed erase record.'),
  log_index: count.describe('Its place in the transparency log.'),
  wraps_destroyed: count.describe('0 when the keys were gone already.'),
});

export const evidenceQuery = z.strictObject({
  first: optionalQueryInteger(1, 1_000_000_000).describe('First sequence_number of a part; with `last`.'),
  last: optionalQueryInteger(1, 1_000_000_000).describe('Last sequence_number of a part; with `first`.'),
});

export const liveQuery = z.strictObject({
  after_frame: queryInteger(0, 999_999_999_999_999, 0).describe(
    'Number of the first frame wanted: the sum of `frame_count` of the chunks that were read.',
  ),
  inputs: inputsWanted,
});

export const keyQuery = z.strictObject({ inputs: inputsWanted });

export const verifyAnswer = z.looseObject({
  v: z.literal(1),
  clean: z.boolean(),
  session_id: z.string().nullable(),
  verdicts: z.record(z.string(), z.string()),
  findings: z.array(z.looseObject({ code: z.string(), message: z.string() })),
  verified_at: timestamp,
});

export const replayAnswer = z.strictObject({
  session_id: sessionIdSchema,
  state: z.enum(replayStates).describe('unexamined also while nobody walked through the recording to its end.'),
  detail: z.string().describe('What can not be seen, when and how much, in words.'),
  examined_at: timestamp.nullable().describe('Null while there is no signed record.'),
  walking: z.boolean().describe('Somebody is walking through it, or it waits for that: ask again in a while.'),
  walked_chunks: count,
  chunks: count,
});

export const renewalsAnswer = z.strictObject({
  renewed: count.describe('Evidence records that were begun or got another timestamp.'),
  finished: z.boolean().describe('False: it goes on, and was not waited for; `renewed` is what there was by then.'),
});

/** The trust policy of docs/format.md, as `verify --policy` reads it. */
export const policyAnswer = z.strictObject({
  v: z.literal(1),
  identity_keys: z.array(
    z.strictObject({
      key: z.string(),
      valid_to_us: z.int().optional().describe('Of a retired key: when it was retired.'),
    }),
  ),
  log_keys: z.array(z.string()),
  tsas: z.array(z.strictObject({ name: z.string(), certificate: z.string() })).optional(),
  witnesses: z.array(z.string()).optional().describe('Verifier keys of the witnesses that cosign the log.'),
});

export const keyAnswer = z.strictObject({
  session_id: sessionIdSchema,
  key: z.string().describe('View key of the session, base64: for the player, which decrypts in the browser.'),
  key_id: z.string(),
  inputs_key: z.string().optional().describe('Opens what was typed and copied, base64: only when asked for.'),
});
