/**
 * The typed ports the five services meet through. Each is offered twice, as a direct object (one process) and over HTTP
 * (five processes, `rpc.ts`); the same tests drive both. Every call is idempotent by (sessionId, index) or by its own id,
 * so a caller that lost an answer asks again.
 *
 * Units last: `…Us` microseconds, `…Ms` milliseconds, `…Bytes` bytes. Wall-clock instants are µs since 1970 as numbers
 * (< 2^53 until the year 2255). Hashes are lower-case hex strings in values and raw bytes in files.
 */
import type { CompressionName } from '@lucid-sessions/recording';
import type { AlertCondition, AlertHit, AlertProgress } from './alerts.ts';
import type { Entry, EntryKind } from './entries.ts';
import type { IssuedCredential, LogonAccount, LogonTry } from './gateway-credential.ts';
import type {
  LegalHold,
  RecordingConfig,
  ReplayState,
  SessionDocument,
  SessionOutcome,
  SessionStatus,
} from './models.ts';
import type { ChannelRules, JoinPolicy, Unreplayable } from './recording-limits.ts';
import type { Within } from './scope.ts';
import type { SessionSort } from './session-list.ts';
import type { NewTargetCredentials, TargetCredentials } from './target-credentials.ts';
import type { SealedShare, ViewingRequest } from './viewing.ts';

export type HexHash = string;

/** How a connection named its session. */
export type Route =
  /** `Cookie: msts=` load-balance token of a downloaded .rdp file (secret, single session). */
  | { kind: 'token'; token: string }
  /** `Cookie: mstshash=NAME`: a session created with that user name or id as its route. */
  | { kind: 'cookie'; name: string }
  /** It logged on with the session's gateway credential. `token`: it presented one too, which must lead to the same session. */
  | { kind: 'credential'; user: string; token?: string }
  /** The token a browser was given for it: good once, and for a minute. */
  | { kind: 'browser'; token: string }
  /** A listener bound to one target: the session is created by the connection itself. */
  | {
      kind: 'listener';
      target: string;
      ignoreCert?: boolean;
      pinnedSha256?: HexHash;
      legacyTls?: boolean;
      leaveIn?: readonly Unreplayable[];
      bulkCompression?: boolean;
      channels?: ChannelRules;
      retentionDays?: number | null;
    };

/**
 * A client's connection that asks for a session. Nothing durable comes of it before `admit`: the pipeline remembers it for
 * this connection in memory, for a bounded time.
 */
export interface ConnectionRequest {
  /** Made by the recorder (a UUID): names the connection in every later call, so that each may be sent again. */
  connectionId: string;
  route: Route;
  clientAddress: string;
  /** The name in the client's `mstshash` cookie, where it sent one. */
  clientName: string | null;
  recorderId: string;
}

/** What the recorder needs to know to relay and record one session. No secret is in it. */
export interface SessionTicket {
  /** Of a listener's session: the id it will have if it is admitted. */
  sessionId: string;
  /** Which of the session's recordings begins with it, from 1 on: told as it is admitted, once more to a connection that asks again. */
  recordingNumber?: number;
  /** The session is under way and this connection would continue it; its recorder decides whether it may. */
  reconnects: boolean;
  /** How long the session waits for its client after a lost connection; 0: it ends. */
  reconnectSeconds: number;
  target: {
    host: string;
    port: number;
    useTls: boolean;
    ignoreCert: boolean;
    pinnedSha256?: HexHash;
    /** Old TLS is taken too: 1.0, CBC, no forward secrecy. */
    legacyTls?: boolean;
    /** What of what can't be replayed stays in the negotiation; nothing when absent. */
    leaveIn?: readonly Unreplayable[];
    /** False: the target may not use RDP bulk compression. */
    bulkCompression?: boolean;
    /** Logs on without handing the password over, or not at all. */
    restrictedAdmin?: boolean;
    /** Said before RDP begins, [MS-RDPEPS]. */
    preconnection?: { id: number; blob: string | null };
    /** What may cross beside screen and input; everything when absent. */
    channels?: ChannelRules;
  };
  /** Who logs on to the target. `injected`: ask `targetCredentials`; `client`: what the client sends; `none`: nobody has said. */
  credentials: 'none' | 'injected' | 'client';
  /** Its user has to acknowledge this first; absent: nothing. */
  consentText?: string;
  /** A second person has to let it in first. */
  approval?: boolean;
  /** Whether somebody else may steer it; absent: never. */
  join?: JoinPolicy;
  recording: RecordingConfig;
  graphics: 'passthrough' | 'classic';
  /** 'strict' ends the RDP session when recording can't be persisted; 'best_effort' records a gap. */
  persistence: 'strict' | 'best_effort';
}

export const refusalCodes = [
  'unknown_session',
  /** Over, deleted, or not started. */
  'not_startable',
  /** It has a connection, or another was faster. */
  'in_use',
  /** The .rdp file is too old. */
  'expired',
  /** `admit` without a `find` before it, or too long after it. */
  'not_reserved',
  'at_capacity',
  'unavailable',
] as const;
export type RefusalCode = (typeof refusalCodes)[number];

export interface Refusal {
  code: RefusalCode;
  /** For a person. */
  message: string;
}

export type Finding =
  | { found: true; ticket: SessionTicket }
  /** `heldBy`: the session is under way at that recorder, which alone can say whether this connection continues it. */
  | ({ found: false; heldBy?: RecorderPresence } & Refusal);
export type Admission = { admitted: true; ticket: SessionTicket } | ({ admitted: false } & Refusal);

