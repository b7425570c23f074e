/** What of the sessions somebody sees, in words and as fields. */
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../api/client.ts';
import { h } from './dom.ts';

export type Scope = NonNullable<RestAnswer<'getUser'>['scope']>;

const pagesMax = 25;

/** Names of targets by their ids, as many as are worth naming. */
export async function targetNames(api: ApiClient, signal: AbortSignal): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  let after = '';
  for (let page = 0; page < pagesMax; page++) {
    const query = { limit: 200, ...(after === '' ? {} : { after }) };
    const { targets, next } = await api.rest.listTargets({ query, signal });
    for (const { target_id: id, name } of targets) names.set(id, name);
    if (next === null) break;
    after = next;
  }
  return names;
}

export function scopeWords(scope: Scope | null, names: ReadonlyMap<string, string>): string {
  if (scope === null) return 'every session';
  const each = (kind: string, list: readonly string[]): string[] => list.map((name) => `${kind} “${name}”`);
  const parts = [
    ...(scope.own ? ['sessions they made'] : []),
    ...each('project', scope.projects),
    ...each('label', scope.labels),
    ...each(
      'target',
      scope.targets.map((id) => names.get(id) ?? id),
    ),
  ];
  return parts.length === 0 ? 'no session but those they are let see singly' : `only ${parts.join(', ')}`;
}

export interface ScopeFields {
  element: HTMLElement;
  /** Throws an error for the reader where a target is not known. */
  chosen(): Scope | null;
}

const listed = (input: HTMLInputElement): string[] => [
  ...new Set(
    input.value
      .split(',')
      .map((text) => text.trim())
      .filter((text) => text !== ''),
  ),
];

/** `id` begins those of its parts. */
export function scopeFields(id: string, scope: Scope | null, names: () => ReadonlyMap<string, string>): ScopeFields {
  const box = (name: string, checked: boolean) => h('input', { type: 'checkbox', id: `${id}-${name}`, checked });
  const text = (name: string, values: readonly string[], maxlength: number) =>
    h('input', { id: `${id}-${name}`, value: values.join(', '), maxlength, autocomplete: 'off' });
  const labelled = (label: string, control: HTMLInputElement) =>
    h('div', { class: 'field' }, h('label', { for: control.id }, label), control);
  const checked = (label: string, control: HTMLInputElement) =>
    h('div', { class: 'check' }, control, h('label', { for: control.id }, label));
  const limited = box('limited', scope !== null);
  const own = box('own', scope?.own ?? true);
  const projects = text('projects', scope?.projects ?? [], 4000);
  const labels = text('labels', scope?.labels ?? [], 4000);
  const targets = text(
    'targets',
    (scope?.targets ?? []).map((target) => names().get(target) ?? target),
    8000,
  );
  const inside = h(
    'div',
    { class: 'steps' },
    checked('Sessions they made', own),
    h(
      'div',
      { class: 'row' },
      labelled('Projects', projects),
      labelled('Labels', labels),
      labelled('Targets', targets),
    ),
    h(
      'p',
      { class: 'muted small' },
      'Several with commas. What is any of these is seen, and nothing else is counted or found.',
    ),
  );
  const show = (): void => {
    inside.hidden = !limited.checked;
  };
  limited.addEventListener('change', show);
  show();
  const idOf = (name: string): string => {
    const known = [...names()].find(([id, each]) => id === name || each.toLowerCase() === name.toLowerCase());
    if (known === undefined) throw new Error(`there is no target “${name}”`);
    return known[0];
  };
  return {
    element: h(
      'fieldset',
      { class: 'steps' },
      h('legend', {}, 'What they see'),
      checked('Only some sessions', limited),
      inside,
    ),
    chosen: () =>
      limited.checked
        ? {
            own: own.checked,
            projects: listed(projects),
            labels: listed(labels),
            targets: listed(targets).map(idOf),
          }
        : null,
  };
}
