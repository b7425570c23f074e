import type { ApiClient } from '../api/client.ts';
import { fill, h } from './dom.ts';
import { failure } from './page.ts';

/** A line for who works in a running session: shown over the top of their desktop. Kept while the page around it is drawn anew. */
export function messageForm(api: ApiClient, sessionId: string): HTMLElement {
  const input = h('input', { type: 'text', name: 'message', maxlength: 500, required: true, autocomplete: 'off' });
  input.setAttribute('aria-label', 'Message to the user');
  const answer = h('span', { class: 'muted', 'aria-live': 'polite' });
  const button = h('button', { type: 'submit' }, 'Show');
  async function send(): Promise<void> {
    button.disabled = true;
    try {
      const { shown_until } = await api.message(sessionId, input.value);
      input.value = '';
      fill(answer, `shown until ${new Date(shown_until).toLocaleTimeString()}`);
    } catch (error) {
      fill(answer, failure(error));
    } finally {
      button.disabled = false;
    }
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    void send();
  };
  return h(
    'details',
    { class: 'card' },
    h('summary', {}, 'Message to the user'),
    h('form', { class: 'heading', on: { submit } }, input, button, answer),
  );
}
