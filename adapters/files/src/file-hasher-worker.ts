/** Hashes parts of files, one after the other, through one buffer that stays in the processor's cache. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';

export interface HashRequest {
  call: number;
  path: string;
  offset: number;
  length: number;
  headBytes: number;
}

export type HashAnswer = { call: number; sha256: Uint8Array; head: Uint8Array } | { call: number; error: string };

const buffer = new Uint8Array(256 * 1024);

function hashPart({ path, offset, length, headBytes }: HashRequest): { sha256: Uint8Array; head: Uint8Array } {
  const file = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    const head = new Uint8Array(Math.min(headBytes, length));
    for (let at = 0; at < length; ) {
      const count = readSync(file, buffer, 0, Math.min(buffer.length, length - at), offset + at);
      if (count === 0) throw new Error('the bundle was cut while it was read');
      const part = buffer.subarray(0, count);
      if (at < head.length) head.set(part.subarray(0, head.length - at), at);
      hash.update(part);
      at += count;
    }
    return { sha256: new Uint8Array(hash.digest()), head };
  } finally {
    closeSync(file);
  }
}

parentPort?.on('message', (request: HashRequest) => {
  let answer: HashAnswer;
  try {
    answer = { call: request.call, ...hashPart(request) };
  } catch (thrown) {
    answer = { call: request.call, error: thrown instanceof Error ? thrown.message : String(thrown) };
  }
  parentPort?.postMessage(answer);
});
