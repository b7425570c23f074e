/** Requests and answers about sessions. */
import { z } from 'zod';
import { alertSeverities, sessionAlertsMax } from '../alerts.ts';
import {
  comingWays,
  rdpConfigSchema,
  recordingConfigSchema,
  replayStates,
  retentionDaysSchema,
  sessionIdSchema,
  sessionMetadataSchema,
  sessionOutcomes,
  sessionStatuses,
  storageConfigSchema,
} from '../models.ts';
import { sessionSorts, sessionWordCharactersMax } from '../session-list.ts';
import { credentialSources, targetCredentialsRequest } from '../target-credentials.ts';
import { targetIdSchema } from '../targets.ts';
import {
  count,
  hexHash,
  optionalQueryInteger,
  optionalRetentionDays,
  pagination,
  patchOf,
  queryInteger,
  queryTime,
  ratio,
  reasonText,
  timestamp,
} from './fields.ts';

export const sessionName = z.string().min(1).max(255);
export const sessionDescription = z.string().max(500);

const newRdpConfig = rdpConfigSchema.extend({
  password: z
    .string()
    .max(255)
    .optional()
    .meta({ writeOnly: true })
    .describe(
      'Accepted for compatibility and dropped at once: never stored, logged or returned. What the gateway is to log on with is given in target_credentials.',
    ),
});

const ofTarget = 'The target’s alone where there is a target_id.';

export const createSessionRequest = z
  .strictObject({
    session_id: sessionIdSchema.optional().describe('Generated (UUID) when left out.'),
    target_id: targetIdSchema
      .optional()
      .describe(
        'The target to connect to. Address, pin, credentials and policy are its, and nothing here changes them.',
      ),
    name: sessionName.optional().describe('May be left out with a target_id: the target’s name and the time.'),
    description: sessionDescription.nullable().default(null),
    rdp_config: newRdpConfig
      .optional()
      .describe('An address without a target; refused where LUCID_TARGETS is `listed`, and with a target_id.'),
    target_credentials: targetCredentialsRequest
      .optional()
      .describe('With a target_id only where the target says nothing about who logs on.'),
    recording_config: recordingConfigSchema.optional().describe(`Defaults where it is left out. ${ofTarget}`),
    storage_config: storageConfigSchema
      .extend({
        retention_days: retentionDaysSchema
          .optional()
          .describe(
            'Days the recording is kept after its end, null: until somebody deletes it. Left out: LUCID_RETENTION_DAYS_DEFAULT of the installation, until deleted without it.',
          ),
      })
      .optional()
      .describe(`Defaults where it is left out. ${ofTarget}`),
    metadata: sessionMetadataSchema
      .default({})
      .describe('With a target_id: beside what the target says, which counts; tags are added to its tags.'),
  })
  .superRefine((request, context) => {
    const wrong = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message });
    if (request.target_id === undefined) {
      if (request.name === undefined) wrong('name', 'must be given');
      if (request.rdp_config === undefined) wrong('rdp_config', 'must be given where there is no target_id');
      return;
    }
    for (const field of ['rdp_config', 'recording_config', 'storage_config'] as const)
      if (request[field] !== undefined) wrong(field, 'is the target’s: leave it out');
  });

export const updateSessionRequest = z.strictObject({
  name: sessionName.optional(),
  description: sessionDescription.nullable().optional(),
  rdp_config: patchOf(rdpConfigSchema).optional().describe('Only before the first connection.'),
  recording_config: patchOf(recordingConfigSchema).optional().describe('Only before the first connection.'),
  storage_config: patchOf(storageConfigSchema).optional(),
  metadata: patchOf(sessionMetadataSchema).optional(),
});

export const sessionStatisticsSchema = z.strictObject({
  duration_seconds: z.number().min(0),
  chunks_count: count,
  size_bytes: count,
  frame_count: count.nullable().describe('null: not known; the session was made again from its files.'),
  dropped_frames: count,
  error_count: count,
  average_fps: z.number().min(0).nullable(),
  compression_ratio: ratio.describe('Stored bytes by recorded bytes.'),
});

export const lastAttemptSchema = z.strictObject({
  at: timestamp,
  client_address: z.string(),
  client_name: z.string().nullable(),
  outcome: z.string().describe('refused, target_failed or client_left.'),
  reason: z.string(),
  message: z.string(),
});

