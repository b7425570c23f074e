/** The models of the REST contract, as stored: snake_case, bounds inclusive. Passwords have no field here. */
import type { CompressionName } from '@lucid-sessions/recording';
import { z } from 'zod';
import type { AlertSeverity } from './alerts.ts';
import {
  type ChannelRules,
  type ChannelSwitch,
  channelPattern,
  channelPatternsMax,
  channelSwitches,
  clipboardWays,
  consentTextMax,
  joinPolicies,
  retentionDaysMax,
  unreplayable,
} from './recording-limits.ts';
import type { CredentialSource } from './target-credentials.ts';
import { viewingLevels } from './viewing.ts';

/** `us`: µs since 1970. */
export const isoOf = (us: number): string => new Date(us / 1000).toISOString();

export const sessionIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,100}$/, 'must be 1–100 characters of A–Z a–z 0–9 _ -');

/** A chunk's id names its session and its `sequence_number` (index + 1), so it can be taken apart again. */
export function chunkIdOf(sessionId: string, index: number): string {
  return `${sessionId}.${String(index + 1).padStart(6, '0')}`;
}

/** Index of a chunk, which becomes a file's name. */
export const chunkIndexMax = 2 ** 31;

/** Index of a chunk of this session; null when the id is of another session or none at all. */
export function chunkIndexOf(sessionId: string, chunkId: string): number | null {
  const number = chunkId.startsWith(`${sessionId}.`) ? chunkId.slice(sessionId.length + 1) : '';
  const index = /^\d{6,12}$/.test(number) ? Number(number) - 1 : -1;
  return index >= 0 && index <= chunkIndexMax && chunkIdOf(sessionId, index) === chunkId ? index : null;
}

export const sessionStatuses = [
  'created',
  'starting',
  'recording',
  'paused',
  'stopped',
  'processing',
  'completed',
  'failed',
  'deleted',
] as const;
export type SessionStatus = (typeof sessionStatuses)[number];

const channelNames = z.array(z.string().regex(channelPattern, 'must be names, * for anything')).max(channelPatternsMax);
const switched = Object.fromEntries(channelSwitches.map((name) => [name, z.boolean().optional()])) as {
  [N in ChannelSwitch]: z.ZodOptional<z.ZodBoolean>;
};
export const channelRulesSchema = z.strictObject({
  clipboard: z.enum(clipboardWays).optional().describe('in: what the client copied may be pasted in the session.'),
  clipboard_files: z.enum(clipboardWays).optional(),
  ...switched,
  allow: channelNames.optional(),
  deny: channelNames.optional(),
}) satisfies z.ZodType<ChannelRules>;

export const rdpConfigSchema = z.strictObject({
  host: z
    .string()
    .min(1)
    .max(255)
    .regex(/^(?:[A-Za-z0-9.-]+|\[?[0-9A-Fa-f:.]+\]?)$/, 'must be a host name, an IPv4 or an IPv6 address'),
  port: z.int().min(1).max(65535).default(3389),
  username: z.string().min(1).max(255).optional(),
  domain: z.string().max(255).optional(),
  use_tls: z.boolean().default(true),
  ignore_cert: z.boolean().default(false),
  /** + SHA-256 of the target's certificate (DER), 64 hex: trusted without a CA. */
  pinned_sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** + Its user name (mstshash) leads to it although an .rdp file was issued; only where RDP_COOKIE_ROUTE is on. */
  route_by_name: z.boolean().optional(),
  /** + TLS 1.0 and 1.1, CBC and no forward secrecy are taken from the target too: a recorded fact. */
  legacy_tls: z.boolean().optional(),
  /** + What of what can't be replayed client and server may negotiate all the same: a recorded fact. The installation's when absent. */
  leave_in: z.array(z.enum(unreplayable)).max(unreplayable.length).optional(),
  /** + False: the server may not use RDP bulk compression; recordings are smaller, the connection needs more. A recorded fact. */
  bulk_compression: z.boolean().optional(),
  /**
   * + The gateway logs on without handing the password over (restricted admin mode), so that a target somebody has taken over does
   * not learn it. For administrators of the target alone, by network level authentication; a target without this mode is refused.
   */
  restricted_admin: z.boolean().optional(),
  /** + Said to the target before RDP begins ([MS-RDPEPS]): which machine of a Hyper-V host (port 2179) is meant. */
  preconnection_id: z.int().min(0).max(0xffff_ffff).optional(),
  preconnection_blob: z
    .string()
    .min(1)
    .max(1000)
    .regex(/^\P{Cc}*$/u, 'must be one line')
    .optional(),
  /** + What may cross beside screen and input. What is absent is as the installation says; what is refused is a recorded fact. */
  channels: channelRulesSchema.optional(),
});
export type RdpConfig = z.infer<typeof rdpConfigSchema>;

