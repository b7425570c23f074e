/** Where a stream of PDUs is cut into messages: none holds bytes of two. */
import { frameLength } from '@lucid-sessions/rdp';
import { DecodeError } from '@lucid-sessions/wire';

const TPKT_VERSION = 3;
/** A PDU tells its length within as many bytes. */
const headerBytesMax = 4;

/**
 * IronRDP's client takes what stands in one message behind a Font Map for nothing (`into_inner_no_leftover`), and Windows sends more
 * right behind it. Begins with the first PDU in a TPKT, the MCS Connect Response: what comes before (RDCleanPath, CredSSP) stays as it is.
 */
export class PduCuts {
  #isBegun = false;
  /** Bytes of the PDU under way that are still to come. */
  #remaining = 0;
  /** What went out already of a header that does not tell its PDU's length yet. */
  #header: Uint8Array = new Uint8Array(0);

  /** Views of `bytes`, in order and without a gap. What is no PDU any more is not cut. */
  cut(bytes: Uint8Array): Uint8Array[] {
    this.#isBegun ||= bytes[0] === TPKT_VERSION;
    if (!this.#isBegun) return [bytes];
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const end = this.#endOf(bytes, at);
      pieces.push(bytes.subarray(at, end));
      at = end;
    }
    return pieces;
  }

  #endOf(bytes: Uint8Array, at: number): number {
    if (this.#remaining === 0) this.#begin(bytes, at);
    if (this.#header.length > 0) return bytes.length;
    const end = Math.min(bytes.length, at + this.#remaining);
    this.#remaining -= end - at;
    return end;
  }

  /** With the PDU that begins or goes on at `at`: its length, or its header so far. */
  #begin(bytes: Uint8Array, at: number): void {
    const sent = this.#header.length;
    const header = new Uint8Array(Math.min(headerBytesMax, sent + bytes.length - at));
    header.set(this.#header);
    header.set(bytes.subarray(at, at + header.length - sent), sent);
    const length = lengthOf(header);
    this.#header = length === 0 ? header : new Uint8Array(0);
    this.#remaining = length === 0 ? 0 : length - sent;
  }
}

/** Without an end where it is no PDU. */
function lengthOf(header: Uint8Array): number {
  try {
    return frameLength(header, 0, header.length);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return Number.POSITIVE_INFINITY;
  }
}
