import { DecodeError } from '@lucid-sessions/wire';
import type { InspectedEvent } from '../channel/inspected.ts';
import { StreamInspector } from '../channel/stream-inspector.ts';
import { PduType2 } from '../pdu/share.ts';
import { BulkDecompressor } from './bulk/index.ts';
import { Screen } from './screen.ts';
import {
  type GraphicsCapabilities,
  readCacheLimits,
  readConfirmActive,
  readDemandActive,
} from './session/capabilities.ts';
import { followFastPathMouse, followSlowPathMouse } from './session/client-input.ts';
import { guarded } from './session/guard.ts';
import { UpdateDecoder } from './session/update-decoder.ts';

/** One PDU as recorded. */
export interface RecordedPdu {
  /** True for server → client. */
  readonly fromServer: boolean;
  /** The PDU's bytes; pieces of PDUs are put together. */
  readonly bytes: Uint8Array;
}

/**
 * Replays a recorded session onto a screen: give it every PDU that was delivered, both directions, in order, from the
 * first byte of the connection. An update that can't be drawn is counted in `screen.unsupported` and never ends the replay.
 */
export class SessionDecoder {
  readonly screen = new Screen();
  readonly #bulk = { client: new BulkDecompressor(), server: new BulkDecompressor() };
  readonly #inspector: StreamInspector;
  readonly #capabilities: GraphicsCapabilities = {
    desktopWidth: 0,
    desktopHeight: 0,
    bitsPerPixel: 0,
    codecs: new Map(),
  };
  readonly #updates: UpdateDecoder;
  /** Set when a direction's bytes could not even be framed: nothing after them can be told apart. */
  readonly #lost = { client: false, server: false };

  constructor() {
    const { client, server } = this.#bulk;
    this.#inspector = new StreamInspector({
      client: (data, flags) => client.decompress(data, flags),
      server: (data, flags) => server.decompress(data, flags),
    });
    this.#updates = new UpdateDecoder(this.screen, this.#capabilities);
  }

  /** Never throws for what a peer sent. */
  push(pdu: RecordedPdu): void {
    const sender = pdu.fromServer ? 'server' : 'client';
    if (this.#lost[sender]) return;
    for (const event of this.#inspect(sender, pdu.bytes)) this.#event(event);
  }

  #inspect(sender: 'client' | 'server', bytes: Uint8Array): InspectedEvent[] {
    try {
      return this.#inspector.push(sender, bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#lost[sender] = true;
      this.screen.countUnsupported(`stream.${sender}.${error.code}`);
      return [];
    }
  }

  #event(event: InspectedEvent): void {
    if (event.kind === 'malformed') {
      if (event.sender === 'server') this.screen.countUnsupported(`pdu.${event.error.code}`);
    } else if (event.sender === 'server') {
      this.#serverEvent(event);
    } else {
      this.#clientEvent(event);
    }
  }

  #serverEvent(event: InspectedEvent): void {
    switch (event.kind) {
      case 'demandActive':
        readDemandActive(this.#capabilities, event.demand);
        this.#resize();
        this.#updates.orders.reset();
        return;
      case 'fastPathUpdate':
        if (event.data === null) this.screen.countUnsupported('update.compressed');
        else this.#updates.fastPath(event.updateCode, event.data);
        return;
      case 'slowPathUpdate':
        this.#updates.slowPath(event.updateType, event.data);
        return;
      case 'shareData':
        if (event.data === null) this.screen.countUnsupported('update.compressed');
        else if (event.pdu.pduType2 === PduType2.pointer) this.#updates.slowPathPointer(event.data);
        return;
      default:
    }
  }

  #resize(): void {
    const { desktopWidth, desktopHeight } = this.#capabilities;
    guarded(this.screen, 'desktop', () => this.screen.resize(desktopWidth, desktopHeight));
  }

  #clientEvent(event: InspectedEvent): void {
    const { pointer } = this.screen;
    if (event.kind === 'confirmActive') {
      readConfirmActive(this.#capabilities, event.confirm);
      readCacheLimits(this.#updates.orders.limits, event.confirm);
    } else if (event.kind === 'fastPathInput') {
      followFastPathMouse(pointer, event.input);
    } else if (event.kind === 'shareData' && event.pdu.pduType2 === PduType2.input && event.data !== null) {
      const { data } = event;
      guarded(this.screen, 'input', () => followSlowPathMouse(pointer, data));
    }
  }
}