export const importedSchema = z.strictObject({
  by: z.string(),
  at: timestamp,
  source_name: z.string(),
  source_sha256: hexHash.describe('Of the file that was imported, as whoever imported it says.'),
  capture_sha256: hexHash.describe('Of the decrypted connection (.rdpcap) this installation was given.'),
  captured_from: timestamp.nullable().describe('As the file says; nothing proves it.'),
  captured_to: timestamp.nullable(),
  client: z.string().nullable(),
  server: z.string().nullable(),
  problem: z.string().nullable().describe('Why it could not be read to its end.'),
});

export const importQuery = z.strictObject({
  name: sessionName,
  source_name: z.string().min(1).max(255).describe('Name of the file the connection comes from.'),
  source_sha256: hexHash.describe('SHA-256 of that file. It goes into the signed records as your word.'),
  description: sessionDescription.optional(),
  project: z.string().max(100).optional(),
  environment: z.string().max(50).optional(),
  retention_days: optionalRetentionDays.describe(
    'Days it is kept, or `none`: until somebody deletes it. Left out: LUCID_RETENTION_DAYS_DEFAULT of the installation, until deleted without it.',
  ),
});

export const sessionSchema = z.strictObject({
  session_id: sessionIdSchema,
  name: sessionName,
  description: sessionDescription.nullable(),
  status: z.enum(sessionStatuses),
  created_at: timestamp,
  started_at: timestamp.nullable(),
  stopped_at: timestamp.nullable(),
  created_by: z.string().nullable(),
  target_id: targetIdSchema
    .nullable()
    .describe('The target it was made by connecting to, which may be gone. Null: its address was given with it.'),
  target_version: z.int().min(1).nullable().describe('Which version of the target it was.'),
  rdp_config: rdpConfigSchema,
  credentials: z
    .enum(credentialSources)
    .describe(
      'Who logs on to the target: injected or vault (the gateway, with what it was given or gets from Vault), client (what the client sends, network level authentication included), none (nothing was said: what the client sends passes on).',
    ),
  recording_config: recordingConfigSchema,
  storage_config: storageConfigSchema,
  metadata: sessionMetadataSchema,
  statistics: sessionStatisticsSchema,
  end_reason: z.string().nullable(),
  end_message: z.string().nullable(),
  last_attempt: lastAttemptSchema
    .nullable()
    .describe('The last connection that asked for the session and did not become one. The session goes on waiting.'),
  outcome: z
    .enum(sessionOutcomes)
    .nullable()
    .describe(
      'What became of it: whole; recovered (the recorder died, what was durable is there); gap (frames are known to be missing); refused or never_connected (nothing was recorded). Null while that is open.',
    ),
  replay: z
    .strictObject({
      state: z.enum(replayStates),
      detail: z.string().describe('What can not be seen, when and how much, in words.'),
      examined_at: timestamp,
    })
    .nullable()
    .describe(
      'Whether all that was recorded can be seen: drawn (everything), parts (not all), nothing (it shows black), unexamined (the walk could not be ended: no decoder for H.264). Null while nobody walked through it.',
    ),
  gateway_logon: z
    .strictObject({ username: z.string(), issued_at: timestamp, expires_at: timestamp })
    .nullable()
    .describe(
      'The credential its client may log on to the gateway with, as far as it is no secret. Null: none is good.',
    ),
  came_by: z
    .strictObject({ way: z.enum(comingWays), user: z.string().nullable() })
    .nullable()
    .describe(
      'How the connection that was admitted last came in. browser: `user` was signed in here; credential, token: whoever had what was issued to `user`; name, listener: anybody, `user` is null. Null: nobody came yet, or that was not kept.',
    ),
  client_address: z.string().nullable(),
  client_name: z.string().nullable().describe('What the client calls itself. Nothing proves it.'),
  client_user: z
    .string()
    .nullable()
    .describe('Who the client said would log on. Nothing proves it: `came_by` says what is known.'),
  connections: count.describe('Connections the session went over: more than one after a reconnection.'),
  reconnect_until: timestamp
    .nullable()
    .describe('The connection was lost: until then the client may come back with the same .rdp file.'),
  merkle_root: hexHash.nullable(),
  alerts: z
    .strictObject({ count: count.max(sessionAlertsMax), highest: z.enum(alertSeverities) })
    .nullable()
    .describe('Alerts rules have raised of it, and the highest severity among them. Null: none.'),
  legal_holds: count.describe('Legal holds on it: while there is one, nothing of it is deleted or shredded.'),
  imported: importedSchema
    .nullable()
    .describe(
      'Made of a file somebody sent, not recorded by a gateway: it proves nothing about what it shows. Null: recorded.',
    ),
  pipeline_state: z.string(),
  recording_url: z.string().describe('Page of the console that shows the session.'),
});

