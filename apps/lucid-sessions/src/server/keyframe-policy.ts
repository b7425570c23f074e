import { availableParallelism } from 'node:os';
import type { KeyframePolicy } from '@lucid-sessions/indexer';
import { type Environment, readInteger } from '@lucid-sessions/kit';

const variable = 'LUCID_KEYFRAMES_AHEAD_PERCENT';

/** 0: keyframes are made when somebody looks; else ahead for every session, within so many percent of all cores. */
export function readKeyframePolicy(environment: Environment): KeyframePolicy {
  const percent = readInteger(environment, variable, { min: 0, max: 100, fallback: 0 });
  return percent === 0 ? { made: 'asked' } : { made: 'ahead', coresMax: (percent / 100) * availableParallelism() };
}

/** For health. */
export const tellKeyframePolicy = (policy: KeyframePolicy): string =>
  policy.made === 'asked'
    ? 'made when somebody looks'
    : `made ahead, within ${policy.coresMax.toFixed(2)} of ${availableParallelism()} cores`;
