/** What the four internal ports offer over the wire: the closed list of methods, with a time and a size for each. */
import type { PipelinePort, ProcessorPort, RecorderPort, StoragePort } from './ports.ts';

export interface RpcMethod {
  timeoutMs: number;
  requestBytesMax: number;
  responseBytesMax: number;
}

const mebibyte = 1024 * 1024;
/** A sealed chunk file and its envelope: CHUNK_SIZE_MB is at most 64. */
export const rpcChunkBytesMax = 80 * mebibyte;

const small: RpcMethod = { timeoutMs: 10_000, requestBytesMax: 4 * mebibyte, responseBytesMax: 16 * mebibyte };
const slow: RpcMethod = { ...small, timeoutMs: 60_000 };
const upload: RpcMethod = { timeoutMs: 60_000, requestBytesMax: rpcChunkBytesMax, responseBytesMax: mebibyte };
const download: RpcMethod = { timeoutMs: 60_000, requestBytesMax: mebibyte, responseBytesMax: rpcChunkBytesMax };

export interface Ports {
  recorder: RecorderPort;
  processor: ProcessorPort;
  storage: StoragePort;
  pipeline: PipelinePort;
}
export type PortName = keyof Ports;

type Methods<P extends PortName> = Record<keyof Ports[P], RpcMethod>;

const recorder: Methods<'recorder'> = {
  stop: slow,
  pause: small,
  resume: small,
  message: small,
  steer: small,
  live: small,
  liveFrames: slow,
  judgeTarget: { ...small, timeoutMs: 3_000 },
  checkTarget: slow,
  importCapture: { ...upload, timeoutMs: 300_000 },
  replicaState: { ...small, responseBytesMax: 64 * mebibyte },
  replicate: { ...upload, requestBytesMax: 16 * mebibyte },
  drain: small,
  health: small,
};

const processor: Methods<'processor'> = {
  open: slow,
  seal: upload,
  finish: { ...slow, timeoutMs: 300_000 },
  signRecord: slow,
  follow: small,
  health: small,
};

const storage: Methods<'storage'> = {
  createSession: small,
  getSession: small,
  findSession: small,
  setRouteToken: small,
  listSessions: small,
  countSessions: small,
  replaceSession: small,
  purgeSession: { ...slow, timeoutMs: 300_000 },
  acquireLease: small,
  releaseLease: small,
  putChunk: upload,
  chainHeads: small,
  listChunks: small,
  getChunk: small,
  sessionTotals: small,
  readChunk: download,
  readLeaves: download,
  putRecord: { ...small, requestBytesMax: 16 * mebibyte },
  getRecords: download,
  putWraps: small,
  getWraps: small,
  holdFiles: { ...slow, timeoutMs: 300_000 },
  putSidecar: upload,
  getSidecar: download,
  appendAudit: small,
  listAudit: small,
  getEntry: small,
  putEntry: small,
  listEntries: { ...small, responseBytesMax: rpcChunkBytesMax },
  removeEntry: small,
  auditHead: small,
  auditRows: download,
  statistics: small,
  health: small,
};

const pipeline: Methods<'pipeline'> = {
  recorderHere: small,
  recorders: small,
  recorderOf: small,
  takeOverSpool: small,
  create: small,
  keepTargetSecret: small,
  dropTargetSecret: small,
  find: small,
  targetCredentials: small,
  approval: small,
  approvals: small,
  decideApproval: small,
  askViewing: small,
  viewings: { ...small, responseBytesMax: 64 * mebibyte },
  decideViewing: small,
  giveShare: small,
  useViewing: small,
  unlockerHere: small,
  unlockers: small,
  issueCredential: small,
  issueBrowserToken: small,
  logonAccount: small,
  logonTried: small,
  admit: slow,
  beginImport: slow,
  attempted: small,
  report: slow,
  start: small,
  stop: slow,
  pause: slow,
  resume: slow,
  message: slow,
  steer: slow,
  remove: { ...slow, timeoutMs: 300_000 },
  erase: slow,
  setHold: slow,
  clearHold: slow,
  examined: small,
  alertRules: small,
  alertsFound: slow,
  status: small,
  control: small,
  anchor: small,
  logProofs: small,
  custodyAdded: small,
  renew: slow,
  auditProof: small,
  logCheckpoint: small,
  health: small,
};

export const rpcPorts: { [P in PortName]: Methods<P> } = { recorder, processor, storage, pipeline };

export function rpcMethod(port: PortName, method: string): RpcMethod | null {
  const methods: Record<string, RpcMethod> = rpcPorts[port];
  return Object.hasOwn(methods, method) ? methods[method]! : null;
}

export const rpcPath = (port: PortName, method: string) => `/rpc/${port}/${method}`;
