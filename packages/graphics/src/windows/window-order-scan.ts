import { attempt, Reader } from '@lucid-sessions/wire';
import { alternateType, readWindowOrder, skipAlternateOrder } from '../orders/alternate.ts';
import { controlSecondary, controlStandard } from '../orders/field-reader.ts';
import { PrimaryOrderReader, type PrimaryReaderSnapshot } from '../orders/primary-reader.ts';
import { type WindowOrder, windowOrder } from './window-orders.ts';

/** Finds windowing orders among drawing orders, which it reads as far as their lengths. It draws nothing. */
export class WindowOrderScan {
  readonly #reader = new PrimaryOrderReader();

  /** At (re)activation both sides begin anew. */
  reset(): void {
    this.#reader.reset();
  }

  /** A fast-path orders update. Throws `DecodeError` where the next order is unknown; further updates may still be given. */
  fastPath(data: Uint8Array, take: (order: WindowOrder) => void): void {
    const reader = new Reader(data);
    this.#orders(reader, reader.u16le(), take);
  }

  /** A slow-path one behind its updateType, whose count has padding on both sides: [MS-RDPEGDI] 2.2.2.1. */
  slowPath(data: Uint8Array, take: (order: WindowOrder) => void): void {
    const reader = new Reader(data);
    reader.skip(2);
    const count = reader.u16le();
    reader.skip(2);
    this.#orders(reader, count, take);
  }

  snapshot(): PrimaryReaderSnapshot {
    return this.#reader.snapshot();
  }

  restore(snapshot: PrimaryReaderSnapshot): void {
    this.#reader.restore(snapshot);
  }

  #orders(reader: Reader, count: number, take: (order: WindowOrder) => void): void {
    for (let index = 0; index < count; index += 1) {
      const control = reader.u8();
      if (!(control & controlStandard)) {
        const body = alternate(reader, control >> 2);
        const order = body && attempt(() => windowOrder.decode(body));
        if (order) take(order);
      } else if (control & controlSecondary) skipSecondary(reader);
      else this.#reader.read(reader, control);
    }
  }
}

/** orderLength is 13 less than the order is long, of which 6 bytes are the header: [MS-RDPEGDI] 2.2.2.2.1.2.1.1. */
function skipSecondary(reader: Reader): void {
  const length = reader.i16le() + 7;
  reader.skip(3);
  reader.skip(length);
}

/** A windowing order; null for another, which is passed over. */
function alternate(reader: Reader, type: number): Reader | null {
  switch (type) {
    case alternateType.window:
      return readWindowOrder(reader);
    case alternateType.switchSurface:
      reader.skip(2);
      return null;
    case alternateType.createOffscreenBitmap: {
      const deletes = (reader.u16le() & 0x8000) !== 0;
      reader.skip(4);
      if (deletes) reader.skip(2 * reader.u16le());
      return null;
    }
    case alternateType.frameMarker:
      reader.skip(4);
      return null;
    default:
      if (skipAlternateOrder(reader, type) === null)
        throw reader.error('unsupported', `alternate secondary order ${type} is not defined`);
      return null;
  }
}
