/** One connection to a desktop by IronRDP's client: its pictures on a canvas, keys and mouse to it. */
import {
  Backend,
  displayControl,
  enableCredssp,
  init,
  outboundMessageSizeLimit,
} from '@devolutions/iron-remote-desktop-rdp';
import { type Combination, combinations, scancodeOf } from '../ui/scancodes.ts';
import { SharedClipboard } from './clipboard.ts';

type Session = Awaited<ReturnType<InstanceType<typeof Backend.SessionBuilder>['connect']>>;
type DeviceEvent = ReturnType<typeof Backend.DeviceEvent.keyPressed>;

export interface Logon {
  userName: string;
  password: string;
  domain: string;
}

export interface DesktopOptions {
  canvas: HTMLCanvasElement;
  /** Address of the gateway's WebSocket. */
  url: string;
  token: string;
  /** Null: the gateway logs on. */
  logon: Logon | null;
  size: { width: number; height: number };
  onResized: () => void;
  /** Something the user should know, that ends nothing. */
  onNotice: (text: string) => void;
}

/** Messages to the gateway stay far below what it takes at once. */
const messageBytesMax = 1024 * 1024;
const sizeMin = 200;
const sizeMax = 8192;

let loading: Promise<unknown> | null = null;

/** Widths of RDP displays are even. */
export const displaySize = (width: number, height: number): { width: number; height: number } => ({
  width: Math.min(sizeMax, Math.max(sizeMin, Math.floor(width / 2) * 2)),
  height: Math.min(sizeMax, Math.max(sizeMin, Math.floor(height))),
});

/** Connects and logs on. Rejects with what the client says of it. */
export async function openDesktop(options: DesktopOptions): Promise<RemoteDesktop> {
  loading ??= init('error');
  await loading;
  const { canvas, url, token, logon, size, onResized, onNotice } = options;
  const clipboard = new SharedClipboard();
  const shared: { session: Session | null } = { session: null };
  const builder = new Backend.SessionBuilder()
    .proxyAddress(url)
    .authToken(token)
    // The gateway knows where the session leads; the client must name something.
    .destination('session')
    .username(logon?.userName ?? 'gateway')
    .password(logon?.password ?? '')
    .serverDomain(logon?.domain ?? '')
    .desktopSize(new Backend.DesktopSize(size.width, size.height))
    .renderCanvas(canvas)
    .setCursorStyleCallbackContext(null)
    .setCursorStyleCallback((style: string, url?: string, x?: number, y?: number) =>
      setCursor(canvas, style, url, x, y),
    )
    .canvasResizedCallback(onResized)
    .remoteClipboardChangedCallback((data: Parameters<SharedClipboard['take']>[0]) => {
      clipboard
        .take(data)
        .catch(() => onNotice('Something was copied there, which this browser may not take: allow the clipboard.'));
    })
    .forceClipboardUpdateCallback(() => {
      if (shared.session !== null) void announce(shared.session, clipboard);
    })
    .extension(displayControl(true))
    .extension(enableCredssp(logon !== null))
    .extension(outboundMessageSizeLimit(messageBytesMax));
  shared.session = await builder.connect();
  return new RemoteDesktop(shared.session, canvas, clipboard);
}

/** The other side waits for an answer, also where there is nothing to paste. */
async function announce(session: Session, clipboard: SharedClipboard): Promise<void> {
  await session.onClipboardPaste(new Backend.ClipboardData());
  await clipboard.send(session, false).catch(() => {});
}

function setCursor(canvas: HTMLCanvasElement, style: string, url?: string, x = 0, y = 0): void {
  if (style === 'url' && url !== undefined)
    canvas.style.cursor = `url("${url}") ${Math.round(x)} ${Math.round(y)}, default`;
  else canvas.style.cursor = style === 'hidden' ? 'none' : 'default';
}

export class RemoteDesktop {
  readonly #session: Session;
  readonly #canvas: HTMLCanvasElement;
  readonly #clipboard: SharedClipboard;
  readonly #leaving = new AbortController();

  constructor(session: Session, canvas: HTMLCanvasElement, clipboard: SharedClipboard) {
    this.#session = session;
    this.#canvas = canvas;
    this.#clipboard = clipboard;
    this.#listen();
  }

