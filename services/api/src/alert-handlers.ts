/** Rules over what happens in sessions, and the alerts they raised. */
import { createHash } from 'node:crypto';
import {
  type Alert,
  type AlertRule,
  type AlertRuleFields,
  alertRulesMax,
  type alertRuleView,
  type alertView,
  isoOf,
  LucidError,
} from '@lucid-sessions/contract';
import type { z } from 'zod';
import type { Call, Handlers } from './call.ts';
import { fieldChanges } from './changes.ts';
import { EntrySet, type Kept } from './people/entry-set.ts';
import { isScoped, needVisible, seesSession } from './scope-gate.ts';
import { recordingUrl } from './views.ts';

type AlertOperations =
  | 'listAlerts'
  | 'listAlertRules'
  | 'createAlertRule'
  | 'getAlertRule'
  | 'replaceAlertRule'
  | 'removeAlertRule';
type RuleCall = Call<'getAlertRule' | 'replaceAlertRule' | 'removeAlertRule'>;

const rulesOf = ({ api }: Pick<Call, 'api'>) => new EntrySet<AlertRule>(api.deps.storage, 'alert_rule');
const ruleIdOf = ({ params }: Pick<Call, 'params'>): string => params.rule_id ?? '';
const noSuchRule = (): LucidError => new LucidError('notFound', 'there is no such rule');

function fieldsOf({ name, severity, condition, end_session, enabled }: AlertRuleFields): AlertRuleFields {
  return { name, severity, condition, end_session, enabled };
}

function ruleView({ id, value }: Kept<AlertRule>): z.output<typeof alertRuleView> {
  return {
    rule_id: id,
    ...fieldsOf(value),
    created_at: isoOf(value.created_us),
    created_by: value.created_by,
    changed_at: isoOf(value.changed_us),
  };
}

/** For the audit log, which goes to a SIEM: a pattern can be what nobody is to read there. */
function toldRule({ condition, ...fields }: AlertRuleFields): Record<string, unknown> {
  if (condition.kind !== 'pattern') return { ...fields, condition };
  const { pattern, ...rest } = condition;
  const pattern_sha256 = createHash('sha256').update(pattern).digest('hex');
  return { ...fields, condition: { ...rest, pattern_sha256 } };
}

function checkPattern({ api, body }: Pick<Call<'createAlertRule'>, 'api' | 'body'>): void {
  const { condition } = body;
  if (condition.kind !== 'pattern') return;
  if (api.deps.sessionIndexes === undefined) throw new LucidError('unavailable', 'this process makes no session index');
  const problem = api.deps.sessionIndexes.patternProblem(condition.pattern);
  if (problem !== null) throw new LucidError('invalidRequest', `condition.pattern: ${problem.slice(0, 300)}`);
}

async function createAlertRule(call: Call<'createAlertRule'>) {
  const { api, body, user } = call;
  checkPattern(call);
  const rules = rulesOf(call);
  if ((await rules.page('', alertRulesMax)).length >= alertRulesMax)
    throw new LucidError('conflict', `there are ${alertRulesMax} rules, and there may be no more`);
  const id = api.deps.newId();
  const nowUs = api.deps.nowUs();
  const value: AlertRule = {
    ...fieldsOf(body),
    created_us: nowUs,
    created_by: user.userId,
    changed_us: nowUs,
  };
  await rules.add(id, value);
  Object.assign(call.told, { rule_id: id, ...toldRule(value) });
  return ruleView({ id, value, owner: null, version: 1, untilUs: null });
}

async function replaceAlertRule(call: Call<'replaceAlertRule'>) {
  const { api, body } = call;
  checkPattern(call);
  const id = ruleIdOf(call);
  const known = await rulesOf(call).get(id);
  const changed = await rulesOf(call).change(id, ({ value }) => ({
    value: { ...value, ...fieldsOf(body), changed_us: api.deps.nowUs() },
  }));
  if (known === null || changed === null) throw noSuchRule();
  const changes = fieldChanges(toldRule(fieldsOf(known.value)), toldRule(fieldsOf(changed.value)));
  Object.assign(call.told, { rule_id: id, rule: changed.value.name, changes });
  return ruleView(changed);
}

async function ofRule(call: RuleCall): Promise<Kept<AlertRule>> {
  const known = await rulesOf(call).get(ruleIdOf(call));
  if (known === null) throw noSuchRule();
  return known;
}

function viewOf({ id, owner, value }: Kept<Alert>, publicUrl: string): z.output<typeof alertView> {
  const { chunk_index, at_us, ...rest } = value;
  const sessionId = owner ?? '';
  return {
    ...rest,
    alert_id: id,
    session_id: sessionId,
    at: isoOf(at_us),
    chunk: chunk_index === null ? null : chunk_index + 1,
    recording_url: `${recordingUrl(sessionId, publicUrl)}#t=${(value.time_us / 1e6).toFixed(1)}`,
  };
}

const scopedPage = 500;

/** Page by page, until so many are there that the caller sees. */
async function listAlerts(call: Call<'listAlerts'>) {
  const { api, query } = call;
  const { session_id, limit } = query;
  if (session_id !== undefined) await needVisible(call, session_id);
  const kept = new EntrySet<Alert>(api.deps.storage, 'alert');
  const sees = await seesSession(call);
  // Of alerts of which few are seen a page as long as the answer would be read for each of them.
  const size = isScoped(call.user) ? Math.max(limit, scopedPage) : limit;
  const seen: Kept<Alert>[] = [];
  const answer = (next: string | null) => ({
    alerts: seen.map((alert) => viewOf(alert, api.config.publicUrl)),
    next,
  });
  for (let { after } = query; ; ) {
    const page = await kept.page(after, size, session_id);
    for (const alert of page) {
      if (!(await sees(alert.owner ?? ''))) continue;
      if (seen.length === limit) return answer(seen.at(-1)!.id);
      seen.push(alert);
    }
    if (page.length < size) return answer(null);
    after = page.at(-1)!.id;
  }
}

export const alertHandlers: Handlers<AlertOperations> = {
  listAlerts,
  async listAlertRules(call) {
    return { rules: (await rulesOf(call).page('', alertRulesMax)).map(ruleView) };
  },
  createAlertRule,
  getAlertRule: async (call) => ruleView(await ofRule(call)),
  replaceAlertRule,
  async removeAlertRule(call) {
    const { id, value } = await ofRule(call);
    await rulesOf(call).remove(id);
    Object.assign(call.told, { rule_id: id, rule: value.name });
    return { rule_id: id, removed: true } as const;
  },
};
