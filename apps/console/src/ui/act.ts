/** What a press on a button asks for: once at a time, and what went wrong is said beside it. */
import type { ApiClient } from '../api/client.ts';
import { type Child, fill, h } from './dom.ts';
import { failure, isAbort, wantsSignIn } from './page.ts';

/** Where a card says what came of a press. */
export const answerPlace = (): HTMLElement => h('div', { class: 'answer', 'aria-live': 'polite' });

/** Something that was done. */
export const doneNotice = (...what: Child[]): HTMLElement => h('div', { class: 'notice good' }, h('div', {}, what));

async function signInAgain(api: ApiClient): Promise<void> {
  const provider = await api.rest.getAccount().then(
    ({ user }) => user.provider,
    () => null,
  );
  if (provider !== null) {
    // The provider asks who it is; this browser stays signed in until then.
    const body = { return_to: location.pathname + location.search, fresh: true };
    const { url } = await api.rest.startOidc({ params: { provider_id: provider }, body });
    location.assign(url);
    return;
  }
  const { redirect } = await api.rest.signOut().catch(() => ({ redirect: null }));
  if (redirect === null) location.reload();
  else location.assign(redirect);
}

export function sayFailure(api: ApiClient, place: Element, error: unknown): void {
  if (isAbort(error)) return;
  const again = h(
    'button',
    { type: 'button', on: { click: () => void signInAgain(api).catch((problem) => fill(place, failure(problem))) } },
    'Sign in again',
  );
  fill(place, failure(error), wantsSignIn(error) && again);
}

/** Runs `work`, while `button` can't be pressed. */
export async function act(
  api: ApiClient,
  button: HTMLButtonElement,
  place: Element,
  work: () => Promise<void>,
): Promise<void> {
  button.disabled = true;
  fill(place);
  try {
    await work();
  } catch (error) {
    sayFailure(api, place, error);
  } finally {
    button.disabled = false;
  }
}

export interface Question {
  title: string;
  consequence: string;
  /** What the button says. */
  action: string;
  work(): Promise<void>;
}

/** Asks before something is taken away. Escape and Cancel change nothing. */
export function askFirst(api: ApiClient, { title, consequence, action, work }: Question, signal: AbortSignal): void {
  const place = h('div', { 'aria-live': 'assertive' });
  const go = h('button', { type: 'submit', class: 'danger' }, action);
  const dialog = h('dialog', { class: 'ask', 'aria-labelledby': 'ask-title', 'aria-describedby': 'ask-consequence' });
  const cancel = h('button', { type: 'button', on: { click: () => dialog.close() } }, 'Cancel');
  const doIt = async (): Promise<void> => {
    await work();
    dialog.close();
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!go.disabled) void act(api, go, place, doIt);
  };
  fill(
    dialog,
    h(
      'form',
      { on: { submit } },
      h('h2', { id: 'ask-title' }, title),
      h('p', { id: 'ask-consequence' }, consequence),
      place,
      h('div', { class: 'actions' }, cancel, go),
    ),
  );
  dialog.addEventListener('close', () => dialog.remove());
  signal.addEventListener('abort', () => dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  cancel.focus();
}
