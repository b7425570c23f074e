import type { ApiClient } from '../api/client.ts';
import type { LucidPlayer } from '../player/page/lucid-player.ts';
import type { SteerEvent } from '../player/page/steer-pad.ts';
import { fill, h, setText } from './dom.ts';
import { failure } from './page.ts';

const said = {
  asking: 'Asking the user. They have a minute to answer on their screen.',
  steering: 'You steer. Click into the picture: keys and mouse go to the desktop, and are recorded as yours.',
  held: 'The user is working: what you do does not reach the desktop for a moment.',
  refused: 'Not taken over',
  ended: 'You steer no more',
} as const;
type State = keyof typeof said;

/** Asks for a running session, and steers it in its player while its user lets it be. Kept while the page around it is drawn anew. */
export function steerForm(api: ApiClient, sessionId: string, player: () => LucidPlayer | null): HTMLElement {
  const button = h('button', { type: 'button' }, 'Take over');
  const answer = h('span', { class: 'muted', role: 'status', 'aria-live': 'assertive' });
  let socket: WebSocket | null = null;

  const send = (events: readonly SteerEvent[]): void => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(lineOf({ input: events }));
  };
  function over(text: string): void {
    socket?.close();
    socket = null;
    player()?.steer(null);
    setText(button, 'Take over');
    setText(answer, text);
  }
  function on({ state, message }: { state: State; message: string }): void {
    const text = message === '' ? said[state] : `${said[state]}: ${message}`;
    if (state === 'refused' || state === 'ended') over(`${text}.`);
    else setText(answer, text);
    if (state === 'steering') player()?.steer(send);
  }
  async function ask(): Promise<void> {
    button.disabled = true;
    try {
      const { token, path } = await api.rest.steerSession({ params: { session_id: sessionId } });
      const { protocol, host } = location;
      const opened = new WebSocket(`${protocol === 'https:' ? 'wss' : 'ws'}://${host}${path}`);
      opened.binaryType = 'arraybuffer';
      socket = opened;
      setText(button, 'Stop');
      opened.addEventListener('open', () => opened.send(lineOf({ token })));
      opened.addEventListener('message', ({ data }: MessageEvent<ArrayBuffer>) => {
        for (const line of new TextDecoder().decode(data).split('\n')) if (line !== '') on(JSON.parse(line));
      });
      opened.addEventListener('close', () => {
        if (socket === opened) over('You steer no more: the connection to the gateway was lost.');
      });
    } catch (error) {
      fill(answer, failure(error));
    } finally {
      button.disabled = false;
    }
  }
  button.addEventListener('click', () => {
    if (socket === null) void ask();
    else over('You steer no more.');
  });
  // Hidden by the one outside: what lays itself out is never hidden.
  return h('div', { class: 'card' }, h('div', { class: 'heading' }, button, answer));
}

const lineOf = (message: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(`${JSON.stringify(message)}\n`);