/** The names of `recording`, whose types this room may see and not its values: the compiler takes none more and none less. */
const compressions = { none: 'none', zstd: 'zstd', gzip: 'gzip', lz4: 'lz4' } as const satisfies {
  [N in CompressionName]: N;
};
export const compressionSchema = z.enum(compressions);

/** 320 to 7680 by 240 to 4320: as a pattern, which the OpenAPI document can say. */
const resolutionPattern =
  /^(?:3[2-9]\d|[4-9]\d{2}|[1-6]\d{3}|7[0-5]\d{2}|76[0-7]\d|7680)x(?:2[4-9]\d|[3-9]\d{2}|[1-3]\d{3}|4[0-2]\d{2}|43[01]\d|4320)$/;

export const recordingConfigSchema = z.strictObject({
  frame_rate: z.int().min(1).max(120).default(30),
  resolution: z.string().regex(resolutionPattern, 'must be WxH between 320x240 and 7680x4320').default('1920x1080'),
  quality: z.enum(['low', 'medium', 'high', 'ultra']).default('high'),
  compression: compressionSchema.default('zstd'),
  bitrate: z.int().min(1000).max(50_000_000).default(2_000_000),
  audio_enabled: z.boolean().default(false),
  cursor_enabled: z.boolean().default(true),
  /** + What the gateway lets client and server negotiate. */
  graphics: z.enum(['passthrough', 'classic']).default('passthrough'),
  /** + What happens when the recording can't be persisted. */
  persistence: z.enum(['strict', 'best_effort']).default('strict'),
  /** + What of what people type is recorded: all of it, that something was typed, nothing. What is not kept is a fact. */
  input_policy: z.enum(['full', 'masked', 'none']).optional(),
  /** + The same for what they copy. */
  clipboard_policy: z.enum(['full', 'masked', 'none']).optional(),
  /** + What its user has to acknowledge on a screen of the gateway's before it begins; null: nothing. The installation's when absent. */
  consent_text: z
    .string()
    .min(1)
    .max(consentTextMax)
    .nullable()
    .optional()
    .describe(
      "Shown inside the RDP client before the session begins; acknowledging it is a signed fact of the recording, with the text's SHA-256. null: nothing is shown. The installation's text (`RDP_CONSENT_TEXT_FILE`) when absent.",
    ),
  /** + A second person has to let its client in. The installation's when absent. */
  approval: z
    .boolean()
    .optional()
    .describe(
      'A second person approves each connection while its client waits (`POST /sessions/{id}/approval`); who and why is a signed fact. The installation’s (`RDP_APPROVAL`) when absent.',
    ),
  /** + What it takes to see the recording, at the least. */
  viewing: z
    .enum(viewingLevels)
    .optional()
    .describe(
      'What it takes to see the recording, beside the right to: nothing more, a reason (recorded), or a second person’s approval. The strictest of this, the installation’s (`LUCID_VIEWING`) and the project’s (`LUCID_VIEWING_PROJECTS`) counts.',
    ),
  /** + Whether somebody else may steer it. The installation's when absent. */
  join: z
    .enum(joinPolicies)
    .optional()
    .describe(
      'Whether somebody with `sessions:steer` may work in the session in its user’s place: when the user agrees on the screen, without asking (for installations whose notice covers it), never. Who steered, when and on whose consent is a signed fact. The installation’s (`RDP_JOIN`) when absent.',
    ),
  /** + How long the session waits for its client after a lost connection; 0: it ends. The installation's when absent. */
  reconnect_seconds: z.int().min(0).max(86_400).optional(),
});
export type RecordingConfig = z.infer<typeof recordingConfigSchema>;

