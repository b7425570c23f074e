/** Frames of the gateway's own among a server's: the client acknowledges all of them, the server is to hear of its own alone. */
import { gfxPdu, takeGfxCommand } from '@lucid-sessions/graphics';
import { attempt, encode, joinBytes, Reader } from '@lucid-sessions/wire';

/** Frames nobody has acknowledged yet. A client that suspends acknowledgement leaves them all. */
const OUTSTANDING_MAX = 4096;
/** Of ours, so many are known after they were acknowledged: what a client measures of a frame may come later. */
const OWN_IDS_MAX = 256;
/** SUSPEND_FRAME_ACKNOWLEDGEMENT, [MS-RDPEGFX] 2.2.2.13. */
const SUSPENDED = 0xffff_ffff;

interface Frame {
  id: number;
  isOurs: boolean;
}

export class OwnFrames {
  readonly #outstanding: Frame[] = [];
  /** The server's last one. */
  #lastId = 0;
  readonly #ownIds = new Set<number>();
  #ownCount = 0;
  #ownDecoded = 0;

  /** The server ended a frame. */
  ended(id: number): void {
    this.#lastId = id;
    if (this.#ownCount > 0) this.#add({ id, isOurs: false });
  }

  /** The id of a new frame of ours: as far from where the server counts as there are ids. */
  next(): number {
    this.#ownCount += 1;
    const id = (this.#lastId + 0x8000_0000 + (this.#ownCount & 0xffff)) >>> 0;
    this.#add({ id, isOurs: true });
    this.#ownIds.add(id);
    if (this.#ownIds.size > OWN_IDS_MAX) for (const first of this.#ownIds.values().take(1)) this.#ownIds.delete(first);
    return id;
  }

  #add(frame: Frame): void {
    this.#outstanding.push(frame);
    if (this.#outstanding.length > OUTSTANDING_MAX) this.#decoded(1);
  }

  #decoded(count: number): void {
    for (const { isOurs } of this.#outstanding.splice(0, count)) if (isOurs) this.#ownDecoded += 1;
  }

  /** A message of the client's without what it says of our frames; the message itself where there is nothing of them in it. */
  withoutOurs(message: Uint8Array): Uint8Array {
    if (this.#ownCount === 0) return message;
    const reader = new Reader(message);
    const parts: Uint8Array[] = [];
    while (reader.remaining > 0) {
      const rest = message.subarray(reader.offset);
      const command = attempt(() => takeGfxCommand(reader).rest());
      if (command === null) return joinBytes([...parts, rest]);
      parts.push(this.#command(command));
    }
    return joinBytes(parts);
  }

  #command(command: Uint8Array): Uint8Array {
    const pdu = attempt(() => gfxPdu.decode(new Reader(command)));
    if (pdu?.kind === 'qoeFrameAcknowledge') return this.#ownIds.has(pdu.body.frameId) ? none : command;
    if (pdu?.kind !== 'frameAcknowledge') return command;
    const { queueDepth, frameId, totalFramesDecoded } = pdu.body;
    const at = this.#outstanding.findIndex(({ id }) => id === frameId);
    const isOurs = this.#outstanding[at]?.isOurs === true;
    this.#decoded(at + 1);
    const total = (totalFramesDecoded - this.#ownDecoded) >>> 0;
    if (!isOurs) return encode(gfxPdu, { ...pdu, body: { queueDepth, frameId, totalFramesDecoded: total } });
    // That no more of them come the server has to know: it waits for them.
    return queueDepth === SUSPENDED
      ? encode(gfxPdu, { ...pdu, body: { queueDepth, frameId: this.#lastId, totalFramesDecoded: total } })
      : none;
  }
}

const none = new Uint8Array(0);