const sessionWord = z.string().min(1).max(sessionWordCharactersMax).optional();

/** Filters and order of a list; each filter narrows down what the others leave. */
export const sessionFilters = {
  status: z.enum(sessionStatuses).optional().describe('Without it deleted sessions are left out.'),
  project: z.string().max(100).optional(),
  environment: z.string().max(50).optional(),
  search: z.string().min(1).max(200).optional().describe('Text in name, id, host, owner or tags.'),
  user: sessionWord.describe(
    'Whole name, but for the case of letters: who came, who the client said would log on, who the session is for, who owns and who made it. `DOMAIN\\name` is found by both.',
  ),
  client: sessionWord.describe('Name or address of the client, whole.'),
  target: sessionWord.describe('Host of the target, host:port, or the id of a target; whole.'),
  tag: sessionWord.describe('A tag (label) of it, whole.'),
  from: queryTime.describe('RFC 3339: begun then or later; made, where it never began.'),
  to: queryTime.describe('RFC 3339: begun then or before; made, where it never began.'),
  duration_min: optionalQueryInteger(0, 1_000_000_000).describe('Seconds.'),
  duration_max: optionalQueryInteger(0, 1_000_000_000).describe('Seconds.'),
  size_min: optionalQueryInteger(0, 999_999_999_999_999).describe('Bytes stored.'),
  size_max: optionalQueryInteger(0, 999_999_999_999_999).describe('Bytes stored.'),
  outcome: z.enum(sessionOutcomes).optional().describe('What became of it; `gap`: it is incomplete.'),
  replay: z.enum(replayStates).optional().describe('Whether all that was recorded can be seen.'),
  sort: z.enum(sessionSorts).optional().describe('Left out: created. Those that are in one place come newest first.'),
  order: z.enum(['asc', 'desc']).optional().describe('Left out: desc for times, duration and size, asc for texts.'),
};

export const listSessionsQuery = z.strictObject({
  ...sessionFilters,
  limit: queryInteger(1, 100, 50),
  offset: queryInteger(0, 1_000_000_000, 0),
});

export const sessionList = z.strictObject({ sessions: z.array(sessionSchema), pagination });

const deletionReason = reasonText.optional().describe('Why; LUCID_DELETE_REASON=required demands it.');

export const rdpFileQuery = z.strictObject({
  via: z
    .enum(['listener', 'gateway'])
    .optional()
    .describe(
      '`gateway`: through the RD Gateway on the API’s TLS port; `listener`: straight to the RDP listener (the default).',
    ),
  logon: z
    .enum(['token', 'credential'])
    .optional()
    .describe(
      '`token`: the file opens the session, and is a secret. `credential`: its user logs on to the gateway with the credential that was issued, and the file is none. Left out: `credential` where clients have to log on (RDP_NLA=required), else `token`.',
    ),
});

export const deleteSessionQuery = z.strictObject({ reason: deletionReason });

export const deleteSessionRequest = z
  .strictObject({
    reason: deletionReason,
    confirm: z.string().max(255).optional().describe('The name of the session; another one is refused.'),
  })
  .nullable()
  .optional()
  .describe('What is deleted and why. The reason may as well stand in the query; here no access log keeps it.');

export const deletedSession = z.strictObject({
  session_id: sessionIdSchema,
  status: z.literal('deleted'),
  deleted_at: timestamp,
});

const commandAnswer = { session_id: sessionIdSchema, status: z.enum(sessionStatuses) };

export const startedSession = z.strictObject({
  ...commandAnswer,
  started_at: timestamp.describe('When the session was armed for its next connection.'),
  recording_url: z.string(),
});
export const stoppedSession = z.strictObject({
  ...commandAnswer,
  stopped_at: timestamp,
  final_statistics: sessionStatisticsSchema,
});
export const pausedSession = z.strictObject({ ...commandAnswer, paused_at: timestamp });
export const resumedSession = z.strictObject({ ...commandAnswer, resumed_at: timestamp });

export const decideApprovalRequest = z.strictObject({
  connection_id: z.uuid().describe('Of the connection that waits, as `GET /approvals` names it.'),
  decision: z.enum(['approve', 'refuse']),
  reason: z
    .string()
    .min(1)
    .max(500)
    .regex(/^(?:[^\p{Cc}]|\n)+$/u, 'must be text without control characters')
    .describe('Its user reads why it was refused; why it was approved stands in the manifest.'),
});
export const decidedApproval = z.strictObject({
  session_id: sessionIdSchema,
  connection_id: z.uuid(),
  decision: z.enum(['approve', 'refuse']),
});
export const approvalList = z.strictObject({
  approvals: z.array(
    z.strictObject({
      session_id: sessionIdSchema,
      connection_id: z.uuid(),
      since: timestamp,
      client_address: z.string(),
      client_user: z.string().describe('Who the client says its user is.'),
    }),
  ),
});

