import { frameLength } from '../pdu/frame-length.ts';
import { McsChoice } from '../pdu/mcs.ts';
import { PduType, PduType2, SHARE_VERSION } from '../pdu/share.ts';
import type { DomainIds } from './acceptor.ts';
import { concat } from './frames.ts';

/** TPKT and X.224 Data headers before the MCS PDU. */
const MCS_OFFSET = 7;
/** User ids are sent as their distance from this, T.125 section 7. */
const USER_ID_BASE = 1001;
/** Up to the ids in Synchronize and Control PDUs behind the widest headers: TPKT, X.224, MCS, share control, share data, body. */
const HEAD_BYTES_MAX = 4 + 3 + 8 + 6 + 12 + 4;

/** Which id of one domain stands for which of the other. */
export interface DomainMap {
  user: readonly [from: number, to: number];
  ioChannelId: number;
  /** Every channel of the one side that the other has too; what is sent on others reaches nobody. */
  channels: ReadonlyMap<number, number>;
}

/** Maps ids of `from` to those of `to`. Channels one side has not are left out; ids that stand for two things as well. */
export function domainMap(from: DomainIds, to: DomainIds): DomainMap {
  const channels = new Map([[from.ioChannelId, to.ioChannelId]]);
  const taken = new Set([to.ioChannelId]);
  const add = (id: number, other: number): void => {
    if (id === 0 || other === 0 || channels.has(id) || taken.has(other)) return;
    channels.set(id, other);
    taken.add(other);
  };
  add(from.messageChannelId, to.messageChannelId);
  for (const [i, id] of from.channelIds.entries()) add(id, to.channelIds[i] ?? 0);
  return { user: [from.userId, to.userId], ioChannelId: from.ioChannelId, channels };
}

/**
 * Carries one direction of a session from one MCS domain into another: user and channel ids are rewritten in place, sizes stay.
 * Input may come in any pieces; what comes out is its own. Throws `DecodeError` where no PDU can begin.
 */
export class DomainMapper {
  readonly #map: DomainMap;
  readonly #choice: number;
  #head: Uint8Array = new Uint8Array(0);
  /** Of the present PDU, still to come behind its head. */
  #remaining = 0;
  #drops = false;

  constructor(map: DomainMap, from: 'client' | 'server') {
    this.#map = map;
    this.#choice = from === 'client' ? McsChoice.sendDataRequest : McsChoice.sendDataIndication;
  }

  push(input: Uint8Array): Uint8Array {
    const bytes = concat([this.#head, input]);
    const pieces: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#remaining === 0) {
        const length = frameLength(bytes, at, bytes.length);
        if (length === 0 || bytes.length - at < Math.min(length, HEAD_BYTES_MAX)) break;
        this.#drops = !this.#rewrite(bytes.subarray(at, at + length));
        this.#remaining = length;
      }
      const end = Math.min(bytes.length, at + this.#remaining);
      if (!this.#drops) pieces.push(bytes.subarray(at, end));
      this.#remaining -= end - at;
      at = end;
    }
    this.#head = bytes.slice(at);
    return concat(pieces);
  }

  /** Rewrites the PDU whose head is there. False: it is for nobody. */
  #rewrite(pdu: Uint8Array): boolean {
    if (pdu[0] !== 3 || pdu[4] !== 2 || pdu[5] !== 0xf0 || (pdu[MCS_OFFSET] ?? 0) >> 2 !== this.#choice) return true;
    const view = new DataView(pdu.buffer, pdu.byteOffset, pdu.byteLength);
    if (pdu.length < MCS_OFFSET + 7) return true;
    const channelId = view.getUint16(MCS_OFFSET + 3);
    const other = this.#map.channels.get(channelId);
    if (other === undefined) return false;
    const [user, otherUser] = this.#map.user;
    if (view.getUint16(MCS_OFFSET + 1) + USER_ID_BASE === user)
      view.setUint16(MCS_OFFSET + 1, otherUser - USER_ID_BASE);
    view.setUint16(MCS_OFFSET + 3, other);
    if (channelId === this.#map.ioChannelId) this.#rewriteShare(view, MCS_OFFSET + 6);
    return true;
  }

  /** The user's id as the source of a share PDU, and in what Synchronize and Control say. */
  #rewriteShare(view: DataView, lengthAt: number): void {
    const at = lengthAt + (view.getUint8(lengthAt) & 0x80 ? 2 : 1);
    if (view.byteLength < at + 6 || (view.getUint16(at + 2, true) & 0xf0) !== SHARE_VERSION) return;
    this.#rewriteUser(view, at + 4);
    if (view.byteLength < at + 22 || (view.getUint16(at + 2, true) & 15) !== PduType.data) return;
    const type = view.getUint8(at + 14);
    if (type === PduType2.synchronize || type === PduType2.control) this.#rewriteUser(view, at + 20);
  }

  #rewriteUser(view: DataView, at: number): void {
    const [user, otherUser] = this.#map.user;
    if (view.getUint16(at, true) === user) view.setUint16(at, otherUser, true);
  }
}
