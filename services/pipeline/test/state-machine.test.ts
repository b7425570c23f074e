import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionStatuses } from '@lucid-sessions/contract';
import {
  liveStates,
  type PipelineEvent,
  type PipelineState,
  pipelineEvents,
  pipelineStates,
  sessionStatusOf,
  transition,
} from '@lucid-sessions/pipeline';
import fc from 'fast-check';

/** Arcs of the contract; every other one would be a change of it. */
const arcs: Record<PipelineState, readonly PipelineState[]> = {
  created: ['starting', 'cleanup'],
  starting: ['starting', 'active', 'stopping', 'error'],
  active: ['active', 'pausing', 'stopping', 'error'],
  pausing: ['active', 'paused', 'stopping', 'error'],
  paused: ['paused', 'active', 'stopping', 'error'],
  stopping: ['stopping', 'stopped', 'error'],
  stopped: ['created', 'cleanup'],
  // Back where it came from: a legal hold takes a deletion back that has destroyed nothing.
  cleanup: ['destroyed', 'stopped', 'error'],
  destroyed: [],
  error: ['created', 'stopping', 'cleanup'],
};

const event = fc.constantFrom(...pipelineEvents);
const walk = (events: readonly PipelineEvent[], from: PipelineState = 'created') =>
  events.reduce<PipelineState>((state, next) => transition(state, next)?.next ?? state, from);

test('every transition runs along an arc of the contract', () => {
  for (const state of pipelineStates)
    for (const name of pipelineEvents) {
      const moved = transition(state, name);
      if (moved !== null) assert.ok(arcs[state].includes(moved.next), `${state} --${name}--> ${moved.next}`);
    }
});

test('every state can be reached, and every state but the last can be left', () => {
  const reached = new Set<PipelineState>(['created']);
  for (let size = 0; size !== reached.size; ) {
    size = reached.size;
    for (const state of [...reached])
      for (const name of pipelineEvents) {
        const moved = transition(state, name);
        if (moved !== null) reached.add(moved.next);
      }
  }
  assert.deepEqual([...reached].sort(), [...pipelineStates].sort());
  for (const state of pipelineStates)
    assert.equal(
      pipelineEvents.some((name) => (transition(state, name)?.next ?? state) !== state),
      state !== 'destroyed',
      state,
    );
});

test('from wherever events lead, a session can still be brought to its end', () => {
  const ways: Partial<Record<PipelineState, PipelineEvent>> = {
    created: 'remove',
    starting: 'stop',
    active: 'stop',
    pausing: 'stop',
    paused: 'stop',
    stopping: 'finalised',
    stopped: 'remove',
    error: 'remove',
    cleanup: 'purged',
  };
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let state = walk(events);
      for (let left = 6; left > 0 && state !== 'destroyed'; left--) state = walk([ways[state]!], state);
      assert.equal(state, 'destroyed');
    }),
  );
});

test('nothing is recorded that was not opened, and nothing is purged while it may be recorded', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let state: PipelineState = 'created';
      for (const name of events) {
        const moved = transition(state, name);
        if (moved === null) continue;
        if (name === 'admit') assert.deepEqual(moved.effects, ['open_recording']);
        if (moved.effects.includes('purge')) assert.equal(liveStates.includes(state), false);
        if (moved.next === 'active') assert.notEqual(state, 'created');
        state = moved.next;
      }
    }),
  );
});

test('events out of place change nothing', () => {
  for (const name of pipelineEvents) assert.equal(transition('destroyed', name), null);
  assert.equal(transition('active', 'arm'), null);
  assert.equal(transition('active', 'remove'), null);
  assert.equal(transition('created', 'started'), null);
});

test('each state has its status in the contract', () => {
  const no = { drained: false, finalised: false, failed: false };
  for (const state of pipelineStates) assert.ok(sessionStatuses.includes(sessionStatusOf(state, no)));
  assert.equal(sessionStatusOf('pausing', no), 'recording');
  assert.equal(sessionStatusOf('stopping', no), 'stopped');
  assert.equal(sessionStatusOf('stopping', { ...no, drained: true }), 'processing');
  assert.equal(sessionStatusOf('stopped', no), 'stopped');
  assert.equal(sessionStatusOf('stopped', { ...no, finalised: true }), 'completed');
  assert.equal(sessionStatusOf('stopped', { ...no, finalised: true, failed: true }), 'failed');
  assert.equal(sessionStatusOf('error', no), 'failed');
  assert.equal(sessionStatusOf('destroyed', no), 'deleted');
});
