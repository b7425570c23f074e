import { type AlertCondition, type AlertRule, alertRulesMax } from '@lucid-sessions/contract';
import type { Context } from '../context.ts';

export type KnownRule = AlertRule & { ruleId: string };

/** Those that are in force. */
export async function rulesInForce({ deps }: Pick<Context, 'deps'>): Promise<KnownRule[]> {
  const { entries } = await deps.storage.listEntries({ kind: 'alert_rule', after: '', limit: alertRulesMax });
  return entries
    .map(({ id, value }) => ({ ...(value as unknown as AlertRule), ruleId: id }))
    .filter(({ enabled }) => enabled);
}

const atBeginning: readonly AlertCondition['kind'][] = ['sessions', 'rare_target'];

/** A fact of how the session began; all others are held against its index. */
export const isOfBeginning = ({ condition }: Pick<AlertRule, 'condition'>): boolean =>
  atBeginning.includes(condition.kind);
