/** Who logs on to the target. What is typed here goes into the RDP connection, and to no API. */
import type { Session } from '../api/types.ts';
import { h } from '../ui/dom.ts';
import type { Logon } from './remote-desktop.ts';

export interface LogonForm {
  element: HTMLFormElement;
  /** Shown again, with what went wrong. */
  show(notice: Node | null): void;
}

const field = (label: string, input: HTMLInputElement): HTMLElement =>
  h('div', { class: 'field' }, h('label', { for: input.id }, label), input);

/** `submitted`: null where the gateway logs on. */
export function logonForm(session: Session, submitted: (logon: Logon | null) => void): LogonForm {
  const { rdp_config: rdp, credentials } = session;
  const isGiven = credentials === 'injected' || credentials === 'vault';
  const text = { autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' };
  const userName = h('input', { id: 'user-name', ...text, required: true, maxlength: 256, value: rdp.username ?? '' });
  const domain = h('input', { id: 'domain', ...text, maxlength: 256, value: rdp.domain ?? '' });
  const password = h('input', { id: 'password', ...text, type: 'password', maxlength: 256 });
  const answer = h('div', { 'aria-live': 'polite' });
  const submit = (event: Event): void => {
    event.preventDefault();
    const logon = { userName: userName.value.trim(), password: password.value, domain: domain.value.trim() };
    submitted(isGiven ? null : logon);
  };
  const fields = isGiven
    ? [h('p', { class: 'muted' }, 'The gateway logs on for you: you need no password.')]
    : [
        field('User name', userName),
        field('Password', password),
        field('Domain (may stay empty)', domain),
        h(
          'p',
          { class: 'muted small' },
          'Of your account on the target. It stays in this page and in the connection itself.',
        ),
      ];
  const element = h(
    'form',
    { class: 'card logon', on: { submit } },
    h('h1', {}, session.name),
    h('p', { class: 'mono muted' }, `${rdp.host}:${rdp.port}`),
    h('p', {}, 'What happens on the screen, and what you type and copy, is recorded.'),
    fields,
    answer,
    h('button', { class: 'primary', type: 'submit' }, 'Connect'),
  );
  return {
    element,
    show(notice) {
      answer.replaceChildren(...(notice === null ? [] : [notice]));
      element.hidden = false;
      const first = userName.value === '' ? userName : password;
      if (first.isConnected) first.focus();
      else element.querySelector('button')?.focus();
    },
  };
}
