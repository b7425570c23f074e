/** What each method of `rpcPorts` takes: checked where a request comes in over the wire. In one process the compiler has checked it. */
import { z } from 'zod';
import { alertMinutesMax, alertRulesMax, alertsPerChunkMax } from './alerts.ts';
import { type Entry, entryIdCharactersMax, entryKinds, entryPageMax, entryTextMax } from './entries.ts';
import { type LogonTry, logonOutcomes } from './gateway-credential.ts';
import { replayStates, sessionOutcomes, sessionStatuses } from './models.ts';
import {
  type AlertsFound,
  attemptOutcomes,
  attemptReasons,
  type ChunkToSeal,
  type ConnectionAttempt,
  type ConnectionRequest,
  type ImportRequest,
  importBytesMax,
  type RecorderPresence,
  type RecorderReport,
  type SessionQuery,
  signedKinds,
} from './ports.ts';
import { type PortName, type Ports, rpcChunkBytesMax } from './rpc-ports.ts';
import {
  amount,
  auditEvent,
  bytes,
  chunkIndex,
  chunkMetadata,
  count,
  endReason,
  finalStatistics,
  hash,
  page,
  recordingFact,
  recordingStatistics,
  recordKind,
  route,
  sessionDocument,
  sessionId,
  sessionMetadata,
  sidecarName,
  text,
  wraps,
} from './rpc-values.ts';
import { grantsMax, scopeNamesMax } from './scope.ts';
import { sessionSorts } from './session-list.ts';
import { parseShape } from './shape.ts';
import { newTargetCredentials } from './target-credentials.ts';
import { keyHoldersMax, shareBoxCharsMax, viewingMinutesMax, viewingUses } from './viewing.ts';

type RequestOf<F> = F extends (...request: infer R) => unknown ? (R extends [infer First] ? First : undefined) : never;
type Requests<P extends PortName> = { [M in keyof Ports[P]]-?: z.ZodType<RequestOf<Ports[P][M]>> };

const mebibyte = 1024 * 1024;
const urlCharsMax = 500;
const leaseTtlMsMax = 600_000;
/** Below the time an RPC call may take. */
const liveWaitMsMax = 20_000;

const nothing = z.unknown().transform(() => undefined);
const ofSession = z.object({ sessionId });
const ofChunk = z.object({ sessionId, index: chunkIndex });
const persistence = z.enum(['strict', 'best_effort']);
const graphics = z.enum(['passthrough', 'classic']);
const object = z.record(z.string(), z.unknown());

const entryKind = z.enum(entryKinds);
const entryId = z.string().min(1).max(entryIdCharactersMax);
const entry: z.ZodType<Entry> = z.object({
  kind: entryKind,
  id: entryId,
  owner: entryId.nullable(),
  value: object.refine((value) => JSON.stringify(value).length <= entryTextMax, 'is too long'),
  version: z.int().min(1),
  untilUs: amount.nullable(),
});

const alertsFound: z.ZodType<AlertsFound> = z.object({
  sessionId,
  chunkIndex: count,
  last: z.boolean(),
  progress: z.object({
    minutes: z.array(z.array(count).length(7)).max(alertMinutesMax),
    raised: z.record(z.string().max(80), count),
  }),
  hits: z
    .array(z.object({ ruleId: z.uuid(), timeUs: count, atUs: count, more: count }))
    .max(alertRulesMax * alertsPerChunkMax),
  skipped: count,
});

const importRequest: z.ZodType<ImportRequest> = z.object({
  sessionId,
  name: text,
  description: text.nullable(),
  by: text,
  sourceName: text,
  sourceSha256: hash,
  metadata: sessionMetadata,
  retentionDays: z.int().nullable(),
  capture: bytes(importBytesMax),
});

const message = z.object({ sessionId, from: text, text, seconds: z.number().min(1).max(600) });

const steer = z.object({ sessionId, by: text });
const replicaItemsMax = 1000;
const replicaBytesMax = 8 * mebibyte;
const segment = z.object({ sessionId, index: chunkIndex });

