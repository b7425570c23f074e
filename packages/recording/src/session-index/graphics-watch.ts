import { gfxPdu, takeGfxCommand } from '@lucid-sessions/graphics';
import { type DynamicChannelPdu, type Monitor, monitorsOf } from '@lucid-sessions/rdp';
import { ZgfxDecompressor, type ZgfxSnapshot } from '@lucid-sessions/rdp/bulk';
import { DecodeError, Reader } from '@lucid-sessions/wire';

/** The dynamic channel of the graphics pipeline, [MS-RDPEGFX] 2.1. */
export const GRAPHICS_CHANNEL = 'Microsoft::Windows::RDS::Graphics';
/** RDPGFX_CMDID_RESETGRAPHICS, [MS-RDPEGFX] 2.2.1.5. */
const RESET_GRAPHICS = 0x000e;

export interface GraphicsReset {
  width: number;
  height: number;
  monitors: Monitor[];
}

export type GraphicsWatchSnapshot = { readonly channelId: number; readonly zgfx: ZgfxSnapshot | null };

/** Looks in the graphics pipeline for its resets: the desktop's size and monitors. It decodes no picture. */
export class GraphicsWatch {
  #channelId = -1;
  /** Null where a message could not be read: those behind it may refer to it. */
  #zgfx: ZgfxDecompressor | null = new ZgfxDecompressor();

  snapshot(): GraphicsWatchSnapshot {
    return { channelId: this.#channelId, zgfx: this.#zgfx?.snapshot('lean') ?? null };
  }

  restore({ channelId, zgfx }: GraphicsWatchSnapshot): void {
    this.#channelId = channelId;
    this.#zgfx = zgfx && new ZgfxDecompressor();
    if (zgfx) this.#zgfx!.restore(zgfx);
  }

  /** A new channel begins with a new history. */
  track(pdu: DynamicChannelPdu): void {
    if (pdu.kind !== 'createRequest' || pdu.channelName !== GRAPHICS_CHANNEL) return;
    this.#channelId = pdu.channelId;
    this.#zgfx = new ZgfxDecompressor();
  }

  /** The resets in one message of the server; null for one that was not recorded. Throws `DecodeError`, once. */
  push(message: Uint8Array | null): GraphicsReset[] {
    const zgfx = this.#zgfx;
    if (zgfx === null) return [];
    this.#zgfx = null;
    if (message === null) throw new DecodeError('invalid', 'a message of the graphics pipeline can not be read');
    const commands = zgfx.decompress(message);
    this.#zgfx = zgfx;
    return resetsIn(commands);
  }
}

function resetsIn(commands: Uint8Array): GraphicsReset[] {
  const resets: GraphicsReset[] = [];
  const reader = new Reader(commands);
  while (reader.remaining > 0) {
    const command = takeGfxCommand(reader);
    if (new Reader(command.bytes, command.offset).u16le() !== RESET_GRAPHICS) continue;
    const pdu = gfxPdu.decode(command);
    if (pdu.kind !== 'resetGraphics') continue;
    const { width, height, monitors } = pdu.body;
    resets.push({ width, height, monitors: monitorsOf(monitors) });
  }
  return resets;
}
