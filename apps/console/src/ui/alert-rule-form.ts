/** The form of a rule: what it looks at decides which fields there are. */
import type { RestAnswer, RestBody } from '@lucid-sessions/contract/rest-client';
import { act, answerPlace } from './act.ts';
import { type Child, fill, h } from './dom.ts';
import type { PageContext } from './page.ts';
import { choices } from './role-words.ts';
import { check, choice, field, fieldProblems, input } from './session-form.ts';

export type AlertRule = RestAnswer<'getAlertRule'>;
type Condition = AlertRule['condition'];
type Kind = Condition['kind'];
type Of<K extends Kind> = Extract<Condition, { kind: K }>;

const kinds: readonly (readonly [Kind, string])[] = [
  ['pattern', 'A text is typed, copied, shown or named'],
  ['hours', 'Somebody works outside of usual hours'],
  ['volume', 'Much leaves the target'],
  ['sessions', 'One person begins many sessions'],
  ['rare_target', 'A target that is rarely used'],
];

/** Fields of one kind, and what they say. */
interface Part {
  element: HTMLElement;
  read(): Condition;
}

const number = (name: string, min: number, max: number, value: number): HTMLInputElement =>
  input(name, { type: 'number', min, max, step: 1, required: true, value });

function patternPart(known?: Of<'pattern'>): Part {
  const pattern = input('pattern', {
    required: true,
    maxlength: 500,
    spellcheck: 'false',
    value: known?.pattern ?? '',
  });
  const words = { typed: 'typed lines', clipboard: 'copied texts', windows: 'window titles', files: 'names of files' };
  const places = choices(
    'alert-place',
    'Looked for in',
    (Object.keys(words) as (keyof typeof words)[]).map((value) => ({
      ...{ value, label: words[value] },
      checked: known === undefined || known.in.includes(value),
    })),
  );
  const matchCase = check('match_case', 'Upper and lower case differ', known?.match_case ?? false);
  const logon = check('before_logon', 'Also before the logon: it may be a password', known?.before_logon ?? false);
  const isOn = (box: HTMLElement): boolean => box.querySelector('input')?.checked === true;
  return {
    element: h(
      'div',
      {},
      field('Regular expression', pattern, 'RE2: no back references, no look-around. \\bdrop\\s+table\\b'),
      places.element,
      matchCase,
      logon,
    ),
    read: () => ({
      ...{ kind: 'pattern', pattern: pattern.value, in: places.chosen() },
      ...{ match_case: isOn(matchCase), before_logon: isOn(logon) },
    }),
  };
}

function hoursPart(known?: Of<'hours'>): Part {
  const zone = input('time_zone', {
    required: true,
    maxlength: 64,
    value: known?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
  });
  const from = input('from', { type: 'time', required: true, value: known?.from ?? '07:00' });
  const to = input('to', { type: 'time', required: true, value: known?.to ?? '19:00' });
  const names = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
  const days = choices(
    'alert-day',
    'Usual days',
    names.map((label, at) => ({
      ...{ value: String(at + 1), label },
      checked: known === undefined ? at < 5 : known.days.includes(at + 1),
    })),
  );
  return {
    element: h(
      'div',
      {},
      h(
        'div',
        { class: 'row' },
        field('Usual from', from),
        field('Usual to', to),
        field('Time zone', zone, 'Europe/Berlin'),
      ),
      days.element,
    ),
    read: () => ({
      ...{ kind: 'hours', time_zone: zone.value.trim(), from: from.value, to: to.value },
      days: days.chosen().map(Number),
    }),
  };
}

function volumePart(known?: Of<'volume'>): Part {
  const most = number('more_than', 0, Number.MAX_SAFE_INTEGER, known?.more_than ?? 10_000_000);
  const of = choice('of', [
    ['bytes', 'bytes'],
    ['files', 'files'],
  ]);
  of.value = known?.of ?? 'bytes';
  const minutes = number('minutes', 1, 240, known?.minutes ?? 10);
  const words = { clipboard: 'the clipboard', drives: 'shared drives', printers: 'printers' };
  const through = choices(
    'alert-way',
    'By way of',
    (Object.keys(words) as (keyof typeof words)[]).map((value) => ({
      ...{ value, label: words[value] },
      checked: known === undefined || known.through.includes(value),
    })),
  );
  return {
    element: h(
      'div',
      {},
      h('div', { class: 'row' }, field('More than', most), field('Of', of), field('Within minutes', minutes)),
      through.element,
    ),
    read: () => ({
      ...{ kind: 'volume', of: of.value as 'bytes' | 'files', through: through.chosen() },
      ...{ more_than: most.valueAsNumber, minutes: minutes.valueAsNumber },
    }),
  };
}