const recorder: Requests<'recorder'> = {
  stop: z.object({ sessionId, reason: endReason, message: text }),
  pause: ofSession,
  resume: ofSession,
  message,
  steer,
  live: nothing,
  liveFrames: z.object({ sessionId, afterFrame: count, waitMs: z.number().min(0).max(liveWaitMsMax) }),
  judgeTarget: z.object({ host: text, port: z.int().min(0).max(0xffff) }),
  checkTarget: z.object({ host: text, port: z.int().min(0).max(0xffff), legacyTls: z.boolean() }),
  importCapture: importRequest,
  drain: nothing,
  replicaState: z.object({ recorderId: text, begins: z.boolean() }),
  replicate: z.object({
    recorderId: text,
    writes: z.array(segment.extend({ at: count, bytes: bytes(replicaBytesMax) })).max(replicaItemsMax),
    removals: z.array(segment).max(replicaItemsMax),
  }),
  health: nothing,
};

const chunkToSeal: z.ZodType<ChunkToSeal> = z.object({
  sessionId,
  index: chunkIndex,
  final: z.boolean(),
  recovered: z.boolean(),
  gapBefore: z.boolean(),
  openedUs: count,
  closedUs: count,
  monotonicNs: count,
  framesCount: count,
  updatesCount: count,
  payload: bytes(rpcChunkBytesMax),
});

const processor: Requests<'processor'> = {
  open: z.object({ session: sessionDocument, openedUs: amount, checkpoint: text.nullable(), persistence, graphics }),
  seal: chunkToSeal,
  finish: z.object({
    session: sessionDocument,
    reason: endReason,
    message: text,
    endedUs: amount,
    facts: z.array(recordingFact),
    statistics: finalStatistics,
  }),
  signRecord: z.object({ sessionId, kind: z.enum(signedKinds), body: object }),
  follow: ofSession,
  health: nothing,
};

const sessionQuery: z.ZodType<SessionQuery> = z.object({
  status: z.enum(sessionStatuses).exactOptional(),
  project: text.exactOptional(),
  environment: text.exactOptional(),
  search: text.exactOptional(),
  held: z.literal(true).exactOptional(),
  user: text.exactOptional(),
  client: text.exactOptional(),
  target: text.exactOptional(),
  tag: text.exactOptional(),
  from: text.exactOptional(),
  to: text.exactOptional(),
  durationMin: amount.exactOptional(),
  durationMax: amount.exactOptional(),
  sizeMin: amount.exactOptional(),
  sizeMax: amount.exactOptional(),
  outcome: z.enum(sessionOutcomes).exactOptional(),
  replay: z.enum(replayStates).exactOptional(),
  within: z
    .array(z.array(text).max(scopeNamesMax * 3 + grantsMax + 1))
    .max(2)
    .exactOptional(),
  sort: z.enum(sessionSorts).exactOptional(),
  descending: z.boolean().exactOptional(),
  ...page,
});
const newSession = z.object({ session: sessionDocument, routeTokenSha256: hash.nullable() });
const span = { fromUs: amount.exactOptional(), toUs: amount.exactOptional() };

