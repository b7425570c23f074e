import type { Codec, Reader } from '@lucid-sessions/wire';
import { bytes, structWithTail, u16le, type Value } from '@lucid-sessions/wire/struct';
import { type FastPathInputEvent, fastPathInputEvent } from '../pdu/fast-path.ts';

/** Keys and mouse of current Windows clients, [MS-RDPECI] 2.1. */
export const CORE_INPUT_CHANNEL = 'Microsoft::Windows::RDS::CoreInput';

/** RDP_CORE_INPUT_HEADER, [MS-RDPECI] 2.2.2.1. */
const SIGNATURE = 3;

const initRequest = structWithTail(
  'RDP_CORE_INPUT_CS_INIT_REQUEST_PDU',
  { protocolVersionMin: u16le, protocolVersionMax: u16le, reserved: bytes(8) },
  {},
);
const initResponse = structWithTail(
  'RDP_CORE_INPUT_SC_INIT_RESPONSE_PDU',
  { selectedProtocolVersion: u16le, protocolVersionMax: u16le, reserved: bytes(8) },
  {},
);

const kinds = {
  initRequest: { pduType: 1, codec: initRequest },
  initResponse: { pduType: 2, codec: initResponse },
} as const;
const INPUT = 3;

/** A message of the channel; the events are those of fast-path input. */
export type CoreInputPdu = { padding: number } & (
  | ({ kind: 'initRequest'; eventCount: number } & Value<typeof initRequest>)
  | ({ kind: 'initResponse'; eventCount: number } & Value<typeof initResponse>)
  | { kind: 'input'; events: FastPathInputEvent[]; trailing?: Uint8Array }
);

export const coreInputPdu: Codec<CoreInputPdu> = {
  name: 'core input PDU',
  decode(reader) {
    const signature = reader.u8();
    if (signature !== SIGNATURE) throw reader.error('invalid', `core input PDU of signature ${signature}`);
    const pduType = reader.u8();
    const eventCount = reader.u8();
    const padding = reader.u8();
    if (pduType === INPUT) return readInput(reader, eventCount, padding);
    for (const [kind, entry] of Object.entries(kinds))
      if (entry.pduType === pduType)
        return { kind, padding, eventCount, ...(entry.codec as Codec<object>).decode(reader) } as CoreInputPdu;
    throw reader.error('unsupported', `core input PDU of type ${pduType}`);
  },
  encode(value, writer) {
    writer.u8(SIGNATURE);
    if (value.kind === 'input') {
      writer.u8(INPUT).u8(value.events.length).u8(value.padding);
      for (const event of value.events) fastPathInputEvent.encode(event, writer);
      if (value.trailing !== undefined) writer.slice(value.trailing);
      return;
    }
    const { pduType, codec } = kinds[value.kind];
    writer.u8(pduType).u8(value.eventCount).u8(value.padding);
    (codec as Codec<unknown>).encode(value, writer);
  },
};

/** RDP_CORE_INPUT_CS_KEYBOARD_AND_MOUSE_INPUT_PDU, [MS-RDPECI] 2.2.3.3. */
function readInput(reader: Reader, eventCount: number, padding: number): CoreInputPdu {
  const events = Array.from({ length: eventCount }, () => fastPathInputEvent.decode(reader));
  const value = { kind: 'input', padding, events } as const;
  return reader.remaining === 0 ? value : { ...value, trailing: reader.rest() };
}
