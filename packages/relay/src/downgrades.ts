/**
 * What the gateway takes out of a negotiation, and what it was told to leave in although replay can't show it: one table, whose
 * sentences become facts of the manifest.
 */
import type { RelayEvent } from './events.ts';

/** What can't be replayed and may be left in all the same: each then says what will be missing. */
export const unreplayable = ['graphics', 'bitmap_cache', 'udp', 'video'] as const;
export type Unreplayable = (typeof unreplayable)[number];

export const downgrades = {
  graphicsPipeline: 'graphics pipeline not announced to the server',
  bulkCompression: 'bulk compression not announced to the server',
  codecs: 'surface commands, codecs and drawing orders not announced to the server',
  unreadCapabilities: 'capabilities that could not be read were announced to the server whole',
  graphics: 'versions or options of the graphics pipeline that replay does not know not announced to the server',
  drawing: 'nine grids, GDI+, desktop composition or codecs that replay can not draw not announced to the server',
  bitmap_cache: 'bitmaps kept on the client’s disk not announced to the server',
  udp: 'UDP transport refused',
  video: 'channels for videos refused: the server draws videos into the desktop, or not at all',
  deepColour: '32 bits per pixel asked for in the place of a client that shows 16 wrongly',
  autologon: 'logged on with the user name and password of the browser’s page, without asking again',
  recut: 'bitmaps that the server pads cut to their rectangles for a client that draws them sheared',
  channelsCompressed: 'compression of static channels not announced to the server: a policy has to read them',
  channelCompression: 'what the client compressed on its channels passed on uncompressed',
} as const;

/** What stands in the manifest from the beginning where something was left in, whether the peers make use of it or not. */
export const leftIn: Readonly<Record<Unreplayable, string>> = {
  graphics:
    'left in (leave_in graphics): every version and option of the graphics pipeline, every drawing order and codec; what replay can not draw is missing from it',
  bitmap_cache:
    'left in (leave_in bitmap_cache): bitmaps kept on the client’s disk; those the server does not send again are missing from replay',
  udp: 'left in (leave_in udp): UDP transport; what crosses by UDP is not recorded',
  video: 'left in (leave_in video): channels for videos; what plays in them is recorded, and missing from replay',
};

export type Downgrade = keyof typeof downgrades;

/** Tells each once: what a peer does again and again must not fill the facts of a session. */
export class DowngradeBook {
  readonly #told = new Set<Downgrade>();

  tell(what: Downgrade, events: RelayEvent[]): void {
    if (this.#told.has(what)) return;
    this.#told.add(what);
    events.push({ kind: 'downgrade', what: downgrades[what] });
  }
}
