/**
 * The transparency log for everyone: C2SP tlog-tiles below `/log/`, read-only and without a token, because it holds hashes
 * and nothing that names anybody. Paths are taken apart before anything is read; no other file can be reached.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

export type LogFileReader = (path: string) => Promise<Uint8Array | null>;

/** A tile of 256 hashes or a bundle of 256 entries of the largest size C2SP allows, and their lengths. */
const fileBytesMax = 256 * (65_535 + 2);
const pathCharactersMax = 80;
/** Level 0–63 or entries; index in groups of three digits, all but the last with an x; width of a partial tile. */
const tilePath =
  /^tile\/(?:entries|\d|[1-5]\d|6[0-3])\/(?:x\d{3}\/){0,5}\d{3}(?:\.p\/(?:[1-9]|[1-9]\d|1\d{2}|2[0-4]\d|25[0-5]))?$/;

/** What may be read of a log, and how long it stays true; null for any other path. */
export function logFileKind(path: string): 'checkpoint' | 'tile' | null {
  if (path === 'checkpoint') return 'checkpoint';
  return path.length <= pathCharactersMax && tilePath.test(path) ? 'tile' : null;
}

const headersOf = {
  // A new one may stand there at any time.
  checkpoint: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-cache' },
  // A tile never changes: a partial one is named by its width.
  tile: { 'content-type': 'application/octet-stream', 'cache-control': 'public, max-age=31536000, immutable' },
} as const;

/** For witnesses and monitors in a browser: there is nothing to protect in a public log. */
const openHeaders = {
  'access-control-allow-origin': '*',
  'cross-origin-resource-policy': 'cross-origin',
  'x-content-type-options': 'nosniff',
} as const;

export function serveLog(app: FastifyInstance, read: LogFileReader): void {
  const answer = async (request: FastifyRequest<{ Params: { '*': string } }>, reply: FastifyReply) => {
    const path = request.params['*'];
    const kind = logFileKind(path);
    const bytes = kind === null ? null : await read(path);
    if (kind === null || bytes === null || bytes.length > fileBytesMax)
      // A tile that is not there yet will be: nobody may remember this answer.
      return reply
        .headers({ ...openHeaders, 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
        .status(404)
        .send('the log has no such file\n');
    return reply
      .headers({ ...openHeaders, ...headersOf[kind] })
      .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  };
  app.get('/log/*', answer);
}
