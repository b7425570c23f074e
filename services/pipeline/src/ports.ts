/** What the pipeline needs besides the other services: a job queue, its own journal, a log, anchors. Implemented in adapters. */
import type {
  AnchorReceipt,
  CredentialReference,
  EndReason,
  FinalStatistics,
  HexHash,
  RecordingFact,
  TargetCredentials,
} from '@lucid-sessions/contract';
import type { DigestName } from '@lucid-sessions/evidence';

export type JobState = 'waiting' | 'running' | 'paused' | 'failed' | 'done';

export interface NewJob {
  /** Names the work, so the same work is queued once. */
  jobId: string;
  kind: string;
  sessionId: string;
  payload: Record<string, unknown>;
  runAtUs: number;
  retriesMax: number;
}

export interface Job extends NewJob {
  state: JobState;
  retries: number;
  lastError: string | null;
}

/** A job in its runner's hands: of one `claim`, which no other has. */
export interface ClaimedJob extends Job {
  claim: string;
}
export type JobClaim = Pick<ClaimedJob, 'jobId' | 'claim'>;

/**
 * Durable: a job that was queued runs, whatever crashes. At least once, so handlers are idempotent. Who settles a job (`done`, `again`,
 * `retry`, `fail`) says by which claim: false when the job is not of that claim any more (another runner has it, it was removed or
 * queued anew), and nothing was changed; told again, the first answer stands.
 */
export interface JobQueue {
  /** False when a job of this id is waiting, running or paused already; one that is done or failed starts anew. */
  enqueue(job: NewJob): Promise<boolean>;
  /** Jobs that are due, and jobs whose runner has not been heard of since its lease ended. */
  claim(request: { nowUs: number; leaseUs: number; limit: number }): Promise<ClaimedJob[]>;
  done(job: JobClaim): Promise<boolean>;
  /** Runs again later; not a retry. */
  again(job: JobClaim, runAtUs: number, payload: Record<string, unknown>): Promise<boolean>;
  /** Counts as a retry. */
  retry(job: JobClaim, runAtUs: number, error: string): Promise<boolean>;
  fail(job: JobClaim, error: string): Promise<boolean>;
  listFor(sessionId: string): Promise<Job[]>;
  /** Holds back or lets go jobs that wait; answers how many. */
  setPaused(sessionId: string, paused: boolean): Promise<number>;
  /** Failed jobs of the session wait again, with all their retries. */
  revive(sessionId: string, nowUs: number): Promise<number>;
  removeFor(sessionId: string): Promise<void>;
  /** Every job by its id, after `after`. */
  list(after: string, limit: number): Promise<Job[]>;
  /** Puts a job of another queue as it is there, in place of one of its id; one that ran is due at once. */
  put(job: Job): Promise<void>;
  /**
   * Before the first claim, where this process is the queue's only runner: jobs that a process before it was running wait
   * again, instead of for the end of their lease. So do looks at a retention that lie further ahead than any: a clock that
   * was wrong put them there.
   */
  takeUp?(nowUs: number): Promise<void>;
  countByState(): Promise<Partial<Record<JobState, number>>>;
  /** When the next waiting job is due. */
  nextRunUs(): Promise<number | null>;
  dispose(): Promise<void>;
}

/**
 * Tells the pipelines of an installation that a job is due, so that one of them looks into the queue at once and not when it
 * would look next. The queue is the truth: a wake-up that is lost, late or told twice changes nothing but when.
 */
export interface JobWaker {
  /** The job is due in `inMs`. Waits for nobody and never throws. */
  wake(jobId: string, inMs: number): void;
  /** Called once. `woken` hears each wake-up that comes to this process, the next one when it is over with the last. */
  listen(woken: () => Promise<void>): void;
  dispose(): Promise<void>;
}

/** What the pipeline must remember of a session beyond its document. */
export interface Journal {
  sessionId: string;
  /** How often it was written; 0: never. */
  version: number;
  recorderId: string | null;
  clientAddress: string | null;
  /** The connection that was admitted last. */
  connectionId: string | null;
  clientName: string | null;
  clientUser: string | null;
  /** Whom a second person let in last: where the client is, and how it showed who it is. */
  letIn?: { address: string; proof: string } | null;
  /** How many recordings of it were admitted; the last one is the one it has. Not there: from before they were counted. */
  recordings?: number;
  /** When it was resumed last, as its recorder told. */
  resumedUs?: number | null;
  /** When the latest connection was joined to the session; told again, it is the same one. */
  joinedUs: number | null;
  /** When the connection was lost that the session waits for. */
  lostUs: number | null;
  /** A user asked for the next connection to be recorded. */
  armed: boolean;
  /** A connection was admitted and has not ended. */
  connected: boolean;
  admittedUs: number | null;
  openedUs: number | null;
  openLogIndex: number | null;
  startedUs: number | null;
  endedUs: number | null;
  /** The pipeline concluded the end; the recorder did not tell it (yet). */
  endInferred: boolean;
  endReason: EndReason | null;
  endMessage: string | null;
  failed: boolean;
  /** The recorder died, another process took the recording up. */
  recovered: boolean;
  drainedUs: number | null;
  drainedChunks: number | null;
  statistics: FinalStatistics | null;
  merkleRoot: HexHash | null;
  chunksCount: number | null;
  totalBytes: number | null;
  manifestUs: number | null;
  manifestLogIndex: number | null;
  /** The first checkpoint over the manifest that witnesses cosigned, with what they signed. Not there: none yet, or from before it was kept. */
  witnessedCheckpoint?: string | null;
  processingPaused: boolean;
  /** It is made of a file: no connection leads to it, or back to it. */
  imported: boolean;
}

