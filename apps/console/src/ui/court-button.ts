/** Makes a court file of a recording: player, verifier, report and evidence as one document that opens without a server. */
import { type CourtFileFacts, courtDocument, toHex } from '@lucid-sessions/evidence';
import type { ApiClient } from '../api/client.ts';
import type { Session } from '../api/types.ts';
import { fill, h } from './dom.ts';
import { offerDownload } from './download.ts';
import { formatBytes } from './format.ts';
import { icon } from './icons.ts';
import { failure } from './page.ts';

/** The template of court files, beside this console. */
const templatePath = '/court.html';
/** A browser holds the whole document as text; the command line puts what is larger beside it. */
const insideBytesMax = 200 << 20;

interface Asked {
  api: ApiClient;
  session: Session;
  withKey: boolean;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The view key is asked for first: that it went out is in the custody records of the bundle then. */
async function makeCourtFile({ api, session, withKey }: Asked): Promise<Blob> {
  const params = { session_id: session.session_id };
  const key = withKey ? (await api.rest.getKey({ params })).key : null;
  const [template, evidence] = await Promise.all([
    fetch(templatePath, { credentials: 'omit' }).then((answer) => answer.text()),
    api.rest.exportEvidence({ params, query: {} }).then((answer) => answer.arrayBuffer()),
  ]);
  const facts: CourtFileFacts = {
    v: 1,
    session_id: session.session_id,
    made_us: Date.now() * 1000,
    software: 'lucid-sessions console',
    evidence: null,
    view_key: key === null ? null : toHex(Uint8Array.from(atob(key), (character) => character.charCodeAt(0))),
  };
  const parts: string[] = [];
  for await (const part of courtDocument(template, facts, once(new Uint8Array(evidence)))) parts.push(part);
  return new Blob(parts, { type: 'text/html' });
}

async function sha256Of(blob: Blob): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())));
}

/** `mayKey`: whether who is signed in may take the view key. */
export function courtButton(
  api: ApiClient,
  session: Session,
  mayKey: boolean,
  show: (element: HTMLElement) => void,
): HTMLElement {
  const withKey = h('input', { type: 'checkbox', id: 'court-key' });
  const answer = h('div', { 'aria-live': 'polite' });
  const make = h('button', { type: 'button', class: 'primary' }, 'Make the file');
  const isTooLarge = session.statistics.size_bytes > insideBytesMax;
  const panel = h(
    'section',
    { class: 'notice', 'aria-label': 'Court file' },
    h(
      'div',
      {},
      h('strong', {}, 'Court file. '),
      'One HTML file with player, verifier, report and evidence. It opens without a server or a network; its reader checks it against the policy they hold.',
      isTooLarge
        ? h(
            'p',
            {},
            `${formatBytes(session.statistics.size_bytes)} are more than a browser takes in one file: `,
            h('code', {}, `lucid-sessions court ${session.session_id} --out FOLDER`),
          )
        : h(
            'div',
            {},
            mayKey &&
              h(
                'label',
                { class: 'check', for: withKey.id },
                withKey,
                ' Put the view key in: whoever has the file can see the recording',
              ),
            h('div', { class: 'actions' }, make),
            answer,
          ),
    ),
  );
  make.addEventListener('click', () => {
    make.disabled = true;
    fill(answer, h('p', { class: 'muted' }, 'Fetching the evidence…'));
    makeCourtFile({ api, session, withKey: withKey.checked })
      .then(async (file) => {
        offerDownload(file, `${session.session_id}.court.html`);
        fill(
          answer,
          h(
            'p',
            {},
            'SHA-256 of the file, to be told by another way than the file: ',
            h('code', {}, await sha256Of(file)),
          ),
        );
      })
      .catch((error: unknown) => fill(answer, failure(error)))
      .finally(() => {
        make.disabled = false;
      });
  });
  const hint = 'Player, verifier, report and evidence in one file that opens without a server';
  return h('button', { type: 'button', title: hint, on: { click: () => show(panel) } }, icon('download'), 'Court file');
}
