/** Configuration of the pipeline manager. Read once, in main. */
import { type Environment, readInteger, readPort, readSecret, readText } from '@lucid-sessions/contract/http';

export interface PipelineConfig {
  host: string;
  port: number;
  serviceSecret: string;
  dataDir: string;
  limits: PipelineLimits;
}

export interface PipelineLimits {
  concurrentSessionsMax: number;
  /** A session its recorder does not know (any more) is given up after this. */
  recorderGraceMs: number;
  /** A recorder that does not answer at all is given up after this. */
  recorderGoneMs: number;
  /** How long chunks may take to arrive after the end before the manifest is made without them. */
  drainWaitMs: number;
  /** How often live sessions are compared with what the recorder says. */
  reconcileMs: number;
  jobsAtOnce: number;
  jobLeaseMs: number;
  retriesMax: number;
  backoffBaseMs: number;
  backoffMaxMs: number;
  /** How often an anchor that is pending is asked. */
  anchorPollMs: number;
  /** Statistics of a live session are written at most this often. */
  progressMs: number;
}

export const defaultLimits: PipelineLimits = {
  concurrentSessionsMax: 100,
  recorderGraceMs: 30_000,
  recorderGoneMs: 300_000,
  drainWaitMs: 600_000,
  reconcileMs: 15_000,
  jobsAtOnce: 4,
  jobLeaseMs: 600_000,
  retriesMax: 3,
  backoffBaseMs: 1_000,
  backoffMaxMs: 60_000,
  anchorPollMs: 60_000,
  progressMs: 5_000,
};

export function readPipelineEnv(environment: Environment): PipelineConfig {
  return {
    host: readText(environment, 'LUCID_BIND_HOST', '127.0.0.1'),
    port: readPort(environment, 'SESSION_PIPELINE_PORT', 8083),
    serviceSecret: readSecret(environment, 'LUCID_SERVICE_SECRET', 32),
    dataDir: readText(environment, 'LUCID_DATA_DIR', './data'),
    limits: {
      ...defaultLimits,
      concurrentSessionsMax: readInteger(environment, 'MAX_CONCURRENT_SESSIONS', {
        min: 1,
        max: 100_000,
        fallback: 100,
      }),
    },
  };
}
