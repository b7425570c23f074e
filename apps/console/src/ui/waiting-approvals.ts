import type { ApiClient } from '../api/client.ts';
import { fill, h } from './dom.ts';
import { failure, isAbort, type PageContext, repeat } from './page.ts';

const refreshMs = 3000;
type Waiting = Awaited<ReturnType<ApiClient['rest']['listApprovals']>>['approvals'][number];

/** Connections that wait for a second person, of all sessions or of one; nothing is shown while there are none. */
export function waitingApprovals({ api, signal }: PageContext, sessionId: string | null = null): HTMLElement {
  const host = h('div', { 'aria-live': 'polite' });
  const rows = new Map<string, HTMLElement>();
  async function load(): Promise<void> {
    try {
      const { approvals } = await api.rest.listApprovals({ signal });
      show(approvals.filter((each) => sessionId === null || each.session_id === sessionId));
    } catch (error) {
      if (!isAbort(error)) fill(host, failure(error));
    }
  }
  function show(waiting: readonly Waiting[]): void {
    // A row that stays keeps what somebody types into it.
    const now = new Set(waiting.map(({ connection_id: id }) => id));
    for (const id of rows.keys()) if (!now.has(id)) rows.delete(id);
    for (const each of waiting) if (!rows.has(each.connection_id)) rows.set(each.connection_id, row(api, each, load));
    const shown = [...rows.values()];
    if (shown.length === host.childElementCount && shown.every((element, i) => host.children[i] === element)) return;
    fill(host, shown);
  }
  void repeat(refreshMs, signal, load);
  return host;
}

function row(api: ApiClient, waiting: Waiting, changed: () => Promise<void>): HTMLElement {
  const { session_id, connection_id, client_user: user, client_address: address, since } = waiting;
  const reason = h('input', { type: 'text', name: 'reason', maxlength: 500, required: true, autocomplete: 'off' });
  reason.setAttribute('aria-label', 'Reason');
  reason.setAttribute('placeholder', 'Reason');
  const answer = h('span', { 'aria-live': 'assertive' });
  const decide = (decision: 'approve' | 'refuse') => async (): Promise<void> => {
    if (!reason.reportValidity()) return;
    try {
      await api.rest.decideApproval({
        params: { session_id },
        body: { connection_id, decision, reason: reason.value },
      });
      await changed();
    } catch (error) {
      fill(answer, failure(error));
    }
  };
  const button = (label: string, style: string, decision: 'approve' | 'refuse'): HTMLElement =>
    h('button', { type: 'button', class: style, on: { click: () => void decide(decision)() } }, label);
  const time = new Date(since).toLocaleTimeString();
  const words = `${user || 'Somebody'} at ${address} waits to be let in since ${time}. `;
  const buttons = [button('Approve', 'primary', 'approve'), button('Refuse', '', 'refuse')];
  return h(
    'div',
    { class: 'notice warn' },
    h(
      'div',
      { class: 'grow' },
      h('p', {}, words, sessionLink(session_id)),
      h('div', { class: 'heading' }, reason, buttons, answer),
    ),
  );
}

const sessionLink = (id: string): HTMLElement => h('a', { href: `/sessions/${id}`, class: 'mono' }, id);