function sessionsPart(known?: Of<'sessions'>): Part {
  const most = number('more_than', 1, 1000, known?.more_than ?? 10);
  const minutes = number('minutes', 1, 1440, known?.minutes ?? 60);
  return {
    element: h('div', { class: 'row' }, field('More sessions than', most), field('Within minutes', minutes)),
    read: () => ({ kind: 'sessions', more_than: most.valueAsNumber, minutes: minutes.valueAsNumber }),
  };
}

function rarePart(known?: Of<'rare_target'>): Part {
  const by = choice('by', [
    ['person', 'this person'],
    ['anyone', 'anybody at all'],
  ]);
  by.value = known?.by ?? 'person';
  const days = number('days', 1, 3650, known?.days ?? 90);
  return {
    element: h('div', { class: 'row' }, field('Not used by', by), field('For days', days)),
    read: () => ({ kind: 'rare_target', by: by.value as 'person' | 'anyone', days: days.valueAsNumber }),
  };
}

function partOf(kind: Kind, condition: Condition | null): Part {
  const known = condition?.kind === kind ? condition : undefined;
  switch (kind) {
    case 'pattern':
      return patternPart(known as Of<'pattern'> | undefined);
    case 'hours':
      return hoursPart(known as Of<'hours'> | undefined);
    case 'volume':
      return volumePart(known as Of<'volume'> | undefined);
    case 'sessions':
      return sessionsPart(known as Of<'sessions'> | undefined);
    case 'rare_target':
      return rarePart(known as Of<'rare_target'> | undefined);
  }
}

export function alertRuleForm({ api }: PageContext, rule: AlertRule | null, close: (said: Child) => void): HTMLElement {
  const answer = answerPlace();
  const save = h('button', { class: 'primary', type: 'submit' }, rule === null ? 'Make the rule' : 'Save');
  const name = input('name', { required: true, maxlength: 100, value: rule?.name ?? '' });
  const severity = choice(
    'severity',
    ['low', 'medium', 'high', 'critical'].map((value) => [value, value] as const),
  );
  severity.value = rule?.severity ?? 'medium';
  const kind = choice('kind', kinds);
  kind.value = rule?.condition.kind ?? 'pattern';
  const place = h('div', {});
  let part = partOf(kind.value as Kind, rule?.condition ?? null);
  fill(place, part.element);
  kind.addEventListener('change', () => {
    part = partOf(kind.value as Kind, rule?.condition ?? null);
    fill(place, part.element);
  });
  const ends = check('end_session', 'It ends the session', rule?.end_session ?? false);
  const enabled = check('enabled', 'It is in force', rule?.enabled ?? true);
  const isOn = (box: HTMLElement): boolean => box.querySelector('input')?.checked === true;

  async function send(): Promise<void> {
    const body: RestBody<'createAlertRule'> = {
      name: name.value.trim(),
      severity: severity.value as AlertRule['severity'],
      condition: part.read(),
      end_session: isOn(ends),
      enabled: isOn(enabled),
    };
    try {
      if (rule === null) await api.rest.createAlertRule({ body });
      else await api.rest.replaceAlertRule({ params: { rule_id: rule.rule_id }, body });
    } catch (error) {
      fill(answer, fieldProblems(error));
      throw error;
    }
    close(`${body.name}: saved. It judges what happens from now on.`);
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!save.disabled) void act(api, save, answer, send);
  };
  return h(
    'form',
    { class: 'form', 'aria-labelledby': 'rule-title', on: { submit } },
    h(
      'div',
      { class: 'card' },
      h('h2', { id: 'rule-title', tabindex: -1 }, rule === null ? 'New rule' : `Change ${rule.name}`),
      h('div', { class: 'row' }, field('Name', name, 'Told wherever the alert is told.'), field('Severity', severity)),
      field('It says something when', kind),
      place,
      ends,
      enabled,
      answer,
      h('div', { class: 'actions' }, h('button', { type: 'button', on: { click: () => close(null) } }, 'Cancel'), save),
    ),
  );
}
