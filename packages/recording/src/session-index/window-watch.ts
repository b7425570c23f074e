import {
  DesktopOrderFlag,
  type WindowOrder,
  WindowOrderFlag,
  WindowOrderScan,
  windowTitle,
} from '@lucid-sessions/graphics';
import { FastPathUpdateCode, InfoFlag, type InspectedEvent, UpdateType } from '@lucid-sessions/rdp';
import { attempt } from '@lucid-sessions/wire';
import type { Happening } from './events.ts';

/** As many as a decoder shows. */
const WINDOWS_MAX = 1024;
/** ShowState of a window nobody sees, [MS-RDPERP] 2.2.1.3.1.2.1. */
const HIDDEN = 0;

interface KnownWindow {
  readonly title: string;
  readonly hidden: boolean;
  /** It was told that it opened: it has a title, and was seen. */
  readonly told: boolean;
  /** The server begins anew and has not named it again. */
  readonly stale: boolean;
}

export interface WindowWatchSnapshot {
  readonly expected: boolean;
  readonly scan: ReturnType<WindowOrderScan['snapshot']>;
  readonly windows: readonly (readonly [number, KnownWindow])[];
  readonly active: number | null;
}

const unknownWindow: KnownWindow = { title: '', hidden: false, told: false, stale: false };

/**
 * Windows of remote applications ([MS-RDPERP]) by their titles. Orders are read only where the client asked for such windows: in
 * every other session there are none, and reading them would cost something for nothing.
 */
export class WindowWatch {
  readonly #emit: (happening: Happening) => void;
  readonly #scan = new WindowOrderScan();
  readonly #windows = new Map<number, KnownWindow>();
  #expected = false;
  #active: number | null = null;

  constructor(emit: (happening: Happening) => void) {
    this.#emit = emit;
  }

  push(event: InspectedEvent): void {
    const take = (order: WindowOrder): void => this.#order(order);
    switch (event.kind) {
      case 'clientInfo':
        this.#expected ||= (event.info.flags & InfoFlag.rail) !== 0;
        return;
      case 'confirmActive':
        // mstsc sends the window list capability set in sessions of whole desktops too.
        this.#expected ||= event.confirm.capabilitySets.some(({ kind }) => kind === 'remotePrograms');
        return;
      case 'demandActive':
        this.#scan.reset();
        return;
      case 'fastPathUpdate': {
        const { updateCode, data } = event;
        if (!this.#expected || updateCode !== FastPathUpdateCode.orders || data === null) return;
        // What can't be read is counted where it is drawn.
        attempt(() => this.#scan.fastPath(data, take));
        return;
      }
      case 'slowPathUpdate':
        if (this.#expected && event.updateType === UpdateType.orders)
          attempt(() => this.#scan.slowPath(event.data, take));
        return;
      default:
    }
  }

  snapshot(): WindowWatchSnapshot {
    return {
      expected: this.#expected,
      scan: this.#scan.snapshot(),
      windows: [...this.#windows],
      active: this.#active,
    };
  }

  restore({ expected, scan, windows, active }: WindowWatchSnapshot): void {
    this.#expected = expected;
    this.#scan.restore(scan);
    this.#windows.clear();
    for (const [windowId, window] of windows) this.#windows.set(windowId, window);
    this.#active = active;
  }

  #order(order: WindowOrder): void {
    if (order.kind === 'window') this.#window(order);
    else if (order.kind === 'windowDeleted') this.#close(order.windowId);
    else if (order.kind === 'desktop') this.#desktop(order);
  }

  #window({ windowId, flags, fields }: Extract<WindowOrder, { kind: 'window' }>): void {
    const known = this.#windows.get(windowId);
    if (!known && this.#windows.size >= WINDOWS_MAX) return;
    const isNew = (flags & WindowOrderFlag.isNew) !== 0;
    const before = known ?? unknownWindow;
    const title = fields.titleInfo ? windowTitle(fields.titleInfo) : isNew ? '' : before.title;
    const hidden = fields.showState === undefined ? !isNew && before.hidden : fields.showState === HIDDEN;
    const told = before.told || (title !== '' && !hidden);
    this.#windows.set(windowId, { title, hidden, told, stale: false });
    if (told && !before.told) this.#emit({ kind: 'window', what: 'opened', windowId, title });
    else if (told && title !== before.title) this.#emit({ kind: 'window', what: 'renamed', windowId, title });
  }

  #close(windowId: number): void {
    const window = this.#windows.get(windowId);
    this.#windows.delete(windowId);
    if (window?.told) this.#emit({ kind: 'window', what: 'closed', windowId, title: window.title });
  }

  /** [MS-RDPERP] 3.2.5.1.8: what the server names anew was not closed meanwhile. */
  #desktop({ flags, activeWindowId }: Extract<WindowOrder, { kind: 'desktop' }>): void {
    if (flags & (DesktopOrderFlag.syncBegan | DesktopOrderFlag.notMonitored))
      for (const [windowId, window] of this.#windows) this.#windows.set(windowId, { ...window, stale: true });
    if (flags & DesktopOrderFlag.syncCompleted)
      for (const [windowId, { stale }] of [...this.#windows]) if (stale) this.#close(windowId);
    if (activeWindowId === undefined || activeWindowId === this.#active) return;
    this.#active = activeWindowId;
    const window = this.#windows.get(activeWindowId);
    if (window?.told) this.#emit({ kind: 'window', what: 'activated', windowId: activeWindowId, title: window.title });
  }
}
