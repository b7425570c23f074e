/**
 * Targets: hosts people connect to, with what holds for every session with them. A target is kept as an entry; its credentials lie
 * sealed with the pipeline, and here stands only where they come from.
 */
import { z } from 'zod';
import {
  rdpConfigSchema,
  recordingConfigSchema,
  retentionDaysSchema,
  sessionMetadataSchema,
  storageConfigSchema,
} from './models.ts';
import { userIdPattern } from './people.ts';
import { patchOf } from './rest/fields.ts';
import { type Role, roles } from './roles.ts';
import type { NewTargetCredentials } from './target-credentials.ts';

export const targetIdSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1–64 characters of A–Z a–z 0–9 _ -');
export const targetNameMax = 100;
/** All targets of an installation. */
export const targetsMax = 20_000;
export const connectUsersMax = 200;

/** Whether sessions may lead to addresses that nobody made a target of. */
export const targetsPolicies = ['open', 'listed'] as const;
export type TargetsPolicy = (typeof targetsPolicies)[number];

const oneLine = /^[^\p{Cc}]*$/u;

export const targetName = z.string().trim().min(1).max(targetNameMax).regex(oneLine, 'must be one line of text');

/** What may be said of a target beside its name; the parts are those of a session, which takes them as they stand. */
export const targetParts = {
  description: z.string().max(500).nullable(),
  rdp_config: rdpConfigSchema.describe('Address, certificate, and what client and server may negotiate.'),
  recording_config: patchOf(recordingConfigSchema).describe(
    'Policy of its sessions: graphics, consent, approval, viewing, …. What is left out is the default of the contract and the installation.',
  ),
  storage_config: patchOf(storageConfigSchema.extend({ retention_days: retentionDaysSchema })).describe(
    'How its recordings are kept. Retention left out: LUCID_RETENTION_DAYS_DEFAULT.',
  ),
  metadata: sessionMetadataSchema
    .pick({ project: true, environment: true, tags: true, owner: true })
    .describe('Of every session with it: project, environment, tags (labels), owner.'),
  connect: z
    .strictObject({
      roles: z.array(z.enum(roles)).max(roles.length),
      users: z.array(z.string().regex(userIdPattern, 'must be a user id')).max(connectUsersMax),
    })
    .nullable()
    .describe(
      'Who may connect: these, as far as they hold the right targets:connect. Null: those with the right sessions:create.',
    ),
};

export interface TargetConnect {
  roles: readonly Role[];
  users: readonly string[];
}

/** Where a target's credentials come from, and whose they are, as far as that is no secret. */
export type TargetCredentialsFacts =
  | { source: 'none' | 'client' }
  | { source: 'injected'; username: string; domain: string }
  | { source: 'vault'; engine: 'kv' | 'dynamic'; mount: string; path: string };

export function credentialsFactsOf(given: NewTargetCredentials): TargetCredentialsFacts {
  switch (given.source) {
    case 'client':
      return { source: 'client' };
    case 'injected':
      return { source: 'injected', username: given.credentials.username, domain: given.credentials.domain };
    case 'vault': {
      const { engine, mount, path } = given.reference;
      return { source: 'vault', engine, mount, path };
    }
  }
}

/** A target as it is stored, in an entry whose version is the target's. */
export interface Target {
  name: string;
  description: string | null;
  rdp_config: z.output<typeof rdpConfigSchema>;
  recording_config: z.output<typeof targetParts.recording_config>;
  storage_config: z.output<typeof targetParts.storage_config>;
  metadata: z.output<typeof targetParts.metadata>;
  connect: TargetConnect | null;
  credentials: TargetCredentialsFacts;
  /** Under which the pipeline keeps its credentials; null: there are none to keep. */
  secret_id: string | null;
  created_at: string;
  created_by: string;
  changed_at: string;
  changed_by: string;
}

/** Two names that look alike by case or by width are one. */
export const targetNameKey = (name: string): string => name.normalize('NFKC').toLowerCase();
