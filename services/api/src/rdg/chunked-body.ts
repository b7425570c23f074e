import { Transform, type TransformCallback } from 'node:stream';

/** A line with a chunk's size and what may stand behind it; trailers after the last chunk. */
const lineBytesMax = 1024;
/** Thirteen digits would be more than a number holds. */
const sizePattern = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?$/;

type Expected = 'size' | 'data' | 'behindData' | 'trailer' | 'nothing';

/** The content of a chunked body, [RFC 9112] 7.1, as it comes. What is none is an error of the stream. */
export class ChunkedBody extends Transform {
  #expected: Expected = 'size';
  #bytesLeft = 0;
  #line = '';

  override _transform(bytes: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      for (let at = 0; at < bytes.length && this.#expected !== 'nothing'; )
        at += this.#expected === 'data' ? this.#data(bytes.subarray(at)) : this.#gather(bytes.subarray(at));
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.#expected === 'nothing' ? null : new Error('the body ends before its last chunk'));
  }

  #data(bytes: Buffer): number {
    const piece = bytes.subarray(0, this.#bytesLeft);
    this.#bytesLeft -= piece.length;
    if (this.#bytesLeft === 0) this.#expected = 'behindData';
    this.push(piece);
    return piece.length;
  }

  #gather(bytes: Buffer): number {
    const end = bytes.indexOf(0x0a);
    const length = end < 0 ? bytes.length : end + 1;
    if (this.#line.length + length > lineBytesMax) throw new Error('a line of the chunked body is too long');
    this.#line += bytes.toString('latin1', 0, length);
    if (end < 0) return length;
    const line = this.#line;
    this.#line = '';
    if (!line.endsWith('\r\n')) throw new Error('a line of the chunked body ends without CR');
    this.#take(line.slice(0, -2));
    return length;
  }

  #take(line: string): void {
    if (this.#expected === 'behindData') {
      if (line !== '') throw new Error('a chunk is longer than it said');
      this.#expected = 'size';
    } else if (this.#expected === 'size') this.#size(line);
    else if (line === '') {
      this.#expected = 'nothing';
      this.push(null);
    }
  }

  #size(line: string): void {
    const digits = sizePattern.exec(line)?.[1];
    if (digits === undefined) throw new Error('a chunk without a size');
    this.#bytesLeft = Number.parseInt(digits, 16);
    this.#expected = this.#bytesLeft === 0 ? 'trailer' : 'data';
  }
}
