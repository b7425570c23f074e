export {
  type ListenerRule,
  type RecorderConfig,
  readKerberos,
  readRecorderEnv,
} from './config.ts';
export type { ListenAddress } from './front-door/front-door.ts';
export { checkCertificate, makeIdentity } from './front-door/identity.ts';
export type { KerberosPort, TicketAnswer, TicketAsked } from './front-door/kerberos.ts';
export { type RecorderServer, startRecorderServer } from './http.ts';
export { createRecorder, type Recorder, type RecorderDeps } from './recorder.ts';
export {
  createDisk,
  type SpoolDisk,
  type SpoolLimits,
  type SpoolStatistics,
  segmentIndex,
  segmentPath,
} from './spool/index.ts';
export { checkSpoolKey, loadSpoolKey } from './spool/spool-key.ts';