export const messageSessionRequest = z.strictObject({
  text: z
    .string()
    .min(1)
    .max(500)
    .regex(/^(?:[^\p{Cc}]|\n)+$/u, 'must be text without control characters'),
  seconds: z.int().min(5).max(120).default(20).describe('How long it is shown.'),
});
export const messagedSession = z.strictObject({ ...commandAnswer, shown_until: timestamp });

/** A secret, good once and for a minute; never part of an address. */
export const steerToken = z.strictObject({
  session_id: sessionIdSchema,
  token: z.string(),
  path: z
    .string()
    .describe('Of the WebSocket, on this host; the token goes into its first message (docs/operations.md).'),
  expires_at: timestamp,
});

export const startSessionRequest = z
  .strictObject({
    target_credentials: targetCredentialsRequest
      .optional()
      .describe('Replaces what the session had. Left out: it keeps that, or is refused where it has been forgotten.'),
  })
  .nullable()
  .optional();

/** A secret: shown once, never part of an address. */
export const issuedCredential = z.strictObject({
  session_id: sessionIdSchema,
  username: z.string(),
  password: z.string().describe('24 characters in groups, lower case and digits. Not kept: it can not be shown again.'),
  issued_at: timestamp,
  expires_at: timestamp.describe(
    'Until its first use; after it the credential is good for the session’s reconnections.',
  ),
  address: z.string().describe('Where clients connect: host:port of the gateway.'),
  warnings: z.array(z.string()).describe('What about it can not be right, for a person.'),
});

export const browserToken = z.strictObject({
  token: z.string(),
  path: z.string().describe('Of the WebSocket, on this host; the token goes into its first message (RDCleanPath).'),
  expires_at: timestamp,
});
export type BrowserToken = z.infer<typeof browserToken>;
export type IssuedCredentialAnswer = z.infer<typeof issuedCredential>;

export const stopSessionRequest = z
  .strictObject({
    reason: z.string().max(500).optional(),
    notice_seconds: z
      .int()
      .min(1)
      .max(15)
      .optional()
      .describe('How long the user is shown the reason before; a session in which it can not be shown ends at once.'),
  })
  .nullable()
  .optional()
  .describe('The reason goes into the signed manifest.');

export const sessionStatisticsAnswer = z.strictObject({
  session_id: sessionIdSchema,
  time_range: z.strictObject({
    start: timestamp.nullable(),
    end: timestamp.nullable(),
    duration_seconds: z.number().min(0),
  }),
  recording_stats: z.strictObject({
    frame_count: count.nullable(),
    update_count: count.nullable(),
    dropped_frames: count,
    error_count: count,
    average_fps: z.number().min(0).nullable(),
  }),
  storage_stats: z.strictObject({
    chunks_count: count,
    size_bytes: count,
    recorded_bytes: count,
    compression_ratio: ratio,
  }),
  quality_stats: z.strictObject({
    quality_score: z.number().min(0).max(100).describe('Share of frames that were recorded, times 100.'),
    dropped_frame_ratio: ratio,
  }),
  performance_stats: z.strictObject({
    average_chunk_seconds: z.number().min(0).describe('From the closing of a chunk until it is stored, on average.'),
    bytes_per_second: z.number().min(0).describe('Recorded bytes by duration.'),
  }),
});

const ofWhole = 'Null for who sees some sessions alone: it is of all of them.';

export const systemStatisticsAnswer = z.strictObject({
  system_stats: z.strictObject({
    sessions_total: count,
    sessions_by_status: z.partialRecord(z.enum(sessionStatuses), count),
    sessions_live: count,
    sessions_max: count,
    uptime_seconds: z.number().min(0),
  }),
  performance_stats: z
    .strictObject({
      jobs_waiting: count,
      jobs_running: count,
      jobs_failed: count,
      chunks_stored_since_start: count,
      average_chunk_seconds: z.number().min(0),
    })
    .nullable()
    .describe(ofWhole),
  storage_stats: z
    .strictObject({
      chunks_count: count,
      size_bytes: count,
      recorded_bytes: count,
      compression_ratio: ratio,
      free_bytes: count,
      total_bytes: count,
    })
    .nullable()
    .describe(ofWhole),
});
