import type { ApiClient } from '../api/client.ts';
import type { Session } from '../api/types.ts';
import { connectLink } from '../ui/connect-link.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { failure, type Page, type PageContext } from '../ui/page.ts';
import { rdpFileButtons } from '../ui/rdp-file-button.ts';
import {
  aboutFields,
  addressCard,
  channelsCard,
  field,
  fieldProblems,
  input,
  logonCard,
  readForm,
  recordingCard,
  screensCard,
} from '../ui/session-form.ts';

/** Creates a session and offers its .rdp file. */
export function createPage({ api }: PageContext): Page {
  const answer = h('div', { 'aria-live': 'polite' });
  const button = h('button', { class: 'primary', type: 'submit' }, 'Create session');
  const form = h(
    'form',
    { class: 'form', novalidate: false },
    fields(),
    answer,
    h('div', { class: 'actions' }, button, h('a', { class: 'button', href: '/sessions' }, 'Cancel')),
  );
  const host = h('div', { class: 'form' }, form);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    button.disabled = true;
    try {
      fill(host, created(api, await api.createSession(readForm(new FormData(form)))));
      host.querySelector<HTMLElement>('h2')?.focus();
    } catch (error) {
      fill(answer, failure(error), fieldProblems(error));
    } finally {
      button.disabled = false;
    }
  }
  form.addEventListener('submit', (event) => void submit(event));
  return { title: 'New session', content: [h('h1', {}, 'New session'), host] };
}

function fields(): Child {
  return [
    h(
      'div',
      { class: 'card' },
      h('h2', {}, 'Session'),
      aboutFields(255),
      field('Tags', input('tags', { placeholder: 'change-4711, vendor' }), 'Up to ten, with commas between.'),
    ),
    addressCard(),
    channelsCard(),
    screensCard(),
    logonCard(),
    recordingCard(),
  ];
}

function created(api: ApiClient, session: Session): Child {
  const answer = h('div', { 'aria-live': 'assertive' });
  return h(
    'div',
    { class: 'card' },
    h('h2', { tabindex: -1 }, `“${session.name}” is ready`),
    h(
      'p',
      { class: 'muted' },
      'Connect in this browser, or open the .rdp file with a Remote Desktop client. The file holds a secret for this one session: pass it on with care.',
    ),
    answer,
    h(
      'div',
      { class: 'actions' },
      connectLink(session, 'primary'),
      rdpFileButtons(api, session, (told) => fill(answer, told)),
      h('a', { class: 'button', href: `/sessions/${session.session_id}` }, 'Go to the session'),
    ),
  );
}
