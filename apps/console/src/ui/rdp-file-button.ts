import type { ApiClient } from '../api/client.ts';
import type { Session } from '../api/types.ts';
import { h } from './dom.ts';
import { offerDownload } from './download.ts';
import { icon } from './icons.ts';

/** Fetches a session's .rdp file when pressed: each file holds a new secret, and only the latest one works. */
export function rdpFileButton(api: ApiClient, session: Session, failed: (error: unknown) => void): HTMLButtonElement {
  const button = h('button', { type: 'button', class: 'primary' }, icon('download'), 'Download .rdp file');
  button.addEventListener('click', () => {
    button.disabled = true;
    api
      .rdpFile(session.session_id)
      .then((file) => offerDownload(file, `${session.session_id}.rdp`), failed)
      .finally(() => {
        button.disabled = false;
      });
  });
  return button;
}