const storage: Requests<'storage'> = {
  createSession: newSession,
  getSession: ofSession,
  findSession: z.object({ route: z.union([z.object({ tokenSha256: hash }), z.object({ cookie: text })]) }),
  setRouteToken: z.object({ sessionId, tokenSha256: hash.nullable() }),
  listSessions: sessionQuery,
  countSessions: nothing,
  replaceSession: z.object({ session: sessionDocument, expectedVersion: count }),
  purgeSession: ofSession,
  acquireLease: z.object({ sessionId, owner: text, ttlMs: z.number().positive().max(leaseTtlMsMax) }),
  releaseLease: z.object({ sessionId, owner: text }),
  putChunk: z.object({
    metadata: chunkMetadata,
    epoch: count,
    leaf: bytes(mebibyte),
    seal: bytes(mebibyte),
    file: bytes(rpcChunkBytesMax),
  }),
  listChunks: z.object({ sessionId, ...page, ...span }),
  getChunk: ofChunk,
  sessionTotals: ofSession,
  chainHeads: z.object({ sessionIds: z.array(sessionId).max(1000) }),
  readChunk: ofChunk,
  readLeaves: ofSession,
  putRecord: z.object({
    sessionId,
    kind: recordKind,
    record: bytes(16 * mebibyte),
    place: count.exactOptional(),
  }),
  getRecords: z.object({ sessionId, kind: recordKind.exactOptional() }),
  putWraps: z.object({ sessionId, wraps }),
  getWraps: ofSession,
  holdFiles: z.object({ sessionId, held: z.boolean() }),
  putSidecar: z.object({ sessionId, name: sidecarName, bytes: bytes(rpcChunkBytesMax - mebibyte) }),
  getSidecar: z.object({ sessionId, name: sidecarName }),
  appendAudit: auditEvent,
  listAudit: z.object({
    eventType: text.exactOptional(),
    userId: text.exactOptional(),
    resourceId: text.exactOptional(),
    ...span,
    ...page,
  }),
  getEntry: z.object({ kind: entryKind, id: entryId }),
  putEntry: entry,
  listEntries: z.object({
    kind: entryKind,
    owner: entryId.exactOptional(),
    after: z.string().max(entryIdCharactersMax),
    limit: z.int().min(1).max(entryPageMax),
  }),
  removeEntry: z.object({ kind: entryKind, id: entryId, version: z.int().min(1).exactOptional() }),
  auditHead: nothing,
  auditRows: z.object({ from: count, limit: z.int().min(1).max(1000) }),
  statistics: nothing,
  health: nothing,
};

const recorded = { sessionId, recordingNumber: count.exactOptional() };
const report: z.ZodType<RecorderReport> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('started'),
    ...recorded,
    atUs: amount,
    recorderId: text,
    connectionId: text,
    clientAddress: text,
    targetAddress: text,
  }),
  z.object({ kind: z.literal('lost'), ...recorded, atUs: amount, untilUs: amount, message: text }),
  z.object({
    kind: z.literal('reconnected'),
    ...recorded,
    atUs: amount,
    connectionId: text,
    clientAddress: text,
    targetAddress: text,
  }),
  z.object({
    kind: z.literal('client'),
    ...recorded,
    atUs: amount,
    clientName: text.nullable(),
    clientUser: text.nullable(),
  }),
  z.object({ kind: z.literal('progress'), ...recorded, statistics: recordingStatistics }),
  z.object({ kind: z.enum(['paused', 'resumed']), ...recorded, atUs: amount }),
  z.object({ kind: z.literal('fact'), ...recorded, fact: recordingFact }),
  z.object({
    kind: z.literal('ended'),
    ...recorded,
    atUs: amount,
    reason: endReason,
    message: text,
    failed: z.boolean(),
    recovered: z.boolean().exactOptional(),
    statistics: recordingStatistics,
  }),
  z.object({ kind: z.literal('not_stored'), ...recorded, message: text }),
  z.object({ kind: z.literal('drained'), ...recorded, chunksCount: count }),
]);

const connection: z.ZodType<ConnectionRequest> = z.object({
  connectionId: text,
  route,
  clientAddress: text,
  clientName: text.nullable(),
  recorderId: text,
});

const attempt: z.ZodType<ConnectionAttempt> = z.object({
  connectionId: text,
  sessionId: sessionId.nullable(),
  atUs: amount,
  clientAddress: text,
  clientName: text.nullable(),
  outcome: z.enum(attemptOutcomes),
  reason: z.enum(attemptReasons),
  message: text,
  count,
});

const logonTry: z.ZodType<LogonTry> = z.object({
  connectionId: text,
  user: text,
  clientAddress: text,
  outcome: z.enum(logonOutcomes),
});