/** How a connection that became no session ended. */
export const attemptOutcomes = [
  /** The gateway said no. */
  'refused',
  /** The target could not be had. */
  'target_failed',
  /** The client left, was too slow or broke off TLS: often to ask its user about the certificate. */
  'client_left',
] as const;
export type AttemptOutcome = (typeof attemptOutcomes)[number];

/** Why a target would not let the gateway log on (network level authentication). */
export const targetLogonReasons = [
  /** It demands a logon, and the session has no credentials for it. */
  'target_credentials_missing',
  /** Wrong user name or password, or refused without a reason. */
  'target_logon_failed',
  /** Or must be changed before the first logon. */
  'target_password_expired',
  'target_account_locked',
  'target_account_disabled',
  'target_account_expired',
  /** The account may not log on this way. */
  'target_logon_denied',
  'target_ntlm_refused',
  /** There is no ticket for it, or it would not have it. */
  'target_kerberos_failed',
  /** No version in common, or the target broke the rules. */
  'target_credssp_failed',
] as const;

export const attemptReasons = [
  ...refusalCodes,
  'no_route',
  'tls_required',
  'rate_limited',
  /** Network level authentication is demanded here, and the client does not offer it. */
  'nla_required',
  'logon_failed',
  'logon_expired',
  'logon_burnt',
  'target_denied',
  /** Its user did not acknowledge what was to be acknowledged, or left the form for the target's credentials. */
  'consent_refused',
  'logon_cancelled',
  /** A second person said no, or nothing. */
  'approval_refused',
  'credentials_missing',
  ...targetLogonReasons,
  // Ways in which a session ends, too.
  'client_disconnected',
  'client_tls_failed',
  'handshake_timeout',
  'target_unreachable',
  'target_tls_failed',
  'server_disconnected',
  'recording_not_persisted',
  'protocol_violation',
  'recorder_shutdown',
] as const;
export type AttemptReason = (typeof attemptReasons)[number];

export interface ConnectionAttempt {
  /** Of the connection; of several that are told together, an id of its own. */
  connectionId: string;
  /** Null where it is not known which session was meant. */
  sessionId: string | null;
  atUs: number;
  clientAddress: string;
  clientName: string | null;
  outcome: AttemptOutcome;
  reason: AttemptReason;
  /** For the session's owner and the audit log; what the client is told says less. */
  message: string;
  /** How many connections this report stands for: a flood is reported once. 0: nothing to report, only the reservation of `find` is released. */
  count: number;
}

/** Why a recording ended. Closed; `message` beside it is for a person. */
export const endReasons = [
  'client_disconnected',
  'server_disconnected',
  'stopped',
  'idle_timeout',
  'handshake_timeout',
  'target_unreachable',
  'target_tls_failed',
  'client_tls_failed',
  'protocol_violation',
  'recording_not_persisted',
  'recorder_shutdown',
  'recorder_crashed',
  /** A capture was imported as far as it can be read. */
  'imported',
  'import_failed',
] as const;
export type EndReason = (typeof endReasons)[number];

/** Who agreed that somebody else steers a session: its user, on the screen; the policy, without asking; nobody. */
export const steeringConsents = ['user', 'policy', 'none'] as const;
export type SteeringConsent = (typeof steeringConsents)[number];

/** A fact about the recording that belongs into its manifest. Times are µs since 1970. */
export type RecordingFact =
  | {
      kind: 'connected';
      atUs: number;
      clientAddress: string;
      targetAddress: string;
      /** Version and suite of the client's TLS. */
      tls?: string;
    }
  | {
      kind: 'target_certificate';
      atUs: number;
      sha256: HexHash;
      check: 'system_roots' | 'pinned' | 'ignored';
      valid: boolean;
      problem?: string;
      /** Version and suite of the target's TLS. */
      tls?: string;
    }
  /** The client logged on to the gateway by network level authentication (NTLM), which is between those two: nothing of it is a frame. */
  | {
      kind: 'client_logon';
      atUs: number;
      user: string;
      /** What the client calls its machine, and whom it believes to log on to (TERMSRV/name); empty where it does not say. */
      workstation: string;
      targetName: string;
      /** Of CredSSP, the client's. */
      version: number;
    }
  /** The client's user acknowledged what the gateway showed before the session. */
  /** A second person let the client in. */
  | { kind: 'approval'; atUs: number; by: string; reason: string }
  | { kind: 'consent'; atUs: number; textSha256: HexHash; user: string }
  | {
      /** The gateway logged on to the target in its user's place, by network level authentication. */
      kind: 'target_logon';
      atUs: number;
      /** `DOMAIN\\user`, or the user alone. */
      user: string;
      method: 'ntlm' | 'kerberos';
      envelope: 'raw' | 'spnego';
      credsspVersion: number;
    }
  | {
      /** Somebody asked to steer the session in its user's place, or did. Told when it begins, without an end, and when it is over. */
      kind: 'steering';
      fromUs: number;
      toUs: number | null;
      by: string;
      /** Whose consent it was on; `none`: it did not come to it. */
      consent: SteeringConsent;
      /** Empty as long as it goes on. */
      end: string;
    }
  | { kind: 'downgrade'; atUs: number; what: string }
  /** What the policy of channels refused, so often more; 0: what is in force. */
  | { kind: 'policy'; atUs: number; what: string; count: number }
  | { kind: 'pause'; fromUs: number; toUs: number | null }
  | { kind: 'gap'; fromUs: number; toUs: number | null; reason: string; framesLost: number }
  | { kind: 'clock_step'; atUs: number; stepUs: number }
  /** The recorder's clock compared with others: what has to be added to it, and by how much that may be wrong. Null: it could not be. */
  | { kind: 'clock_check'; atUs: number; offsetUs: number | null; errorUs: number | null; source: string };

