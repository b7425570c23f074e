import assert from 'node:assert/strict';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { test } from 'node:test';
import { createReclaimer } from '../src/spool/reclaim.ts';

test('the spool thread may ask for a young collection: this V8 still lends its collector', async () => {
  const reclaim = createReclaimer();
  const seen = new Promise<void>((resolve) => {
    const observer = new PerformanceObserver((list) => {
      const isMinor = ({ detail }: { detail?: { kind?: number } }) =>
        detail?.kind === constants.NODE_PERFORMANCE_GC_MINOR;
      if (!list.getEntries().some((entry) => isMinor(entry as { detail?: { kind?: number } }))) return;
      observer.disconnect();
      resolve();
    });
    observer.observe({ entryTypes: ['gc'] });
  });
  // Nothing else here makes garbage: without the collector no collection comes.
  for (let calls = 0; calls < 4; calls += 1) reclaim(1024 * 1024);
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('late'), 5000).unref());
  assert.notEqual(await Promise.race([seen, late]), 'late', 'this V8 lends no collector: see reclaim.ts');
});
