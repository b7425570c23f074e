import { DecodeError } from '@lucid-sessions/wire';
import { copyRepeating, type History, historyOverrun } from './history.ts';

/** [MS-RDPEGDI] 3.1.8.2.1. */
export const xcrushHistoryBytes = 2_000_000;
/** A PDU's payload: a block is under 16,383 bytes in the specification, under 64 KiB by its 16-bit lengths. */
export const xcrushOutputBytesMax = 65536;
/** RDP61_MATCH_DETAILS: [MS-RDPEGDI] 2.2.2.4.1.1. */
export const matchBytes = 8;

export function matchesTruncated(): DecodeError {
  return new DecodeError('truncated', 'matches or their literals are missing');
}

export function matchBeforeOutput(): DecodeError {
  return new DecodeError('invalid', 'a match lies before the output it follows');
}

export function matchOutsideHistory(): DecodeError {
  return new DecodeError('invalid', 'a match lies outside the history');
}

interface Match {
  readonly length: number;
  readonly outputOffset: number;
  readonly historyOffset: number;
}

/**
 * Literals and matches ([MS-RDPEGDI] 3.1.8.2.2.2) to `start` of the history; the offset behind them. All matches are looked through before
 * the first byte is written: what can't be decoded leaves the history as it was.
 */
export function copyMatches(history: History, start: number, data: Uint8Array): number {
  if (data.length < 2) throw matchesTruncated();
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const literalsAt = 2 + view.getUint16(0, true) * matchBytes;
  if (literalsAt > data.length) throw matchesTruncated();
  history.reach(look(view, literalsAt, start));
  let literals = literalsAt;
  let to = start;
  const copyLiterals = (count: number): void => {
    history.bytes.set(data.subarray(literals, literals + count), to);
    literals += count;
    to += count;
  };
  for (let at = 2; at < literalsAt; at += matchBytes) {
    const { length, outputOffset, historyOffset } = matchAt(view, at);
    copyLiterals(start + outputOffset - to);
    copyRepeating(history.bytes, historyOffset, to, length);
    to += length;
  }
  copyLiterals(data.length - literals);
  return to;
}

function matchAt(view: DataView, at: number): Match {
  return {
    length: view.getUint16(at, true),
    outputOffset: view.getUint16(at + 2, true),
    historyOffset: view.getUint32(at + 4, true),
  };
}

/** How far into the history all of it reaches. */
function look(view: DataView, literalsAt: number, start: number): number {
  let literals = literalsAt;
  let produced = 0;
  let reach = 0;
  for (let at = 2; at < literalsAt; at += matchBytes) {
    const { length, outputOffset, historyOffset } = matchAt(view, at);
    if (outputOffset < produced) throw matchBeforeOutput();
    literals += outputOffset - produced;
    if (literals > view.byteLength) throw matchesTruncated();
    produced = outputOffset + length;
    expectRoom(start, produced);
    if (historyOffset + length > xcrushHistoryBytes) throw matchOutsideHistory();
    reach = Math.max(reach, historyOffset + length);
  }
  produced += view.byteLength - literals;
  expectRoom(start, produced);
  return Math.max(reach, start + produced);
}

export function expectRoom(start: number, produced: number): void {
  if (!(produced <= xcrushOutputBytesMax && start + produced <= xcrushHistoryBytes)) throw historyOverrun();
}
