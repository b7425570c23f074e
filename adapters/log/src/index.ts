export { EmbeddedLog, type EmbeddedLogOptions, type LogProofs } from './embedded-log.ts';
export { type LogHead, type LogHeadStore, SqliteLogHeadStore, type Witnessed } from './embedded-log-head.ts';
export { embeddedLogPort } from './embedded-log-port.ts';
export {
  checkLogFiles,
  entryBundles,
  type LogFiles,
  logFilesIn,
  readCheckpoint,
  rebuildLogHead,
  tilesOf,
} from './log-copy.ts';
export { fsLogDisk, type LogDisk } from './log-disk.ts';
export { LogError, type LogErrorCode } from './log-error.ts';
export { logFileReader, logReader } from './log-files.ts';
export { LogWitnesses, type LogWitnessesOptions, type WitnessAddress } from './log-witnesses.ts';