export interface RecordingStatistics {
  framesCount: number;
  /** Relayed bytes, both directions. */
  relayedBytes: number;
  framesDropped: number;
  errorsCount: number;
  durationUs: number;
  /** Server → client graphics updates (for average_fps). */
  updatesCount: number;
}

/** Of a recording that has not begun, or of which nothing was told. */
export const noRecordingStatistics: RecordingStatistics = {
  framesCount: 0,
  relayedBytes: 0,
  framesDropped: 0,
  errorsCount: 0,
  durationUs: 0,
  updatesCount: 0,
};

/** As they are told when a recording is over: null where its chunks are all that is left, and nobody could count what is in them. */
export type FinalStatistics = Omit<RecordingStatistics, 'framesCount' | 'updatesCount'> & {
  framesCount: number | null;
  updatesCount: number | null;
};

/**
 * `recordingNumber`: which of the session's recordings it is of, as its ticket said; not told of imports, nor of what was begun before there was
 * a number. All but facts count for that one alone.
 */
export type RecorderReport = { recordingNumber?: number } & RecorderWord;

type RecorderWord =
  | {
      kind: 'started';
      sessionId: string;
      atUs: number;
      recorderId: string;
      connectionId: string;
      clientAddress: string;
      targetAddress: string;
    }
  /** The connection was lost, the session waits for its client. */
  | { kind: 'lost'; sessionId: string; atUs: number; untilUs: number; message: string }
  | {
      kind: 'reconnected';
      sessionId: string;
      atUs: number;
      connectionId: string;
      clientAddress: string;
      targetAddress: string;
    }
  /** What the client said of itself once it could. */
  | { kind: 'client'; sessionId: string; atUs: number; clientName: string | null; clientUser: string | null }
  | { kind: 'progress'; sessionId: string; statistics: RecordingStatistics }
  | { kind: 'paused' | 'resumed'; sessionId: string; atUs: number }
  | { kind: 'fact'; sessionId: string; fact: RecordingFact }
  /** The RDP session is over. Chunks may still be on their way. */
  | {
      kind: 'ended';
      sessionId: string;
      atUs: number;
      reason: EndReason;
      message: string;
      failed: boolean;
      /** The recorder died and another process took the recording up: figures are what could be found out. */
      recovered?: boolean;
      statistics: RecordingStatistics;
    }
  /** The session is over, and a chunk of it is refused every time: it waits in the spool. */
  | { kind: 'not_stored'; sessionId: string; message: string }
  /** Every chunk of the session has a storage receipt: the manifest can be made. */
  | { kind: 'drained'; sessionId: string; chunksCount: number };

export interface LiveFrames {
  /** `ended`: there are no more. `stored`: they are in storage, and here only from `firstFrame` on. */
  state: 'recording' | 'ended' | 'stored';
  /** The chunk the frames are of, stored or to be; an answer never holds frames of two. */
  chunkIndex: number;
  /** Number of the first frame in the session, 0-based. */
  firstFrame: number;
  framesCount: number;
  /** Encoded frames back to back (packages/recording), about 1 MiB at most. */
  frames: Uint8Array;
}

export interface ImportRequest {
  sessionId: string;
  name: string;
  description: string | null;
  by: string;
  sourceName: string;
  sourceSha256: HexHash;
  metadata: SessionDocument['metadata'];
  retentionDays: number | null;
  capture: Uint8Array;
}

/** Bytes of a capture that is imported: as it is sent (gzip), and unpacked. */
export const importBytesMax = 64 * 1024 * 1024;

/** 8084 */
/** A connection that waits for a second person's word. */
export interface WaitingApproval {
  connectionId: string;
  sessionId: string;
  sinceUs: number;
  clientAddress: string;
  /** Who the client says its user is. */
  user: string;
}

export type ApprovalAnswer = { state: 'waiting' } | { state: 'approved' | 'refused'; by: string; reason: string };

/** A message to who works in a session. */
export interface SessionMessage {
  sessionId: string;
  from: string;
  text: string;
  seconds: number;
}

/** Who wants to steer which session. */
export interface SteerRequest {
  sessionId: string;
  by: string;
}

/** What a host that was dialled showed. */
export interface TargetCheck {
  /** Why it could not be had, or how it answered; for a person. */
  message: string;
  /** TCP address that was reached; null: none. */
  address: string | null;
  /** Null: it did not come to TLS. */
  certificate: {
    sha256: HexHash;
    subject: string;
    issuer: string;
    fromUs: number;
    toUs: number;
    tls: string;
    trusted: boolean;
    problem: string | null;
  } | null;
}