  /** Until it ends; the client's reason. Rejects when the connection is lost or refused. */
  async run(): Promise<string> {
    try {
      return (await this.#session.run()).reason();
    } finally {
      this.#leaving.abort();
    }
  }

  leave(): void {
    this.#session.shutdown();
  }

  resize(width: number, height: number): void {
    const size = displaySize(width, height);
    this.#session.resize(size.width, size.height);
  }

  press(combination: Combination): void {
    const codes = combinations[combination].map((code) => scancodeOf(code)!);
    this.#send(codes.map((code) => Backend.DeviceEvent.keyPressed(code)));
    this.#send(codes.toReversed().map((code) => Backend.DeviceEvent.keyReleased(code)));
    this.#canvas.focus();
  }

  /** Rejects where the browser does not let this page read what was copied. */
  sendClipboard(): Promise<void> {
    return this.#clipboard.send(this.#session, true);
  }

  #send(events: DeviceEvent[]): void {
    if (events.length === 0) return;
    const transaction = new Backend.InputTransaction();
    for (const event of events) transaction.addEvent(event);
    this.#session.applyInputs(transaction);
  }

  #listen(): void {
    const { signal } = this.#leaving;
    const on = <K extends keyof HTMLElementEventMap>(
      type: K,
      listener: (event: HTMLElementEventMap[K]) => void,
    ): void => this.#canvas.addEventListener(type, listener, { signal, passive: false });
    on('keydown', (event) => this.#onKey(event));
    on('keyup', (event) => this.#onKey(event));
    on('pointermove', (event) => this.#send([this.#moveTo(event)]));
    on('pointerdown', (event) => this.#onButton(event));
    on('pointerup', (event) => this.#onButton(event));
    on('wheel', (event) => this.#onWheel(event));
    on('contextmenu', (event) => event.preventDefault());
    on('blur', () => this.#session.releaseAllInputs());
    on('focus', () => void this.#clipboard.send(this.#session, false).catch(() => {}));
  }

  #onKey(event: KeyboardEvent): void {
    event.preventDefault();
    if (event.isComposing) return;
    const isDown = event.type === 'keydown';
    if (/^(?:CapsLock|NumLock|ScrollLock)$/.test(event.code)) {
      this.#syncLocks(event);
      return;
    }
    const scancode = scancodeOf(event.code);
    const { DeviceEvent: device } = Backend;
    if (scancode !== undefined) this.#send([isDown ? device.keyPressed(scancode) : device.keyReleased(scancode)]);
    else if ([...event.key].length === 1)
      this.#send([isDown ? device.unicodePressed(event.key) : device.unicodeReleased(event.key)]);
  }

  #syncLocks(event: KeyboardEvent): void {
    const [scroll, number, caps] = ['ScrollLock', 'NumLock', 'CapsLock'].map((name) => event.getModifierState(name));
    this.#session.synchronizeLockKeys(scroll === true, number === true, caps === true, false);
  }

  #moveTo({ clientX, clientY }: MouseEvent): DeviceEvent {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    const place = (at: number, size: number, pixels: number): number =>
      Math.min(pixels - 1, Math.max(0, Math.round((at * pixels) / size)));
    return Backend.DeviceEvent.mouseMove(
      place(clientX - left, width, this.#canvas.width),
      place(clientY - top, height, this.#canvas.height),
    );
  }

  #onButton(event: PointerEvent): void {
    event.preventDefault();
    const { DeviceEvent: device } = Backend;
    const isDown = event.type === 'pointerdown';
    if (isDown) {
      this.#canvas.focus();
      this.#canvas.setPointerCapture(event.pointerId);
    }
    const button = isDown ? device.mouseButtonPressed(event.button) : device.mouseButtonReleased(event.button);
    this.#send([this.#moveTo(event), button]);
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault();
    const isVertical = event.deltaY !== 0;
    const amount = -(isVertical ? event.deltaY : event.deltaX);
    this.#send([Backend.DeviceEvent.wheelRotations(isVertical, amount, event.deltaMode)]);
  }
}
