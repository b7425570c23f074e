import { compressionNames } from '@lucid-sessions/recording';
import { anyJson, array, boolean, hex, type Infer, integer, literal, nullable, object, string } from './schema.ts';

/** Fields every record begins with. */
const base = {
  v: literal(1),
  session_id: string(100, /^[A-Za-z0-9_-]{1,100}$/),
  /** `sessionIdBytes` in hex: what headers and leaves carry. */
  session_uuid: hex(16),
};
/** Room for what a recorder wants to have signed and no verifier has to understand. */
const extra = { extra: anyJson };

const keyText = string(120, /^(ed25519|p256):[A-Za-z0-9+/=]+$/);
const us = integer();
const SPANS_MAX = 10_000;
const REDACTIONS_MAX = 200;

/**
 * Not recorded but made of a file. Who signs it vouches that it was imported then, by that person, from bytes of that hash; for
 * nothing the file says, its times included.
 */
export const importedSchema = object({
  at_us: us,
  by: string(500),
  source_name: string(255),
  source_sha256: hex(32),
  capture_sha256: hex(32),
  captured_from_us: nullable(us),
  captured_to_us: nullable(us),
  client: nullable(string(500)),
  server: nullable(string(500)),
});
export type ImportedBody = Infer<typeof importedSchema>;

/** The program that signed: the published package by the SHA-256 of its list of files; null: a development tree. */
export const buildSchema = object({
  version: string(200),
  package_sha256: nullable(hex(32)),
  sbom_sha256: nullable(hex(32)),
  commit: nullable(string(64)),
});
export type RecorderBuild = Infer<typeof buildSchema>;

/** Signed and logged before chunk 0: who records what, under which policy, and the key of the first seal. */
export const openSchema = object(
  {
    ...base,
    kind: literal('open'),
    opened_us: us,
    recorder: object({ id: string(200), software: string(200), identity_key: keyText }, { build: buildSchema }),
    /** Ed25519, hex. */
    first_seal_key: hex(32),
    encryption: literal('AES-256-GCM', 'none'),
    dek_id: nullable(hex(16)),
    policy: object(
      {
        persistence: literal('strict', 'best_effort'),
        graphics: literal('passthrough', 'classic'),
        compression: literal(...compressionNames),
        chunk_bytes_max: integer(1),
        chunk_age_us_max: integer(1),
      },
      // Absent: everything is kept.
      { ...extra, input: literal('masked', 'none'), clipboard: literal('masked', 'none') },
    ),
    parties: object({ created_by: nullable(string(500)), target: string(500), target_user: nullable(string(500)) }),
    /** Latest signed checkpoint of the log: the session did not begin before it. */
    checkpoint: nullable(string(20_000)),
  },
  {
    ...extra,
    imported: importedSchema,
    /** Form of the log entries of this session's records; absent: 1. */
    log_entries: literal(2),
  },
);

const gapSchema = object({ from_us: us, to_us: nullable(us), reason: string(1000), frames_lost: integer() });

/** The gateway logged on to the target in its user's place, by network level authentication. */
const targetLogonSchema = object({
  at_us: us,
  user: string(1000),
  method: literal('ntlm', 'kerberos'),
  envelope: literal('raw', 'spnego'),
  credssp_version: integer(),
});

/** Who asked to work in the session in its user's place. */
export const steeringSchema = array(
  object({
    from_us: us,
    to_us: nullable(us),
    by: string(200),
    consent: literal('user', 'policy', 'none'),
    end: string(500),
  }),
  SPANS_MAX,
);

export const anyInteger = integer(-Number.MAX_SAFE_INTEGER);