/**
 * Seals short secrets at rest, under a key of its own. What was sealed under one name does not open under another: beside another
 * session it is worth nothing.
 */
export interface SecretSeal {
  seal(name: string, secret: Uint8Array): Promise<Uint8Array>;
  /** Null: it was sealed under another name, or by a key that is gone. */
  open(name: string, sealed: Uint8Array): Promise<Uint8Array | null>;
}

/** A credential of the gateway as it is kept (`IssuedCredential` is what was shown). */
export interface GatewayCredential {
  sessionId: string;
  user: string;
  issuedUs: number;
  expiresUs: number;
  /** When a connection was admitted with it; null: not yet. */
  usedUs: number | null;
  wrongTries: number;
  /** NT hash of the secret, under the `SecretSeal`; null: burnt. */
  sealed: Uint8Array | null;
}

/** Heads of all sessions that were under way at a moment. */
export interface ProgressRow {
  /** Beginning of the span of time they were taken for, µs since 1970: one row each. */
  spanUs: number;
  /** When they were taken. */
  atUs: number;
  /** One behind the other, 80 bytes each (docs/format.md 7.1). */
  heads: Uint8Array;
}

export interface JournalStore {
  get(sessionId: string): Promise<Journal | null>;
  /**
   * Stores it when what is stored has its version (0: when none is stored), and answers it as stored then: with the version
   * raised by one. Null: somebody else was first, and nothing was changed.
   */
  put(journal: Journal): Promise<Journal | null>;
  /** Sessions that have a journal, by id, after `after`. */
  list(after: string, limit: number): Promise<string[]>;
  /** Sessions that are connected, or ended and not finalised: what a restart must look after. */
  listUnfinished(): Promise<string[]>;
  appendFact(sessionId: string, fact: RecordingFact): Promise<void>;
  listFacts(sessionId: string): Promise<RecordingFact[]>;
  putReceipt(sessionId: string, receipt: AnchorReceipt): Promise<void>;
  listReceipts(sessionId: string): Promise<AnchorReceipt[]>;
  /** False where the span has its row: of several that put one, one is first. */
  putProgress(row: ProgressRow): Promise<boolean>;
  getProgress(spanUs: number): Promise<ProgressRow | null>;
  /** Spans that have a row, `fromUs` to `untilUs`, the latest first. */
  progressSpans(fromUs: number, untilUs: number, limit: number): Promise<number[]>;
  /** A secret of the session, under the `SecretSeal`. Replaces the one of this name. */
  putSealed(sessionId: string, name: string, sealed: Uint8Array): Promise<void>;
  getSealed(sessionId: string, name: string): Promise<Uint8Array | null>;
  /** Forgets one of the session's secrets, or without a name all of them: nothing stays in the files, once no backup reads them. */
  dropSealed(sessionId: string, name?: string): Promise<void>;
  listSealed(): Promise<{ sessionId: string; name: string }[]>;
  /** Replaces the session's one. */
  putCredential(credential: GatewayCredential): Promise<void>;
  findCredential(user: string): Promise<GatewayCredential | null>;
  credentialOf(sessionId: string): Promise<GatewayCredential | null>;
  dropCredential(sessionId: string): Promise<void>;
  dispose(): Promise<void>;
}

/** One value of `Coordination`. */
export interface Agreed {
  key: string;
  /** JSON, at most 64 KiB of it. */
  value: unknown;
  /** From 1 on; another after each write, and none that this key had before, also behind its end or removal. */
  version: number;
  /** µs since 1970; from then on it is as if it were not there. */
  untilUs: number;
}

export interface AgreedLease {
  owner: string;
  /** Grows with each change of owner, and never repeats, also after a release or a sweep. */
  epoch: number;
  expiresUs: number;
}

/**
 * What several processes of the pipeline must agree on and may forget: small values that end, and leases. Each call is atomic
 * by itself; there are no transactions over several. Names of spaces, keys, leases and owners are 1 to 200 printable ASCII
 * characters; a bad name or value is an `invalidRequest` (`checkAgreedNames`, `agreedText`, `checkAgreedPage` of contract). Nothing
 * secret is in it in clear.
 */