export interface RecorderPort {
  /** Ends the RDP session with a proper RDP error; resolves when the recorder no longer has the session (chunks may still be on their way to storage). */
  stop(request: { sessionId: string; reason: EndReason; message: string }): Promise<{ stopped: boolean }>;
  pause(request: { sessionId: string }): Promise<{ pausedAtUs: number }>;
  resume(request: { sessionId: string }): Promise<{ resumedAtUs: number }>;
  /** Shows its user a message; throws `notInThisState`, saying why, where it can't be shown. */
  message(request: SessionMessage): Promise<{ untilUs: number }>;
  /** A token that lets one connection ask for this session, once; throws `notInThisState`, saying why, where nobody can steer it. */
  steer(request: SteerRequest): Promise<{ token: string; expiresUs: number }>;
  live(): Promise<{
    sessions: { sessionId: string; startedAtUs: number; paused: boolean; statistics: RecordingStatistics }[];
    /** Sessions, live or over, that have something in the spool which is not stored yet. Missing: not known. */
    spooled?: string[];
  }>;
  /**
   * Frames of a session that is being recorded, from number `afterFrame` on, as they were recorded; waits up to `waitMs` for
   * the first of them. A reader asks again with `firstFrame + framesCount`. Throws `unavailable` when the session is not here.
   */
  liveFrames(request: { sessionId: string; afterFrame: number; waitMs: number }): Promise<LiveFrames>;
  /** Whether the target policy leaves this target open as far as name or address alone decide; nothing is resolved for it. */
  judgeTarget(request: { host: string; port: number }): Promise<{ open: boolean }>;
  /**
   * Dials a host under the target policy as for a session, up to its TLS, and says what certificate it shows. Throws `atCapacity` where too many
   * are being dialled.
   */
  checkTarget(request: { host: string; port: number; legacyTls: boolean }): Promise<TargetCheck>;
  /**
   * Makes a recording of a decrypted connection (.rdpcap, gzip), one at a time. What is wrong with the file as a whole is said
   * before anything is durable; answers when the session is open, and goes on reading behind the answer.
   */
  importCapture(request: ImportRequest): Promise<{ session: SessionDocument }>;
  /**
   * From now on, and until its process ends, the recorder takes no new session and no import; those it has go on, their lost clients
   * come back. Answers how many it has, and of how many something is not stored yet. Asked again it changes nothing.
   */
  drain(): Promise<{ sessions: number; spooled: number }>;
  /**
   * What is kept here of another recorder's spool; `takenOver`: its sessions that are recovered from it, or were. `begins`: it has set
   * those aside and begins anew; throws `unavailable` while they are not all stored.
   */
  replicaState(request: {
    recorderId: string;
    begins: boolean;
  }): Promise<{ segments: (SpoolSegment & { bytes: number })[]; takenOver: string[]; keptBy?: string }>;
  /**
   * Brings it up to date: durable when this answers. Throws `conflict` when a write would leave a hole, and `notInThisState` once the
   * spool was taken over.
   */
  replicate(request: { recorderId: string; writes: SpoolWrite[]; removals: SpoolSegment[] }): Promise<void>;
  health(): Promise<ServiceHealth>;
}

/** A file of a recorder's spool. */
export interface SpoolSegment {
  sessionId: string;
  index: number;
}

/** The file is what it was up to `at`, and then `bytes`. */
export interface SpoolWrite extends SpoolSegment {
  at: number;
  bytes: Uint8Array;
}

/** One closed chunk on its way from the spool into the chunk line. */
export interface ChunkToSeal {
  sessionId: string;
  /** 0-based position in the session; the API's `sequence_number` is index + 1. */
  index: number;
  final: boolean;
  recovered: boolean;
  gapBefore: boolean;
  openedUs: number;
  closedUs: number;
  /** Monotonic clock at opening, ns since the recorder started. */
  monotonicNs: number;
  framesCount: number;
  updatesCount: number;
  /** Encoded frames (packages/recording payload), not compressed. May view a SharedArrayBuffer. */
  payload: Uint8Array;
}

export interface ChunkReceipt {
  chunkId: string;
  index: number;
  leafHash: HexHash;
  fileSha256: HexHash;
  fileBytes: number;
  payloadBytes: number;
  compression: CompressionName;
  storedAtUs: number;
  /** Whether its leaf is the final one; a chunk that is asked for again may have been stored as another kind. */
  final?: boolean;
}

/** 8085 */
export interface ProcessorPort {
  /** Makes the session's keys and its signed `open` record; storage has them, durably, when it answers. Idempotent. */
  open(request: {
    session: SessionDocument;
    openedUs: number;
    /** Latest log checkpoint, for the `open` record; null when the log is empty. */
    checkpoint: string | null;
    persistence: 'strict' | 'best_effort';
    graphics: 'passthrough' | 'classic';
  }): Promise<{ openRecord: Uint8Array }>;
  /** Compress → encrypt → hash → seal → store. Resolves when durable in storage. Chunks of a session come in order. */
  seal(chunk: ChunkToSeal): Promise<ChunkReceipt>;
  /** Signs the manifest over everything stored. Idempotent. */
  finish(request: {
    session: SessionDocument;
    reason: EndReason;
    message: string;
    endedUs: number;
    facts: RecordingFact[];
    statistics: FinalStatistics;
  }): Promise<{ manifestRecord: Uint8Array; merkleRoot: HexHash; chunksCount: number; totalBytes: number }>;
  /** Signs another record kind (`custody`, `erase`, `replay`) with the identity key. `body` is JSON-able; JCS is applied. */
  signRecord(request: {
    sessionId: string;
    kind: (typeof signedKinds)[number];
    body: Record<string, unknown>;
  }): Promise<{ record: Uint8Array }>;
  /** The session's index is to be made up to its last stored chunk, and held against the rules. Never waits for it. */
  follow(request: { sessionId: string }): Promise<void>;
  health(): Promise<ServiceHealth>;
}

export interface ChunkMetadata extends ChunkReceipt {
  sessionId: string;
  openedUs: number;
  closedUs: number;
  /** Null: its row was made again from its leaf, and nobody has opened it since. */
  framesCount: number | null;
  /** Null where nobody told, though frames may have been counted. */
  updatesCount: number | null;
  flags: number;
  storagePath: string;
  keyId: string;
}

