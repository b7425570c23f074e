/** Configuration of the pipeline manager. Read once, in main. */
import { readFileSync } from 'node:fs';
import {
  type ChannelRules,
  consentTextMax,
  type JoinPolicy,
  joinPolicies,
  type Unreplayable,
} from '@lucid-sessions/contract';
import { type DigestName, digestNames } from '@lucid-sessions/evidence';
import {
  type Environment,
  EnvironmentError,
  type InternalService,
  readChannelRules,
  readCookieRoute,
  readInteger,
  readInternalService,
  readLeaveIn,
  readRetentionDaysDefault,
  readSessionsMax,
  readText,
} from '@lucid-sessions/kit';

export interface PipelineConfig extends InternalService {
  limits: PipelineLimits;
}

export interface PipelineLimits {
  concurrentSessionsMax: number;
  /** Of sessions that nobody gave one; null: until they are deleted. */
  retentionDaysDefault: number | null;
  /** A session its recorder does not know (any more) is given up after this. */
  recorderGraceMs: number;
  /** A recorder that does not answer at all is given up after this. */
  recorderGoneMs: number;
  /** How long chunks may take to arrive after the end before the manifest is made without them. */
  drainWaitMs: number;
  /** How often live sessions are compared with what the recorder says. */
  reconcileMs: number;
  jobsAtOnce: number;
  /** How often the queue is looked into, also when nobody told of a job. */
  jobLookMs: number;
  jobLeaseMs: number;
  retriesMax: number;
  backoffBaseMs: number;
  backoffMaxMs: number;
  /** How often an anchor that is pending is asked. */
  anchorPollMs: number;
  /** Waits before a confirmed anchor is asked again whether it still stands; the last one goes on for ever. */
  anchorRechecksMs: readonly number[];
  /** How long a session waits for its client after a lost connection, where it does not say otherwise; 0: it ends. */
  reconnectSeconds: number;
  /** What of what can't be replayed stays in the negotiation, where a session does not say otherwise. */
  leaveIn: readonly Unreplayable[];
  /** What may cross beside screen and input where a session says nothing of it. */
  channels: ChannelRules;
  /** What users acknowledge before a session, where it does not say otherwise; null: nothing. */
  consentText: string | null;
  /** A second person lets clients in, where a session does not say otherwise. */
  approval: boolean;
  /** No session takes the two above away: its own text counts only where there is none, and it can't do without approval. */
  screensBinding: boolean;
  /** Whether somebody else may steer a session that does not say so itself. */
  join: JoinPolicy;
  /** Targets may use RDP bulk compression, where a session does not say otherwise. */
  bulkCompression: boolean;
  /** Names (mstshash) lead to sessions. They are no secrets: whoever guesses one has the session. */
  cookieRoute: boolean;
  /** An .rdp file that was not used yet is too old after this; 0: never. */
  rdpFileDays: number;
  /** Credentials for a target that nobody came for are forgotten after this; 0: never. */
  credentialsHours: number;
  /** A gateway credential that was not used yet is too old after this. */
  gatewayCredentialMinutes: number;
  /** Statistics of a live session are written at most this often. */
  progressMs: number;
  /** How often heads of the audit chain and of running sessions are logged; two of these are what can be disowned at most. */
  headsMs: number;
  /** Recordings get an evidence record, and another timestamp in it when the last is older than this; 0: none does. */
  renewalMs: number;
  /** By which hash. */
  renewalHash: DigestName;
  /** How often is looked for them. */
  renewalLookMs: number;
  /** How long somebody who asks for a renewal waits for it at most. */
  renewalWaitMs: number;
  /** Witnesses that cosign the log. */
  witnesses: number;
  /** Connections that became nothing are audited one by one up to here, beyond it together. */
  attemptsAuditedPerMinute: number;
}

export const defaultLimits: PipelineLimits = {
  concurrentSessionsMax: 100,
  retentionDaysDefault: null,
  recorderGraceMs: 30_000,
  recorderGoneMs: 300_000,
  drainWaitMs: 600_000,
  reconcileMs: 15_000,
  jobsAtOnce: 4,
  jobLookMs: 1_000,
  jobLeaseMs: 600_000,
  retriesMax: 3,
  backoffBaseMs: 1_000,
  backoffMaxMs: 60_000,
  anchorPollMs: 60_000,
  anchorRechecksMs: [3_600_000, 86_400_000, 604_800_000],
  reconnectSeconds: 300,
  leaveIn: [],
  channels: {},
  consentText: null,
  approval: false,
  screensBinding: false,
  join: 'ask',
  bulkCompression: true,
  cookieRoute: false,
  rdpFileDays: 0,
  credentialsHours: 168,
  gatewayCredentialMinutes: 10,
  progressMs: 5_000,
  headsMs: 25_000,
  attemptsAuditedPerMinute: 60,
  witnesses: 0,
  renewalMs: 0,
  renewalHash: 'sha256',
  renewalLookMs: 3_600_000,
  renewalWaitMs: 40_000,
};