export interface Coordination {
  get(space: string, key: string, nowUs: number): Promise<Agreed | null>;
  /**
   * Stores when the value there has the version `expected`; null: when none is there, or it has ended. Answers the new version,
   * null when somebody else was first.
   */
  put(
    space: string,
    entry: { key: string; value: unknown; untilUs: number; expected: number | null },
    nowUs: number,
  ): Promise<number | null>;
  /** With `expected` only that version. False: it was not there (any more). */
  remove(space: string, key: string, expected?: number): Promise<boolean>;
  /** Those that have not ended, by key, after `after` ('': from the first); `limit` 1 to 1000. */
  list(space: string, page: { after: string; limit: number }, nowUs: number): Promise<Agreed[]>;
  /** How many have not ended. */
  count(space: string, nowUs: number): Promise<number>;
  /**
   * Takes or extends. Another owner's is taken only after it expired; not acquired, `lease` is the other's. An owner who comes
   * back after the end of a lease that nobody else took may have it under its epoch.
   */
  acquire(
    name: string,
    owner: string,
    expiresUs: number,
    nowUs: number,
  ): Promise<{ acquired: boolean; lease: AgreedLease }>;
  /** Who owns it now; null: nobody. */
  owner(name: string, nowUs: number): Promise<AgreedLease | null>;
  /** Of this owner only; anybody may take it then. */
  release(name: string, owner: string): Promise<void>;
  /** Removes values that have ended, and answers how many; leases that have ended may be forgotten. Called from time to time, by anybody. */
  sweep(nowUs: number): Promise<number>;
  ping(): Promise<void>;
  dispose(): Promise<void>;
}

/** A loan of credentials that were made for one session. */
export interface CredentialLease {
  /** Names it to who gave it; no secret opens anything with it alone. */
  id: string;
  /** How long it holds from now on. */
  seconds: number;
  renewable: boolean;
}

/**
 * Who keeps credentials for targets elsewhere. Throws LucidError: `unavailable` when it can't be asked now, `invalidRequest` when
 * it will not have it (no such secret, not allowed). No message holds anything of a secret.
 */
export interface CredentialProvider {
  /** Whether sessions with this target may name it. */
  allows(reference: CredentialReference, host: string): boolean;
  /** `host`: of the target they are for. */
  read(
    reference: CredentialReference,
    host: string,
  ): Promise<{ credentials: TargetCredentials; lease: CredentialLease | null }>;
  /** What holds from now on. */
  renew(leaseId: string): Promise<CredentialLease>;
  /** Answers also for one that is over. */
  revoke(leaseId: string): Promise<void>;
}

/** An append-only log with signed checkpoints. `append` answers when the entry is covered by a durable checkpoint. */
export interface TransparencyLog {
  append(entry: Uint8Array): Promise<{ index: number }>;
  /**
   * Inclusion proofs, in the order of `indices`, and with `first` a proof that the tree extends the one of `first` entries: all
   * under one checkpoint of `size` entries, one that witnesses cosigned where there is one. Hashes in hex, leaf to root.
   */
  prove(
    indices: readonly number[],
    first: number | null,
  ): Promise<{ size: number; checkpoint: string; inclusion: HexHash[][]; consistency: HexHash[] }>;
  /** Inclusion proof of an entry in the tree as it was at `size` entries, and that a tree extends a smaller one. */
  proveAt(index: number, size: number): Promise<HexHash[]>;
  proveConsistency(first: number, second: number): Promise<HexHash[]>;
  /** Index of an entry that is logged. */
  find(entry: Uint8Array): Promise<number | null>;
  /** The latest checkpoint that witnesses cosigned, else the latest signed one; null while the log is empty. */
  checkpoint(): Promise<string | null>;
  /** Why nothing can be logged now, for a person; null when it can. */
  problem?(): string | null;
  readonly publicKey: string;
}

/** A timestamp authority (RFC 3161): what it answers was checked. Throws what a person should know; asked again, it makes another stamp. */
export interface Stamper {
  stamp(digest: Uint8Array, hash: DigestName): Promise<{ token: Uint8Array; timeUs: number }>;
}

export interface AnchorRequest {
  sessionId: string;
  merkleRoot: HexHash;
  chunksCount: number;
  totalBytes: number;
  createdAtUs: number;
  /** Signed checkpoint that covers the session's manifest; null when there is none. */
  checkpoint: string | null;
}

/**
 * An outside witness of time. `submit` is idempotent by session id and must ask before it sends again after an ambiguous
 * failure. A LucidError `anchoring` with status 500 is final (refused, or a different root under our id); any other error is
 * tried again later.
 */
export interface Anchor {
  readonly backend: string;
  /** What was confirmed can't be undone (a signature, not a chain): it is not asked about again. */
  readonly isFinal?: boolean;
  submit(request: AnchorRequest): Promise<AnchorReceipt>;
  /** Null: the backend knows nothing of it. */
  check(request: AnchorRequest, receipt: AnchorReceipt): Promise<AnchorReceipt | null>;
}
