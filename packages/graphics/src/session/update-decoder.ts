import { FastPathUpdateCode, PointerMessageType, slowPathPointer, UpdateType } from '@lucid-sessions/rdp';
import { Reader } from '@lucid-sessions/wire';
import { createPalette, decodePalette, type Palette, pixelDepth } from '../bitmap/index.ts';
import { OrdersDecoder, type OrdersSnapshot } from '../orders/index.ts';
import type { PixelBuffer } from '../pixels.ts';
import { PointerDecoder, type PointerSnapshot } from '../pointer/index.ts';
import type { Screen } from '../screen.ts';
import { drawBitmapUpdate } from './bitmap-updates.ts';
import type { GraphicsCapabilities } from './capabilities.ts';
import { FrameCounter } from './frame-counter.ts';
import { guarded } from './guard.ts';
import {
  decodeExtendedBitmap,
  readExtendedBitmap,
  SurfaceCommandDecoder,
  type SurfaceCommandsSnapshot,
} from './surface-commands.ts';

export interface UpdatesSnapshot {
  readonly pointers: PointerSnapshot;
  readonly surfaces: SurfaceCommandsSnapshot;
  readonly orders: OrdersSnapshot;
  readonly palette: Palette;
  readonly inFrame: boolean;
}

/** Draws whole updates, whichever path brought them. Nothing it is given makes it throw. */
export class UpdateDecoder {
  readonly #screen: Screen;
  readonly #pointers: PointerDecoder;
  readonly #surfaces: SurfaceCommandDecoder;
  readonly #capabilities: GraphicsCapabilities;
  readonly #frames: FrameCounter;
  readonly orders: OrdersDecoder;
  #palette: Palette = createPalette();

  constructor(screen: Screen, capabilities: GraphicsCapabilities) {
    this.#screen = screen;
    this.#frames = new FrameCounter(screen);
    this.#pointers = new PointerDecoder(screen);
    this.#surfaces = new SurfaceCommandDecoder(screen, capabilities.codecs, this.#frames);
    this.#capabilities = capabilities;
    this.orders = new OrdersDecoder(screen, this.#frames, (reader) => this.#extendedBitmap(reader));
  }

  snapshot(): UpdatesSnapshot {
    return {
      pointers: this.#pointers.snapshot(),
      surfaces: this.#surfaces.snapshot(),
      orders: this.orders.snapshot(),
      palette: this.#palette.slice(),
      inFrame: this.#frames.snapshot(),
    };
  }

  restore(snapshot: UpdatesSnapshot): void {
    this.#pointers.restore(snapshot.pointers);
    this.#surfaces.restore(snapshot.surfaces);
    this.orders.restore(snapshot.orders);
    this.#palette = snapshot.palette.slice();
    this.#frames.restore(snapshot.inFrame);
  }

  /** One update in fast-path numbering: [MS-RDPBCGR] 2.2.9.1.2.1. */
  fastPath(updateCode: number, data: Uint8Array): void {
    switch (updateCode) {
      case FastPathUpdateCode.orders:
        this.#orders(new Reader(data));
        return;
      case FastPathUpdateCode.bitmap:
        this.#bitmap(data.subarray(2));
        return;
      case FastPathUpdateCode.palette:
        this.#setPalette(data.subarray(2));
        return;
      case FastPathUpdateCode.synchronize:
        return;
      case FastPathUpdateCode.surfaceCommands:
        guarded(this.#screen, 'surface', () => this.#surfaces.decode(data));
        this.#frames.updateDone();
        return;
      default:
        this.#fastPathPointer(updateCode, data);
    }
  }

  #fastPathPointer(updateCode: number, data: Uint8Array): void {
    const pointers = this.#pointers;
    const draw = () => {
      switch (updateCode) {
        case FastPathUpdateCode.pointerNull:
          return pointers.hide();
        case FastPathUpdateCode.pointerDefault:
          return pointers.showDefault();
        case FastPathUpdateCode.pointerPosition:
          return pointers.position(data);
        case FastPathUpdateCode.pointerColor:
          return pointers.color(data, this.#palette);
        case FastPathUpdateCode.pointerCached:
          return pointers.cached(data);
        case FastPathUpdateCode.pointerNew:
          return pointers.pointer(data, this.#palette);
        case FastPathUpdateCode.pointerLarge:
          return pointers.large(data, this.#palette);
        default:
          return this.#screen.countUnsupported('update.unknown');
      }
    };
    guarded(this.#screen, 'pointer', draw);
  }

  /** One slow-path graphics update, after its updateType: [MS-RDPBCGR] 2.2.9.1.1.3. */
  slowPath(updateType: number, data: Uint8Array): void {
    if (updateType === UpdateType.orders) this.#slowPathOrders(data);
    else if (updateType === UpdateType.bitmap) this.#bitmap(data);
    else if (updateType === UpdateType.palette) this.#setPalette(data);
    else if (updateType !== UpdateType.synchronize) this.#screen.countUnsupported('update.unknown');
  }

  /** The body of a slow-path pointer PDU: [MS-RDPBCGR] 2.2.9.1.1.4. */
  slowPathPointer(body: Uint8Array): void {
    const pointers = this.#pointers;
    guarded(this.#screen, 'pointer', () => {
      const { messageType, data } = slowPathPointer.decode(new Reader(body));
      switch (messageType) {
        case PointerMessageType.system:
          return pointers.system(data);
        case PointerMessageType.position:
          return pointers.position(data);
        case PointerMessageType.color:
          return pointers.color(data, this.#palette);
        case PointerMessageType.cached:
          return pointers.cached(data);
        case PointerMessageType.pointer:
          return pointers.pointer(data, this.#palette);
        case PointerMessageType.large:
          return pointers.large(data, this.#palette);
        default:
          return this.#screen.countUnsupported('pointer.unknown');
      }
    });
  }

  /** TS_UPDATE_ORDERS_PDU_DATA pads its count on both sides: [MS-RDPEGDI] 2.2.2.1. */
  #slowPathOrders(data: Uint8Array): void {
    guarded(this.#screen, 'orders', () => {
      const reader = new Reader(data);
      reader.skip(2);
      const count = reader.u16le();
      reader.skip(2);
      this.#drawOrders(reader, count);
    });
  }

  #orders(reader: Reader): void {
    guarded(this.#screen, 'orders', () => this.#drawOrders(reader, reader.u16le()));
  }

  #drawOrders(reader: Reader, count: number): void {
    const depth = pixelDepth(this.#capabilities.bitsPerPixel);
    this.orders.decode(reader, count, { palette: this.#palette, depth });
    this.#frames.updateDone();
  }

  #extendedBitmap(reader: Reader): PixelBuffer {
    const bitmap = readExtendedBitmap(reader);
    const codec = bitmap.codecId === 0 ? 'raw' : this.#capabilities.codecs.get(bitmap.codecId);
    if (codec !== 'raw' && codec !== 'nsCodec')
      throw reader.error('unsupported', 'a cached bitmap is neither raw nor NSCodec');
    return decodeExtendedBitmap(bitmap, codec);
  }

  #bitmap(data: Uint8Array): void {
    guarded(this.#screen, 'bitmap', () => drawBitmapUpdate(this.#screen, this.#palette, data));
    this.#frames.updateDone();
  }

  #setPalette(data: Uint8Array): void {
    guarded(this.#screen, 'palette', () => {
      this.#palette = decodePalette(data);
    });
  }
}
