import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../api/client.ts';
import { type Child, fill, h } from './dom.ts';
import { failure, isAbort } from './page.ts';
import { type Column, instant, table } from './parts.ts';

type HeldSession = RestAnswer<'listHolds'>['sessions'][number];
type Hold = HeldSession['holds'][number];

const pageSize = 100;

const holdColumns: readonly Column<Hold>[] = [
  { name: 'Matter', cell: (hold) => hold.reference },
  { name: 'Reason', cell: (hold) => hold.reason },
  { name: 'Set by', cell: (hold) => hold.set_by },
  { name: 'Set', cell: (hold) => instant(hold.set_at) },
  { name: 'Hold', cell: (hold) => h('code', {}, hold.hold_id) },
];

function textField(id: string, label: string, maxlength: number) {
  const input = h('input', { id, type: 'text', required: true, autocomplete: 'off', maxlength });
  return { element: h('div', { class: 'field' }, h('label', { for: id }, label), input), input };
}

/** The holds of one session; set and cleared by who may. `changed`: the session is not as it was. */
export function holdPanel(
  api: ApiClient,
  sessionId: string,
  maySet: boolean,
  changed: () => void,
  signal: AbortSignal,
): HTMLElement {
  const list = h('div', {}, h('p', { class: 'muted', role: 'status' }, 'Loading…'));
  const answer = h('div', { 'aria-live': 'polite' });
  const params = { session_id: sessionId };

  async function load(): Promise<void> {
    const { sessions } = await api.rest.listHolds({ query: { session_id: sessionId }, signal });
    const holds = sessions[0]?.holds ?? [];
    const columns = maySet ? [...holdColumns, { name: 'Clear', cell: clearForm }] : holdColumns;
    fill(
      list,
      holds.length === 0 ? h('p', { class: 'muted' }, 'No hold is in force.') : table('Legal holds', columns, holds),
    );
  }
  async function act(button: HTMLButtonElement, work: () => Promise<unknown>, done: string): Promise<boolean> {
    button.disabled = true;
    try {
      await work();
      await load();
      fill(answer, h('p', { role: 'status' }, done));
      changed();
      return true;
    } catch (error) {
      if (!isAbort(error)) fill(answer, failure(error));
      return false;
    } finally {
      button.disabled = false;
    }
  }
  function clearForm({ hold_id, reference }: Hold): Child {
    const reason = h('input', { type: 'text', required: true, maxlength: 500, placeholder: 'Why' });
    reason.setAttribute('aria-label', `Why the hold of ${reference} is cleared`);
    const button = h('button', { type: 'submit', class: 'danger' }, 'Clear');
    const submit = (event: Event): void => {
      event.preventDefault();
      const body = { hold_id, reason: reason.value };
      void act(button, () => api.rest.clearHold({ params, body }), `The hold of ${reference} is cleared.`);
    };
    return h('form', { class: 'actions', on: { submit } }, reason, button);
  }
  function setForm(): HTMLElement {
    const matter = textField('hold-matter', 'Matter', 200);
    const reason = textField('hold-reason', 'Reason', 500);
    const button = h('button', { type: 'submit' }, 'Set a hold');
    const submit = async (event: Event): Promise<void> => {
      event.preventDefault();
      const body = { reference: matter.input.value, reason: reason.input.value };
      if (!(await act(button, () => api.rest.setHold({ params, body }), 'The hold is set.'))) return;
      matter.input.value = '';
      reason.input.value = '';
    };
    return h(
      'form',
      { class: 'card tile', on: { submit: (event: Event) => void submit(event) } },
      h(
        'p',
        { class: 'muted' },
        'Until it is cleared nothing of this session is deleted or shredded, by nobody. Setting and clearing are signed into its chain of custody.',
      ),
      matter.element,
      reason.element,
      h('div', { class: 'actions' }, button),
    );
  }

  load().catch((error: unknown) => {
    if (!isAbort(error)) fill(list, failure(error));
  });
  return h('div', { class: 'form' }, list, answer, maySet && setForm());
}

/** Every session with a hold, page by page. */
export function heldSessions(api: ApiClient, signal: AbortSignal): HTMLElement {
  const host = h('div', {});
  const held: HeldSession[] = [];
  const more = h('button', { type: 'button', on: { click: () => void load() } }, 'Show more');
  async function load(): Promise<void> {
    try {
      const answer = await api.rest.listHolds({ query: { limit: pageSize, offset: held.length }, signal });
      held.push(...answer.sessions);
      const rows = held.flatMap((session) => session.holds.map((hold) => ({ ...hold, session })));
      const columns = [
        {
          name: 'Session',
          cell: ({ session }: (typeof rows)[number]) =>
            h('a', { href: `/sessions/${session.session_id}` }, session.name),
        },
        ...holdColumns,
      ];
      fill(
        host,
        rows.length === 0 ? h('p', { class: 'muted' }, 'No hold is in force.') : table('Legal holds', columns, rows),
        answer.pagination.has_next && more,
      );
    } catch (error) {
      if (!isAbort(error)) fill(host, failure(error));
    }
  }
  void load();
  return host;
}
