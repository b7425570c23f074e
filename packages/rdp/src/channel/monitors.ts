import { attempt, decode } from '@lucid-sessions/wire';
import { monitorLayout } from '../pdu/session-control.ts';
import { PduType2 } from '../pdu/share.ts';
import {
  DISPLAY_CONTROL_CHANNEL,
  DISPLAY_CONTROL_MONITOR_LAYOUT,
  displayControlLayout,
  displayControlPdu,
} from './display-control.ts';
import type { Inspected, InspectedEvent } from './inspected.ts';

/** A monitor's part of the desktop, whose primary monitor begins at 0, 0. */
export interface Monitor {
  left: number;
  top: number;
  width: number;
  height: number;
  primary: boolean;
}

/** [MS-RDPBCGR] 2.2.1.3.6 allows 16, other layouts 64. */
export const MONITORS_MAX = 64;
const PRIMARY = 1;

/** TS_MONITOR_DEF, [MS-RDPBCGR] 2.2.1.3.6.1: edges are inclusive and two's complement. */
export function monitorsOf(
  list: readonly { left: number; top: number; right: number; bottom: number; flags: number }[],
): Monitor[] {
  return list.map(({ left, top, right, bottom, flags }): Monitor => {
    const size = (from: number, to: number): number => Math.max(0, (to | 0) - (from | 0) + 1);
    return {
      left: left | 0,
      top: top | 0,
      width: size(left, right),
      height: size(top, bottom),
      primary: (flags & PRIMARY) !== 0,
    };
  });
}

export interface MonitorLayoutsSnapshot {
  readonly asked: readonly Monitor[];
  readonly told: readonly Monitor[];
  readonly width: number;
  readonly height: number;
}

/**
 * Which monitors the desktop lies on: the server's word, or the layout the client asked for where the desktop has its size. Nobody
 * answers a layout that was asked for but by a desktop of that size.
 */
export class MonitorLayouts {
  #asked: readonly Monitor[] = [];
  #told: readonly Monitor[] = [];
  #size = { width: 0, height: 0 };

  /** One or none where the desktop lies on one. */
  get monitors(): readonly Monitor[] {
    return this.#told;
  }

  /** The desktop's size, and its monitors where the server names them with it (RDPGFX_RESET_GRAPHICS). */
  desktop(width: number, height: number, monitors: readonly Monitor[] = []): void {
    this.#size = { width, height };
    if (monitors.length > 0) this.#tell(monitors);
    else if (this.#covers(this.#asked)) this.#told = this.#asked;
    else if (!this.#covers(this.#told)) this.#told = [{ left: 0, top: 0, width, height, primary: true }];
  }

  /** What else tells of monitors in a session; the desktop's size, and resets in the graphics pipeline, are the caller's. */
  see(event: InspectedEvent): void {
    const asked = askedIn(event);
    if (asked !== null && asked.length <= MONITORS_MAX) this.#asked = asked;
    if (event.kind !== 'shareData' || event.sender !== 'server') return;
    const { pdu, data } = event;
    if (pdu.pduType2 !== PduType2.monitorLayout || data === null) return;
    const layout = attempt(() => decode(monitorLayout, data));
    if (layout !== null) this.#tell(monitorsOf(layout.monitors));
  }

  snapshot(): MonitorLayoutsSnapshot {
    return { asked: this.#asked, told: this.#told, ...this.#size };
  }

  restore({ asked, told, width, height }: MonitorLayoutsSnapshot): void {
    this.#asked = asked;
    this.#told = told;
    this.#size = { width, height };
  }

  #tell(monitors: readonly Monitor[]): void {
    if (monitors.length > 0 && monitors.length <= MONITORS_MAX) this.#told = monitors;
  }

  #covers(monitors: readonly Monitor[]): boolean {
    if (monitors.length === 0) return false;
    const { width, height } = aroundMonitors(monitors);
    return width === this.#size.width && height === this.#size.height;
  }
}

/** The smallest rectangle around them: its corner is the picture's. */
export function aroundMonitors(monitors: readonly Monitor[]) {
  const left = Math.min(...monitors.map((one) => one.left));
  const top = Math.min(...monitors.map((one) => one.top));
  const right = Math.max(...monitors.map((one) => one.left + one.width));
  const bottom = Math.max(...monitors.map((one) => one.top + one.height));
  return { left, top, width: right - left, height: bottom - top };
}

/** A layout the client asks for: Client Monitor Data, or by the display control channel. */
function askedIn(event: Inspected & { sender: string }): Monitor[] | null {
  if (event.kind === 'connectInitial') {
    for (const block of event.conference.blocks) if (block.kind === 'monitor') return monitorsOf(block.monitors);
    return [];
  }
  if (event.kind !== 'dynamicMessage' || event.sender !== 'client' || event.channelName !== DISPLAY_CONTROL_CHANNEL)
    return null;
  const { message } = event;
  if (message === null) return null;
  return attempt(() => {
    const pdu = decode(displayControlPdu, message);
    if (pdu.type !== DISPLAY_CONTROL_MONITOR_LAYOUT) return null;
    const { monitors } = decode(displayControlLayout, pdu.data);
    return monitors.map(({ flags, left, top, width, height }) => {
      return { left, top, width, height, primary: (flags & PRIMARY) !== 0 };
    });
  });
}
