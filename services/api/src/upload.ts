/** Bodies that are no JSON, read within bounds. */
import type { Readable } from 'node:stream';
import { LucidError } from '@lucid-sessions/contract';

export interface UploadBounds {
  bytesMax: number;
  /** Between two parts. */
  stallMs: number;
  /** In messages. */
  what: string;
}

export async function readUpload(upload: Readable, { bytesMax, stallMs, what }: UploadBounds): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  const stalled = (): void => {
    upload.destroy(new LucidError('invalidRequest', `${what} came too slowly`));
  };
  let timer = setTimeout(stalled, stallMs);
  try {
    for await (const part of upload as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      timer = setTimeout(stalled, stallMs);
      length += part.length;
      if (length > bytesMax) throw new LucidError('tooLarge', `${what} is sent in at most ${sizeText(bytesMax)}`);
      parts.push(part);
    }
  } finally {
    clearTimeout(timer);
  }
  if (length === 0) throw new LucidError('invalidRequest', `${what} is empty`);
  return Buffer.concat(parts);
}

const sizeText = (bytes: number): string => (bytes < 2 ** 20 ? `${bytes / 1024} KiB` : `${bytes / 2 ** 20} MiB`);
