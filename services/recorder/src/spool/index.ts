export { createBatchMemory } from './batch-pool.ts';
export { setTakenOverAside } from './recovery.ts';
export { batchSlotBytes, Spool, type SpoolOptions, SpoolSession, type SpoolSessionEvents } from './spool.ts';
export { createDisk, type SpoolDisk, segmentIndex, segmentPath } from './spool-disk.ts';
export { SpoolEngine, type SpoolEngineOptions, type SpoolLimits } from './spool-engine.ts';
export type { RecoveredSession, SessionEnd, SpoolFailureCode, SpoolStatistics } from './spool-messages.ts';