export interface SessionQuery {
  status?: SessionStatus;
  project?: string;
  environment?: string;
  /** Free text over name, id, host, owner and tags. */
  search?: string;
  /** Those with a legal hold alone, also deleted ones. */
  held?: true;
  /** Whole words but for the case of letters (`sessionWordsOf`). */
  user?: string;
  client?: string;
  target?: string;
  tag?: string;
  /** Begun (made, where it never began) not before and not after; RFC 3339 in UTC, with milliseconds. */
  from?: string;
  to?: string;
  /** Seconds. */
  durationMin?: number;
  durationMax?: number;
  /** Bytes stored. */
  sizeMin?: number;
  sizeMax?: number;
  outcome?: SessionOutcome;
  replay?: ReplayState;
  /** Those within it alone. */
  within?: Within;
  /** `sessionOrderOf` says which way. */
  sort?: SessionSort;
  descending?: boolean;
  limit: number;
  offset: number;
}

export interface AuditEvent {
  eventId: string;
  timestampUs: number;
  eventType: string;
  userId: string | null;
  resourceId: string | null;
  ipAddress: string | null;
  userAgent: string | null;
  success: boolean;
  errorMessage: string | null;
  details: Record<string, unknown>;
  /** Its place in the chain, once it is stored; absent in entries from before there was one. */
  sequence?: number;
}

/** A row of the audit chain as it is stored, and by which values the store finds it. */
export interface AuditRow {
  sequence: number;
  /** Canonical JSON (docs/format.md 14). */
  text: string;
  eventId: string;
  timestampUs: number;
  eventType: string;
  userId: string | null;
  resourceId: string | null;
}

/** The last row of the audit chain. */
export interface AuditHead {
  sequence: number;
  /** SHA-256 of its text. */
  rowSha256: HexHash;
  /** SHA-256 of the first row: what the log calls the chain. */
  chain: HexHash;
}

const keptKinds = ['custody', 'erase', 'resume', 'replay'] as const;
/** Records the processor signs when it is asked to; `open` and `manifest` it makes itself. `export` and `redaction` go with what they are about and are not kept. */
export const signedKinds = [...keptKinds, 'export', 'redaction'] as const;
export const recordKinds = ['open', 'manifest', ...keptKinds] as const;
export type RecordKind = (typeof recordKinds)[number];

/** 8086. The only service that touches chunk files and metadata. */
export interface StoragePort {
  createSession(request: { session: SessionDocument; routeTokenSha256: HexHash | null }): Promise<{ created: boolean }>;
  getSession(request: { sessionId: string }): Promise<{ session: SessionDocument | null }>;
  findSession(request: {
    route: { tokenSha256: HexHash } | { cookie: string };
  }): Promise<{ session: SessionDocument | null }>;
  /** Replaces the session's secret route; the token itself is never stored. `null` takes the route away. */
  setRouteToken(request: { sessionId: string; tokenSha256: HexHash | null }): Promise<{ stored: boolean }>;
  listSessions(request: SessionQuery): Promise<{ sessions: SessionDocument[]; total: number }>;
  countSessions(): Promise<{ byStatus: Partial<Record<SessionStatus, number>> }>;
  /** Compare-and-swap on `version`; answers the stored document when another writer was faster. */
  replaceSession(request: {
    session: SessionDocument;
    expectedVersion: number;
  }): Promise<{ replaced: boolean; current: SessionDocument | null }>;
  /**
   * Removes chunk files, sidecars, wraps and chunk rows; the session's row and its signed records stay. Throws `notInThisState` where a
   * legal hold is on it.
   */
  purgeSession(request: { sessionId: string }): Promise<{ bytesFreed: number }>;

  /** Who may append to the session's chain. A lease that expired can be taken; `epoch` grows with each taking. */
  acquireLease(request: {
    sessionId: string;
    owner: string;
    ttlMs: number;
  }): Promise<{ acquired: boolean; epoch: number; owner: string }>;
  releaseLease(request: { sessionId: string; owner: string }): Promise<void>;

  /**
   * Write-once put of a sealed chunk file, then its leaf and seal: durable when it resolves. Compare-and-swap: `leaf`
   * must extend the stored chain (index = count, previous leaf hash equal) and `epoch` must be the lease's; otherwise
   * `appended: false` with the chain's present head. The same chunk again is `appended: true`.
   */
  putChunk(request: {
    metadata: Omit<ChunkMetadata, 'storedAtUs' | 'storagePath'>;
    epoch: number;
    /** 160-byte leaf and 64-byte seal. */
    leaf: Uint8Array;
    seal: Uint8Array;
    file: Uint8Array;
  }): Promise<{
    appended: boolean;
    storedAtUs: number;
    storagePath: string;
    head: { count: number; leafHash: HexHash | null };
  }>;
  /** How far chains are, of those sessions; those without a chunk have 0 leaves. */
  chainHeads(request: {
    sessionIds: string[];
  }): Promise<{ heads: { sessionId: string; count: number; leafHash: HexHash | null }[] }>;
  listChunks(request: {
    sessionId: string;
    limit: number;
    offset: number;
    fromUs?: number;
    toUs?: number;
  }): Promise<{ chunks: ChunkMetadata[]; total: number }>;
  getChunk(request: { sessionId: string; index: number }): Promise<{ chunk: ChunkMetadata | null }>;
  /** Sums over the session's stored chunks; null where that of one chunk is not known. */
  sessionTotals(request: { sessionId: string }): Promise<{
    chunksCount: number;
    storedBytes: number;
    payloadBytes: number;
    framesCount: number | null;
    updatesCount: number | null;
    /** Sum over chunks of closed → durable: the time spent in the chunk line. */
    lineUs: number;
  }>;
  /** The sealed file, or null when it is missing. */
  readChunk(request: { sessionId: string; index: number }): Promise<{ file: Uint8Array | null }>;
  /** Leaves and seals one behind the other, in order. */
  readLeaves(request: { sessionId: string }): Promise<{ leaves: Uint8Array }>;