/** Signed at the end: all that was recorded, and what was not. */
export const manifestSchema = object(
  {
    ...base,
    kind: literal('manifest'),
    /** SHA-256 of the `open` envelope's bytes. */
    open_sha256: hex(32),
    /** SHA-256 of each `resume` envelope's bytes, in order. */
    resumes_sha256: array(hex(32), 1000),
    chunks_count: integer(),
    /** Sum of the chunk files' lengths. */
    total_bytes: integer(),
    merkle_root: hex(32),
    opened_us: us,
    ended_us: us,
    clock: object({ offset_us: nullable(anyInteger), source: string(200) }),
    gaps: array(gapSchema, SPANS_MAX),
    pauses: array(object({ from_us: us, to_us: nullable(us) }), SPANS_MAX),
    downgrades: array(object({ at_us: us, what: string(1000) }), SPANS_MAX),
    clock_steps: array(object({ at_us: us, step_us: integer(-Number.MAX_SAFE_INTEGER) }), SPANS_MAX),
    connections: array(object({ at_us: us, client: string(500), target: string(500) }, { tls: string(200) }), 1000),
    target_certificates: array(
      object(
        { at_us: us, sha256: hex(32), check: literal('system_roots', 'pinned', 'ignored'), valid: boolean },
        { problem: string(1000), tls: string(200) },
      ),
      1000,
    ),
    persistence: literal('strict', 'best_effort'),
    end: object({ reason: string(100), message: string(2000) }),
    statistics: object({
      /** Null: rows were lost and no key at hand opened the chunks. */
      frames_count: nullable(integer()),
      relayed_bytes: integer(),
      frames_dropped: integer(),
      duration_us: us,
    }),
    keys: object({ identity_key: keyText, dek_id: nullable(hex(16)) }),
  },
  {
    ...extra,
    // The same as in `open`.
    imported: importedSchema,
    /** Clients that logged on to the gateway by network level authentication; absent where none did. */
    client_logons: array(
      object({ at_us: us, user: string(200), workstation: string(200), target_name: string(500), version: integer() }),
      1000,
    ),
    /** Second persons who let clients in, and why; absent where nobody had to. */
    approvals: array(object({ at_us: us, by: string(200), reason: string(500) }), 1000),
    /**
     * The recorder's clock compared with others: what has to be added to it, by how much that may be wrong, and who says so; null where
     * nobody could be asked. Absent where it was compared with nothing.
     */
    clock_checks: array(
      object({ at_us: us, offset_us: nullable(anyInteger), error_us: nullable(integer()), source: string(200) }),
      SPANS_MAX,
    ),
    /** Who asked to steer the session in its user's place, when, and on whose consent; absent where nobody did. `end` says how it ended; null and empty where that is not known. */
    steering: steeringSchema,
    /** What users acknowledged before they were connected: SHA-256 of the text's UTF-8, and who the client said they are. Absent where nothing was shown. */
    consents: array(object({ at_us: us, text_sha256: hex(32), user: string(200) }), 1000),
    /** Absent where the gateway logged on to no target. */
    target_logons: array(targetLogonSchema, 1000),
    /** What the policy of channels refused, when first and how often; 0: what was in force. Absent without one. */
    policy: array(object({ at_us: us, what: string(1000), count: integer() }), SPANS_MAX),
  },
);

/** Signed when another processor carries a session's chain on: the seal keys of the one before died with it. */
export const resumeSchema = object(
  {
    ...base,
    kind: literal('resume'),
    open_sha256: hex(32),
    /** Index of the first leaf under the new seal key. */
    index: integer(),
    /** Leaf hash the chain stands at; zero when there is no leaf yet. */
    previous_leaf_hash: hex(32),
    seal_key: hex(32),
    resumed_us: us,
    /** Lease epoch of the taker. */
    epoch: integer(),
    reason: string(1000),
  },
  extra,
);

/** Signed for every view, export, hold and deletion; a chain of its own per session. */
export const custodySchema = object(
  {
    ...base,
    kind: literal('custody'),
    at_us: us,
    action: literal('view', 'export', 'verify', 'hold', 'release', 'delete', 'key_rotate', 'key_shred'),
    actor: string(500),
    detail: string(2000),
    sequence: integer(),
    /** SHA-256 of the custody envelope before, null for the first. */
    previous_sha256: nullable(hex(32)),
  },
  extra,
);

/** Signed when keys or files are destroyed: from then on the recording can be proven, not read. */
export const eraseSchema = object(
  {
    ...base,
    kind: literal('erase'),
    at_us: us,
    actor: string(500),
    reason: string(2000),
    erased: literal('keys', 'chunks', 'keys_and_chunks'),
    dek_id: nullable(hex(16)),
    merkle_root: nullable(hex(32)),
  },
  extra,
);

/** What a walk through a recording came to, but for how much of it showed one colour. */
export const replayCounts = {
  /** Time of the last frame walked through. This and the times below are µs since the session's start. */
  until_us: us,
  /** Pictures drawn: frames where the server marks them, else updates. */
  pictures: integer(),
  /** Some pixel was not black at some time. */
  lit: boolean,
  not_drawn: array(
    object({
      kind: string(100, /^[A-Za-z0-9._-]+$/),
      count: integer(1),
      first_us: us,
      last_us: us,
      /** How many of them are known to be of a place on the screen. */
      located: integer(),
      /** How much of the screen those places cover, in thousandths. */
      share_permille: integer(0, 1000),
    }),
    200,
  ),
  /** Of all kinds together. */
  share_permille: integer(0, 1000),
  /** Why nothing behind a place was examined: no H.264 decoder, or a chunk that can't be read. */
  ended: nullable(object({ reason: literal('h264', 'chunk'), chunk: integer(), at_us: us })),
};