export const retentionDaysSchema = z
  .int()
  .min(1)
  .max(retentionDaysMax)
  .nullable()
  .describe('Days a recording is kept after its end; null: until somebody deletes it.');

export const storageConfigSchema = z.strictObject({
  retention_days: retentionDaysSchema.default(null),
  max_size_gb: z.int().min(1).max(1000).default(10),
  encryption_enabled: z.boolean().default(true),
  compression_enabled: z.boolean().default(true),
  backup_enabled: z.boolean().default(false),
  archive_enabled: z.boolean().default(false),
});
export type StorageConfig = z.infer<typeof storageConfigSchema>;

export const sessionMetadataSchema = z.strictObject({
  project: z.string().max(100).optional(),
  environment: z.string().max(50).optional(),
  tags: z.array(z.string().max(50)).max(10).optional(),
  description: z.string().max(500).optional(),
  owner: z.string().max(100).optional(),
  priority: z.enum(['low', 'normal', 'high', 'critical']).optional(),
});
export type SessionMetadata = z.infer<typeof sessionMetadataSchema>;

export interface SessionStatistics {
  duration_seconds: number;
  chunks_count: number;
  size_bytes: number;
  /** Null: not known; its rows were made again from its files. */
  frame_count: number | null;
  dropped_frames: number;
  error_count: number;
  /** Null: not known. */
  average_fps: number | null;
  /** Stored / recorded bytes, 0–1. */
  compression_ratio: number;
}

/** Of a session that has recorded nothing yet. */
export const noStatistics: SessionStatistics = {
  duration_seconds: 0,
  chunks_count: 0,
  size_bytes: 0,
  frame_count: 0,
  dropped_frames: 0,
  error_count: 0,
  average_fps: 0,
  compression_ratio: 0,
};

/** What became of a session, beside its status. */
export const sessionOutcomes = [
  /** Recorded from its beginning to its end; declared pauses and reconnections lose nothing. */
  'whole',
  /** The recorder died; everything that was durable then is there, up to its last frame. */
  'recovered',
  /** Frames are known to be missing. */
  'gap',
  /** Never recorded: the gateway said no to the last connection that asked. */
  'refused',
  /** Never recorded: nobody came, or nobody got through. */
  'never_connected',
] as const;
export type SessionOutcome = (typeof sessionOutcomes)[number];

/** Gaps in which nothing was there to be recorded, or was not to be. */
const harmlessGaps: readonly string[] = ['paused', 'connection_lost'];

/** What became of a session that was recorded. `recovered`: its recorder died; `whole`: up to its final chunk it is stored. */
export function recordedOutcome(known: {
  gaps: readonly { reason: string }[];
  endReason: string | null;
  recovered: boolean;
  persistence: 'strict' | 'best_effort';
  whole: boolean;
}): SessionOutcome {
  const { gaps, endReason, recovered, persistence, whole } = known;
  // Nothing bounds what a recorder that died could not store before.
  if (recovered && persistence === 'best_effort') return 'gap';
  const lossy = gaps.some(({ reason }) => !harmlessGaps.includes(reason));
  if (lossy || endReason === 'recording_not_persisted' || !whole) return 'gap';
  return recovered ? 'recovered' : 'whole';
}

/** How the last connection that did not become a session ended. */
export interface LastAttempt {
  at: string;
  client_address: string;
  client_name: string | null;
  /** refused, target_failed, client_left. */
  outcome: string;
  reason: string;
  message: string;
}

/**
 * Where the recording of an imported session comes from. What the file says of itself (times, addresses) is its word alone: who
 * holds a capture can change it.
 */