  /**
   * Durable when it resolves; the same bytes again answer the first sequence. `place` is given where records of a kind name the one
   * before: how many of that kind there are, and `conflict` when another writer was first.
   */
  putRecord(request: {
    sessionId: string;
    kind: RecordKind;
    record: Uint8Array;
    place?: number;
  }): Promise<{ sequence: number }>;
  getRecords(request: {
    sessionId: string;
    kind?: RecordKind;
  }): Promise<{ records: { kind: RecordKind; sequence: number; record: Uint8Array }[] }>;
  /** Wrapped DEKs: the mutable sidecar. An empty list destroys them (crypto-shredding), unless a legal hold is on the session. */
  putWraps(request: { sessionId: string; wraps: KeyWrap[] }): Promise<void>;
  /** Locks what is stored against deletion where the store can (S3 Object Lock), or lets it go. Answers of how many files; null: it can't. */
  holdFiles(request: { sessionId: string; held: boolean }): Promise<{ files: number | null }>;
  getWraps(request: { sessionId: string }): Promise<{ wraps: KeyWrap[] }>;
  /** Small per-session files beside the chunks that may be made again (index, keyframes, thumbnails), encrypted. */
  putSidecar(request: { sessionId: string; name: string; bytes: Uint8Array }): Promise<void>;
  getSidecar(request: { sessionId: string; name: string }): Promise<{ bytes: Uint8Array | null }>;

  appendAudit(event: AuditEvent): Promise<void>;
  listAudit(request: {
    eventType?: string;
    userId?: string;
    resourceId?: string;
    fromUs?: number;
    toUs?: number;
    limit: number;
    offset: number;
  }): Promise<{ events: AuditEvent[]; total: number }>;
  auditHead(): Promise<{ head: AuditHead | null }>;
  /** Rows of the chain from `from` on, at most `limit`; and how many entries are in none. */
  auditRows(request: { from: number; limit: number }): Promise<{ rows: AuditRow[]; unchained: number }>;

  /** Null also for one that has ended. */
  getEntry(request: { kind: EntryKind; id: string }): Promise<{ entry: Entry | null }>;
  /** Stores it when the version there is one less; with version 1 when there is none, or it has ended. Durable when it resolves. */
  putEntry(entry: Entry): Promise<{ stored: boolean }>;
  /** Those that have not ended, by id, after `after` ('': from the first); `limit` 1 to 1000. */
  listEntries(request: {
    kind: EntryKind;
    owner?: string;
    after: string;
    limit: number;
  }): Promise<{ entries: Entry[] }>;
  /** With `version` only that one. False: it was not there (any more). */
  removeEntry(request: { kind: EntryKind; id: string; version?: number }): Promise<{ removed: boolean }>;

  statistics(): Promise<{
    chunksCount: number;
    storedBytes: number;
    payloadBytes: number;
    /** Of the disk that is worst off; both 0 where storage writes to none. */
    freeBytes: number;
    totalBytes: number;
    /** Chunks this process stored since it started: seconds from closing to durable, cumulative per bound. */
    lineSeconds?: { bounds: number[]; counts: number[]; sum: number; count: number };
    /** Where there is a second store: chunks that wait for being copied, and those copied since the start. */
    copies?: { waitingChunks: number; copiedChunks: number };
  }>;
  health(): Promise<ServiceHealth>;
}

export interface KeyWrap {
  /** 'age' | 'local' | 'vault' | … */
  scheme: string;
  /** Public name of the recipient (age1…, key fingerprint). */
  recipient: string;
  keyId: string;
  wrapped: Uint8Array;
}

export interface StageStatus {
  stageName: string;
  status: 'inactive' | 'active' | 'paused' | 'error' | 'completed';
  itemsProcessed: number;
  errorsCount: number;
  processingTimeMs: number;
  throughputPerSecond: number;
  retryCount: number;
  maxRetries: number;
  lastError: string | null;
}

export interface PipelineStatus {
  sessionId: string;
  state: string;
  pipelineStatus: 'inactive' | 'active' | 'paused' | 'error' | 'stopped';
  stages: StageStatus[];
}

/** What a recorder says of itself. */
export interface RecorderPresence {
  recorderId: string;
  /** Base URL of its internal door, for the other services. */
  url: string;
  sessions: number;
  sessionsMax: number;
  /** It takes no new sessions. */
  draining: boolean;
  /** The recorder that has a whole copy of its spool; not said: none, or nobody knows. */
  copiedTo?: string;
}

