/** One call of the API as its handler sees it: who, what, and the parts of the request the contract names. */
import type { Readable } from 'node:stream';
import type {
  IndexPort,
  KeyWrap,
  OperationId,
  PipelinePort,
  ProcessorPort,
  RecorderPort,
  restRoutes,
  SessionDocument,
  StoragePort,
} from '@lucid-sessions/contract';
import type { VerifyOptions } from '@lucid-sessions/evidence';
import type { OnError } from '@lucid-sessions/kit';
import type { Crypto } from '@lucid-sessions/wire';
import type { z } from 'zod';
import type { AuditOutbox } from './audit-outbox.ts';
import type { ApiConfig } from './config.ts';
import type { Custody } from './custody.ts';
import type { RecorderDoor } from './doors.ts';
import type { KeyShares } from './key-shares.ts';
import type { LiveViews } from './live-handler.ts';
import type { Browser } from './people/browser.ts';
import type { User } from './people/callers.ts';
import type { People } from './people/people.ts';
import type { AccountSeal } from './people/second-factor.ts';
import type { RateLimiter } from './rate-limiter.ts';
import type { Targets } from './targets.ts';
import type { CallViewing } from './viewing-gate.ts';
import type { Viewings } from './viewings.ts';
import { sessionNotFound } from './views.ts';

export type SessionIndexReader = Omit<IndexPort, 'follow' | 'keyframesUsedMs'>;

export interface ApiDeps {
  storage: StoragePort;
  pipeline: PipelinePort;
  recorder: Pick<RecorderPort, 'health' | 'liveFrames' | 'judgeTarget' | 'checkTarget' | 'importCapture'>;
  processor: Pick<ProcessorPort, 'health' | 'signRecord'>;
  /** What the verifier needs and whom it trusts: this installation's own identity and log keys. */
  verification: { crypto: Crypto } & Pick<VerifyOptions, 'policy' | 'decompressor' | 'checkAnchor'>;
  /** The public halves of those keys, for others who want to trust them. */
  trustedKeys: {
    v: 1;
    identity_keys: { key: string; valid_to_us?: number }[];
    log_keys: string[];
    tsas?: { name: string; certificate: string }[];
    witnesses?: string[];
  };
  /** Reads a file of the transparency log for everyone; null where there is none. Without it the log is not served here. */
  readLogFile?: (path: string) => Promise<Uint8Array | null>;
  /** Opens wraps with keys this host holds; null when it holds none of them. Without it nobody can play back here. */
  unwrapKey?: (wraps: KeyWrap[]) => Promise<Uint8Array | null>;
  /** Opens keys that are shared among holders, while that is granted. Without it such recordings are not shown here. */
  keyShares?: KeyShares;
  /** Without it there is no index here. */
  sessionIndexes?: SessionIndexReader;
  /** µs since 1970. */
  nowUs: () => number;
  newId: () => string;
  randomBytes: (length: number) => Uint8Array;
  rateLimiter?: RateLimiter;
  /** How many may watch at once, and how long one of them may take nothing. */
  liveLimits?: { viewersMax: number; viewersPerUserMax: number; stallMs: number };
  /** Where what comes in at the public doors is passed on to: the recorder's own HTTP doors, and the services' secret. */
  recorderDoor?: RecorderDoor;
  /** Keeps secrets of authenticator apps; without it none are offered. */
  accountSeal?: AccountSeal;
  /** Signs .rdp files; as they are where nothing is there to sign them with. */
  signRdpFile?: (text: string) => string;
  /** Files of the console. */
  staticDir?: string;
  /** More metrics in Prometheus' text format, from services in the same process. */
  moreMetrics?: () => Promise<string>;
  /** Sees unexpected errors, before their text is taken out of the answer. */
  onError?: OnError;
  /** Each request when it is answered, without secrets. */
  onRequest?: (answered: AnsweredRequest) => void;
}

export interface AnsweredRequest {
  request: string;
  operation: string;
  method: string;
  /** Without its query: searches may hold names. */
  path: string;
  status: number;
  user: string | null;
  client: string;
  milliseconds: number;
}

export interface Api {
  config: ApiConfig;
  deps: ApiDeps;
  startedUs: number;
  people: People;
  targets: Targets;
  outbox: AuditOutbox;
  viewings: Viewings;
  custody: Custody;
  live: LiveViews;
  /** What one call at a time may do. */
  busy: { verifying: boolean; importing: boolean; searching: boolean };
}

type QueryOf<K extends OperationId> = (typeof restRoutes)[K] extends { query: infer Q extends z.ZodType }
  ? z.output<Q>
  : undefined;
type BodyOf<K extends OperationId> = (typeof restRoutes)[K] extends { body: infer B extends z.ZodType }
  ? z.output<B>
  : undefined;

export interface Call<K extends OperationId = OperationId> {
  api: Api;
  user: User;
  browser: Browser;
  /** Of the path, by name. */
  params: Readonly<Record<string, string | undefined>>;
  sessionId: string;
  chunkId: string;
  /** Of a request to see a recording. */
  viewingId: string;
  /** What this call is allowed by, where the recording is shown on request only. */
  viewing: CallViewing | null;
  /** Number of a keyframe, as it stands in the path. */
  keyframe: string;
  query: QueryOf<K>;
  body: BodyOf<K>;
  /** The file a route of uploads is sent; nothing of it is read yet. */
  upload: Readable | null;
  /** What the audit log is told of the call beside who, what and when. Never a secret. */
  told: Record<string, unknown>;
}

/** An answer that is no JSON. */
export class FileAnswer {
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** Null: shown, not saved. */
  readonly fileName: string | null;
  readonly headers: Record<string, string>;

  constructor(
    content: Uint8Array | AsyncIterable<Uint8Array>,
    fileName: string | null,
    headers: Record<string, string> = {},
  ) {
    this.content = content;
    this.fileName = fileName;
    this.headers = headers;
  }
}

/** What the route's table says it answers. */
type AnswerOf<K extends OperationId> = (typeof restRoutes)[K]['answer'] extends { schema: infer S extends z.ZodType }
  ? z.output<S>
  : FileAnswer;

export type Handler<K extends OperationId> = (call: Call<K>) => Promise<AnswerOf<K>>;
export type Handlers<K extends OperationId> = { [O in K]: Handler<O> };

export async function loadSession({
  api,
  sessionId,
}: {
  api: { deps: Pick<ApiDeps, 'storage'> };
  sessionId: string;
}): Promise<SessionDocument> {
  const { session } = await api.deps.storage.getSession({ sessionId });
  if (session === null) throw sessionNotFound(sessionId);
  return session;
}
