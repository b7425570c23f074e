import type { ApiClient } from '../api/client.ts';
import type { Session } from '../api/types.ts';
import { h } from './dom.ts';
import { offerDownload } from './download.ts';
import { icon } from './icons.ts';
import { failure, warning } from './page.ts';

const labels = { listener: 'Download .rdp file', gateway: 'For port 443 only' } as const;
const hints = {
  listener: 'Straight to the recording gateway',
  gateway: 'Through the RD Gateway, for networks that let nothing but HTTPS out',
} as const;
type Way = keyof typeof labels;

/** Fetches a session's .rdp file when pressed: each file holds a new secret, and only the latest one works. */
function fileButton(
  api: ApiClient,
  session: Session,
  way: Way,
  tell: (answer: HTMLElement | null) => void,
): HTMLButtonElement {
  const button = h('button', { type: 'button', title: hints[way] }, icon('download'), labels[way]);
  button.addEventListener('click', () => {
    button.disabled = true;
    api
      .rdpFile(session.session_id, way)
      .then(
        (answer) => {
          offerDownload(answer.file, `${session.session_id}.rdp`);
          tell(answer.warning === '' ? null : warning(answer.warning));
        },
        (error) => tell(failure(error)),
      )
      .finally(() => {
        button.disabled = false;
      });
  });
  return button;
}

/** One for each way to the session. `tell`: what its user has to know of it; null: nothing. */
export const rdpFileButtons = (api: ApiClient, session: Session, tell: (answer: HTMLElement | null) => void) =>
  (Object.keys(labels) as Way[]).map((way) => fileButton(api, session, way, tell));