/** 8083. Owns every session's life and its place in the log. */
export interface PipelinePort {
  /** Said every 3 s; who has not said it for 10 s is gone. */
  recorderHere(recorder: RecorderPresence): Promise<void>;
  recorders(): Promise<{ recorders: RecorderPresence[] }>;
  /** The recorder that holds the session; null: none, or it is gone, or has never said who it is. */
  recorderOf(request: { sessionId: string }): Promise<{ recorder: RecorderPresence | null }>;
  /**
   * Whether the recorder `by` may recover what the recorder `recorderId` left, of whose spool it has a copy: only when that one has not
   * said for `quietSeconds` that it is here, and only one of those who ask: the one that has its copy, where it said which that is.
   */
  takeOverSpool(request: { recorderId: string; by: string; quietSeconds: number }): Promise<{ granted: boolean }>;
  /** `targetCredentials` are sealed before the session is stored, which says then that it has some. */
  create(request: {
    session: SessionDocument;
    routeTokenSha256: HexHash | null;
    targetCredentials?: NewTargetCredentials;
    /** Its credentials are those that are kept under this name. Throws `notInThisState` where there are none. */
    secretId?: string;
  }): Promise<{ created: boolean }>;
  /**
   * Seals credentials for every session with a target of this host, under a name of its maker's choice, which nobody has used. Throws
   * `invalidRequest` where the installation does not allow them.
   */
  keepTargetSecret(request: { secretId: string; host: string; targetCredentials: NewTargetCredentials }): Promise<void>;
  dropTargetSecret(request: { secretId: string }): Promise<void>;
  /** The session a connection asks for, if it may have it now. Leaves nothing durable. */
  find(request: ConnectionRequest): Promise<Finding>;
  /**
   * The credentials for the target of a session whose ticket says `injected`: of a connection that `find` reserved and that is no
   * session yet. Null: there are none (any more). Throws `unavailable` where who keeps them can't be asked.
   */
  /** Whether a second person has let a connection in that `find` reserved; asking makes it known that it waits, for half a minute. */
  approval(request: { connectionId: string; user: string }): Promise<ApprovalAnswer>;
  approvals(): Promise<{ waiting: WaitingApproval[] }>;
  /** Throws `forbidden` for who created the session, `notInThisState` where the connection does not wait. */
  decideApproval(request: {
    sessionId: string;
    connectionId: string;
    approve: boolean;
    by: string;
    reason: string;
  }): Promise<{ decided: boolean }>;
  /** Throws `rateLimited` where somebody has too many open, or all together have. */
  askViewing(request: {
    viewing: Omit<
      ViewingRequest,
      'askedUs' | 'decision' | 'shares' | 'grantedUs' | 'usedUs' | 'operations' | 'untilUs'
    >;
  }): Promise<{ viewing: ViewingRequest }>;
  /** Of one session or of all, oldest first. */
  viewings(request: { sessionId?: string }): Promise<{ viewings: ViewingRequest[] }>;
  /** Throws `forbidden` for who asked, `recordNotFound` where there is no such request, `notInThisState` where it is decided. */
  decideViewing(request: {
    sessionId: string;
    viewingId: string;
    approve: boolean;
    by: string;
    reason: string;
  }): Promise<{ viewing: ViewingRequest }>;
  /** Throws as `decideViewing`, and `conflict` where this holder's share was given. */
  giveShare(request: {
    sessionId: string;
    viewingId: string;
    share: SealedShare;
  }): Promise<{ viewing: ViewingRequest }>;
  /**
   * That a grant is used for an operation. With `handsOut` one of `once` is used up; throws `viewingNeeded` where it is not granted
   * (any more).
   */
  useViewing(request: {
    sessionId: string;
    viewingId: string;
    operation: string;
    handsOut: boolean;
  }): Promise<{ viewing: ViewingRequest }>;
  /** A process of the API is here and can open what is sealed to this age recipient; said again before it is forgotten. */
  unlockerHere(request: { processId: string; recipient: string }): Promise<{ untilUs: number }>;
  unlockers(): Promise<{ recipients: string[] }>;
  targetCredentials(request: { connectionId: string }): Promise<{ credentials: TargetCredentials | null }>;
  /**
   * A fresh credential a client logs on to the gateway with; it replaces the session's earlier one. Nothing can show it again.
   * Throws `notInThisState` where no connection can come (any more).
   */
  /** `by`: who has it issued. */
  issueCredential(request: { sessionId: string; by?: string }): Promise<{ credential: IssuedCredential }>;
  /**
   * What lets one browser in, once, within a minute: the route of its connection. Throws `notInThisState` where no connection
   * can come (any more).
   */
  issueBrowserToken(request: { sessionId: string; userId: string }): Promise<{ token: string; expiresUs: number }>;
  /** What the client of this connection is checked against; null: nobody has this name. It is a try until `logonTried` tells its outcome. */
  logonAccount(request: { connectionId: string; user: string }): Promise<{ account: LogonAccount | null }>;
  /** Three that were wrong burn the credential. */
  logonTried(request: LogonTry): Promise<void>;
  /**
   * The connection is ready to become a session: the target answered, the client has begun. Makes a listener's session, opens
   * the recording (keys, signed and logged `open`) and answers when all of it is durable. Refuses when `find` did not reserve
   * the connection or when another connection was faster.
   */
  admit(request: { connectionId: string }): Promise<Admission>;
  /** Opens the recording of an imported session (keys, signed and logged `open`); from here on its recorder reports as of any. */
  beginImport(request: { session: SessionDocument; recorderId: string }): Promise<{ session: SessionDocument }>;
  /** The connection became no session: releases what `find` reserved and records the reason in the audit log. */
  attempted(attempt: ConnectionAttempt): Promise<void>;
  report(report: RecorderReport): Promise<void>;
  /** Arms a session for its next connection. */
  start(request: {
    sessionId: string;
    targetCredentials?: NewTargetCredentials;
  }): Promise<{ session: SessionDocument }>;
  stop(request: { sessionId: string; reason: string }): Promise<{ session: SessionDocument }>;
  pause(request: { sessionId: string }): Promise<{ session: SessionDocument; atUs: number }>;
  resume(request: { sessionId: string }): Promise<{ session: SessionDocument; atUs: number }>;
  /** `actor` and `reason` go into the signed erase record. */
  message(request: SessionMessage): Promise<{ untilUs: number }>;
  steer(request: SteerRequest): Promise<{ token: string; expiresUs: number }>;
  remove(request: { sessionId: string; actor?: string; reason?: string }): Promise<{ deletedAtUs: number }>;
  /**
   * Crypto-shredding of a session that is over: signs, stores and logs an `erase` record, then destroys every wrap of its
   * key. Idempotent, and carried on after a crash: wraps are never gone without a logged record.
   */
  erase(request: { sessionId: string; actor: string; reason: string }): Promise<{
    erasedAtUs: number;
    recordSha256: HexHash;
    logIndex: number;
    /** Wraps this call destroyed; 0 when they were gone already. */
    wrapsDestroyed: number;
  }>;
  /**
   * From when it answers nothing of the session is deleted or shredded; a deletion that has not begun to destroy is taken back. Signs a
   * `custody` record and logs it, later where that can't be done now. The same `holdId` again is the same hold. Throws
   * `notInThisState` where destroying has begun.
   */
  setHold(request: {
    sessionId: string;
    holdId: string;
    reference: string;
    reason: string;
    by: string;
  }): Promise<{ hold: LegalHold }>;
  /** Signed and logged before it takes effect. Throws `recordNotFound` where there is no such hold (any more). */
  clearHold(request: { sessionId: string; holdId: string; reason: string; by: string }): Promise<{ holdsLeft: number }>;
  /**
   * Somebody walked through a recording whose last chunk is stored. Signs what was counted (fields of a `replay` record) when the
   * manifest is there, and says it in the session. Told twice it signs once.
   */
  examined(request: { sessionId: string; software: string; counted: Record<string, unknown> }): Promise<void>;
  /** The rules a session's index is held against, from which chunk on, and what is carried on from the chunks before. */
  alertRules(request: { sessionId: string }): Promise<AlertRules>;
  /** What they say of one chunk. Told twice it raises once. */
  alertsFound(request: AlertsFound): Promise<void>;
  status(request: { sessionId: string }): Promise<{ status: PipelineStatus | null }>;
  /** Pause or resume the processing of a finished session's jobs; resume also retries a failed stage. */
  control(request: { sessionId: string; action: 'pause' | 'resume' }): Promise<{ status: PipelineStatus }>;
  /** Log proof and anchor receipts of a session's manifest. */
  anchor(request: { sessionId: string }): Promise<{
    log: LogEntryProof | null;
    receipts: AnchorReceipt[];
    /** One for every anchor that is configured or has a receipt, also while nothing was sent yet. */
    anchoring: AnchoringState[];
  }>;
  /**
   * Proofs of the session's logged records, all leading to one checkpoint, and that this checkpoint extends the one the
   * `open` record names: what an evidence bundle carries.
   */
  logProofs(request: { sessionId: string }): Promise<{
    proofs: { kind: RecordKind; sequence: number; proof: LogEntryProof }[];
    /** Heads that were logged while it ran, oldest first, at most 16. */
    progress: { head: SessionProgress; proof: LogEntryProof }[];
    consistency: { first: number; second: number; hashes: HexHash[] }[];
  }>;
  /** Somebody's dealing with the recording was signed: the head of its chain of custody is logged within a minute. */
  custodyAdded(request: { sessionId: string }): Promise<void>;
  /**
   * Renews the evidence records that are due now, and waits for it 40 s at most: `finished` says whether that was enough. Throws
   * `notInThisState` where nothing is to be renewed (LUCID_RENEWAL_DAYS), `anchoring` when it broke off or left some out.
   */
  renew(): Promise<{ renewed: number; finished: boolean }>;
  /** The proof of a logged head of the audit chain; null: none is logged. */
  auditProof(): Promise<{ proven: { sequence: number; proof: LogEntryProof } | null }>;
  logCheckpoint(): Promise<{ checkpoint: string | null; publicKey: string }>;
  health(): Promise<ServiceHealth>;
}

