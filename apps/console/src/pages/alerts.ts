/** What rules have found, and for who may, the rules. */
import { alertConditionWords } from '@lucid-sessions/contract/alert-words';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../api/client.ts';
import { may } from '../api/credentials.ts';
import { act, answerPlace, askFirst, doneNotice, sayFailure } from '../ui/act.ts';
import { type AlertRule, alertRuleForm } from '../ui/alert-rule-form.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { formatClock } from '../ui/format.ts';
import { icon } from '../ui/icons.ts';
import type { Page, PageContext } from '../ui/page.ts';
import { type Column, instant, severityBadge, table } from '../ui/parts.ts';

type Alert = RestAnswer<'listAlerts'>['alerts'][number];

const pageSize = 50;

const moment = ({ session_id, time_us, rule_name }: Alert): HTMLElement =>
  h(
    'a',
    {
      href: `/sessions/${session_id}#t=${(time_us / 1e6).toFixed(1)}`,
      'aria-label': `${rule_name} at ${formatClock(time_us / 1e6)}`,
    },
    formatClock(time_us / 1e6),
  );

const columns = (linked: boolean): readonly Column<Alert>[] => [
  { name: 'When', cell: ({ at }) => instant(at) },
  { name: 'Severity', cell: ({ severity }) => severityBadge(severity) },
  {
    name: 'Rule',
    cell: ({ rule_name, more, ended_session }) => [
      rule_name,
      more > 0 && h('div', { class: 'muted small' }, `and ${more} more soon behind`),
      ended_session && h('div', { class: 'muted small' }, 'it ended the session'),
    ],
  },
  ...(linked
    ? [
        {
          name: 'Session',
          cell: ({ session_id, session_name, person, host }: Alert): Child => [
            h('a', { href: `/sessions/${session_id}` }, session_name),
            h('div', { class: 'muted small' }, person ? `${person} on ${host}` : host),
          ],
        },
      ]
    : []),
  { name: 'Moment', cell: moment },
];

/** Alerts of one session or of all, page by page. `onAlerts` is given all that are shown. */
export function alertList(
  api: ApiClient,
  sessionId: string | null,
  signal: AbortSignal,
  onAlerts: (alerts: readonly Alert[]) => void = () => {},
): HTMLElement {
  const alerts: Alert[] = [];
  const host = h('div', {});
  const problem = answerPlace();
  const more = h('button', { type: 'button' }, 'Show more');
  let after = '';
  async function load(): Promise<void> {
    const { alerts: page, next } = await api.rest.listAlerts({
      query: { after, limit: pageSize, ...(sessionId === null ? {} : { session_id: sessionId }) },
      signal,
    });
    alerts.push(...page);
    after = next ?? '';
    fill(
      host,
      alerts.length === 0
        ? h('p', { class: 'muted' }, 'No rule has found anything.')
        : table('Alerts', columns(sessionId === null), alerts),
      next !== null && h('div', { class: 'pages' }, more),
    );
    onAlerts(alerts);
  }
  more.addEventListener('click', () => void act(api, more, problem, load));
  void load().catch((error: unknown) => sayFailure(api, problem, error));
  return h('div', {}, host, problem);
}

function ruleCard(context: PageContext, rule: AlertRule, edit: (rule: AlertRule) => void): HTMLElement {
  const { api, signal } = context;
  const element = h('section', { class: 'card', 'aria-label': rule.name });
  const remove = (): void =>
    askFirst(
      api,
      {
        title: `Remove ${rule.name}?`,
        consequence: 'It judges nothing any more. What it found stays.',
        action: 'Remove',
        work: async () => {
          await api.rest.removeAlertRule({ params: { rule_id: rule.rule_id } });
          element.remove();
        },
      },
      signal,
    );
  const button = (label: string, tone: string, click: () => void): HTMLElement =>
    h('button', { type: 'button', class: tone, 'aria-label': `${label}: ${rule.name}`, on: { click } }, label);
  fill(
    element,
    h('div', { class: 'heading' }, h('h3', { class: 'grow' }, rule.name), severityBadge(rule.severity)),
    h('p', { class: 'mono' }, alertConditionWords(rule.condition)),
    h(
      'p',
      { class: 'muted small' },
      [rule.end_session && 'ends the session', !rule.enabled && 'not in force'].filter(Boolean).join(', '),
    ),
    h(
      'div',
      { class: 'actions' },
      button('Change', '', () => edit(rule)),
      button('Remove', 'danger', remove),
    ),
  );
  return element;
}

function ruleSection(context: PageContext): HTMLElement {
  const { api, signal } = context;
  const list = h('div', { class: 'steps' });
  const editor = h('div', {});
  const problem = answerPlace();
  async function load(): Promise<void> {
    const { rules } = await api.rest.listAlertRules({ signal });
    fill(
      list,
      rules.length === 0
        ? h('div', { class: 'card empty' }, 'No rules: nothing is judged.')
        : rules.map((rule) => ruleCard(context, rule, edit)),
    );
  }
  const again = (): void => void load().catch((error: unknown) => sayFailure(api, problem, error));
  function edit(rule: AlertRule | null): void {
    const close = (said: Child): void => {
      fill(editor, said && doneNotice(said));
      again();
    };
    fill(editor, alertRuleForm(context, rule, close));
    editor.querySelector<HTMLElement>('h2')?.focus();
  }
  again();
  return h(
    'section',
    { 'aria-labelledby': 'rules' },
    h(
      'div',
      { class: 'heading' },
      h('h2', { class: 'grow', id: 'rules' }, 'Rules'),
      h('button', { type: 'button', class: 'primary', on: { click: () => edit(null) } }, icon('plus'), 'New rule'),
    ),
    editor,
    h('div', { class: 'form account' }, list, problem),
  );
}

export function alertsPage(context: PageContext): Page {
  const { api, claims, signal } = context;
  return {
    title: 'Alerts',
    content: [
      h('h1', {}, 'Alerts'),
      h('p', { class: 'muted' }, 'Which rule found something, where and when. What it found is in the recording.'),
      h('div', { class: 'card' }, alertList(api, null, signal)),
      may(claims, 'alerts:manage') && ruleSection(context),
    ],
  };
}
