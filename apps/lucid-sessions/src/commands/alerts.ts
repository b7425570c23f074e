import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import type { RestAnswer } from '@lucid-sessions/contract';
import { alertConditionWords } from '@lucid-sessions/contract/alert-words';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output, table } from '../cli/output.ts';
import { formatRecordingTime } from './recording-time.ts';

type Rule = RestAnswer<'getAlertRule'>;
type RuleFields = Pick<Rule, 'name' | 'severity' | 'condition' | 'end_session' | 'enabled'>;

const pageSize = 500;

export async function listAlerts(api: ApiClient, output: Output, options: { session?: string; limit: number }) {
  const { session, limit } = options;
  const alerts: RestAnswer<'listAlerts'>['alerts'] = [];
  for (let after: string | null = ''; after !== null && alerts.length < limit; ) {
    const query = { after, limit: Math.min(pageSize, limit - alerts.length) };
    const page: RestAnswer<'listAlerts'> = await api.rest.listAlerts({
      query: { ...query, ...(session === undefined ? {} : { session_id: session }) },
    });
    alerts.push(...page.alerts);
    after = page.next;
  }
  const rows = alerts.map(({ at, severity, rule_name, session_id, person, host, time_us, more, ended_session }) => [
    at,
    severity,
    more > 0 ? `${rule_name} (+${more})` : rule_name,
    session_id,
    formatRecordingTime(time_us),
    person ?? '-',
    host,
    ended_session ? 'ended it' : '',
  ]);
  const header = ['AT', 'SEVERITY', 'RULE', 'SESSION', 'MOMENT', 'PERSON', 'HOST', ''];
  output.result({ alerts }, rows.length === 0 ? 'no rule has found anything' : table(header, rows));
}

export async function listRules(api: ApiClient, output: Output): Promise<void> {
  const { rules } = await api.rest.listAlertRules();
  const rows = rules.map(({ rule_id, severity, name, condition, end_session, enabled }) => [
    rule_id,
    severity,
    name,
    alertConditionWords(condition),
    [end_session ? 'ends sessions' : '', enabled ? '' : 'off'].filter((word) => word !== '').join(', '),
  ]);
  output.result(
    { rules },
    rows.length === 0 ? 'there is no rule' : table(['RULE', 'SEVERITY', 'NAME', 'WHEN', ''], rows),
  );
}

/** Whatever `rules --json` shows of a rule may stand in it. The API says what is wrong with the rest. */
async function ruleIn(file: string): Promise<RuleFields> {
  const text = file === '-' ? await readText(process.stdin) : await readFile(file, 'utf8').catch(unreadable(file));
  try {
    const { rule_id: _, created_at: __, created_by: ___, changed_at: ____, ...fields } = JSON.parse(text) as Rule;
    return fields;
  } catch {
    throw new CliError(`${file} is no JSON object`, exitCodes.usage);
  }
}

const unreadable =
  (file: string) =>
  (thrown: unknown): never => {
    throw new CliError(
      `${file} can't be read: ${(thrown as NodeJS.ErrnoException).code ?? 'unknown'}`,
      exitCodes.usage,
    );
  };

export async function addRule(api: ApiClient, output: Output, file: string): Promise<void> {
  const rule = await api.rest.createAlertRule({ body: await ruleIn(file) });
  output.result(rule, `${rule.rule_id}: ${alertConditionWords(rule.condition)}`);
}

export async function replaceRule(api: ApiClient, output: Output, ruleId: string, file: string): Promise<void> {
  const rule = await api.rest.replaceAlertRule({ params: { rule_id: ruleId }, body: await ruleIn(file) });
  output.result(rule, `${rule.rule_id}: ${alertConditionWords(rule.condition)}`);
}

export async function removeRule(api: ApiClient, output: Output, ruleId: string): Promise<void> {
  const removed = await api.rest.removeAlertRule({ params: { rule_id: ruleId } });
  output.result(removed, `${ruleId} is removed; what it found stays`);
}