export interface AlertRules {
  /** `sinceUs`: what happened before it is not its business. */
  rules: { ruleId: string; condition: AlertCondition; sinceUs: number }[];
  /** Index of the first chunk that was not judged yet. */
  next: number;
  progress: AlertProgress;
}

export interface AlertsFound {
  sessionId: string;
  chunkIndex: number;
  /** The session's last chunk. */
  last: boolean;
  progress: AlertProgress;
  hits: AlertHit[];
  /** Texts that were not looked at, because there were too many. */
  skipped: number;
}

/** A head of a session among those of all that ran (docs/format.md 7.1). Hashes in hex. */
export interface SessionProgress {
  atUs: number;
  count: number;
  root: HexHash;
  index: number;
  leavesCount: number;
  leafHash: HexHash | null;
  hashes: HexHash[];
}

export interface LogEntryProof {
  logIndex: number;
  /** Signed C2SP checkpoint the proof leads to. */
  checkpoint: string;
  /** Hex hashes, leaf to root. */
  inclusion: HexHash[];
}

export interface AnchorReceipt {
  backend: string;
  /** What was anchored: the session's Merkle root (the default), or SHA-256 of a checkpoint's text. */
  subject?: 'session_root' | 'checkpoint';
  status: 'pending' | 'processing' | 'confirmed' | 'failed' | 'reorged';
  submittedAtUs: number;
  confirmedAtUs: number | null;
  blockHeight: number | null;
  transactionId: string | null;
  /** The digest that was anchored. */
  merkleRoot: HexHash;
  detail: string | null;
}

/** How far an outside anchor has come with a session. */
export interface AnchoringState {
  backend: string;
  /** `none`: there is nothing to anchor (yet). */
  state: 'none' | 'pending' | 'confirmed' | 'failed' | 'reorged';
  /** When the anchor is asked next; null when it is not going to be. */
  nextCheckUs: number | null;
  detail: string | null;
}

export interface ServiceHealth {
  service: 'pipeline' | 'recorder' | 'processor' | 'storage' | 'api';
  status: 'healthy' | 'degraded' | 'unhealthy';
  message: string | null;
  details: Record<string, number | string | boolean>;
}
