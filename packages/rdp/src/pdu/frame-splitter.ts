import { connectFrameLength, frameLength } from './frame-length.ts';

export interface FrameSplitterSnapshot {
  readonly connecting: boolean;
  readonly bytes: Uint8Array;
}

/** Cuts a byte stream that arrives in any pieces into PDUs. Keeps at most one incomplete PDU. */
export class FrameSplitter {
  /** True until the MCS connection begins: CredSSP messages may come, fast-path can't. */
  connecting: boolean;
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  /** Whether `#bytes` is this object's own memory (then it may be written to). */
  #own = false;

  constructor(connecting = true) {
    this.connecting = connecting;
  }

  /** Bytes held back. */
  get pending(): number {
    return this.#end - this.#start;
  }

  /** Adds bytes. They are not copied unless a PDU was cut before: take all frames out before reusing the memory. */
  push(bytes: Uint8Array): void {
    if (this.#start === this.#end) {
      this.#bytes = bytes;
      this.#start = 0;
      this.#end = bytes.length;
      this.#own = false;
      return;
    }
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #reserve(more: number): void {
    const held = this.pending;
    if (this.#own && this.#end + more <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(2 * (held + more), 4096));
    bytes.set(this.#bytes.subarray(this.#start, this.#end));
    this.#bytes = bytes;
    this.#start = 0;
    this.#end = held;
    this.#own = true;
  }

  /** The next whole PDU (a view that later pushes may overwrite), or null. Throws `DecodeError` on impossible lengths. */
  next(): Uint8Array | null {
    const measure = this.connecting ? connectFrameLength : frameLength;
    const length = measure(this.#bytes, this.#start, this.#end);
    if (length === 0 || length > this.pending) {
      this.#keep();
      return null;
    }
    const frame = this.#bytes.subarray(this.#start, this.#start + length);
    this.#start += length;
    return frame;
  }

  /** All bytes held back, in order; the splitter is empty afterwards. For streams that change their protocol. */
  takeRest(): Uint8Array {
    const rest = new Uint8Array(this.#bytes.subarray(this.#start, this.#end));
    this.#start = this.#end;
    return rest;
  }

  /** What it holds, to go on from later with `restore`. */
  snapshot(): FrameSplitterSnapshot {
    return { connecting: this.connecting, bytes: new Uint8Array(this.#bytes.subarray(this.#start, this.#end)) };
  }

  restore(snapshot: FrameSplitterSnapshot): void {
    this.connecting = snapshot.connecting;
    this.#bytes = new Uint8Array(snapshot.bytes);
    this.#start = 0;
    this.#end = this.#bytes.length;
    this.#own = true;
  }

  /** What is left belongs to the caller's buffer: copy it before the caller reuses it. */
  #keep(): void {
    if (this.#own || this.pending === 0) return;
    this.#reserve(0);
  }
}