/** How long the pipeline waits before it concludes that something is gone; shorter where recorders come back quickly. */
const waits = {
  recorderGraceMs: 'LUCID_RECORDER_GRACE_MS',
  recorderGoneMs: 'LUCID_RECORDER_GONE_MS',
  drainWaitMs: 'LUCID_DRAIN_WAIT_MS',
  reconcileMs: 'LUCID_RECONCILE_MS',
} as const satisfies Partial<Record<keyof PipelineLimits, string>>;

function readWaits(environment: Environment): Partial<PipelineLimits> {
  const names = Object.keys(waits) as (keyof typeof waits)[];
  const bounds = { min: 100, max: 86_400_000 };
  return Object.fromEntries(
    names.map((name) => [name, readInteger(environment, waits[name], { ...bounds, fallback: defaultLimits[name] })]),
  );
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const recheckStepsMax = 20;

/** `1h,1d,7d`: after an hour, a day, a week, and every week from then on. */
function readRechecks(environment: Environment): readonly number[] {
  const text = readText(environment, 'LUCID_ANCHOR_RECHECKS', '');
  if (text === '') return defaultLimits.anchorRechecksMs;
  const steps = text.split(',').map((step) => /^\s*([1-9]\d{0,4})([smhd])\s*$/.exec(step));
  if (steps.length > recheckStepsMax || steps.includes(null))
    throw new EnvironmentError('LUCID_ANCHOR_RECHECKS', 'must be waits like 1h,1d,7d (s, m, h or d), at most 20');
  return steps.map((step) => Number(step?.[1]) * unitMs[step?.[2] as keyof typeof unitMs]);
}

function readSwitch(environment: Environment, variable: string, fallback: 'on' | 'off' = 'off'): boolean {
  const text = readText(environment, variable, fallback);
  if (text !== 'on' && text !== 'off') throw new EnvironmentError(variable, 'must be on or off');
  return text === 'on';
}

function readJoin(environment: Environment): JoinPolicy {
  const text = readText(environment, 'RDP_JOIN', defaultLimits.join);
  const policy = joinPolicies.find((known) => known === text);
  if (policy === undefined) throw new EnvironmentError('RDP_JOIN', `must be one of ${joinPolicies.join(', ')}`);
  return policy;
}

/** The text of a file; null where none is named. */
function readConsentText(environment: Environment): string | null {
  const variable = 'RDP_CONSENT_TEXT_FILE';
  const path = readText(environment, variable, '');
  if (path === '') return null;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)).trim();
  } catch (error) {
    throw new EnvironmentError(variable, `must name a text file in UTF-8: ${(error as Error).message}`);
  }
  if (text === '' || text.length > consentTextMax)
    throw new EnvironmentError(variable, `must name a text of 1 to ${consentTextMax} characters`);
  return text;
}

function readRenewalHash(environment: Environment): DigestName {
  const text = readText(environment, 'LUCID_RENEWAL_HASH', defaultLimits.renewalHash);
  const hash = digestNames.find((name) => name === text);
  if (hash === undefined) throw new EnvironmentError('LUCID_RENEWAL_HASH', `must be one of ${digestNames.join(', ')}`);
  return hash;
}

export function readPipelineEnv(environment: Environment): PipelineConfig {
  return {
    ...readInternalService(environment, 'SESSION_PIPELINE_PORT'),
    limits: {
      ...defaultLimits,
      headsMs: readInteger(environment, 'LUCID_HEADS_MS', { min: 100, max: 60_000, fallback: defaultLimits.headsMs }),
      anchorRechecksMs: readRechecks(environment),
      renewalMs: readInteger(environment, 'LUCID_RENEWAL_DAYS', { min: 0, max: 3650, fallback: 0 }) * 86_400_000,
      renewalHash: readRenewalHash(environment),
      anchorPollMs: readInteger(environment, 'LUCID_ANCHOR_POLL_SECONDS', { min: 1, max: 86_400, fallback: 60 }) * 1000,
      ...readWaits(environment),
      cookieRoute: readCookieRoute(environment),
      leaveIn: readLeaveIn(environment, 'RDP_LEAVE_IN'),
      consentText: readConsentText(environment),
      approval: readSwitch(environment, 'RDP_APPROVAL'),
      screensBinding: readSwitch(environment, 'RDP_SCREENS_BINDING'),
      join: readJoin(environment),
      channels: readChannelRules(environment, 'RDP_CHANNELS'),
      bulkCompression: readSwitch(environment, 'RDP_BULK_COMPRESSION', 'on'),
      rdpFileDays: readInteger(environment, 'LUCID_RDP_FILE_DAYS', { min: 0, max: 3650, fallback: 0 }),
      credentialsHours: readInteger(environment, 'LUCID_CREDENTIALS_HOURS', { min: 0, max: 87_600, fallback: 168 }),
      gatewayCredentialMinutes: readInteger(environment, 'LUCID_GATEWAY_CREDENTIAL_MINUTES', {
        min: 1,
        max: 1440,
        fallback: 10,
      }),
      reconnectSeconds: readInteger(environment, 'LUCID_RECONNECT_SECONDS', { min: 0, max: 86_400, fallback: 300 }),
      retentionDaysDefault: readRetentionDaysDefault(environment),
      concurrentSessionsMax: readSessionsMax(environment),
    },
  };
}
