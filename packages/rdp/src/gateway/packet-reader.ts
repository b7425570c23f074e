import { DecodeError, decode } from '@lucid-sessions/wire';
import { Gathered } from '../sequence/gathered.ts';
import { dataHeaderBytes, type GatewayPacket, GatewayPacketType, gatewayHeaderBytes, gatewayPacket } from './packet.ts';

export interface PacketTaker {
  /** Every packet but data. */
  packet(packet: GatewayPacket): void;
  /** What data packets carry, in pieces as they come; valid during the call only. */
  data(bytes: Uint8Array): void;
}

/** Two fields of at most 65,535 bytes (name and statement of health) would fit into none; nobody's are that long. */
const controlBytesMax = 32 * 1024;

/** Tells the packets of a byte stream apart. Only what is not data is gathered, so memory is bounded. */
export class PacketReader {
  readonly #taker: PacketTaker;
  readonly #gathered = new Gathered(controlBytesMax);
  #dataBytesLeft = 0;

  constructor(taker: PacketTaker) {
    this.#taker = taker;
  }

  /** Throws `DecodeError`; nothing may be pushed after that. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const rest = bytes.subarray(at);
      at += this.#dataBytesLeft > 0 ? this.#passData(rest) : this.#gather(rest);
    }
  }

  #passData(bytes: Uint8Array): number {
    const length = Math.min(this.#dataBytesLeft, bytes.length);
    this.#dataBytesLeft -= length;
    this.#taker.data(bytes.subarray(0, length));
    return length;
  }

  #gather(bytes: Uint8Array): number {
    const length = Math.min(this.#wantedBytes() - this.#gathered.length, bytes.length);
    this.#gathered.push(bytes.subarray(0, length));
    // With its header there it may want more.
    if (this.#gathered.length === this.#wantedBytes()) this.#complete();
    return length;
  }

  #header(): { type: number; length: number } {
    const { buffer, byteOffset, byteLength } = this.#gathered.bytes;
    const view = new DataView(buffer, byteOffset, byteLength);
    return { type: view.getUint16(0, true), length: view.getUint32(4, true) };
  }

  #wantedBytes(): number {
    if (this.#gathered.length < gatewayHeaderBytes) return gatewayHeaderBytes;
    const { type, length } = this.#header();
    const isData = type === GatewayPacketType.data;
    if (length < (isData ? dataHeaderBytes : gatewayHeaderBytes))
      throw new DecodeError('invalid', `a packet of ${length} bytes`);
    if (isData) return dataHeaderBytes;
    if (!(length <= controlBytesMax)) throw new DecodeError('limit', `a packet of ${length} bytes`);
    return length;
  }

  #complete(): void {
    const { type, length } = this.#header();
    const bytes = this.#gathered.take();
    if (type !== GatewayPacketType.data) {
      this.#taker.packet(decode(gatewayPacket, bytes));
      return;
    }
    const dataBytes = bytes[gatewayHeaderBytes]! | (bytes[gatewayHeaderBytes + 1]! << 8);
    if (dataBytes !== length - dataHeaderBytes)
      throw new DecodeError('invalid', `a data packet of ${length} bytes that says ${dataBytes}`);
    this.#dataBytesLeft = dataBytes;
  }
}
