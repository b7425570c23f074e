import type { ApiClient } from '../api/client.ts';
import { fill, h } from './dom.ts';
import { failure, isAbort, type PageContext, repeat } from './page.ts';
import { standingOf, type Viewing } from './viewing-requests.ts';

const refreshMs = 3000;
type Answer = Awaited<ReturnType<ApiClient['rest']['sessionViewings']>>;
type Needs = NonNullable<Answer['needs']>;

/**
 * Opens a recording at once where nothing more is needed for it. Else `host` shows how to ask, then what it waits for; what is good for
 * once is used when somebody presses, not by looking at the page.
 */
export async function throughGate(
  { api, claims, signal }: PageContext,
  sessionId: string,
  host: HTMLElement,
  open: () => void,
): Promise<void> {
  const params = { session_id: sessionId };
  const ask = async (): Promise<Answer | null> => {
    try {
      return await api.rest.sessionViewings({ params, signal });
    } catch (error) {
      // The player says what it may not show.
      if (!isAbort(error)) open();
      return null;
    }
  };
  const own = ({ viewings }: Answer): Viewing | undefined =>
    viewings
      .filter(({ asked_by, state }) => asked_by === claims?.userId && state !== 'used')
      .sort((a, b) => weight(b) - weight(a))[0];
  const first = await ask();
  if (first === null || signal.aborted) return;
  const { needs } = first;
  if (needs === null) return open();
  let shown = '';
  let done = false;
  const show = (answer: Answer): void => {
    const mine = own(answer);
    if (mine?.state === 'granted' && mine.use === 'window') {
      done = true;
      open();
      return;
    }
    const text = JSON.stringify(
      mine === undefined ? null : [mine.viewing_id, mine.state, mine.shares?.given, mine.decision],
    );
    if (text === shown) return;
    shown = text;
    const press = (): void => {
      done = true;
      open();
    };
    const again = async (): Promise<void> => {
      const next = await ask();
      if (next !== null) show(next);
    };
    fill(host, panel(needs, mine, { press, form: askForm(api, sessionId, needs, again) }));
  };
  show(first);
  void repeat(refreshMs, signal, async () => {
    if (done) return;
    const answer = await ask();
    if (answer !== null && !done) show(answer);
  });
}

const order = ['refused', 'waiting', 'granted'];
const weight = ({ state }: Viewing): number => order.indexOf(state);

const whatItTakes = ({ level, threshold }: Needs): string => {
  const person = level === 'approval' ? ['a second person has to agree'] : [];
  const holders = threshold === null ? [] : [`${threshold} holders of its key have to give their share`];
  return ['Say why you want to see it', ...person, ...holders].join('; ');
};

function panel(
  needs: Needs,
  mine: Viewing | undefined,
  { press, form }: { press: () => void; form: HTMLElement },
): HTMLElement {
  const card = (...children: Parameters<typeof h>[2][]) =>
    h('section', { class: 'card viewing', 'aria-label': 'Shown on request only' }, ...children);
  if (mine?.state === 'granted')
    return card(
      h('h2', {}, 'You may play this recording once'),
      h('p', { class: 'muted' }, standingOf(mine)),
      h(
        'div',
        { class: 'actions' },
        h('button', { type: 'button', class: 'primary', on: { click: press } }, 'Play now'),
      ),
    );
  if (mine?.state === 'waiting')
    return card(
      h('h2', {}, 'Your request waits'),
      h('p', { class: 'quoted' }, mine.reason),
      h('p', { role: 'status' }, standingOf(mine)),
      h('p', { class: 'muted' }, 'This page opens the recording as soon as it is granted.'),
    );
  return card(
    h('h2', {}, 'This recording is shown on request only'),
    mine?.state === 'refused' && h('p', { class: 'notice bad', role: 'status' }, standingOf(mine)),
    h('p', { class: 'muted' }, `${whatItTakes(needs)}. All of it is signed into the recording’s chain of custody.`),
    form,
  );
}

function askForm(
  api: ApiClient,
  sessionId: string,
  { minutes_max: most }: Needs,
  asked: () => Promise<void>,
): HTMLElement {
  const reason = h('input', {
    id: 'viewing-reason',
    name: 'reason',
    type: 'text',
    maxlength: 500,
    required: true,
    autocomplete: 'off',
  });
  const minutes = h('input', {
    id: 'viewing-minutes',
    name: 'minutes',
    type: 'number',
    min: 1,
    max: most,
    value: most,
    required: true,
  });
  const use = h(
    'select',
    { id: 'viewing-use', name: 'use' },
    h('option', { value: 'window' }, 'As often as I want'),
    h('option', { value: 'once' }, 'Once'),
  );
  const answer = h('div', { 'aria-live': 'assertive' });
  const button = h('button', { type: 'submit', class: 'primary' }, 'Ask');
  async function submit(): Promise<void> {
    button.disabled = true;
    try {
      const body = {
        reason: reason.value,
        use: use.value === 'once' ? ('once' as const) : ('window' as const),
        minutes: Number(minutes.value),
      };
      await api.rest.askViewing({ params: { session_id: sessionId }, body });
      await asked();
    } catch (error) {
      fill(answer, failure(error));
    } finally {
      button.disabled = false;
    }
  }
  const field = (id: string, label: string, input: HTMLElement) =>
    h('div', { class: 'field' }, h('label', { for: id }, label), input);
  return h(
    'form',
    {
      on: {
        submit: (event) => {
          event.preventDefault();
          void submit();
        },
      },
    },
    field('viewing-reason', 'Why?', reason),
    h(
      'div',
      { class: 'pair' },
      field('viewing-use', 'How often', use),
      field('viewing-minutes', 'For how many minutes', minutes),
    ),
    answer,
    h('div', { class: 'actions' }, button),
  );
}
