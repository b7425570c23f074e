/** The console's files. Its pages have paths of their own, and all of them are the same document. */
import { relative, resolve, sep } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/**
 * Code, style and workers come from here and nowhere else, nothing is inline; pictures may also be made by the page itself. The
 * console is built for exactly this.
 */
export const consolePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * The player's worker may also compile WebAssembly: decoders that need SIMD bring code of their own. It has no DOM to harm. So may the
 * page of a session's desktop, whose RDP client is WebAssembly, and no other document.
 */
export const wasmPolicy = consolePolicy.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'");

const workerFile = `assets${sep}worker-`;
const connectFile = 'connect.html';
const connectPath = /^\/sessions\/[A-Za-z0-9_-]{1,100}\/connect$/;
const pagePath =
  /^\/(?:sessions(?:\/[A-Za-z0-9_-]{1,100})?|new|live|search|system|audit|requests|targets|alerts|enter|account|sign-in\/[a-z0-9][a-z0-9-]{0,30}|users(?:\/[a-z0-9][a-z0-9._@+-]{0,99})?)?$/;

export async function serveConsole(app: FastifyInstance, staticDir: string): Promise<void> {
  const root = resolve(staticDir);
  await app.register(fastifyStatic, {
    root,
    wildcard: true,
    index: 'index.html',
    dotfiles: 'deny',
    cacheControl: false,
    setHeaders(reply, path) {
      const name = relative(root, path);
      const mayCompile = name.startsWith(workerFile) || name === connectFile;
      reply.header('content-security-policy', mayCompile ? wasmPolicy : consolePolicy);
      // Names under assets/ hold a hash of their content: another content has another name.
      reply.header(
        'cache-control',
        name.startsWith(`assets${sep}`) ? 'public, max-age=31536000, immutable' : 'no-cache',
      );
    },
  });
}

/** The document of the console that answers a path which no file does; null: it is no page. */
export function consoleDocument(path: string): string | null {
  if (connectPath.test(path)) return connectFile;
  return pagePath.test(path) ? 'index.html' : null;
}
