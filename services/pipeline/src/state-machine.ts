/**
 * A session's life as the contract draws it: created → starting → active ⇄ pausing/paused → stopping → stopped → cleanup →
 * destroyed; error from any live state; recover from error and stopped back to created; from cleanup back where a legal hold comes first. Next state and effects are data;
 * who carries an effect out may crash before or after it, so every effect is idempotent.
 */
import type { SessionStatus } from '@lucid-sessions/contract';

export const pipelineStates = [
  'created',
  'starting',
  'active',
  'pausing',
  'paused',
  'stopping',
  'stopped',
  'cleanup',
  'destroyed',
  'error',
] as const;
export type PipelineState = (typeof pipelineStates)[number];

export const pipelineEvents = [
  /** Someone asked for the next connection to be recorded. */
  'arm',
  /** The recorder holds a connection for this session. */
  'admit',
  /** Client and target are joined; frames flow. */
  'started',
  'pause',
  'paused',
  /** The recorder could not pause. */
  'pause_failed',
  'resume',
  'stop',
  /** The RDP session is over. */
  'ended',
  /** Every chunk is stored. */
  'drained',
  /** It ended before anything was recorded. */
  'nothing_recorded',
  /** The manifest is signed, stored and logged. */
  'finalised',
  /** Something this session needs has failed for good. */
  'fail',
  /** What failed is tried once more. */
  'retry',
  /** Back to the beginning; only for sessions that recorded nothing. */
  'recover',
  'remove',
  'expire',
  /** A legal hold was set before anything was destroyed. */
  'kept',
  /** The same, of one that could not be finished. */
  'kept_failed',
  'purged',
] as const;
export type PipelineEvent = (typeof pipelineEvents)[number];

export type Effect =
  /** Keys, signed `open` record, log. Before the recorder hears yes. */
  | 'open_recording'
  | 'pause_recorder'
  | 'resume_recorder'
  | 'stop_recorder'
  /** Manifest: sign, store, log. */
  | 'finalise'
  /** Outside anchors, and the date the recording expires. */
  | 'settle'
  /** Signed erase record, keys destroyed, files removed. */
  | 'purge';

export interface Transition {
  next: PipelineState;
  effects: readonly Effect[];
}

const to = (next: PipelineState, ...effects: Effect[]): Transition => ({ next, effects });

type Row = Partial<Record<PipelineEvent, Transition>>;

const ending: Row = {
  stop: to('stopping', 'stop_recorder'),
  ended: to('stopping'),
  fail: to('error', 'settle'),
};

export const transitions: Record<PipelineState, Row> = {
  created: { arm: to('starting'), admit: to('starting', 'open_recording'), remove: to('cleanup', 'purge') },
  starting: {
    ...ending,
    arm: to('starting'),
    admit: to('starting', 'open_recording'),
    started: to('active'),
  },
  active: { ...ending, started: to('active'), pause: to('pausing', 'pause_recorder') },
  pausing: { ...ending, paused: to('paused'), pause_failed: to('active') },
  paused: { ...ending, paused: to('paused'), resume: to('active', 'resume_recorder') },
  stopping: {
    ended: to('stopping'),
    drained: to('stopping', 'finalise'),
    nothing_recorded: to('stopped'),
    finalised: to('stopped', 'settle'),
    fail: to('error', 'settle'),
  },
  stopped: { recover: to('created'), remove: to('cleanup', 'purge'), expire: to('cleanup', 'purge') },
  cleanup: { purged: to('destroyed'), kept: to('stopped', 'settle'), kept_failed: to('error', 'settle') },
  destroyed: {},
  error: {
    recover: to('created'),
    retry: to('stopping', 'finalise'),
    remove: to('cleanup', 'purge'),
    expire: to('cleanup', 'purge'),
  },
};

/** Null: the event has no place in this state. */
export function transition(state: PipelineState, event: PipelineEvent): Transition | null {
  return transitions[state][event] ?? null;
}

export function isPipelineState(value: unknown): value is PipelineState {
  return pipelineStates.includes(value as PipelineState);
}

/** States in which an RDP session may be running. */
export const liveStates: readonly PipelineState[] = ['starting', 'active', 'pausing', 'paused', 'stopping'];

/** States in which a connection may come, for the first time or again. */
export const openStates: readonly PipelineState[] = ['created', 'starting', 'active', 'pausing', 'paused'];

/** The session's status in the contract follows from the state and how far the end has come. */
export function sessionStatusOf(
  state: PipelineState,
  progress: { drained: boolean; finalised: boolean; failed: boolean },
): SessionStatus {
  switch (state) {
    case 'created':
    case 'starting':
    case 'paused':
      return state;
    case 'active':
    case 'pausing':
      return 'recording';
    case 'stopping':
      return progress.drained ? 'processing' : 'stopped';
    case 'stopped':
      if (!progress.finalised) return 'stopped';
      return progress.failed ? 'failed' : 'completed';
    case 'error':
      return 'failed';
    case 'cleanup':
    case 'destroyed':
      return 'deleted';
  }
}
