/** A session's desktop from one token to the next: connects, comes back by itself where a line was lost, and says why it ends. */
import { type ApiClient, ApiError } from '../api/client.ts';
import type { Session } from '../api/types.ts';
import { forgetClose, lastClose } from './heard-web-socket.ts';
import { type DesktopOptions, type Logon, openDesktop, type RemoteDesktop } from './remote-desktop.ts';
import { explainEnd } from './words.ts';

export interface ConnectionOptions extends Pick<DesktopOptions, 'canvas' | 'onResized' | 'onNotice'> {
  api: ApiClient;
  session: Session;
  size: () => DesktopOptions['size'];
  /** How it stands; `desktop` is there while there is one. */
  onState: (text: string, desktop: RemoteDesktop | null) => void;
}

const abnormal = 1006;
/** It says why, and may change its mind. */
const refused = 1008;
/** A line that was lost is tried again so often, each time after a longer wait. */
const retryMs = [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000];

const standingMs = 500;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves with the words it ended with. */
export async function connect(options: ConnectionOptions, logon: Logon | null): Promise<string> {
  let last = await once(options, logon, 'Connecting…');
  while (last.wasShown && last.isLost) {
    for (const ms of retryMs) {
      options.onState('Connection lost, connecting again…', null);
      await sleep(ms);
      last = await once(options, logon, 'Connection lost, connecting again…');
      // A gateway that has not noticed yet, or is being started again, refuses.
      if (last.wasShown || !last.isLost) break;
    }
  }
  return last.text;
}

interface Ended {
  text: string;
  /** There was a desktop. */
  wasShown: boolean;
  /** Nobody meant it to end, or it could not begin for now. */
  isLost: boolean;
}

/** What is shown may be the gateway's own: a text to acknowledge, a form, a wait for a second person. */
async function tellStanding(
  { api, session, onState }: Pick<ConnectionOptions, 'api' | 'session' | 'onState'>,
  desktop: RemoteDesktop,
  over: AbortSignal,
): Promise<void> {
  for (let hasSaid = false; !over.aborted; ) {
    // Where it can't be asked nothing is claimed.
    const known = await api.getSession(session.session_id, over).catch(() => null);
    if (over.aborted) return;
    if (known?.status === 'recording' && known.reconnect_until === null) {
      onState('Connected, recorded', desktop);
      return;
    }
    if (known?.status === 'paused') onState('Connected, recording paused', desktop);
    else if (!hasSaid)
      onState(known === null ? 'Connected' : 'Waiting for your answer on the screen, or for who lets you in', desktop);
    hasSaid = true;
    await sleep(standingMs);
  }
}

async function once(
  { api, session, canvas, size, onResized, onNotice, onState }: ConnectionOptions,
  logon: Logon | null,
  state: string,
): Promise<Ended> {
  onState(state, null);
  forgetClose();
  let wasShown = false;
  try {
    const { token, path } = await api.rest.browserToken({ params: { session_id: session.session_id } });
    const { protocol, host } = location;
    const url = `${protocol === 'https:' ? 'wss' : 'ws'}://${host}${path}`;
    const desktop = await openDesktop({ canvas, url, token, logon, size: size(), onResized, onNotice });
    wasShown = true;
    const over = new AbortController();
    void tellStanding({ api, session, onState }, desktop, over.signal);
    const reason = await desktop.run().finally(() => over.abort());
    return { text: lastClose().reason || reason, wasShown, isLost: lastClose().code === abnormal };
  } catch (error) {
    // The close may come a moment after the client's own error.
    if (lastClose().code === 0) await sleep(200);
    const { code } = lastClose();
    const isAway = error instanceof ApiError && (error.status === 0 || error.status >= 500);
    return {
      text: explainEnd(error, lastClose(), !wasShown),
      wasShown,
      isLost: isAway || code === abnormal || code === refused,
    };
  }
}
