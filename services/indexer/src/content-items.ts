import type { ContentItem } from '@lucid-sessions/contract';
import type { ContentPiece } from '@lucid-sessions/recording/session-index';

export const contentBytesMax = 64 << 20;
const heldBytesMax = 192 << 20;
const firstBytes = 64 * 1024;

interface Held extends ContentItem {
  length: number;
}

/** Puts pieces together at their offsets, within bounds of one item and of all that are under way. */
export class ContentItems {
  readonly #held = new Map<number, Held>();
  #heldBytes = 0;

  /** The item this piece completed. */
  add(piece: ContentPiece): ContentItem | null {
    if (piece.type === 'end') return this.#take(piece.id);
    const { id, offset, bytes, ...rest } = piece;
    let held = this.#held.get(id);
    if (held === undefined) {
      const { kind, from, name, timeUs } = rest;
      held = { kind, from, name, timeUs, bytes: new Uint8Array(0), length: 0, cut: false };
      this.#held.set(id, held);
    }
    const end = offset + bytes.length;
    if (end > contentBytesMax || !this.#grow(held, end)) {
      held.cut = true;
      return null;
    }
    held.bytes.set(bytes, offset);
    held.length = Math.max(held.length, end);
    return null;
  }

  #grow(held: Held, length: number): boolean {
    if (length <= held.bytes.length) return true;
    const size = Math.min(contentBytesMax, Math.max(length, held.bytes.length * 2, firstBytes));
    if (this.#heldBytes + size - held.bytes.length > heldBytesMax) return false;
    this.#heldBytes += size - held.bytes.length;
    const bytes = new Uint8Array(size);
    bytes.set(held.bytes);
    held.bytes = bytes;
    return true;
  }

  #take(id: number): ContentItem | null {
    const held = this.#held.get(id);
    if (held === undefined) return null;
    this.#held.delete(id);
    this.#heldBytes -= held.bytes.length;
    const { length, bytes, ...item } = held;
    return { ...item, bytes: bytes.subarray(0, length) };
  }
}
