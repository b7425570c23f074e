/** What no session may loosen for a target, whoever set it up. */
import { type ChannelRules, type ClipboardWay, channelSwitches } from './recording-limits.ts';
import { type TargetRule, targetMatches } from './target-policy.ts';

export interface ChannelBound {
  target: TargetRule;
  rules: ChannelRules;
}

/** The rules of a session, made as strict as each bound of its target. `address` is the one that was reached. */
export function boundRules(
  rules: ChannelRules,
  target: { host: string; port: number; address: string },
  bounds: readonly ChannelBound[],
): ChannelRules {
  return bounds
    .filter((bound) => targetMatches(bound.target, target))
    .reduce((strict, bound) => stricter(strict, bound.rules), rules);
}

function stricter(rules: ChannelRules, bound: ChannelRules): ChannelRules {
  const strict: ChannelRules = { ...rules };
  for (const name of ['clipboard', 'clipboard_files'] as const) {
    const way = narrower(rules[name], bound[name]);
    if (way !== undefined) strict[name] = way;
  }
  for (const name of channelSwitches) if (bound[name] === false) strict[name] = false;
  const deny = [...new Set([...(rules.deny ?? []), ...(bound.deny ?? [])])];
  if (deny.length > 0) strict.deny = deny;
  if (bound.others === false) {
    // Exceptions hold where both make them; one who refuses nothing excepts everything.
    const excepted = bound.allow ?? [];
    strict.allow = rules.others === false ? excepted.filter((name) => rules.allow?.includes(name)) : excepted;
  }
  return strict;
}

function narrower(a: ClipboardWay | undefined, b: ClipboardWay | undefined): ClipboardWay | undefined {
  if (a === undefined || a === 'both') return b ?? a;
  return b === undefined || b === 'both' || a === b ? a : 'off';
}
