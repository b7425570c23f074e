/** Requests and answers about targets. */
import { z } from 'zod';
import { rdpConfigSchema } from '../models.ts';
import { credentialSources, targetCredentialsRequest } from '../target-credentials.ts';
import { targetIdSchema, targetName, targetParts } from '../targets.ts';
import { hexHash, timestamp } from './fields.ts';

const { description, rdp_config, recording_config, storage_config, metadata, connect } = targetParts;

const version = z.int().min(1);

export const createTargetRequest = z.strictObject({
  target_id: targetIdSchema.optional().describe('Generated (UUID) when left out.'),
  name: targetName,
  description: description.default(null),
  rdp_config,
  target_credentials: targetCredentialsRequest
    .optional()
    .describe('Who logs on to it in every session. Never returned. Left out: nothing is said, and a session may.'),
  recording_config: recording_config.default({}),
  storage_config: storage_config.default({}),
  metadata: metadata.default({}),
  connect: connect.default(null),
});

export const updateTargetRequest = z.strictObject({
  version: version.describe('The version that was read: of another one nothing is changed.'),
  name: targetName.optional(),
  description: description.optional(),
  rdp_config: rdp_config
    .optional()
    .describe('Replaces all of it. For another host or port its credentials have to be given again.'),
  target_credentials: targetCredentialsRequest
    .nullable()
    .optional()
    .describe('Replaces what it had; null: nothing is said any more. Left out: as it is.'),
  recording_config: recording_config.optional().describe('Replaces all of it.'),
  storage_config: storage_config.optional().describe('Replaces all of it.'),
  metadata: metadata.optional().describe('Replaces all of it.'),
  connect: connect.optional(),
});

export const targetSchema = z.strictObject({
  target_id: targetIdSchema,
  version,
  name: targetName,
  description,
  rdp_config,
  credentials: z
    .strictObject({
      source: z.enum(credentialSources),
      username: z.string().optional(),
      domain: z.string().optional(),
      engine: z.enum(['kv', 'dynamic']).optional(),
      mount: z.string().optional(),
      path: z.string().optional(),
    })
    .describe('Where they come from and whose they are; the secret itself is never shown.'),
  recording_config,
  storage_config,
  metadata,
  connect,
  may_connect: z.boolean().describe('Whether whoever asked may connect to it.'),
  created_at: timestamp,
  created_by: z.string(),
  changed_at: timestamp,
  changed_by: z.string(),
});

export const targetList = z.strictObject({
  targets: z.array(targetSchema),
  next: z.string().nullable().describe('For `after` of the next page; null: this is the last.'),
  free_addresses: z
    .boolean()
    .describe('Whether sessions may also lead to addresses that are no targets (LUCID_TARGETS=open).'),
});

export const listTargetsQuery = z.strictObject({
  after: z.string().max(200).default('').describe('`next` of the page before'),
  limit: z
    .string()
    .regex(/^\d{1,3}$/)
    .transform(Number)
    .pipe(z.int().min(1).max(200))
    .default(50),
  search: z.string().min(1).max(200).optional().describe('Text in name, description, host, project or tags.'),
});

export const removeTargetQuery = z.strictObject({
  version: z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(version)
    .optional()
    .describe('Only this version; left out: whichever there is.'),
});
export const removedTarget = z.strictObject({ target_id: targetIdSchema, removed: z.literal(true) });

export const checkTargetRequest = z.strictObject({
  host: rdpConfigSchema.shape.host,
  port: rdpConfigSchema.shape.port,
  legacy_tls: z.boolean().default(false).describe('TLS 1.0 and weak ciphers are taken too.'),
});

export const checkedTarget = z.strictObject({
  reached: z.boolean().describe('Whether it answered by RDP and showed a certificate.'),
  message: z.string().describe('What was found, or why it was not reached, for a person.'),
  address: z.string().nullable().describe('The address that was dialled.'),
  certificate: z
    .strictObject({
      sha256: hexHash.describe('What `rdp_config.pinned_sha256` takes.'),
      subject: z.string(),
      issuer: z.string(),
      valid_from: timestamp,
      valid_to: timestamp,
      tls: z.string().describe('Version and suite.'),
      trusted: z.boolean().describe('Whether it would be taken without a pin.'),
      problem: z.string().nullable().describe('Why not.'),
    })
    .nullable(),
});
