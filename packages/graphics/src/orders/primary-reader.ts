import type { Reader } from '@lucid-sessions/wire';
import {
  controlBounds,
  controlDeltaCoordinates,
  controlTypeChange,
  controlZeroBoundsDeltas,
  type OrderBounds,
  readBounds,
  readFieldFlags,
  signed,
} from './field-reader.ts';
import {
  createOrderState,
  type FieldKind,
  type OrderName,
  type OrderState,
  orderLayouts,
  orderType,
} from './order-table.ts';

export interface PrimaryOrder {
  readonly name: OrderName;
  readonly state: OrderState;
  /** The clip the order asks for; null for the whole surface. */
  readonly bounds: OrderBounds | null;
}

export interface PrimaryReaderSnapshot {
  readonly type: number;
  readonly bounds: OrderBounds;
  readonly states: readonly (readonly [number, OrderState])[];
}

const initialBounds: OrderBounds = { left: 0, top: 0, right: 0, bottom: 0 };

/** The history all primary orders are differences to: [MS-RDPEGDI] 2.2.2.2.1.1.2, 3.2.1.1. */
export class PrimaryOrderReader {
  #type: number = orderType.patBlt;
  #bounds = initialBounds;
  readonly #states = new Map<number, OrderState>();

  /** Forgets everything, as both sides do at (re)activation. */
  reset(): void {
    this.#type = orderType.patBlt;
    this.#bounds = initialBounds;
    this.#states.clear();
  }

  /** Reads one order after its control flags. Throws `DecodeError`; the orders after it can't be read then. */
  read(reader: Reader, control: number): PrimaryOrder {
    if (control & controlTypeChange) this.#type = reader.u8();
    const layout = orderLayouts.get(this.#type);
    if (!layout) throw reader.error('unsupported', `primary drawing order ${this.#type} is not defined`);
    const flags = readFieldFlags(reader, (layout.fields.length >> 3) + 1, control >> 6);
    const bounds = this.#readBounds(reader, control);
    const state = this.#stateOf(this.#type, layout);
    const delta = (control & controlDeltaCoordinates) !== 0;
    layout.fields.forEach((kind, index) => {
      if (flags & (1 << index)) readField(reader, kind, state, index, delta);
    });
    return { name: layout.name, state, bounds };
  }

  #readBounds(reader: Reader, control: number): OrderBounds | null {
    if (!(control & controlBounds)) return null;
    if (!(control & controlZeroBoundsDeltas)) this.#bounds = readBounds(reader, this.#bounds);
    return this.#bounds;
  }

  #stateOf(type: number, layout: { name: OrderName; fields: readonly FieldKind[] }): OrderState {
    let state = this.#states.get(type);
    if (!state) {
      state = createOrderState(layout);
      this.#states.set(type, state);
    }
    return state;
  }

  snapshot(): PrimaryReaderSnapshot {
    const states = [...this.#states].map(([type, { values, extra, data }]): readonly [number, OrderState] => [
      type,
      { values: [...values], extra, data },
    ]);
    return { type: this.#type, bounds: this.#bounds, states };
  }

  restore(snapshot: PrimaryReaderSnapshot): void {
    this.#type = snapshot.type;
    this.#bounds = snapshot.bounds;
    this.#states.clear();
    for (const [type, { values, extra, data }] of snapshot.states)
      this.#states.set(type, { values: [...values], extra, data });
  }
}

/** Byte fields are copied: they outlive the update as the order's last values. */
function readField(reader: Reader, kind: FieldKind, state: OrderState, index: number, delta: boolean): void {
  if (kind === 'bytes7') state.extra = reader.copy(7);
  else if (kind === 'data1') state.data = reader.copy(reader.u8());
  else if (kind === 'data2') state.data = reader.copy(reader.u16le());
  else state.values[index] = readNumber(reader, kind, state.values[index]!, delta);
}

function readNumber(
  reader: Reader,
  kind: Exclude<FieldKind, 'bytes7' | 'data1' | 'data2'>,
  previous: number,
  delta: boolean,
): number {
  switch (kind) {
    case 'coord':
      return delta ? signed(previous + signed(reader.u8(), 8), 16) : reader.i16le();
    case 'u8':
      return reader.u8();
    case 'i8':
      return signed(reader.u8(), 8);
    case 'u16':
      return reader.u16le();
    case 'i16':
      return reader.i16le();
    case 'u32':
      return reader.u32le();
    case 'color':
      return reader.u16le() | (reader.u8() << 16);
  }
}
