import type { ApiClient } from '../api/client.ts';
import { may } from '../api/credentials.ts';
import { type Child, fill, h } from './dom.ts';
import { failure, isAbort, type PageContext, repeat } from './page.ts';

const refreshMs = 3000;
export type Viewing = Awaited<ReturnType<ApiClient['rest']['listViewings']>>['viewings'][number];

/** Requests that others made: to agree to, to refuse or take back, to give a share for. `none`: what is shown while there are none. */
export function viewingRequests(context: PageContext, none: Child = null): HTMLElement {
  const { api, signal } = context;
  const host = h('div', { 'aria-live': 'polite' });
  const rows = new Map<string, { shown: string; element: HTMLElement }>();
  async function load(): Promise<void> {
    try {
      const { viewings } = await api.rest.listViewings({ signal });
      show(viewings.filter(({ state }) => state === 'waiting' || state === 'granted').reverse());
    } catch (error) {
      if (!isAbort(error)) fill(host, failure(error));
    }
  }
  function show(viewings: readonly Viewing[]): void {
    const now = new Set(viewings.map(({ viewing_id }) => viewing_id));
    for (const id of rows.keys()) if (!now.has(id)) rows.delete(id);
    for (const viewing of viewings) {
      // A row of which nothing changed keeps what somebody types into it.
      const shown = JSON.stringify({ ...viewing, shares: viewing.shares?.given ?? null });
      if (rows.get(viewing.viewing_id)?.shown !== shown)
        rows.set(viewing.viewing_id, { shown, element: row(context, viewing, load) });
    }
    const elements = viewings.map(({ viewing_id }) => rows.get(viewing_id)!.element);
    if (elements.length === 0) fill(host, none);
    else if (elements.length !== host.childElementCount || elements.some((each, at) => host.children[at] !== each))
      fill(host, elements);
  }
  void repeat(refreshMs, signal, load);
  return host;
}

function row({ api, claims }: PageContext, viewing: Viewing, changed: () => Promise<void>): HTMLElement {
  const { session_id, viewing_id, asked_by, state, shares } = viewing;
  const params = { session_id, viewing_id };
  const isOwn = claims?.userId === asked_by;
  const mayDecide = !isOwn && may(claims, 'recordings:approve');
  const answer = h('div', { 'aria-live': 'assertive' });
  const carryOut = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
      await changed();
    } catch (error) {
      fill(answer, failure(error));
    }
  };
  const decide = (decision: 'approve' | 'refuse', reason: string) =>
    carryOut(() => api.rest.decideViewing({ params, body: { decision, reason } }));
  const canApprove = state === 'waiting' && viewing.approval && viewing.decision === null;
  return h(
    'section',
    { class: `card request${state === 'waiting' ? ' waiting' : ''}`, 'aria-label': `Request of ${asked_by}` },
    h(
      'p',
      {},
      h('strong', {}, asked_by),
      state === 'waiting' ? ' asks to see ' : ' may see ',
      h('a', { href: `/sessions/${session_id}`, class: 'mono' }, session_id),
      h('span', { class: 'muted' }, ` · ${termsOf(viewing)}`),
    ),
    h('p', { class: 'quoted' }, viewing.reason),
    h('p', { class: 'muted' }, standingOf(viewing)),
    mayDecide && decisionForm(canApprove, state === 'granted', decide),
    state === 'waiting' &&
      shares !== null &&
      shareForm((share) => carryOut(() => api.rest.giveShare({ params, body: { share } }))),
    answer,
  );
}

const clock = (time: string): string => new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

const termsOf = ({ use, minutes }: Viewing): string =>
  `${use === 'once' ? 'once' : 'as often as wanted'}, within ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}`;

/** What it waits for, or who agreed and until when. */
export function standingOf({ state, approval, decision, shares, asked_at, expires_at }: Viewing): string {
  const agreed =
    decision === null
      ? []
      : [`${decision.by} ${decision.decision === 'approve' ? 'agreed' : 'refused'}: ${decision.reason}`];
  const givers = shares?.given.map(({ by }) => by).join(', ');
  const given =
    shares === null
      ? []
      : [`${shares.given.length} of ${shares.threshold} shares given${givers ? ` (${givers})` : ''}`];
  if (state === 'refused') return agreed.join('. ');
  if (state !== 'waiting') return [...agreed, ...given, `Ends at ${clock(expires_at)}`].join(' · ');
  const missing = approval && decision === null ? ['Waits for a second person'] : [];
  return [...missing, ...agreed, ...given, `asked at ${clock(asked_at)}`].join(' · ');
}

function decisionForm(
  canApprove: boolean,
  isGranted: boolean,
  decide: (decision: 'approve' | 'refuse', reason: string) => Promise<void>,
): HTMLElement {
  const reason = h('input', { type: 'text', name: 'reason', maxlength: 500, required: true, autocomplete: 'off' });
  reason.setAttribute('aria-label', 'Reason');
  reason.setAttribute('placeholder', 'Reason');
  const button = (label: string, style: string, decision: 'approve' | 'refuse'): HTMLElement =>
    h(
      'button',
      {
        type: 'button',
        class: style,
        on: { click: () => void (reason.reportValidity() && decide(decision, reason.value)) },
      },
      label,
    );
  return h(
    'div',
    { class: 'decide' },
    reason,
    canApprove && button('Approve', 'primary', 'approve'),
    button(isGranted ? 'Take back' : 'Refuse', isGranted ? 'danger' : '', 'refuse'),
  );
}

/** For a holder who opened it elsewhere; with the command line it never leaves their machine in clear. */
function shareForm(give: (share: string) => Promise<void>): HTMLElement {
  const share = h('input', { type: 'password', name: 'share', maxlength: 300, required: true, autocomplete: 'off' });
  share.setAttribute('aria-label', 'Your share of the key');
  share.setAttribute('placeholder', 'lucid-share-1-…');
  const submit = (event: Event): void => {
    event.preventDefault();
    const text = share.value;
    share.value = '';
    void give(text);
  };
  return h(
    'details',
    {},
    h('summary', {}, 'Give my share of the key'),
    h(
      'p',
      { class: 'muted how' },
      'Open it with your own identity: ',
      h('code', {}, 'lucid-sessions keys open-share SESSION --identity FILE'),
    ),
    h('form', { class: 'decide', on: { submit } }, share, h('button', { type: 'submit', class: 'primary' }, 'Give')),
  );
}