const presence: z.ZodType<RecorderPresence> = z.object({
  recorderId: text,
  url: z.url({ protocol: /^https?$/ }).max(urlCharsMax),
  sessions: count,
  sessionsMax: count,
  draining: z.boolean(),
  copiedTo: text.exactOptional(),
});

const secretId = z.uuid();

const pipeline: Requests<'pipeline'> = {
  recorderHere: presence,
  recorders: nothing,
  recorderOf: ofSession,
  takeOverSpool: z.object({ recorderId: text, by: text, quietSeconds: z.int().min(1).max(86_400) }),
  create: newSession.extend({
    targetCredentials: newTargetCredentials.exactOptional(),
    secretId: secretId.exactOptional(),
  }),
  keepTargetSecret: z.object({ secretId, host: text, targetCredentials: newTargetCredentials }),
  dropTargetSecret: z.object({ secretId }),
  find: connection,
  targetCredentials: z.object({ connectionId: text }),
  approval: z.object({ connectionId: text, user: text }),
  approvals: nothing,
  decideApproval: z.object({ sessionId, connectionId: text, approve: z.boolean(), by: text, reason: text }),
  askViewing: z.object({
    viewing: z.object({
      viewingId: text,
      sessionId,
      by: text,
      reason: text,
      use: z.enum(viewingUses),
      minutes: z.int().min(1).max(viewingMinutesMax),
      approval: z.boolean(),
      threshold: z.int().min(2).max(keyHoldersMax).nullable(),
    }),
  }),
  viewings: z.object({ sessionId: sessionId.exactOptional() }),
  decideViewing: z.object({ sessionId, viewingId: text, approve: z.boolean(), by: text, reason: text }),
  giveShare: z.object({
    sessionId,
    viewingId: text,
    share: z.object({ index: z.int().min(1).max(keyHoldersMax), by: text, box: z.base64().max(shareBoxCharsMax) }),
  }),
  useViewing: z.object({ sessionId, viewingId: text, operation: text, handsOut: z.boolean() }),
  unlockerHere: z.object({ processId: text, recipient: text }),
  unlockers: nothing,
  issueCredential: z.object({ sessionId, by: text.exactOptional() }),
  issueBrowserToken: z.object({ sessionId, userId: text }),
  logonAccount: z.object({ connectionId: text, user: text }),
  logonTried: logonTry,
  admit: z.object({ connectionId: text }),
  beginImport: z.object({ session: sessionDocument, recorderId: text }),
  attempted: attempt,
  report,
  start: z.object({ sessionId, targetCredentials: newTargetCredentials.exactOptional() }),
  stop: z.object({ sessionId, reason: text }),
  pause: ofSession,
  resume: ofSession,
  message,
  steer,
  remove: z.object({ sessionId, actor: text.exactOptional(), reason: text.exactOptional() }),
  erase: z.object({ sessionId, actor: text, reason: text }),
  setHold: z.object({ sessionId, holdId: z.uuid(), reference: text, reason: text, by: text }),
  clearHold: z.object({ sessionId, holdId: z.uuid(), reason: text, by: text }),
  examined: z.object({ sessionId, software: text, counted: object }),
  alertRules: ofSession,
  alertsFound,
  status: ofSession,
  control: z.object({ sessionId, action: z.enum(['pause', 'resume']) }),
  anchor: ofSession,
  logProofs: ofSession,
  custodyAdded: ofSession,
  renew: nothing,
  auditProof: nothing,
  logCheckpoint: nothing,
  health: nothing,
};

export const rpcRequests: { [P in PortName]: Requests<P> } = { recorder, processor, storage, pipeline };

/**
 * Throws `invalidRequest` (`tooLarge` where nothing but a length is wrong), naming the field. What is given on is the value itself: no copy
 * of a chunk, and nothing lost that a newer service says beside it.
 */
export function checkRpcRequest(port: PortName, method: string, request: unknown): void {
  const schemas: Record<string, z.ZodType> = rpcRequests[port];
  parseShape(schemas[method]!, request, method);
}
