import type { ApiClient } from '../api/client.ts';
import type { Session } from '../api/types.ts';
import { copyable } from './copyable.ts';
import { h } from './dom.ts';
import { offerDownload } from './download.ts';
import { icon } from './icons.ts';

type Issued = Awaited<ReturnType<ApiClient['issueCredential']>>;

function shown(api: ApiClient, session: Session, issued: Issued, failed: (error: unknown) => void): HTMLElement {
  const file = h('button', { type: 'button' }, icon('download'), '.rdp file that asks for it');
  file.addEventListener('click', () => {
    api
      .rdpFile(session.session_id, 'listener', 'credential')
      .then((answer) => offerDownload(answer.file, `${session.session_id}.rdp`), failed);
  });
  return h(
    'section',
    { class: 'notice', 'aria-label': 'Credential' },
    h('p', {}, 'Shown this once: copy it now. The Remote Desktop client asks for it when it connects to the gateway.'),
    copyable('Address', issued.address),
    copyable('User name', issued.username),
    copyable('Password', issued.password),
    h(
      'p',
      { class: 'muted' },
      `Good until ${new Date(issued.expires_at).toLocaleTimeString()}, once in use for the session’s reconnections. Three wrong tries end it.`,
    ),
    ...issued.warnings.map((warning) => h('p', { class: 'problem' }, warning)),
    h('div', { class: 'actions' }, file),
  );
}

/** Issues a credential to log on to the gateway with, and hands over what shows it. */
export function credentialButton(
  api: ApiClient,
  session: Session,
  show: (element: HTMLElement) => void,
  failed: (error: unknown) => void,
): HTMLButtonElement {
  const hint = 'User name and password for this session, for clients that log on (NLA)';
  const button = h('button', { type: 'button', title: hint }, icon('key'), 'Credential');
  button.addEventListener('click', () => {
    button.disabled = true;
    api
      .issueCredential(session.session_id)
      .then((issued) => show(shown(api, session, issued, failed)), failed)
      .finally(() => {
        button.disabled = false;
      });
  });
  return button;
}