export const oneColourSchema = object({
  active_seconds: integer(),
  seconds: integer(),
  longest: nullable(object({ from_us: us, until_us: us, seconds: integer(1) })),
});

/** Signed when somebody walked through the recording: what can be seen of it. Made again by whoever holds the view key. */
export const replaySchema = object(
  {
    ...base,
    kind: literal('replay'),
    /** SHA-256 of the `manifest` envelope's bytes: what was walked through. */
    manifest_sha256: hex(32),
    examined_us: us,
    software: string(200),
    /** What is counted, and how it is named: records of other rules can't be compared. */
    rules: integer(1),
    /** Chunks walked through; all of them where `ended` is null. */
    chunks_count: integer(),
    ...replayCounts,
  },
  {
    ...extra,
    /** How much of it showed one colour while something went on; absent in records of rules 1. */
    one_colour: oneColourSchema,
  },
);

/** Signed over a bundle as it is exported: who made it, and that these are its files. Not logged. */
export const exportSchema = object(
  {
    ...base,
    kind: literal('export'),
    at_us: us,
    actor: string(500),
    /** SHA-256 of `bundle.json`, which lists the others. */
    bundle_sha256: hex(32),
  },
  extra,
);

/** Of the picture, for as long as it is shown: µs since the session's start, `to_us` exclusive. */
const redactionBox = object({
  x: integer(0, 65_535),
  y: integer(0, 65_535),
  width: integer(1, 65_535),
  height: integer(1, 65_535),
  from_us: us,
  to_us: us,
});

/** Signed over a copy of which something was taken out (docs/redaction.md): what, by whom, why. Goes with the copy, is not kept and not logged. */
export const redactionSchema = object(
  {
    ...base,
    kind: literal('redaction'),
    at_us: us,
    actor: string(500),
    reason: string(2000),
    /** SHA-256 of the `manifest` envelope's bytes: what it is a copy of. */
    manifest_sha256: hex(32),
    merkle_root: hex(32),
    boxes: array(redactionBox, REDACTIONS_MAX),
    /** Nothing is seen or heard from `from_us` up to `to_us`, and nothing told of it. */
    spans: array(object({ from_us: us, to_us: us }), REDACTIONS_MAX),
    /** Kinds of events that were taken out wherever they are. */
    event_kinds: array(string(50, /^[a-z0-9_]+$/), 100),
    events_removed: array(object({ kind: string(50, /^[a-z0-9_]+$/), count: integer(1) }), 100),
    /** Chunks, counted from 0, in which something was taken out; `last` is one of them. */
    chunks: array(object({ first: integer(), last: integer() }), 1000),
    renderer: object({
      software: string(200),
      /** Of drawing and hashing: pictures of other rules can't be compared. */
      rules: integer(1),
      h264_decoder: nullable(string(200)),
      width: integer(2, 65_536),
      height: integer(2, 65_536),
      frames_per_second: integer(1, 60),
      pointer: boolean,
      frames: integer(1),
    }),
    files: array(object({ name: string(100, /^[a-z0-9.-]+$/), bytes: integer(), sha256: hex(32) }), 10),
  },
  extra,
);

export type OpenBody = Infer<typeof openSchema>;
export type ManifestBody = Infer<typeof manifestSchema>;
export type ResumeBody = Infer<typeof resumeSchema>;
export type CustodyBody = Infer<typeof custodySchema>;
export type EraseBody = Infer<typeof eraseSchema>;
export type ReplayBody = Infer<typeof replaySchema>;
export type ExportBody = Infer<typeof exportSchema>;
export type RedactionBody = Infer<typeof redactionSchema>;
export type RecordBody =
  | OpenBody
  | ManifestBody
  | ResumeBody
  | CustodyBody
  | EraseBody
  | ReplayBody
  | ExportBody
  | RedactionBody;
export type RecordKind = RecordBody['kind'];
export type BodyOf<K extends RecordKind> = Extract<RecordBody, { kind: K }>;

export const recordSchemas = {
  open: openSchema,
  manifest: manifestSchema,
  resume: resumeSchema,
  custody: custodySchema,
  erase: eraseSchema,
  replay: replaySchema,
  export: exportSchema,
  redaction: redactionSchema,
} as const;
