/** The page of one session's desktop, a document of its own: it alone may run the RDP client's WebAssembly. */
import { ApiClient, ApiError } from '../api/client.ts';
import { askClaims, type Claims } from '../api/credentials.ts';
import type { Session } from '../api/types.ts';
import { signInPage } from '../pages/sign-in.ts';
import { append, h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import { failure } from '../ui/page.ts';
import { applyTheme } from '../ui/theme.ts';
import { connect } from './connection.ts';
import { listenToWebSockets } from './heard-web-socket.ts';
import { logonForm } from './logon-form.ts';
import { displaySize, type Logon, type RemoteDesktop } from './remote-desktop.ts';
import { toolbar } from './toolbar.ts';

const baseUrl = '/api/v1';
let claims: Claims | null = null;
const api = new ApiClient(baseUrl, () => ({ csrfToken: claims?.csrfToken ?? null }));
const resizeMs = 400;
const noticeMs = 6000;
const [, , sessionId = ''] = location.pathname.split('/');

function signIn(reason: string | null): void {
  const main = h('main', { id: 'main' });
  const signedIn = (known: Claims): void => {
    claims = known;
    void begin();
  };
  append(main, [signInPage(api, reason, signedIn).content]);
  document.body.replaceChildren(main);
}

async function begin(): Promise<void> {
  try {
    claims ??= await askClaims(api);
    if (claims === null) signIn(null);
    else showSession(await api.getSession(sessionId));
  } catch (error) {
    // That a sign-in has ended is said already.
    if (!(error instanceof ApiError && error.status === 401))
      document.body.replaceChildren(h('main', { id: 'main' }, failure(error)));
    else if (claims === null && document.querySelector('form') === null) signIn(null);
  }
}

function showSession(session: Session): void {
  document.title = `${session.name} · Lucid Sessions`;
  let present: RemoteDesktop | null = null;
  const canvas = h('canvas', { tabindex: 0, 'aria-label': `Desktop of ${session.name}`, hidden: true });
  const notices = h('div', { class: 'connect-notices', role: 'status' });
  const stage = h('main', { id: 'main', class: 'connect-stage' }, canvas, notices);
  const say = (text: string): void => {
    const notice = h('p', { class: 'notice' }, text);
    notices.replaceChildren(notice);
    setTimeout(() => notice.remove(), noticeMs);
  };
  const bar = toolbar(session, { desktop: () => present, fullScreen: () => void toFullScreen(stage, canvas), say });
  const form = logonForm(session, (logon) => void run(logon));
  stage.append(form.element);
  document.body.replaceChildren(bar.element, stage);
  bar.update('Not connected', false);
  form.show(null);

  const fit = (): void => fitCanvas(canvas, stage);
  // The client sets the canvas's own size, also without a word.
  new MutationObserver(fit).observe(canvas, { attributeFilter: ['width', 'height'] });
  let resizing: ReturnType<typeof setTimeout> | undefined;
  new ResizeObserver(() => {
    fit();
    clearTimeout(resizing);
    resizing = setTimeout(() => present?.resize(stage.clientWidth, stage.clientHeight), resizeMs);
  }).observe(stage);

  function followSize(desktop: RemoteDesktop): void {
    const { width, height } = displaySize(stage.clientWidth, stage.clientHeight);
    if (width !== canvas.width || height !== canvas.height) desktop.resize(width, height);
  }

  async function run(logon: Logon | null): Promise<void> {
    form.element.hidden = true;
    const ended = await connect(
      {
        api,
        session,
        canvas,
        size: () => displaySize(stage.clientWidth, stage.clientHeight),
        onResized: fit,
        onNotice: say,
        onState(text, desktop) {
          present = desktop;
          canvas.hidden = desktop === null;
          bar.update(text, desktop !== null);
          fit();
          if (desktop === null) return;
          canvas.focus();
          // The window may have changed while the gateway's own screens, which do not follow, were shown.
          if (text.startsWith('Connected')) followSize(desktop);
        },
      },
      logon,
    );
    present = null;
    canvas.hidden = true;
    if (document.fullscreenElement !== null) void document.exitFullscreen();
    bar.update('Not connected', false);
    form.show(h('div', { class: 'notice bad', role: 'alert' }, icon('warning'), h('div', {}, ended)));
  }
}

/** As large as it fits, and never larger than it is. */
function fitCanvas(canvas: HTMLCanvasElement, stage: HTMLElement): void {
  const scale = Math.min(1, stage.clientWidth / canvas.width, stage.clientHeight / canvas.height);
  canvas.style.width = `${Math.floor(canvas.width * scale)}px`;
  canvas.style.height = `${Math.floor(canvas.height * scale)}px`;
}

/** With the keys that the system keeps otherwise, where the browser can. */
async function toFullScreen(stage: HTMLElement, canvas: HTMLCanvasElement): Promise<void> {
  await stage.requestFullscreen();
  const { keyboard } = navigator as Navigator & { keyboard?: { lock(): Promise<void> } };
  await keyboard?.lock().catch(() => {});
  canvas.focus();
}

api.onUnauthenticated = () => {
  if (claims === null) return;
  claims = null;
  signIn('Your sign-in has ended. Sign in again to go on.');
};
listenToWebSockets();
applyTheme();
void begin();