export interface ImportedFrom {
  by: string;
  at: string;
  /** Of the file somebody named on the command line, and its SHA-256: told by whoever imported it. */
  source_name: string;
  source_sha256: string;
  /** Of the decrypted connection (.rdpcap) this installation was given. */
  capture_sha256: string;
  /** When the file says it happened; null where it does not say, or names a time that has not come yet. */
  captured_from: string | null;
  captured_to: string | null;
  /** Whose connection the file says it was. */
  client: string | null;
  server: string | null;
  /** Why it could not be read to its end; null: it was. */
  problem: string | null;
}

export const replayStates = ['drawn', 'parts', 'nothing', 'unexamined'] as const;
export type ReplayState = (typeof replayStates)[number];
/** Whether all that was recorded can be seen (docs/format.md, 5.7). */
export interface SessionReplay {
  state: ReplayState;
  /** What can't be seen, when and how much, in words. */
  detail: string;
  examined_at: string;
}

/** While a session has one, nothing of it is deleted or shredded, by nobody. */
export interface LegalHold {
  /** A UUID. */
  hold_id: string;
  /** Number of the matter. */
  reference: string;
  reason: string;
  set_by: string;
  set_at: string;
}

/** Holds of one session at the same time. */
export const holdsMax = 50;

/**
 * By what a connection led to its session. `browser`: of somebody signed in; `credential`, `token`: of whoever was given it; `name`,
 * `listener`: of anybody who reaches the gateway.
 */
export const comingWays = ['browser', 'credential', 'token', 'name', 'listener'] as const;
export type ComingWay = (typeof comingWays)[number];

/** A session as stored and (without `version` and `pipeline`) as the API answers it. */
export interface SessionDocument {
  session_id: string;
  name: string;
  description: string | null;
  status: SessionStatus;
  created_at: string;
  started_at: string | null;
  stopped_at: string | null;
  created_by: string | null;
  /** The target it was made by connecting to, and which version of it; absent and null: its address was given with it. */
  target_id?: string | null;
  target_version?: number | null;
  rdp_config: RdpConfig;
  /** Who logs on to the target; absent as `none`. */
  credentials?: CredentialSource;
  recording_config: RecordingConfig;
  storage_config: StorageConfig;
  metadata: SessionMetadata;
  statistics: SessionStatistics;
  /** Why it ended or failed, for a person. */
  end_reason: string | null;
  end_message: string | null;
  /** The last connection that asked for it and did not become a session. */
  last_attempt?: LastAttempt | null;
  /** When its .rdp file was issued last. */
  rdp_file_issued_at?: string | null;
  /** Who had it issued: they let nobody in who comes with it. */
  rdp_file_issued_by?: string | null;
  /** The credential its client logs on to the gateway with, as far as it is no secret; null when there is none. */
  gateway_logon?: { user: string; issued_at: string; expires_at: string; issued_by?: string } | null;
  /** Null while nothing has become of it. */
  outcome?: SessionOutcome | null;
  /** Null while nobody walked through the recording. */
  replay?: SessionReplay | null;
  /** Of the connection that was admitted last. */
  client_address?: string | null;
  /** How the connection that was admitted last came in, and for whom: who was signed in, or had file or credential issued. */
  came_by?: { way: ComingWay; user: string | null } | null;
  /** What it calls itself, and the name in its Client Info: its word, which nobody checked. */
  client_name?: string | null;
  client_user?: string | null;
  /** Connections the session went over. */
  connections?: number;
  /** Its connection was lost; its client may come back until then. */
  reconnect_until?: string | null;
  merkle_root: string | null;
  /** Those in force; absent where there is none. */
  holds?: LegalHold[];
  /** What rules have found in it; absent where they found nothing. */
  alerts?: { count: number; highest: AlertSeverity };
  /** What is being destroyed, or was: said before the erase record is signed, and from then on no hold is in time for it. */
  destroying?: 'keys' | 'keys_and_chunks';
  /** Made of a file, not recorded by a gateway: it proves nothing about what it shows. Null or absent: recorded. */
  imported?: ImportedFrom | null;
  /** Grows with every write; compare-and-swap. */
  version: number;
  /** State of the pipeline's machine (contract: created … destroyed). */
  pipeline_state: string;
}
